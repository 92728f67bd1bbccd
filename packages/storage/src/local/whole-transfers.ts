/**
 * A read or write as systems do it: it may do less than it was asked for, and says how much. Here it goes on
 * until all is done.
 */
export type Transfer = (
  bytes: Uint8Array,
  position: number,
  done: (error: Error | null, count: number) => void,
) => void

/** Bytes read into `target`; fewer than asked for only at the end of the file. */
export function readWhole(read: Transfer, target: Uint8Array, position: number): Promise<number> {
  return transfer(read, target, position, (filled) => filled)
}

/** Writes all of `bytes` or rejects. */
export async function writeWhole(write: Transfer, bytes: Uint8Array, position: number): Promise<void> {
  await transfer(write, bytes, position, () => {
    // Asked again for ever it might say the same for ever.
    throw Object.assign(new Error('EIO: the system wrote nothing and told no reason'), { code: 'EIO' })
  })
}

function transfer(
  step: Transfer,
  bytes: Uint8Array,
  position: number,
  atNothing: (done: number) => number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let done = 0
    const next = (rest: Uint8Array) => {
      step(rest, position + done, (error, count) => {
        if (error !== null) return reject(error)
        done += count
        if (done === bytes.byteLength) return resolve(done)
        if (count > 0) return next(bytes.subarray(done))
        try {
          resolve(atNothing(done))
        } catch (nothing) {
          reject(nothing)
        }
      })
    }
    next(bytes)
  })
}
