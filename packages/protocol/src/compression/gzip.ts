import { gunzipSync, gzipSync } from 'node:zlib'
import { invalidData, tooLarge } from './codec.ts'

/** gzip (RFC 1952), any number of members. */
export const gzip = {
  compress: (bytes: Uint8Array): Uint8Array => gzipSync(bytes),
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
    try {
      return gunzipSync(bytes, { maxOutputLength: Math.max(maxBytes, 1) })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes)
      throw invalidData('gzip', (error as Error).message, error)
    }
  },
}
