import { expect, test } from 'vitest'
import { BLOCK_BYTES, BlockCache } from './block-cache.ts'
import { DiskAccess } from './disk-access.ts'
import { DiskReader } from './disk-reader.ts'
import { LogFile } from './log-files.ts'
import { nodeFileSystem } from './node-file-system.ts'
import { ReadHandles } from './read-handles.ts'

test('blocks and single reads together have at most two reads under way', async () => {
  let underWay = 0
  let most = 0
  const file = new LogFile(
    new ReadHandles({
      ...nodeFileSystem,
      open: async () => ({
        async read(target: Uint8Array) {
          most = Math.max(most, ++underWay)
          await new Promise((resolve) => setImmediate(resolve))
          underWay--
          return target.byteLength
        },
        write: () => Promise.reject(new Error('not for writing')),
        sync: () => Promise.resolve(),
        sizeBytes: () => Promise.resolve(64 * BLOCK_BYTES),
        truncate: () => Promise.resolve(),
        close: () => Promise.resolve(),
      }),
    }),
    'log',
    1,
    false,
    64 * BLOCK_BYTES,
    0,
  )
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
