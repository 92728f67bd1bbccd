import { expect, test } from 'vitest'
import { murmur2, partitionOfKey } from './murmur2.ts'

test.each([
  // From the tests of the Java client (UtilsTest.testMurmur2).
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('%s hashes as in Java', (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash)
})

test('every key has a partition, also where its hash is negative', () => {
  for (let index = 0; index < 1_000; index++) {
    const partition = partitionOfKey(Buffer.from(`key ${index}`), 7)
    expect(partition).toBeGreaterThanOrEqual(0)
    expect(partition).toBeLessThan(7)
  }
})
