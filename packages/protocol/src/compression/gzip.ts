import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { type Codec, invalidData, tooLarge } from './codec.ts'

type Aside = (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Uint8Array>
const gzipAside: Aside = promisify(zlib.gzip)
const gunzipAside: Aside = promisify(zlib.gunzip)

/** zlib's word for its default level, which is 6. */
const DEFAULT_LEVEL = -1

/** gzip (RFC 1952), any number of members. */
export const gzip: Required<Omit<Codec, 'id' | 'name'>> = {
  compress: (bytes, level = DEFAULT_LEVEL) => zlib.gzipSync(bytes, { level }),
  decompress(bytes, maxBytes) {
    try {
      return zlib.gunzipSync(bytes, within(maxBytes))
    } catch (error) {
      throw refusal(error, maxBytes)
    }
  },
  aside: {
    compress: (bytes, level = DEFAULT_LEVEL) => gzipAside(bytes, { level }),
    async decompress(bytes, maxBytes) {
      try {
        return await gunzipAside(bytes, within(maxBytes))
      } catch (error) {
        throw refusal(error, maxBytes)
      }
    },
  },
}

function within(maxBytes: number): zlib.ZlibOptions {
  return { maxOutputLength: Math.max(maxBytes, 1) }
}

function refusal(error: unknown, maxBytes: number): Error {
  if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return tooLarge(maxBytes)
  return invalidData('gzip', (error as Error).message, error)
}
