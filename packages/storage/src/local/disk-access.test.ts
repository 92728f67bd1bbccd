import { expect, test } from 'vitest'
import { fileReadBy } from '../testing/read-file.ts'
import { BLOCK_BYTES, BlockCache } from './block-cache.ts'
import { DiskAccess } from './disk-access.ts'
import { DiskReader } from './disk-reader.ts'

test('blocks and single reads together have at most two reads under way', async () => {
  let underWay = 0
  let most = 0
  const file = fileReadBy(64 * BLOCK_BYTES, async (target) => {
    most = Math.max(most, ++underWay)
    await new Promise((resolve) => setImmediate(resolve))
    underWay--
    return target.byteLength
  })
  const disk = new DiskAccess()
  const blocks = new BlockCache(disk)
  const reader = new DiskReader(disk)
  const target = new Uint8Array(100)
  const loads = Array.from({ length: 8 }, (_, index) => blocks.load(file, (index >> 1) * BLOCK_BYTES))
  const reads = Array.from({ length: 8 }, (_, index) =>
    reader.read([{ file, position: index * BLOCK_BYTES, byteLength: 100 }], target),
  )
  await Promise.all([...loads, ...reads])
  expect(most).toBe(2)
  expect([disk.tryTake(), disk.tryTake(), disk.tryTake()]).toEqual([true, true, false])
})
