/**
 * Zstandard (RFC 8878): from `node:zlib` where Node has it (22.15 on), else from a WebAssembly build.
 */
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { type Codec, invalidData, tooLarge } from './codec.ts'
import { zstdFrames } from './zstd-frame.ts'

type Zstd = Omit<Codec, 'id' | 'name'>

interface ZstdOptions {
  readonly maxOutputLength?: number
  readonly params?: Readonly<Record<number, number>>
}
type Callback = (error: Error | null, result: Buffer) => void

/** What newer versions of `node:zlib` have. */
interface ZlibWithZstd {
  zstdCompressSync?: (bytes: Uint8Array, options: ZstdOptions) => Buffer
  zstdDecompressSync?: (bytes: Uint8Array, options: ZstdOptions) => Buffer
  zstdCompress?: (bytes: Uint8Array, options: ZstdOptions, done: Callback) => void
  zstdDecompress?: (bytes: Uint8Array, options: ZstdOptions, done: Callback) => void
}

const DEFAULT_LEVEL = 3
/** ZSTD_c_compressionLevel. */
const LEVEL_PARAMETER = 100

export async function loadZstd(): Promise<Zstd> {
  return nativeZstd() ?? (await loadWasmZstd())
}

/** Node's own zstd; null in versions without it. */
export function nativeZstd(): Zstd | null {
  const { zstdCompressSync, zstdDecompressSync, zstdCompress, zstdDecompress } = zlib as ZlibWithZstd
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) return null
  if (zstdCompress === undefined || zstdDecompress === undefined) return null
  const compressAside = promisify(zstdCompress)
  const decompressAside = promisify(zstdDecompress)
  return {
    compress: (bytes, level) => zstdCompressSync(bytes, atLevel(level)),
    decompress: frameByFrame((frame, capacityBytes) => {
      try {
        return zstdDecompressSync(frame, within(capacityBytes))
      } catch (error) {
        return refused(error)
      }
    }),
    aside: {
      compress: (bytes, level) => compressAside(bytes, atLevel(level)),
      async decompress(bytes, maxBytes) {
        const frames = framesWithin(bytes, maxBytes)
        for (let next = frames.next(); ; ) {
          if (next.done) return next.value
          const { frame, capacityBytes } = next.value
          next = frames.next(await decompressAside(frame, within(capacityBytes)).catch(refused))
        }
      },
    },
  }
}

function atLevel(level = DEFAULT_LEVEL): ZstdOptions {
  return { params: { [LEVEL_PARAMETER]: level } }
}

function within(capacityBytes: number): ZstdOptions {
  return { maxOutputLength: Math.max(capacityBytes, 1) }
}

/** Null where the capacity was too small; throws where the frame is damaged. */
function refused(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null
  throw invalidData('zstd', (error as Error).message, error)
}

/** ZSTD_error_dstSize_tooSmall, at the end of the message the WebAssembly package throws. */
const outputFull = /code -70$/

export async function loadWasmZstd(): Promise<Zstd> {
  const wasm = createRequire(import.meta.url)('@bokuweb/zstd-wasm') as typeof import('@bokuweb/zstd-wasm')
  await wasm.init()
  return {
    compress: (bytes, level = DEFAULT_LEVEL) => wasm.compress(bytes, level),
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

function frameByFrame(decompressFrame: DecompressFrame): Zstd['decompress'] {
  return (bytes, maxBytes) => {
    const frames = framesWithin(bytes, maxBytes)
    for (let next = frames.next(); ; ) {
      if (next.done) return next.value
      const { frame, capacityBytes } = next.value
      next = frames.next(decompressFrame(frame, capacityBytes))
    }
  }
}

/**
 * Yields each frame, takes what was in it (null if that is more than its capacity), and returns all of it.
 *
 * Both libraries take one frame at a time: Node leaves out, without an error, what follows the first. Looking
 * at the frames first also refuses a content size that nothing stands behind before memory is taken for it.
 */
function* framesWithin(
  bytes: Uint8Array,
  maxBytes: number,
): Generator<{ frame: Uint8Array; capacityBytes: number }, Uint8Array, Uint8Array | null> {
  const pieces: Uint8Array[] = []
  let left = maxBytes
  for (const { start, end, contentBytes, maxContentBytes } of zstdFrames(bytes)) {
    if (contentBytes !== null && contentBytes > left) throw tooLarge(maxBytes)
    const capacityBytes = Math.min(maxContentBytes, left)
    const piece = yield { frame: bytes.subarray(start, end), capacityBytes }
    // What overflows although all that the frame may hold has room is damaged.
    if (piece === null && (contentBytes ?? maxContentBytes) <= left)
      throw invalidData('zstd', 'damaged frame')
    if (piece === null || piece.length > left) throw tooLarge(maxBytes)
    left -= piece.length
    pieces.push(piece)
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
}
