import { batchesIn, batchHeader, compressionNames, loadCodec } from '@streambus/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import type { CompactionPolicy, KeepingPolicy, LogId, LogStore, Offset } from '../log-store.ts'
import { appendOne, bytesOf, markerOf } from './batches.ts'
import { type ContractSuite, PLENTY, readOne, stateOf } from './contract-suite.ts'
import { type KeyedBatchOptions, type KeyedRecord, keyedBatch, readKeyed, textOf } from './keyed-records.ts'
import { SeededRandom } from './seeded-random.ts'

const DAY_MS = 24 * 3600 * 1000

/**
 * What the contract says of compaction, as a reader notices it. Nothing is asked of what an engine has not come
 * to yet: every test puts a batch behind those that are to be compacted, and says that a file counts as full at
 * once.
 */
export function describeCompaction(suite: () => ContractSuite): void {
  let store: LogStore
  let log: LogId
  let otherLog: LogId

  beforeEach(() => {
    ;({ store, log, otherLog } = suite())
  })

  const policyOf = (compaction: Partial<CompactionPolicy> | null) => (): KeepingPolicy => ({
    compaction:
      compaction === null
        ? null
        : { minDirtyRatio: 0, minLagMs: 0, maxLagMs: 1e15, deleteRetentionMs: DAY_MS, ...compaction },
    segmentBytes: 1,
    segmentMs: 1,
    retentionMs: Number.POSITIVE_INFINITY,
    retentionBytes: Number.POSITIVE_INFINITY,
  })

  async function maintain(compaction: Partial<CompactionPolicy> | null = {}, maxBytes = 1e9): Promise<void> {
    for (let calls = 0; calls < 10_000; calls++) {
      if (!(await store.maintain({ maxBytes }, policyOf(compaction))).isMore) return
    }
    throw new Error('there is always more to do')
  }

  const write = async (records: string[], options: KeyedBatchOptions = {}, logId = log): Promise<Offset> =>
    (await appendOne(store, logId, keyedBatch(records, options))).baseOffset

  /** The newest batch is never compacted. */
  const writeNewest = () => write(['newest=x'])

  const textsOf = async (offset: Offset = 0, readCommitted = false) =>
    (await readKeyed(store, log, offset, { readCommitted })).records.map(textOf)

  /** Without what `writeNewest` wrote. */
  const keptTexts = async () => (await textsOf()).filter((text) => text !== 'newest=x')

  /** Producers that count their sequences. */
  class TestProducer {
    readonly producerId: number
    readonly producerEpoch = 0
    #sequence = 0

    constructor(producerId: number) {
      this.producerId = producerId
    }

    async write(...records: string[]): Promise<Offset> {
      return await this.#write(records, true)
    }

    async writePlain(...records: string[]): Promise<Offset> {
      return await this.#write(records, false)
    }

    async end(type: 'abort' | 'commit'): Promise<Offset> {
      return (await appendOne(store, log, markerOf(type, this))).baseOffset
    }

    async #write(records: string[], transactional: boolean): Promise<Offset> {
      const { producerId, producerEpoch } = this
      const offset = await write(records, {
        producerId,
        producerEpoch,
        transactional,
        baseSequence: this.#sequence,
      })
      this.#sequence += records.length
      return offset
    }
  }

  describe('compaction', () => {
    it('keeps the last record of each key, at its offset, with its timestamp', async () => {
      await write(['a=1', 'b=1', 'a=2'], { timestampMs: 10 })
      await write(['c=1'], { timestampMs: 20 })
      await write(['b=2', 'd=1'], { timestampMs: 30 })
      await write(['c=2', 'c=3'], { timestampMs: 40 })
      await writeNewest()
      const before = await readKeyed(store, log)
      await maintain()
      const { records } = await readKeyed(store, log)
      expect(records.map(textOf)).toEqual(['a=2', 'b=2', 'd=1', 'c=3', 'newest=x'])
      expect(records).toEqual([2, 4, 5, 7, 8].map((offset) => before.records[offset]))
      for (let offset = 0; offset <= 9; offset++) {
        expect(await textsOf(offset)).toEqual(records.filter((it) => it.offset >= offset).map(textOf))
        expect((await readKeyed(store, log, offset, { maxBytes: 0 })).records.map(textOf)).toEqual(
          await textsOf(offset),
        )
      }
    })

    it('leaves start and end of the log, and counts the bytes that are left', async () => {
      for (let round = 0; round < 20; round++) await write(['a=1', `b=${'x'.repeat(100)}`, 'c=3'])
      await writeNewest()
      const before = await stateOf(store, log)
      await maintain()
      const after = await stateOf(store, log)
      const { byteLength } = await readKeyed(store, log)
      expect(after).toEqual({ ...before, sizeBytes: byteLength })
      expect(byteLength).toBeLessThan(before.sizeBytes / 4)
      expect(await write(['z=1'])).toBe(before.highWatermark)
    })

    it('is for logs whose policy says so', async () => {
      await write(['a=1'])
      await write(['a=2'])
      await writeNewest()
      const before = await textsOf()
      await maintain(null)
      await store.maintain({ maxBytes: 1e9 })
      expect(await textsOf()).toEqual(before)
      const other = await store.createTopic({ name: 'others', partitions: 1 })
      await write(['a=1'], {}, other.logs[0]!)
      await write(['a=2'], {}, other.logs[0]!)
      await write(['b=1'], {}, other.logs[0]!)
      await store.maintain({ maxBytes: 1e9 }, ({ name }) => policyOf(name === 'others' ? {} : null)())
      expect(await textsOf()).toEqual(before)
      expect((await readKeyed(store, other.logs[0]!)).records.map(textOf)).toEqual(['a=2', 'b=1'])
    })

    it('never touches the newest batch', async () => {
      await write(['a=1', 'a=2', '=3'])
      await maintain()
      expect(await textsOf()).toEqual(['a=1', 'a=2', '=3'])
      await write(['a=4', 'a=5'])
      await maintain()
      expect(await textsOf()).toEqual(['a=2', 'a=4', 'a=5'])
    })

    it('leaves out what has no key', async () => {
      await write(['=1', 'a=1', '=2'])
      await write(['=3'])
      await writeNewest()
      await maintain()
      expect(await textsOf()).toEqual(['a=1', 'newest=x'])
    })

    it('goes on with what was written since, also over what it has compacted', async () => {
      for (let round = 1; round <= 5; round++) {
        await write([`a=${round}`, `b${round}=1`])
        await writeNewest()
        await maintain()
        const old = Array.from({ length: round - 1 }, (_, index) => `b${index + 1}=1`)
        expect(await keptTexts()).toEqual([...old, `a=${round}`, `b${round}=1`])
      }
    })

    it('comes to the same in small steps, while records are written', async () => {
      for (let round = 0; round < 30; round++) await write([`a=${round}`, `b${round % 7}=${round}`])
      let written = 0
      for (let calls = 0; ; calls++) {
        const { isMore } = await store.maintain({ maxBytes: 1 }, policyOf({}))
        if (!isMore) break
        expect(calls).toBeLessThan(10_000)
        if (written < 20) await write([`a=new ${written++}`])
        const { records } = await readKeyed(store, log)
        expect(records.filter(({ key }) => key === 'b3').at(-1)?.value).toBe('24')
      }
      await writeNewest()
      await maintain()
      const { records } = await readKeyed(store, log)
      expect(records.map(({ key }) => key).sort()).toEqual(
        ['a', 'b0', 'b1', 'b2', 'b3', 'b4', 'b5', 'b6', 'newest'].sort(),
      )
    })

    it.each(compressionNames)('keeps the codec of a batch: %s', async (compression) => {
      await loadCodec(compression)
      const value = 'x'.repeat(500)
      await write([`a=${value}1`, `b=${value}1`, `c=${value}1`], { compression })
      await write([`b=${value}2`], { compression })
      await writeNewest()
      await maintain()
      expect(await textsOf()).toEqual([`a=${value}1`, `c=${value}1`, `b=${value}2`, 'newest=x'])
      const bytes = await bytesOf((await readOne(store, log, 0)).records)
      const codecs = [...batchesIn(bytes)].map(({ position }) => batchHeader.codec(bytes, position))
      expect(codecs.slice(0, 2)).toEqual(Array(2).fill(compressionNames.indexOf(compression)))
    })

    it('does not disturb who is reading', async () => {
      for (let round = 0; round < 50; round++) await write([`a=${round}`, `b=${'x'.repeat(200)}`])
      await writeNewest()
      const { records } = await readOne(store, log, 0)
      const { byteLength } = records
      const piece = new Uint8Array(1000)
      let filled = await records.readInto(piece)
      await maintain()
      for (let size = filled; size > 0; filled += size) size = await records.readInto(piece)
      records.close()
      expect(filled).toBe(byteLength)
      expect(await textsOf()).toEqual(['a=49', `b=${'x'.repeat(200)}`, 'newest=x'])
    })

    it('leaves the start of the log to be moved, into a gap as well', async () => {
      await write(['a=1', 'b=1'])
      await write(['a=2'])
      await write(['a=3', 'b=2', 'c=1'])
      await writeNewest()
      await maintain()
      for (const to of [1, 4, 5]) {
        await store.advanceStart(log, to)
        const { sizeBytes, logStartOffset } = await stateOf(store, log)
        expect(logStartOffset).toBe(to)
        const expected = ['a=3', 'b=2', 'c=1', 'newest=x'].slice(Math.max(0, to - 3))
        expect(await textsOf(to)).toEqual(expected)
        expect(sizeBytes).toBe((await readKeyed(store, log, to)).byteLength)
      }
      await maintain()
      expect(await textsOf(5)).toEqual(['c=1', 'newest=x'])
    })

    it('lets no record below the start of the log count', async () => {
      await write(['a=1'])
      await write(['b=1', 'c=1'])
      await writeNewest()
      await store.advanceStart(log, 2)
      await maintain()
      expect(await textsOf(2)).toEqual(['c=1', 'newest=x'])
    })

    it('goes from logs that are deleted meanwhile', async () => {
      const topic = await store.createTopic({ name: 'short', partitions: 1 })
      for (let round = 0; round < 20; round++) await write([`a=${round}`], {}, topic.logs[0]!)
      await store.maintain({ maxBytes: 1 }, policyOf({}))
      await store.deleteTopic(topic.id)
      await maintain()
      await write(['a=1'])
      await write(['a=2'])
      await writeNewest()
      await maintain()
      expect(await textsOf()).toEqual(['a=2', 'newest=x'])
    })
  })

  describe('what is worth a compaction', () => {
    it('is old enough by its timestamps', async () => {
      const nowMs = Date.now()
      await write(['a=1'], { timestampMs: nowMs - 3 * DAY_MS })
      await write(['a=2'], { timestampMs: nowMs - 2 * DAY_MS })
      await write(['a=3'], { timestampMs: nowMs })
      await write(['a=4'], { timestampMs: nowMs - 2 * DAY_MS })
      await writeNewest()
      await maintain({ minLagMs: DAY_MS })
      expect(await textsOf()).toEqual(['a=2', 'a=3', 'a=4', 'newest=x'])
      await maintain({ minLagMs: 0 })
      expect(await textsOf()).toEqual(['a=4', 'newest=x'])
    })

    it('is a share of the log, or overdue', async () => {
      const nowMs = Date.now()
      const large = Array.from({ length: 50 }, (_, index) => `k${index}=${'x'.repeat(200)}`)
      await write(large, { timestampMs: nowMs })
      await write(['a=1'], { timestampMs: nowMs })
      await maintain()
      await write(['a=2'], { timestampMs: nowMs - 2 * DAY_MS })
      await writeNewest()
      const before = await textsOf()
      await maintain({ minDirtyRatio: 0.5 })
      await maintain({ minDirtyRatio: 0.5, maxLagMs: 3 * DAY_MS })
      expect(await textsOf()).toEqual(before)
      await maintain({ minDirtyRatio: 0.5, maxLagMs: DAY_MS })
      expect(await textsOf()).toEqual([...large, 'a=2', 'newest=x'])
    })
  })

  describe('tombstones', () => {
    it('make what came before go, and stay for the time of their retention', async () => {
      await write(['a=1', 'b=1'])
      await write(['a', 'c'], { timestampMs: 2000 })
      await writeNewest()
      await maintain({ deleteRetentionMs: DAY_MS })
      const { records } = await readKeyed(store, log)
      expect(records.map(textOf)).toEqual(['b=1', 'a', 'c', 'newest=x'])
      expect(records[1]).toMatchObject({ offset: 2, timestampMs: 2000 })
      await write(['c=2'])
      await writeNewest()
      await maintain({ deleteRetentionMs: DAY_MS })
      expect(await keptTexts()).toEqual(['b=1', 'a', 'c=2'])
    })

    it('go in a later compaction when it is over', async () => {
      await write(['a=1', 'b=1'])
      await write(['a'])
      await writeNewest()
      await maintain({ deleteRetentionMs: 0 })
      await write(['c=1'])
      await writeNewest()
      await maintain({ deleteRetentionMs: 0 })
      await write(['c=1'])
      await writeNewest()
      await maintain({ deleteRetentionMs: 0 })
      expect(await keptTexts()).toEqual(['b=1', 'c=1'])
    })
  })

  describe('finding by time after compaction', () => {
    it('finds what is left', async () => {
      await write(['a=1'], { timestampMs: 10 })
      await write(['b=1', 'c=1'], { timestampMs: 20 })
      await write(['a=2', 'd=1'], { timestampMs: 30 })
      await write(['d=2'], { timestampMs: 25 })
      await writeNewest()
      await store.advanceStart(log, 0)
      await maintain()
      const found = async (timestampMs: number) => {
        const at = await store.offsetForTime(log, timestampMs)
        return at === null ? null : [at.offset, at.timestampMs]
      }
      expect(await found(0)).toEqual([1, 20])
      expect(await found(10)).toEqual([1, 20])
      expect(await found(21)).toEqual([3, 30])
      expect(await found(31)).toEqual([6, 1000])
      expect(await found(1001)).toBeNull()
      expect(await store.offsetForTime(log, 'max')).toMatchObject({ offset: 6, timestampMs: 1000 })
    })
  })

  describe('transactions under compaction', () => {
    it('that are open hold it back', async () => {
      const one = new TestProducer(1)
      await write(['a=1'])
      await write(['a=2'])
      await one.write('b=1')
      await write(['a=3', 'b=2'])
      await write(['b=3'])
      await maintain()
      expect(await textsOf()).toEqual(['a=2', 'b=1', 'a=3', 'b=2', 'b=3'])
      expect(await textsOf(0, true)).toEqual(['a=2'])
      await one.end('abort')
      await writeNewest()
      await maintain()
      expect(await textsOf()).toEqual(['a=3', 'b=3', 'newest=x'])
      expect(await textsOf(0, true)).toEqual(['a=3', 'b=3', 'newest=x'])
    })

    it('that were committed leave their records, plain; aborted ones leave nothing', async () => {
      const [one, two] = [new TestProducer(1), new TestProducer(2)]
      await write(['a=0', 'b=0', 'c=0'])
      await one.write('a=1', 'd=1')
      await two.write('b=1', 'e=1')
      await two.end('abort')
      await one.write('c=1')
      await one.end('commit')
      await writeNewest()
      const committed = await readKeyed(store, log, 0, { readCommitted: true })
      expect(committed.records.map(textOf)).toContain('b=0')
      await maintain()
      for (const readCommitted of [false, true]) {
        const found = await readKeyed(store, log, 0, { readCommitted })
        expect(found.records.map(textOf)).toEqual(['b=0', 'a=1', 'd=1', 'c=1', 'newest=x'])
        expect(found).toMatchObject({ markers: 0, transactionalBatches: 0, abortedTransactions: 0 })
      }
    })

    it('that were aborted hide nothing of what their producer writes later', async () => {
      const one = new TestProducer(1)
      await one.write('a=lost')
      await one.end('abort')
      await write(['b=1'])
      await maintain()
      await one.write('a=kept')
      await one.end('commit')
      await one.write('c=lost')
      await one.end('abort')
      await one.write('d=kept')
      await one.end('commit')
      const expected = ['b=1', 'a=kept', 'd=kept']
      for (let offset = 0; offset <= 3; offset++) {
        expect(await textsOf(offset, true)).toEqual(expected.slice(offset > 2 ? 1 : 0))
      }
      await writeNewest()
      await maintain()
      expect(await textsOf(0, true)).toEqual([...expected, 'newest=x'])
    })

    it('that it has come to the middle of are known to readers until their marker is gone', async () => {
      const [one, two] = [new TestProducer(1), new TestProducer(2)]
      await one.write('a=lost')
      await two.write('x=kept')
      await one.write('b=lost')
      await two.end('commit')
      // The marker is the newest batch.
      await one.end('abort')
      await maintain()
      expect(await textsOf(0, true)).toEqual(['x=kept'])
      await one.write('a=kept')
      await one.end('commit')
      expect(await textsOf(0, true)).toEqual(['x=kept', 'a=kept'])
      await maintain()
      expect(await textsOf(0, true)).toEqual(['x=kept', 'a=kept'])
      await writeNewest()
      await maintain()
      expect(await textsOf(0, true)).toEqual(['x=kept', 'a=kept', 'newest=x'])
    })

    it('leave no gap that reaches to the last stable offset', async () => {
      const [one, two] = [new TestProducer(1), new TestProducer(2)]
      await write(['a=1'])
      await one.write('b=lost', 'c=lost')
      await one.end('abort')
      await two.write('d=open')
      await maintain()
      for (let offset = 0; offset <= 4; offset++) {
        expect(await textsOf(offset, true)).toEqual(offset === 0 ? ['a=1'] : [])
      }
      await store.advanceStart(log, 1)
      await maintain()
      for (let offset = 1; offset <= 4; offset++) expect(await textsOf(offset, true)).toEqual([])
      await two.end('commit')
      expect(await textsOf(1, true)).toEqual(['d=open'])
    })

    it('leave a range without a record where nothing is left at the start of a log', async () => {
      const [one, two] = [new TestProducer(1), new TestProducer(2)]
      await one.write('a=lost')
      await one.end('abort')
      await one.write('b=lost', 'c=lost')
      await one.end('abort')
      await two.write('d=kept')
      await maintain()
      for (const maxBytes of [0, PLENTY]) {
        const found = await readKeyed(store, log, 0, { readCommitted: true, maxBytes })
        expect(found).toMatchObject({ records: [], abortedTransactions: 0 })
        expect((await readKeyed(store, log, 0, { maxBytes })).records.map(textOf)).toEqual(['d=kept'])
      }
      const { sizeBytes } = await stateOf(store, log)
      expect(sizeBytes).toBe((await readKeyed(store, log)).byteLength)
      await two.end('commit')
      await writeNewest()
      await maintain()
      expect(await textsOf(0, true)).toEqual(['d=kept', 'newest=x'])
    })

    it('leave their producers what they know', async () => {
      const one = new TestProducer(1)
      const batch = keyedBatch(['a=1', 'b=1'], { producerId: 7, producerEpoch: 0, baseSequence: 0 })
      expect((await appendOne(store, log, batch)).duplicate).toBe(false)
      await one.writePlain('a=2')
      await one.write('c=1')
      await one.end('commit')
      await writeNewest()
      const before = await store.producers(log)
      await maintain()
      expect(await store.producers(log)).toEqual(before)
      expect(await appendOne(store, log, batch)).toMatchObject({ duplicate: true, baseOffset: 0 })
      await one.write('d=1')
      await one.end('commit')
      expect(await textsOf(0, true)).toEqual(['b=1', 'a=2', 'c=1', 'newest=x', 'd=1'])
    })
  })

  describe('random histories under compaction', () => {
    it.each([1, 2, 3, 4, 5, 6])('lose nothing that counts, seed %i', async (seed) => {
      const random = new SeededRandom(seed)
      const producers = [1, 2, 3].map((producerId) => new TestProducer(producerId))
      const open = new Map<TestProducer, KeyedRecord[]>()
      const written = new Map<Offset, KeyedRecord>()
      const committed: KeyedRecord[] = []
      let startOffset = 0

      const note = (baseOffset: Offset, texts: readonly string[]): KeyedRecord[] =>
        texts.map((text, index) => {
          const [key, value = null] = text.split('=')
          const record = { offset: baseOffset + index, key: key!, value, timestampMs: 1000 }
          written.set(record.offset, record)
          return record
        })
      const texts = () =>
        Array.from({ length: random.between(1, 4) }, () => {
          const key = `k${random.below(12)}`
          return random.chance(0.15) ? key : `${key}=${'v'.repeat(random.below(60))}${random.below(1000)}`
        })

      async function check(): Promise<void> {
        const { lastStableOffset, logStartOffset } = await stateOf(store, log)
        const offset = random.between(logStartOffset, lastStableOffset)
        const maxBytes = random.pick([0, 300, PLENTY])
        const found = (await readKeyed(store, log, offset, { readCommitted: true, maxBytes })).records
        const stable = committed.filter(
          (record) => record.offset < lastStableOffset && record.offset >= offset,
        )
        const last = new Map<string | null, Offset>()
        for (const record of stable) last.set(record.key, Math.max(last.get(record.key) ?? -1, record.offset))
        const foundOffsets = new Set(found.map((record) => record.offset))
        for (const record of found) {
          expect(record).toEqual(written.get(record.offset))
          expect(stable).toContain(written.get(record.offset))
        }
        expect([...foundOffsets]).toEqual([...foundOffsets].sort((a, b) => a - b))
        for (const [key, lastOffset] of last) {
          expect(foundOffsets.has(lastOffset), `the last record of ${key} at ${lastOffset}`).toBe(true)
        }
      }

      for (let step = 0; step < 300; step++) {
        const producer = random.pick(producers)
        const records = open.get(producer)
        const roll = random.below(20)
        if (roll < 5) {
          const plain = texts()
          committed.push(...note(await write(plain), plain))
        } else if (roll < 10) {
          const inTransaction = texts()
          open.set(producer, [
            ...(records ?? []),
            ...note(await producer.write(...inTransaction), inTransaction),
          ])
        } else if (roll < 14) {
          if (records === undefined) continue
          const type = random.pick(['abort', 'commit'] as const)
          await producer.end(type)
          if (type === 'commit') committed.push(...records)
          open.delete(producer)
        } else if (roll < 18) {
          await store.maintain({ maxBytes: random.pick([1, 400, 1e9]) }, policyOf({}))
        } else if (roll < 19) await check()
        else if (random.chance(0.2)) {
          const { lastStableOffset } = await stateOf(store, log)
          startOffset = random.between(startOffset, lastStableOffset)
          await store.advanceStart(log, startOffset)
        }
      }
      for (const producer of open.keys()) await producer.end('abort')
      await writeNewest()
      committed.push(...note((await stateOf(store, log)).highWatermark - 1, ['newest=x']))
      await maintain()
      await check()
      // One record of each key, and the newest batch.
      const { records, transactionalBatches } = await readKeyed(store, log, startOffset)
      const keys = records.map(({ key }) => key)
      expect(new Set(keys).size).toBe(keys.length)
      expect(transactionalBatches).toBe(0)
      expect((await stateOf(store, otherLog)).sizeBytes).toBe(0)
    })
  })
}
