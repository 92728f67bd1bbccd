/**
 * A keyed hash of 128 bits over a record's key, for maps that keep the hash in place of the key.
 *
 * Whoever chooses keys must not be able to choose two with the same hash: the older of the two records would be
 * lost. So it is no checksum but the round of HalfSipHash (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", in its form for words of 32 bits) with one round for each word and three at the end, keyed with 128
 * secret bits. Its whole state is the result, which is 128 bits and not 64 as in the published function. Words
 * are little-endian; the last one holds the bytes that are left and, in its highest byte, the length.
 */

/** Bytes of the secret. */
export const KEY_HASH_SEED_BYTES = 16

/** Words of a hash. */
export const KEY_HASH_WORDS = 4

/** Writes the hash of `bytes` from `start` to before `end` into the four words of `into` at `at`. */
export function hashKey(
  seed: Int32Array,
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Int32Array,
  at: number,
): void {
  let v0 = seed[0]!
  let v1 = seed[1]!
  let v2 = seed[2]!
  let v3 = seed[3]!
  const length = end - start
  const wordsEnd = end - (length & 3)
  let position = start
  let isLast = false
  do {
    let word: number
    if (position < wordsEnd) {
      word =
        bytes[position]! |
        (bytes[position + 1]! << 8) |
        (bytes[position + 2]! << 16) |
        (bytes[position + 3]! << 24)
      position += 4
    } else {
      word = length << 24
      if (position + 2 < end) word |= bytes[position + 2]! << 16
      if (position + 1 < end) word |= bytes[position + 1]! << 8
      if (position < end) word |= bytes[position]!
      isLast = true
    }
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  } while (!isLast)
  v2 ^= 0xff
  for (let round = 0; round < 3; round++) {
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  into[at] = v0
  into[at + 1] = v1
  into[at + 2] = v2
  into[at + 3] = v3
}
