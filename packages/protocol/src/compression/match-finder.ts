const minMatchBytes = 4
const hashBits = 14
const maxDistance = 0xffff

/** Receives `input[literalStart … literalEnd)`, then a copy of `length` bytes from `distance` bytes back. */
export type OnMatch = (literalStart: number, literalEnd: number, distance: number, length: number) => void

/**
 * Finds repeated byte sequences for the codecs of the LZ77 family: greedy, one candidate for each hash of
 * four bytes, distances below 64 KiB. Matches start in `[start, lastMatchStart)` and end before `matchEnd`.
 * Returns where the literals begin that follow the last match.
 */
export function findMatches(
  input: Uint8Array,
  start: number,
  lastMatchStart: number,
  matchEnd: number,
  onMatch: OnMatch,
): number {
  const table = new Int32Array(1 << hashBits).fill(-1)
  let literalStart = start
  let at = start
  /** Grows where nothing matches, so that incompressible data is passed over quickly. */
  let misses = 0
  while (at < lastMatchStart) {
    const word = read32(input, at)
    const hash = Math.imul(word, 0x9e3779b1) >>> (32 - hashBits)
    const candidate = table[hash]!
    table[hash] = at
    if (candidate < 0 || at - candidate > maxDistance || read32(input, candidate) !== word) {
      at += 1 + (misses++ >> 5)
      continue
    }
    let end = at + minMatchBytes
    let source = candidate + minMatchBytes
    while (end < matchEnd && input[end] === input[source]) {
      end++
      source++
    }
    onMatch(literalStart, at, at - candidate, end - at)
    at = end
    literalStart = end
    misses = 0
  }
  return literalStart
}

function read32(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
