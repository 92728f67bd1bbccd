import { batchesIn, batchHeader, changeBatchHeader, decodeRecords } from '@streambus/protocol'
import { describe, expect, it } from 'vitest'
import type { KeepingPolicy, LogId, LogStore } from '../log-store.ts'
import { appendOne, batchOfSize, bytesOf, valuesOf } from '../testing/batches.ts'
import { describeLogStore } from '../testing/contract.ts'
import { keyedBatch, readKeyed, textOf } from '../testing/keyed-records.ts'
import { MemoryLogStore } from './memory-log-store.ts'

describeLogStore('memory', { open: () => MemoryLogStore.open(), async cleanUp() {} })

describe('MemoryLogStore', () => {
  it('is full at maxBytes, and has room again when records or topics are gone', async () => {
    const store = await MemoryLogStore.open({ maxBytes: 1000 })
    const { id, logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    await appendOne(store, log, batchOfSize(600, 'a'))
    const [full] = await store.append([{ logId: log, bytes: batchOfSize(600, 'b') }])
    expect(full?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
    expect((await valuesOf(store, log))[0]).toMatch(/^a/)
    await store.advanceStart(log, 1)
    expect((await appendOne(store, log, batchOfSize(600, 'c'))).baseOffset).toBe(1)
    await store.deleteTopic(id)
    const again = await store.createTopic({ name: 'words', partitions: 1 })
    expect((await appendOne(store, again.logs[0]!, batchOfSize(600, 'd'))).baseOffset).toBe(0)
    await store.close()
  })

  describe('compaction', () => {
    const DAY_MS = 24 * 3600 * 1000
    const policy = (): KeepingPolicy => ({
      compaction: { minDirtyRatio: 0.5, minLagMs: 0, maxLagMs: 1e15, deleteRetentionMs: DAY_MS },
      segmentBytes: 1e9,
      segmentMs: 1e9,
      retentionMs: Number.POSITIVE_INFINITY,
      retentionBytes: Number.POSITIVE_INFINITY,
    })
    const textsOf = async (store: LogStore, log: LogId) => (await readKeyed(store, log)).records.map(textOf)

    it('lets a tombstone go when its time has come, also where nothing is written', async () => {
      let nowMs = 1_700_000_000_000
      const store = await MemoryLogStore.open({ clock: () => nowMs })
      const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
      for (const records of [['a=1'], ['a', 'b=1'], ['c=1']]) {
        await appendOne(store, log, keyedBatch(records))
      }
      const maintain = () => store.maintain({ maxBytes: 1e9 }, policy)
      expect(await maintain()).toMatchObject({ isMore: false })
      expect(await textsOf(store, log)).toEqual(['a', 'b=1', 'c=1'])
      nowMs += DAY_MS - 1
      expect(await maintain()).toEqual({ bytes: 0, isMore: false })
      nowMs += 1
      expect((await maintain()).bytes).toBeGreaterThan(0)
      expect(await textsOf(store, log)).toEqual(['b=1', 'c=1'])
      nowMs += 10 * DAY_MS
      expect(await maintain()).toEqual({ bytes: 0, isMore: false })
      await store.close()
    })

    it('makes room in a full store', async () => {
      const store = await MemoryLogStore.open({ maxBytes: 2000 })
      const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
      const batch = keyedBatch([`a=${'x'.repeat(500)}`])
      for (let round = 0; round < 3; round++) await appendOne(store, log, batch)
      const [full] = await store.append([{ logId: log, bytes: batch }])
      expect(full?.error).toMatchObject({ code: 'DISK_FULL' })
      await store.maintain({ maxBytes: 1e9 }, policy)
      expect((await appendOne(store, log, batch)).baseOffset).toBe(3)
      await store.close()
    })

    it('leaves a batch as it is that nobody can read, and goes on with the others', async () => {
      const store = await MemoryLogStore.open()
      const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
      const unreadable = keyedBatch(['a=9', 'b=9'])
      changeBatchHeader(unreadable, 0, { recordCount: 3 })
      await appendOne(store, log, keyedBatch(['a=1', 'b=1']))
      await appendOne(store, log, unreadable)
      await appendOne(store, log, keyedBatch(['a=2']))
      await appendOne(store, log, keyedBatch(['c=1']))
      await store.maintain({ maxBytes: 1e9 }, policy)
      const [result] = await store.read([{ logId: log, offset: 0, maxBytes: 1e6 }], { maxBytes: 1e6 })
      if (result?.error !== null) throw result?.error
      const bytes = await bytesOf(result.records)
      const batches = [...batchesIn(bytes)].map(({ position, byteLength }) =>
        bytes.subarray(position, position + byteLength),
      )
      expect(batches.map((batch) => batchHeader.baseOffset(batch, 0))).toEqual([0, 2, 4, 5])
      expect([...decodeRecords(batches[0]!)].map(({ offset }) => Number(offset))).toEqual([1])
      expect(batches[1]!.subarray(16)).toEqual(Uint8Array.from(unreadable.subarray(16)))
      await store.close()
    })

    it('ends when the store is closed', async () => {
      const store = await MemoryLogStore.open()
      const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
      const batch = keyedBatch([`a=${'x'.repeat(1e6)}`])
      for (let round = 0; round < 5; round++) await appendOne(store, log, batch)
      const maintained = store.maintain({ maxBytes: 1e9 }, policy)
      await store.close()
      expect(await maintained).toMatchObject({ isMore: false })
      await expect(store.maintain({ maxBytes: 1e9 }, policy)).rejects.toMatchObject({ code: 'CLOSED' })
    })
  })
})
