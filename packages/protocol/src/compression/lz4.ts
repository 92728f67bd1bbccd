/**
 * The LZ4 frame format, all integers little-endian:
 *
 *     uint32 magic 0x184D2204
 *     FLG: bits 7-6 version 01, 5 blocks independent, 4 block checksums, 3 content size, 2 content checksum,
 *          0 dictionary id
 *     BD:  bits 6-4 largest block: 4 = 64 KiB, 5 = 256 KiB, 6 = 1 MiB, 7 = 4 MiB
 *     [uint64 content size] [uint32 dictionary id] | second byte of the xxHash-32 of FLG to here
 *     blocks: uint32 length, highest bit set if stored as is | bytes | [uint32 xxHash-32 of the bytes]
 *     uint32 0 | [uint32 xxHash-32 of the content]
 *
 * Kafka's Java client reads independent blocks only, so that is what is written.
 */
import { createRequire } from 'node:module'
import { invalidData, tooLarge } from './codec.ts'
import { compressBlock, decompressBlock, maxContentBytes } from './lz4-block.ts'
import { xxhash32 } from './xxhash32.ts'

const frameMagic = 0x184d2204
const skippableMagic = 0x184d2a50
const skippableMask = 0xfffffff0
const storedBit = 0x80000000
const writtenBlockBytes = 64 * 1024

interface Lz4 {
  compress(bytes: Uint8Array): Uint8Array
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array
}

export const portableLz4: Lz4 = { compress: compressFrame, decompress: decompressFrames }

export function loadLz4(): Lz4 {
  return { compress: loadNativeLz4() ?? compressFrame, decompress: decompressFrames }
}

/** The native frame compressor; null where it is not installed, or has no prebuilt module for the platform. */
export function loadNativeLz4(): Lz4['compress'] | null {
  try {
    const native = createRequire(import.meta.url)('lz4-napi') as typeof import('lz4-napi')
    return (bytes) => native.compressFrameSync(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  } catch {
    // The portable implementation writes the same format, more slowly.
    return null
  }
}

function compressFrame(bytes: Uint8Array): Uint8Array {
  const header = Buffer.alloc(7)
  header.writeUInt32LE(frameMagic)
  header[4] = 0b0110_0000
  header[5] = 4 << 4
  header[6] = xxhash32(header.subarray(4, 6)) >> 8
  const pieces: Uint8Array[] = [header]
  for (let at = 0; at < bytes.length; at += writtenBlockBytes) {
    const content = bytes.subarray(at, at + writtenBlockBytes)
    const block = compressBlock(content)
    const stored = block.length >= content.length
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32LE(stored ? content.length + storedBit : block.length)
    pieces.push(length, stored ? content : block)
  }
  pieces.push(Buffer.alloc(4))
  return Buffer.concat(pieces)
}

function decompressFrames(bytes: Uint8Array, maxBytes: number): Uint8Array {
  const reader = new Lz4Reader(bytes)
  const capacity = Math.min(reader.maxContentBytes(), maxBytes)
  const output = Buffer.allocUnsafe(capacity)
  return output.subarray(0, reader.decompress(output, maxBytes))
}

interface FrameDescriptor {
  readonly independent: boolean
  readonly blockChecksums: boolean
  readonly contentChecksum: boolean
  readonly contentBytes: number | null
  readonly maxBlockBytes: number
}

class Lz4Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    if (bytes.length === 0) throw invalidData('lz4', 'no bytes')
  }

  /** Walks the frames without decompressing: the most they can hold. */
  maxContentBytes(): number {
    let sum = 0
    while (this.#at < this.#bytes.length) {
      const frame = this.#descriptor()
      if (frame === null) continue
      for (let block = this.#block(frame); block !== null; block = this.#block(frame)) {
        const length = block.end - block.start
        sum += block.stored ? length : Math.min(frame.maxBlockBytes, maxContentBytes(length))
      }
      if (frame.contentChecksum) this.#take(4)
    }
    this.#at = 0
    return sum
  }

  /** Returns the bytes written. `output` is as large as the content can be, or as `maxBytes` if that is less. */
  decompress(output: Buffer, maxBytes: number): number {
    let to = 0
    while (this.#at < this.#bytes.length) {
      const frame = this.#descriptor()
      if (frame === null) continue
      const frameStart = to
      for (let block = this.#block(frame); block !== null; block = this.#block(frame)) {
        this.#verifyBlock(frame, block)
        to = this.#decompressBlock(frame, block, output, to, frameStart, maxBytes)
      }
      if (frame.contentBytes !== null && frame.contentBytes !== to - frameStart) {
        throw invalidData('lz4', 'the content has another size than announced')
      }
      if (frame.contentChecksum) {
        const checksum = this.#view.getUint32(this.#take(4), true)
        if (checksum !== xxhash32(output.subarray(frameStart, to))) throw checksumMismatch()
      }
    }
    return to
  }

  #take(length: number): number {
    const start = this.#at
    if (length > this.#bytes.length - start) throw invalidData('lz4', 'truncated frame')
    this.#at = start + length
    return start
  }

  /** Reads a frame's beginning; null for a skippable frame, which is passed over. */
  #descriptor(): FrameDescriptor | null {
    const magic = this.#view.getUint32(this.#take(4), true)
    if ((magic & skippableMask) >>> 0 === skippableMagic) {
      this.#take(this.#view.getUint32(this.#take(4), true))
      return null
    }
    if (magic !== frameMagic) throw invalidData('lz4', 'not a frame')
    const start = this.#take(2)
    const flags = this.#bytes[start]!
    const blockSize = (this.#bytes[start + 1]! >> 4) & 7
    if (flags >> 6 !== 1) throw invalidData('lz4', 'unknown version of the frame format')
    if ((flags & 1) !== 0) throw invalidData('lz4', 'the frame needs a dictionary')
    if (blockSize < 4) throw invalidData('lz4', 'unknown block size')
    const contentBytes = (flags & 8) !== 0 ? Number(this.#view.getBigUint64(this.#take(8), true)) : null
    const descriptor = this.#bytes.subarray(start, this.#at)
    if (this.#bytes[this.#take(1)] !== ((xxhash32(descriptor) >> 8) & 0xff)) throw checksumMismatch()
    return {
      independent: (flags & 0x20) !== 0,
      blockChecksums: (flags & 0x10) !== 0,
      contentChecksum: (flags & 4) !== 0,
      contentBytes,
      maxBlockBytes: 1 << (8 + 2 * blockSize),
    }
  }

  /** Finds the next block of a frame; null at its end mark. */
  #block(frame: FrameDescriptor): { start: number; end: number; stored: boolean } | null {
    const field = this.#view.getUint32(this.#take(4), true)
    if (field === 0) return null
    const stored = field >= storedBit
    const length = stored ? field - storedBit : field
    if (length > frame.maxBlockBytes) throw invalidData('lz4', 'block larger than the frame allows')
    const start = this.#take(length)
    if (frame.blockChecksums) this.#take(4)
    return { start, end: start + length, stored }
  }

  #verifyBlock(frame: FrameDescriptor, block: { start: number; end: number }): void {
    if (!frame.blockChecksums) return
    const checksum = this.#view.getUint32(block.end, true)
    if (checksum !== xxhash32(this.#bytes.subarray(block.start, block.end))) throw checksumMismatch()
  }

  #decompressBlock(
    frame: FrameDescriptor,
    block: { start: number; end: number; stored: boolean },
    output: Buffer,
    to: number,
    frameStart: number,
    maxBytes: number,
  ): number {
    const { start, end } = block
    if (block.stored) {
      if (end - start > output.length - to) throw tooLarge(maxBytes)
      output.set(this.#bytes.subarray(start, end), to)
      return to + end - start
    }
    const blockLimit = to + frame.maxBlockBytes
    const limit = Math.min(output.length, blockLimit)
    const oldest = frame.independent ? to : frameStart
    const ended = decompressBlock(this.#bytes, start, end, output, to, limit, oldest)
    if (ended >= 0) return ended
    if (limit === blockLimit) throw invalidData('lz4', 'block larger than the frame allows')
    throw tooLarge(maxBytes)
  }
}

function checksumMismatch(): Error {
  return invalidData('lz4', 'checksum mismatch')
}
