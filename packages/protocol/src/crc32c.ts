import { createRequire } from 'node:module'

/** Computes a CRC-32C (Castagnoli), going on from the CRC of the bytes before where `seed` is given. */
export type Crc32c = (bytes: Uint8Array, seed?: number) => number

/** Below this the call into native code costs more than the computation in JavaScript. */
const minNativeBytes = 200

let native: Crc32c | null | undefined

/**
 * CRC-32C (RFC 3720, polynomial 0x1EDC6F41), unsigned. Native where the prebuilt module loads, else in
 * JavaScript with the same results.
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  if (bytes.length < minNativeBytes) return crc32cPortable(bytes, seed)
  if (native === undefined) native = loadNativeCrc32c()
  return native === null ? crc32cPortable(bytes, seed) : native(bytes, seed)
}

/** The native implementation; null on platforms it has no prebuilt module for. */
export function loadNativeCrc32c(): Crc32c | null {
  try {
    return (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Crc32c }).crc32c
  } catch {
    // The portable implementation gives the same results, about four times as slowly.
    return null
  }
}

/** Eight tables of 256 entries: table k advances a byte over k further zero bytes. */
const tables = makeTables()

function makeTables(): Uint32Array {
  const polynomial = 0x82f63b78
  const made = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : polynomial)
    made[byte] = crc
  }
  for (let i = 256; i < made.length; i++) {
    const previous = made[i - 256]!
    made[i] = (previous >>> 8) ^ made[previous & 0xff]!
  }
  return made
}

/** Slicing by 8: eight bytes per step, one table lookup for each. */
export function crc32cPortable(bytes: Uint8Array, seed = 0): number {
  const t = tables
  const length = bytes.length
  const sliced = length - (length % 8)
  let crc = ~seed
  let i = 0
  while (i < sliced) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc =
      t[1792 + (crc & 0xff)]! ^
      t[1536 + ((crc >>> 8) & 0xff)]! ^
      t[1280 + ((crc >>> 16) & 0xff)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[i + 4]!]! ^
      t[512 + bytes[i + 5]!]! ^
      t[256 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!
    i += 8
  }
  while (i < length) crc = (crc >>> 8) ^ t[(crc ^ bytes[i++]!) & 0xff]!
  return ~crc >>> 0
}
