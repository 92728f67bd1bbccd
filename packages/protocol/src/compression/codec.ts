import { ProtocolError } from '../protocol-error.ts'

/** By codec id, as in the attributes of a record batch. */
export const compressionNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type CompressionName = (typeof compressionNames)[number]

/** Codec ids by name. */
export const compressionIds: Readonly<Record<CompressionName, number>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4,
}

export interface Codec {
  readonly id: number
  readonly name: CompressionName
  /** `level`: of gzip -1 or 1 to 9, of zstd -131072 to 22 (KIP-390). The other codecs have none. */
  compress(bytes: Uint8Array, level?: number): Uint8Array
  /**
   * Throws ProtocolError: INVALID_COMPRESSED_DATA, or COMPRESSED_TOO_LARGE if there is more than `maxBytes`
   * in it; never allocates much more than that.
   */
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array
  /**
   * The same in another thread, while the event loop goes on; there where the codec's library can. `bytes` must not
   * change before they resolve.
   */
  readonly aside?: {
    compress(bytes: Uint8Array, level?: number): Promise<Uint8Array>
    decompress(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array>
  }
}

const loaders: readonly (() => Promise<Omit<Codec, 'id' | 'name'>>)[] = [
  async () => (await import('./none.ts')).none,
  async () => (await import('./gzip.ts')).gzip,
  async () => (await import('./snappy.ts')).loadSnappy(),
  async () => (await import('./lz4.ts')).loadLz4(),
  async () => (await import('./zstd.ts')).loadZstd(),
]

const loading: (Promise<Codec> | undefined)[] = []
const loaded: (Codec | undefined)[] = []

/**
 * Loads a codec's library, once. After that `decodeRecords`, `encodeRecordBatch` and `checkRecords` can use
 * it. Rejects with ProtocolError UNKNOWN_CODEC.
 */
export async function loadCodec(codec: number | CompressionName): Promise<Codec> {
  const id = typeof codec === 'number' ? codec : compressionIds[codec]
  const load = loaders[id]
  if (load === undefined) throw unknownCodec(codec)
  loading[id] ??= load().then((functions) => {
    const ready: Codec = { id, name: compressionNames[id]!, ...functions }
    loaded[id] = ready
    return ready
  })
  return loading[id]
}

/** A codec that has been loaded. Throws ProtocolError CODEC_NOT_LOADED or UNKNOWN_CODEC. */
export function loadedCodec(id: number): Codec {
  const codec = loaded[id]
  if (codec !== undefined) return codec
  if (compressionNames[id] === undefined) throw unknownCodec(id)
  throw new ProtocolError('CODEC_NOT_LOADED', `loadCodec('${compressionNames[id]}') has not been awaited`)
}

function unknownCodec(codec: number | string): ProtocolError {
  return new ProtocolError('UNKNOWN_CODEC', `there is no codec ${codec}`)
}

export function tooLarge(maxBytes: number): ProtocolError {
  return new ProtocolError('COMPRESSED_TOO_LARGE', `more than ${maxBytes} bytes after decompression`)
}

export function invalidData(name: CompressionName, reason: string, cause?: unknown): ProtocolError {
  return new ProtocolError('INVALID_COMPRESSED_DATA', `${name}: ${reason}`, { cause })
}
