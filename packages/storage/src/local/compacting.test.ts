import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { batchesIn, batchHeader, decodeRecords, encodeRecordBatch } from '@streambus/protocol'
import { describe, expect, it } from 'vitest'
import type { CompactionPolicy, KeepingPolicy, LogId, LogStore } from '../log-store.ts'
import { appendOne, bytesOf, markerOf } from '../testing/batches.ts'
import { type KeyedBatchOptions, keyedBatch, readKeyed, textOf } from '../testing/keyed-records.ts'
import { localStores } from '../testing/local-stores.ts'
import { readCommitted } from '../testing/read-committed.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import type { LocalLogStoreOptions } from './local-log-store.ts'

const SMALL: Partial<LocalLogStoreOptions> = {
  cacheBytes: 256 * 1024,
  fileBytes: 64 * 1024,
  indexCacheBytes: 1024,
}
const compacted =
  (changes: Partial<NonNullable<KeepingPolicy['compaction']>> = {}) =>
  (): KeepingPolicy => ({
    compaction: { minDirtyRatio: 0, minLagMs: 0, maxLagMs: Infinity, deleteRetentionMs: 1e12, ...changes },
    segmentBytes: 48 * 1024,
    segmentMs: Number.POSITIVE_INFINITY,
    retentionMs: Number.POSITIVE_INFINITY,
    retentionBytes: Number.POSITIVE_INFINITY,
  })

interface Sent {
  readonly offset: number
  readonly key: string
  readonly value: string | null
}

describe('compaction of a log', () => {
  const stores = localStores(SMALL)
  const { open, copyOf } = stores

  /** Batches of a few keys each, some deleted; every tenth batch is an aborted transaction, every fifth a committed one. */
  async function fill(store: LogStore, log: LogId, random: SeededRandom, batches: number): Promise<Sent[]> {
    const sent: Sent[] = []
    for (let batch = 0; batch < batches; batch++) {
      const records = Array.from({ length: random.between(1, 6) }, () => ({
        key: `k${random.between(0, 40)}`,
        value: random.chance(0.1) ? null : `${batch}`.padEnd(random.between(10, 400), '.'),
        timestamp: 1000 + batch,
      }))
      const fate = batch % 10 === 3 ? 'abort' : batch % 5 === 1 ? 'commit' : null
      const producer = { producerId: 7 + (batch % 3), producerEpoch: 0 }
      const bytes = encodeRecordBatch(
        records,
        fate === null ? {} : { ...producer, baseSequence: -1, transactional: true },
      )
      const { baseOffset } = await appendOne(store, log, bytes)
      if (fate !== null) await appendOne(store, log, markerOf(fate, producer))
      if (fate === 'abort') continue
      for (const [index, { key, value }] of records.entries()) {
        sent.push({ offset: baseOffset + index, key, value })
      }
    }
    return sent
  }

  /** What a reader from `offset` on finds, asking for little at a time. */
  async function read(store: LogStore, log: LogId, offset: number): Promise<Map<number, string>> {
    const found = new Map<number, string>()
    for (let next = offset; ; ) {
      const [result] = await store.read([{ logId: log, offset: next, maxBytes: 5_000 }], { maxBytes: 5_000 })
      if (result?.error !== null) throw new Error(`not readable at ${next}`)
      const bytes = await bytesOf(result.records)
      if (bytes.byteLength === 0) {
        expect(next).toBe(result.highWatermark)
        return found
      }
      for (const { position, byteLength } of batchesIn(bytes)) {
        const batch = decodeRecords(bytes.subarray(position, position + byteLength), { verifyCrc: true })
        for (const { offset, value } of batch) {
          if (batch.isControl || Number(offset) < next) continue
          found.set(Number(offset), Buffer.from(value ?? '').toString())
        }
        next = Math.max(next, batch.baseOffset + batchHeader.lastOffsetDelta(bytes, position) + 1)
      }
    }
  }

  function tableOf(records: Iterable<readonly [number, string]>, sent: readonly Sent[]): Map<string, string> {
    const keyAt = new Map(sent.map(({ offset, key }) => [offset, key]))
    const table = new Map<string, string>()
    for (const [offset, value] of records) if (keyAt.has(offset)) table.set(keyAt.get(offset)!, value)
    return table
  }

  it.each([1, 2, 3, 4])('keeps the last value of each key at its offset, seed %i', async (seed) => {
    const random = new SeededRandom(seed)
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 2 })
    const [log, other] = logs as [LogId, LogId]
    const sent = await fill(store, log, random, 300)
    await fill(store, other, random, 100)
    const before = await read(store, log, 0)
    const sizeBefore = (await store.state([log]))[0]!.sizeBytes
    while ((await store.maintain({ maxBytes: random.pick([1, 1e9]) }, compacted())).isMore);
    await store.maintain({ maxBytes: 0 })
    const after = await read(store, log, 0)
    expect(after.size).toBeLessThan(before.size)
    for (const [offset, value] of after) expect(before.get(offset)).toBe(value)
    const model = tableOf(
      sent.map(({ offset, value }) => [offset, value ?? '']),
      sent,
    )
    expect(tableOf(after, sent)).toEqual(model)
    const [state] = await store.state([log])
    expect(state!.sizeBytes).toBeLessThan(sizeBefore)
    // Whoever begins anywhere gets what is left from there on.
    for (const offset of Array.from({ length: 50 }, () => random.between(0, state!.highWatermark))) {
      const rest = [...after].filter(([at]) => at >= offset)
      expect([...(await read(store, log, offset))]).toEqual(rest)
    }
    const copy = await copyOf(store)
    const more = await fill(store, log, random, 30)
    for (const again of [await open(copy), store]) {
      const found = again === store ? [...sent, ...more] : sent
      expect(tableOf(await read(again, log, 0), found)).toEqual(
        tableOf(
          found.map(({ offset, value }) => [offset, value ?? '']),
          found,
        ),
      )
      const committed = (await readCommitted(again, log, state!.highWatermark)).records
      expect(committed.filter(({ marker }) => marker === null).map(({ offset }) => offset)).toEqual(
        found.filter(({ offset }) => offset >= state!.highWatermark).map(({ offset }) => offset),
      )
    }
    expect((await store.state([other]))[0]!.sizeBytes).toBeGreaterThan(0)
  })

  it('gives back the files that a segment has taken the place of before the pass is over', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 1 })
    for (let index = 0; index < 400; index++) {
      await appendOne(store, logs[0]!, keyedBatch([`k${index}=${'x'.repeat(1_000)}`]))
    }
    const logFiles = () => store.maintenanceMetrics().logFiles
    const before = logFiles()
    let leastDuringPass = before
    while ((await store.maintain({ maxBytes: 1 }, compacted())).isMore) {
      if (store.maintenanceMetrics().compaction.passes === 0) {
        leastDuringPass = Math.min(leastDuringPass, logFiles())
      }
    }
    expect(before).toBeGreaterThan(6)
    expect(leastDuringPass).toBeLessThan(before / 2)
  })

  describe('is planned', () => {
    const DAY_MS = 24 * 3600 * 1000
    let nowMs = 1_700_000_000_000
    const policy = (changes: Partial<CompactionPolicy> = {}) => ({
      ...compacted({ deleteRetentionMs: DAY_MS, ...changes })(),
      segmentMs: 1,
    })

    async function openLog(): Promise<{ store: LogStore; log: LogId }> {
      const store = await open(stores.folder, { ...SMALL, clock: () => nowMs })
      const { logs } = await store.createTopic({ name: 't', partitions: 1 })
      return { store, log: logs[0]! }
    }

    const write = (store: LogStore, log: LogId, records: string[], options: KeyedBatchOptions = {}) =>
      appendOne(store, log, keyedBatch(records, { timestampMs: nowMs, ...options }))

    const maintain = (store: LogStore, changes: Partial<CompactionPolicy> = {}) =>
      store.maintain({ maxBytes: 1e9 }, () => policy(changes))

    const textsOf = async (store: LogStore, log: LogId) => (await readKeyed(store, log)).records.map(textOf)

    /** What the next pass waits for, in the words of the store. */
    const waitOf = async (store: LogStore, log: LogId, changes: Partial<CompactionPolicy> = {}) =>
      (await store.storageOf(log, policy(changes).compaction)).compaction!.waitsFor

    it('when the time of tombstones has come, once, also where nothing is written', async () => {
      const { store, log } = await openLog()
      for (const records of [['a=1'], ['a', 'b=1'], ['c=1']]) await write(store, log, records)
      nowMs += 10
      await maintain(store)
      expect(await textsOf(store, log)).toEqual(['a', 'b=1', 'c=1'])
      expect(await waitOf(store, log)).toBe('records')
      nowMs += DAY_MS - 1
      expect(await maintain(store)).toEqual({ bytes: 0, isMore: false })
      nowMs += 1
      expect(await waitOf(store, log)).toBe('turn')
      await maintain(store)
      expect(await textsOf(store, log)).toEqual(['b=1', 'c=1'])
      nowMs += 10 * DAY_MS
      expect(await maintain(store)).toEqual({ bytes: 0, isMore: false })
      expect(store.maintenanceMetrics().compaction.passes).toBe(2)
    })

    it('for tombstones only when the last of them is due: a log that is written has no more passes', async () => {
      const { store, log } = await openLog()
      for (const records of [['a=1'], ['a', 'b=1'], ['c=1']]) await write(store, log, records)
      nowMs += 10
      await maintain(store)
      nowMs += DAY_MS / 2
      for (const records of [['b'], ['d=1']]) await write(store, log, records)
      nowMs += 10
      await maintain(store)
      nowMs += DAY_MS / 2
      expect(await maintain(store)).toEqual({ bytes: 0, isMore: false })
      expect(await textsOf(store, log)).toEqual(['a', 'c=1', 'b', 'd=1'])
      nowMs += DAY_MS / 2
      await maintain(store)
      expect(await textsOf(store, log)).toEqual(['c=1', 'd=1'])
    })

    it('and says what it waits for, and what no pass has seen', async () => {
      const { store, log } = await openLog()
      const { heldBytes, files } = await store.storageOf(log, null)
      expect({ heldBytes, files }).toEqual({ heldBytes: 0, files: 0 })
      expect(await waitOf(store, log)).toBe('records')
      const producer = { producerId: 1, producerEpoch: 0 }
      await write(store, log, ['a=1', 'b=1'])
      await write(store, log, ['a=2'])
      expect(await waitOf(store, log)).toBe('file')
      // Another partition fills the file.
      const { logs: others } = await store.createTopic({ name: 'other', partitions: 1 })
      for (let index = 0; index < 12; index++) await write(store, others[0]!, [`k=${'x'.repeat(8_000)}`])
      await write(store, log, ['c=1'])
      expect(await waitOf(store, log)).toBe('turn')
      expect(await waitOf(store, log, { minLagMs: 60_000 })).toBe('lag')
      const before = (await store.storageOf(log, policy().compaction)).compaction!
      expect(before).toMatchObject({ dirtyRatio: 1, lastPassAtMs: null })
      expect(before.dirtyBytes).toBe((await store.state([log]))[0]!.sizeBytes)
      nowMs += 10
      await maintain(store)
      const after = (await store.storageOf(log, policy().compaction)).compaction!
      const newest = keyedBatch(['c=1']).byteLength
      expect(after).toEqual({ dirtyBytes: newest, dirtyRatio: 0, lastPassAtMs: nowMs, waitsFor: 'records' })
      await write(store, log, ['d=1'], { ...producer, baseSequence: 0, transactional: true })
      nowMs += 10
      await maintain(store)
      await write(store, log, ['e=1'])
      expect(await waitOf(store, log)).toBe('transaction')
      await appendOne(store, log, markerOf('commit', producer))
      nowMs += 10
      await maintain(store, { minDirtyRatio: 1 })
      expect(await waitOf(store, log, { minDirtyRatio: 1 })).toBe('ratio')
      expect(await waitOf(store, log, { minDirtyRatio: 1, maxLagMs: 1 })).toBe('turn')
    })
  })

  it('takes records without a time for neither old nor late', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 1 })
    const timeless = encodeRecordBatch([{ key: 'k', value: 'v', timestamp: -1 }], {})
    for (let index = 0; index < 5; index++) await appendOne(store, logs[0]!, timeless)
    const patient = () => ({
      ...compacted({ minDirtyRatio: 1, maxLagMs: 1e12 })(),
      segmentBytes: 1e9,
      segmentMs: 1e12,
    })
    // Neither is the file ended for them, nor are they compacted before their share is large enough.
    expect(await store.maintain({ maxBytes: 1e9 }, patient)).toEqual({ bytes: 0, isMore: false })
    expect((await readdir(join(stores.folder, 'log'))).filter((name) => name.endsWith('.log'))).toHaveLength(
      1,
    )
  })
})
