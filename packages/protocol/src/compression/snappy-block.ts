/**
 * The raw snappy format in JavaScript, for platforms without a prebuilt native module: a varint with the
 * length of the content, then elements whose first byte tells literals from copies in its lowest two bits.
 */
import { invalidData, tooLarge } from './codec.ts'
import { findMatches } from './match-finder.ts'

/** A copy element of three bytes yields at most 64 bytes: no content can be larger by more than this. */
const maxExpansion = 22

/** The length a raw snappy block announces, checked against what its bytes can hold. */
export function snappyContentBytes(block: Uint8Array, maxBytes: number): number {
  const [length, headerBytes] = readHeader(block)
  if (length > (block.length - headerBytes) * maxExpansion) {
    throw invalidData('snappy', `${block.length} bytes cannot hold ${length}`)
  }
  if (length > maxBytes) throw tooLarge(maxBytes)
  return length
}

function readHeader(block: Uint8Array): [length: number, headerBytes: number] {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = block[i]
    if (byte === undefined) break
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return [length, i + 1]
  }
  throw invalidData('snappy', 'no content length')
}

export function uncompressBlock(block: Uint8Array): Uint8Array {
  const [length, headerBytes] = readHeader(block)
  const output = Buffer.allocUnsafe(length)
  let from = headerBytes
  let to = 0
  while (from < block.length) {
    const tag = block[from++]!
    const kind = tag & 3
    let count: number
    if (kind === 0) {
      count = tag >> 2
      if (count >= 60) {
        const lengthBytes = count - 59
        if (from + lengthBytes > block.length) throw damaged()
        count = littleEndian(block, from, lengthBytes)
        from += lengthBytes
      }
      count += 1
      if (count > block.length - from || count > length - to) throw damaged()
      output.set(block.subarray(from, from + count), to)
      from += count
      to += count
      continue
    }
    const offsetBytes = kind === 3 ? 4 : kind
    if (from + offsetBytes > block.length) throw damaged()
    count = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1
    const distance = littleEndian(block, from, offsetBytes) + (kind === 1 ? (tag >> 5) * 256 : 0)
    from += offsetBytes
    if (distance === 0 || distance > to || count > length - to) throw damaged()
    // Source and target may overlap: that repeats what was just written.
    for (const end = to + count; to < end; to++) output[to] = output[to - distance]!
  }
  if (to !== length) throw damaged()
  return output
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let i = 0; i < count; i++) value += bytes[at + i]! * 2 ** (8 * i)
  return value
}

function damaged(): Error {
  return invalidData('snappy', 'damaged block')
}

export function compressBlock(input: Uint8Array): Uint8Array {
  const output = Buffer.allocUnsafe(32 + input.length + Math.ceil(input.length / 6))
  let to = 0
  let rest = input.length
  while (rest > 0x7f) {
    output[to++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  output[to++] = rest

  const writeLiterals = (start: number, end: number): void => {
    const count = end - start
    if (count === 0) return
    const field = count - 1
    if (field < 60) output[to++] = field << 2
    else {
      const lengthBytes = field < 0x100 ? 1 : field < 0x10000 ? 2 : field < 0x1000000 ? 3 : 4
      output[to++] = (59 + lengthBytes) << 2
      for (let i = 0; i < lengthBytes; i++) output[to++] = field >>> (8 * i)
    }
    output.set(input.subarray(start, end), to)
    to += count
  }
  const literalStart = findMatches(
    input,
    0,
    input.length - 4,
    input.length,
    (start, end, distance, length) => {
      writeLiterals(start, end)
      for (let left = length; left > 0; left -= 64) {
        output[to++] = ((Math.min(left, 64) - 1) << 2) | 2
        output[to++] = distance
        output[to++] = distance >> 8
      }
    },
  )
  writeLiterals(literalStart, input.length)
  return output.subarray(0, to)
}
