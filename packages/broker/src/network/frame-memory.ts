/**
 * Memory for requests that do not arrive in one piece, used again and again.
 *
 * Memory that a process touches for the first time is several times slower than memory it had before, so
 * what large requests are put together in is kept for the next ones: some of each size, a bounded sum. A
 * request's memory comes back when the request is answered; what is never given back is collected as garbage.
 */

/** Sizes with some room above the usual sizes of batches, which come with the frame around them. */
const SIZES_BYTES = [80, 272, 1088, 4352].map((kibibytes) => kibibytes * 1024)
const MAX_FREE_BYTES = 16 * 1024 * 1024

export class FrameMemory {
  readonly #free: Buffer[][] = SIZES_BYTES.map(() => [])
  readonly #owned = new WeakSet<ArrayBufferLike>()
  #freeBytes = 0

  /**
   * Memory of at least `neededBytes`, and of `usefulBytes` where that costs nothing because it lies ready.
   * Its content is whatever was in it before.
   */
  readonly allocate = (neededBytes: number, usefulBytes: number): Buffer => {
    const useful = SIZES_BYTES.findIndex((size) => size >= usefulBytes)
    const ready = useful === -1 ? undefined : this.#free[useful]!.pop()
    if (ready !== undefined) {
      this.#freeBytes -= ready.byteLength
      return ready
    }
    const needed = SIZES_BYTES.findIndex((size) => size >= neededBytes)
    if (needed === -1) return Buffer.allocUnsafeSlow(neededBytes)
    const free = this.#free[needed]!.pop()
    if (free !== undefined) {
      this.#freeBytes -= free.byteLength
      return free
    }
    const fresh = Buffer.allocUnsafeSlow(SIZES_BYTES[needed]!)
    this.#owned.add(fresh.buffer)
    return fresh
  }

  /** Takes memory back, whole or any view of it. Memory from elsewhere is left alone. */
  readonly giveBack = (bytes: Uint8Array): void => {
    const { buffer } = bytes
    if (!this.#owned.has(buffer) || this.#freeBytes + buffer.byteLength > MAX_FREE_BYTES) return
    const free = this.#free[SIZES_BYTES.indexOf(buffer.byteLength)]!
    free.push(Buffer.from(buffer))
    this.#freeBytes += buffer.byteLength
  }
}
