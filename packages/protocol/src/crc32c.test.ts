import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c, crc32cPortable, loadNativeCrc32c } from './crc32c.ts'

/** RFC 3720, B.4, and the check value of the CRC catalogue. */
const vectors: [name: string, bytes: Buffer, crc: number][] = [
  ['no bytes', Buffer.alloc(0), 0],
  ['"123456789"', Buffer.from('123456789'), 0xe3069283],
  ['32 zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 ascending', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ['32 descending', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
]

const native = loadNativeCrc32c()

describe('CRC-32C', () => {
  test.each(vectors)('of %s', (_name, bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc)
    expect(crc32cPortable(bytes)).toBe(crc)
  })

  test.skipIf(native === null)(
    'is the same in native code and in JavaScript, in one piece and in two',
    () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 1000 }), fc.nat(1000), (bytes, at) => {
          const expected = native!(bytes)
          const first = bytes.subarray(0, at)
          const rest = bytes.subarray(at)
          expect(crc32c(bytes)).toBe(expected)
          expect(crc32cPortable(bytes)).toBe(expected)
          expect(crc32c(rest, crc32c(first))).toBe(expected)
          expect(crc32cPortable(rest, crc32cPortable(first))).toBe(expected)
          expect(native!(rest, native!(first))).toBe(expected)
        }),
      )
    },
  )

  test('does not depend on where the bytes lie in their buffer', () => {
    const buffer = Buffer.alloc(1100, 'some bytes')
    const copy = Buffer.from(buffer.subarray(3, 1003))
    expect(crc32c(buffer.subarray(3, 1003))).toBe(crc32c(copy))
  })
})
