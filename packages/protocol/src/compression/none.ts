import { tooLarge } from './codec.ts'

export const none = {
  compress: (bytes: Uint8Array): Uint8Array => bytes,
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array {
    if (bytes.length > maxBytes) throw tooLarge(maxBytes)
    return bytes
  },
}
