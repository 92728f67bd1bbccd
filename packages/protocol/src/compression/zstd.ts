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
    decompress: frameByFrame((frame, capacityBytes) => {
      try {
        return zstdDecompressSync(frame, { maxOutputLength: Math.max(capacityBytes, 1) })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null
        throw invalidData('zstd', (error as Error).message, error)
      }
    }),
  }
}

/** ZSTD_error_dstSize_tooSmall, at the end of the message the WebAssembly package throws. */
const outputFull = /code -70$/

export async function loadWasmZstd(): Promise<Zstd> {
  const wasm = createRequire(import.meta.url)('@bokuweb/zstd-wasm') as typeof import('@bokuweb/zstd-wasm')
  await wasm.init()
  return {
    compress: (bytes) => wasm.compress(bytes),
    decompress: frameByFrame((frame, capacityBytes) => {
      try {
        return wasm.decompress(frame, { defaultHeapSize: capacityBytes })
      } catch (error) {
        if (outputFull.test((error as Error).message)) return null
        throw invalidData('zstd', 'damaged frame', error)
      }
    }),
  }
}

/** Decompresses one frame; null if it holds more than `capacityBytes`. */
type DecompressFrame = (frame: Uint8Array, capacityBytes: number) => Uint8Array | null

/**
 * Both libraries take one frame at a time: Node leaves out, without an error, what follows the first. Looking
 * at the frames first also refuses a content size that nothing stands behind before memory is taken for it.
 */
function frameByFrame(decompressFrame: DecompressFrame): Zstd['decompress'] {
  return (bytes, maxBytes) => {
    const pieces: Uint8Array[] = []
    let left = maxBytes
    for (const { start, end, contentBytes, maxContentBytes } of zstdFrames(bytes)) {
      if (contentBytes !== null && contentBytes > left) throw tooLarge(maxBytes)
      const piece = decompressFrame(bytes.subarray(start, end), Math.min(maxContentBytes, left))
      if (piece === null || piece.length > left) throw tooLarge(maxBytes)
      left -= piece.length
      pieces.push(piece)
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }
}
