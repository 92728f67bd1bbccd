import { describe, expect, it } from 'vitest'
import { hashKey } from './key-hash.ts'

function hashOf(bytes: Uint8Array, seed: readonly number[] = [1, 2, 3, 4]): number[] {
  const into = new Int32Array(4)
  hashKey(Int32Array.from(seed), bytes, 0, bytes.length, into, 0)
  return [...into]
}

describe('hashKey', () => {
  it('changes about half of its bits with any bit of the key or the seed', () => {
    const key = Buffer.from('account-00001234')
    const before = hashOf(key)
    const changedBits = (other: number[]) =>
      other.reduce((sum, word, index) => {
        let bits = word ^ before[index]!
        let count = 0
        for (; bits !== 0; bits &= bits - 1) count++
        return sum + count
      }, 0)
    for (let bit = 0; bit < key.length * 8; bit++) {
      const changed = Buffer.from(key)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(changedBits(hashOf(changed))).toBeGreaterThan(30)
    }
    for (let bit = 0; bit < 128; bit++) {
      const seed = [1, 2, 3, 4]
      seed[bit >> 5]! ^= 1 << (bit & 31)
      expect(changedBits(hashOf(key, seed))).toBeGreaterThan(30)
    }
  })

  it('does not depend on where in memory the key lies', () => {
    const padded = Buffer.from('xxxxxkeyyyy')
    const into = new Int32Array(4)
    hashKey(Int32Array.from([1, 2, 3, 4]), padded, 5, 8, into, 0)
    expect([...into]).toEqual(hashOf(Buffer.from('key')))
  })
})
