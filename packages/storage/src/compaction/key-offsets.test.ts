import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyOffsets } from './key-offsets.ts'

const SEED = Uint8Array.from({ length: 16 }, (_, index) => index * 17 + 3)

const put = (map: KeyOffsets, key: string, offset: number) => {
  const bytes = Buffer.from(`..${key}.`)
  return map.put(bytes, 2, bytes.length - 1, offset)
}
const get = (map: KeyOffsets, key: string) => {
  const bytes = Buffer.from(`${key}...`)
  return map.get(bytes, 0, bytes.length - 3)
}

describe('KeyOffsets', () => {
  it('gives the greatest offset of each key, and -1 for others', () => {
    const keys = fc.oneof(fc.string({ maxLength: 12 }), fc.stringMatching(/^[a-c]{0,3}$/))
    const offsets = fc.oneof(
      fc.nat(),
      fc.maxSafeNat().map((n) => Math.min(n, 2 ** 53 - 2)),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(keys, offsets), { maxLength: 200 }), keys, (puts, other) => {
        const map = new KeyOffsets(8192, SEED)
        const model = new Map<string, number>()
        for (const [key, offset] of puts) {
          expect(put(map, key, offset)).toBe(true)
          model.set(key, Math.max(model.get(key) ?? -1, offset))
        }
        expect(map.size).toBe(model.size)
        for (const [key, offset] of model) expect(get(map, key)).toBe(offset)
        expect(get(map, other)).toBe(model.get(other) ?? -1)
        map.clear()
        expect([map.size, get(map, puts[0]?.[0] ?? '')]).toEqual([0, -1])
      }),
    )
  })

  it('tells keys apart that differ in one byte, or in zeros at their end', () => {
    const map = new KeyOffsets(1024 ** 2, SEED)
    let offset = 0
    const bytes = new Uint8Array(300)
    for (let length = 0; length <= 300; length++) map.put(bytes, 0, length, offset++)
    for (let at = 0; at < 300; at++) {
      bytes[at] = 1
      map.put(bytes, 0, 300, offset++)
      bytes[at] = 0
    }
    expect(map.size).toBe(601)
    expect(map.get(bytes, 0, 256)).toBe(256)
    expect(map.get(bytes, 0, 0)).toBe(0)
  })

  it('holds 32,767 keys in a MiB, then takes known keys only', () => {
    const map = new KeyOffsets(1024 ** 2, SEED)
    expect(map.maxKeys).toBe(32_767)
    expect(map.byteLength).toBeLessThanOrEqual(1024 ** 2)
    for (let index = 0; index < map.maxKeys; index++) expect(put(map, `key ${index}`, index)).toBe(true)
    expect(map.size).toBe(map.maxKeys)
    expect(put(map, 'one more', 40_000)).toBe(false)
    expect(get(map, 'one more')).toBe(-1)
    expect(put(map, 'key 7', 40_001)).toBe(true)
    for (let index = 0; index < map.maxKeys; index++) {
      expect(get(map, `key ${index}`)).toBe(index === 7 ? 40_001 : index)
    }
  })

  it('takes one key where there is room for one, and refuses to be made for none, or without a secret', () => {
    const map = new KeyOffsets(48, SEED)
    expect(put(map, 'a', 5)).toBe(true)
    expect(put(map, 'b', 6)).toBe(false)
    expect([get(map, 'a'), get(map, 'b')]).toEqual([5, -1])
    expect(() => new KeyOffsets(20, SEED)).toThrow(/hold no key/)
    expect(() => new KeyOffsets(1024, new Uint8Array(8))).toThrow(/16 bytes/)
  })
})
