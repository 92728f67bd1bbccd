/**
 * The LZ4 block format: sequences of a token byte (literal length and match length minus 4, 4 bits each, 15
 * goes on in further bytes), the literals, and a match's distance in two bytes. The last sequence has
 * literals only.
 */
import { invalidData } from './codec.ts'
import { findMatches } from './match-finder.ts'

const minMatchBytes = 4
/** The format's rules for the end of a block: its last 5 bytes are literals, no match starts in the last 12. */
const lastLiteralBytes = 5
const lastMatchBytes = 12

/** Most bytes a compressed block of this size can hold. */
export function maxContentBytes(blockBytes: number): number {
  return blockBytes * 255
}

/**
 * Decompresses `input[from … end)` to `output[start …)` and returns where it ended; matches may reach back to
 * `oldest`. Returns -1 if the output ends at `limit` before the block does.
 */
export function decompressBlock(
  input: Uint8Array,
  from: number,
  end: number,
  output: Uint8Array,
  start: number,
  limit: number,
  oldest: number,
): number {
  let at = from
  let to = start
  while (at < end) {
    const token = input[at++]!
    let literals = token >> 4
    if (literals === 15) {
      let more = 255
      while (more === 255) {
        if (at >= end) throw damaged()
        more = input[at++]!
        literals += more
      }
    }
    if (literals > end - at) throw damaged()
    if (literals > limit - to) return -1
    if (literals > 32) {
      output.set(input.subarray(at, at + literals), to)
      at += literals
      to += literals
    } else {
      for (const stop = at + literals; at < stop; ) output[to++] = input[at++]!
    }
    if (at === end) return to

    if (at + 2 > end) throw damaged()
    const distance = input[at]! | (input[at + 1]! << 8)
    at += 2
    let length = (token & 15) + minMatchBytes
    if (length === 15 + minMatchBytes) {
      let more = 255
      while (more === 255) {
        if (at >= end) throw damaged()
        more = input[at++]!
        length += more
      }
    }
    if (distance === 0 || distance > to - oldest) throw damaged()
    if (length > limit - to) return -1
    if (length > 32 && distance >= length) {
      output.copyWithin(to, to - distance, to - distance + length)
      to += length
    } else {
      // Source and target may overlap: that repeats what was just written.
      for (const stop = to + length; to < stop; to++) output[to] = output[to - distance]!
    }
  }
  throw damaged()
}

function damaged(): Error {
  return invalidData('lz4', 'damaged block')
}

/** Compresses one block on its own. The result may be larger than the input. */
export function compressBlock(input: Uint8Array): Uint8Array {
  const output = Buffer.allocUnsafe(input.length + Math.ceil(input.length / 255) + 16)
  let to = 0
  const writeLength = (length: number): void => {
    let rest = length - 15
    for (; rest >= 255; rest -= 255) output[to++] = 255
    output[to++] = rest
  }
  const writeLiterals = (start: number, end: number, matchNibble: number): void => {
    const count = end - start
    output[to++] = (Math.min(count, 15) << 4) | matchNibble
    if (count >= 15) writeLength(count)
    output.set(input.subarray(start, end), to)
    to += count
  }
  const literalStart = findMatches(
    input,
    0,
    input.length - lastMatchBytes,
    input.length - lastLiteralBytes,
    (start, end, distance, length) => {
      const matchLength = length - minMatchBytes
      writeLiterals(start, end, Math.min(matchLength, 15))
      output[to++] = distance
      output[to++] = distance >> 8
      if (matchLength >= 15) writeLength(matchLength)
    },
  )
  writeLiterals(literalStart, input.length, 0)
  return output.subarray(0, to)
}
