import { expect, test } from 'vitest'
import { fileReadBy } from '../testing/read-file.ts'
import { BLOCK_BYTES, BlockCache } from './block-cache.ts'
import { DiskAccess } from './disk-access.ts'
import { DiskReader } from './disk-reader.ts'
import { LocalRecordBytes } from './local-record-bytes.ts'
import { TailRing } from './tail-ring.ts'

const MAX_BLOCKS = 16

/** A file of many blocks, each filled with its number. Reads end at once, or when they are let go. */
function watchedFile() {
  const held: (() => void)[] = []
  let isHolding = false
  const file = fileReadBy(64 * BLOCK_BYTES, async (target, position) => {
    if (isHolding) await new Promise<void>((resolve) => held.push(resolve))
    target.fill(position / BLOCK_BYTES)
    return target.byteLength
  })
  return {
    file,
    hold: () => {
      isHolding = true
    },
    async underWay(count: number): Promise<void> {
      while (held.length < count) await new Promise((resolve) => setImmediate(resolve))
    },
    letGoFirst: () => held.shift()!(),
    letGoAll: () => {
      isHolding = false
      for (const resolve of held.splice(0)) resolve()
    },
  }
}

test('a block that others push out as soon as it is loaded is loaded again for who waited for it', async () => {
  const watched = watchedFile()
  const { file } = watched
  const disk = new DiskAccess()
  const blocks = new BlockCache(disk)
  const sources = { ring: new TailRing(4096), blocks, reader: new DiskReader(disk) }
  const read = async (block: number): Promise<number> => {
    const target = new Uint8Array(100_000)
    const extent = { file, position: block * BLOCK_BYTES, byteLength: target.byteLength }
    const records = new LocalRecordBytes([extent], sources)
    expect(await records.readInto(target)).toBe(target.byteLength)
    records.close()
    return target[0]!
  }
  for (let block = 0; block < MAX_BLOCKS - 2; block++) await read(block)
  watched.hold()
  // Both disk are taken, the cache is full, and a third reader waits for a slot.
  const first = read(20)
  await watched.underWay(1)
  const second = read(22)
  await watched.underWay(2)
  const third = read(24)
  // While the first block is loaded all others are used, so that it is the oldest when it is there.
  for (let block = 0; block < MAX_BLOCKS - 2; block++) blocks.recall(file, block * BLOCK_BYTES, 1)
  watched.letGoFirst()
  await watched.underWay(2)
  watched.letGoAll()
  expect(await Promise.all([first, second, third])).toEqual([20, 22, 24])
})
