/**
 * Snappy as Kafka's clients write it: in the framing of snappy-java ("xerial"), which no specification but
 * that library's defines. 16 bytes of header, then blocks of raw snappy, all integers big-endian:
 *
 *     0x82 'SNAPPY' 0x00 | int32 version 1 | int32 oldest compatible version 1
 *     then for each block: int32 length | raw snappy
 *
 * Some clients write raw snappy without the framing; that is read as well.
 */
import { createRequire } from 'node:module'
import { invalidData, tooLarge } from './codec.ts'
import { compressBlock, snappyContentBytes, uncompressBlock } from './snappy-block.ts'

const magic = Buffer.from('\x82SNAPPY\0', 'latin1')
const headerBytes = 16
/** snappy-java's default block; its readers keep a buffer of that size. */
const blockContentBytes = 32 * 1024

interface RawSnappy {
  compress(content: Uint8Array): Uint8Array
  /** The content's length has been checked before. */
  uncompress(block: Uint8Array): Uint8Array
}

export const portableSnappy: RawSnappy = { compress: compressBlock, uncompress: uncompressBlock }

export function loadSnappy(): ReturnType<typeof xerialSnappy> {
  return xerialSnappy(loadNativeSnappy() ?? portableSnappy)
}

/** The native implementation; null where it is not installed, or has no prebuilt module for the platform. */
export function loadNativeSnappy(): RawSnappy | null {
  try {
    const native = createRequire(import.meta.url)('snappy') as typeof import('snappy')
    return {
      compress: (content) => native.compressSync(content),
      uncompress: (block) => native.uncompressSync(block, { asBuffer: true }) as Buffer,
    }
  } catch {
    // The portable implementation reads and writes the same format, more slowly.
    return null
  }
}

export function xerialSnappy(raw: RawSnappy): {
  compress(bytes: Uint8Array): Uint8Array
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array
} {
  function uncompress(block: Uint8Array, maxBytes: number): Uint8Array {
    const contentBytes = snappyContentBytes(block, maxBytes)
    try {
      const content = raw.uncompress(block)
      if (content.length !== contentBytes) throw new Error('wrong content length')
      return content
    } catch (error) {
      throw invalidData('snappy', 'damaged block', error)
    }
  }

  return {
    compress(bytes) {
      const header = Buffer.alloc(headerBytes)
      header.set(magic)
      header.writeInt32BE(1, 8)
      header.writeInt32BE(1, 12)
      const pieces: Uint8Array[] = [header]
      for (let at = 0; at < bytes.length; at += blockContentBytes) {
        const block = raw.compress(bytes.subarray(at, at + blockContentBytes))
        const length = Buffer.allocUnsafe(4)
        length.writeInt32BE(block.length)
        pieces.push(length, block)
      }
      return Buffer.concat(pieces)
    },

    decompress(bytes, maxBytes) {
      if (bytes.length < headerBytes || magic.compare(bytes, 0, magic.length) !== 0) {
        return uncompress(bytes, maxBytes)
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      const pieces: Uint8Array[] = []
      let contentBytes = 0
      let at = headerBytes
      while (at < bytes.length) {
        const length = at + 4 <= bytes.length ? view.getInt32(at) : -1
        at += 4
        if (length < 0 || length > bytes.length - at) throw invalidData('snappy', 'truncated block')
        const piece = uncompress(bytes.subarray(at, at + length), maxBytes - contentBytes)
        contentBytes += piece.length
        if (contentBytes > maxBytes) throw tooLarge(maxBytes)
        pieces.push(piece)
        at += length
      }
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, contentBytes)
    },
  }
}
