/**
 * Zstandard (RFC 8878): from `node:zlib` where Node has it (22.15 on), else from a WebAssembly build.
 */
import { createRequire } from 'node:module'
import * as zlib from 'node:zlib'
import { invalidData, tooLarge } from './codec.ts'
import { zstdFrames } from './zstd-frame.ts'

interface Zstd {
  compress(bytes: Uint8Array): Uint8Array
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array
}

/** What newer versions of `node:zlib` have. */
interface ZlibWithZstd {
  zstdCompressSync?: (bytes: Uint8Array) => Buffer
  zstdDecompressSync?: (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer
}

export async function loadZstd(): Promise<Zstd> {
  return nativeZstd() ?? (await loadWasmZstd())
}

/** Node's own zstd; null in versions without it. */
export function nativeZstd(): Zstd | null {
  const { zstdCompressSync, zstdDecompressSync } = zlib as ZlibWithZstd
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) return null
  return {
    compress: (bytes) => zstdCompressSync(bytes),
    decompress(bytes, maxBytes) {
      // Frames are looked at first, so that a content size nothing stands behind is refused unallocated.
      zstdFrames(bytes)
      try {
        return zstdDecompressSync(bytes, { maxOutputLength: Math.max(maxBytes, 1) })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes)
        throw invalidData('zstd', (error as Error).message, error)
      }
    },
  }
}

/** ZSTD_error_dstSize_tooSmall, at the end of the message the WebAssembly package throws. */
const outputFull = /code -70$/

export async function loadWasmZstd(): Promise<Zstd> {
  const wasm = createRequire(import.meta.url)('@bokuweb/zstd-wasm') as typeof import('@bokuweb/zstd-wasm')
  await wasm.init()

  function decompressFrame(bytes: Uint8Array, capacityBytes: number, maxBytes: number): Uint8Array {
    try {
      return wasm.decompress(bytes, { defaultHeapSize: capacityBytes })
    } catch (error) {
      if (outputFull.test((error as Error).message)) throw tooLarge(maxBytes)
      throw invalidData('zstd', 'damaged frame', error)
    }
  }

  return {
    compress: (bytes) => wasm.compress(bytes),
    decompress(bytes, maxBytes) {
      const pieces: Uint8Array[] = []
      let left = maxBytes
      for (const frame of zstdFrames(bytes)) {
        if (frame.contentBytes !== null && frame.contentBytes > left) throw tooLarge(maxBytes)
        const capacity = Math.min(frame.maxContentBytes, left)
        const piece = decompressFrame(bytes.subarray(frame.start, frame.end), capacity, maxBytes)
        left -= piece.length
        pieces.push(piece)
      }
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    },
  }
}
