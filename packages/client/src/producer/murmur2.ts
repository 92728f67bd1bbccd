/**
 * MurmurHash2, 32 bits, with the seed the Java client uses, so that a key goes to the same partition whatever
 * client sends it (Austin Appleby's public-domain algorithm).
 */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  let hash = 0x9747b28c ^ length
  let position = 0
  for (; position + 4 <= length; position += 4) {
    let word =
      (bytes[position] as number) |
      ((bytes[position + 1] as number) << 8) |
      ((bytes[position + 2] as number) << 16) |
      ((bytes[position + 3] as number) << 24)
    word = Math.imul(word, 0x5bd1e995)
    word ^= word >>> 24
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word, 0x5bd1e995)
  }
  const rest = length - position
  if (rest >= 3) hash ^= (bytes[position + 2] as number) << 16
  if (rest >= 2) hash ^= (bytes[position + 1] as number) << 8
  if (rest >= 1) {
    hash ^= bytes[position] as number
    hash = Math.imul(hash, 0x5bd1e995)
  }
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0x5bd1e995)
  return hash ^ (hash >>> 15)
}

/** The partition the Java client gives to this key. */
export function partitionOfKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}
