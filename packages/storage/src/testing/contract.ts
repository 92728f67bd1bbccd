import { batchCrc, batchesIn, batchHeader, decodeRecords, loadCodec } from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AppendResult, LogId, LogStore, ReadResult, Topic } from '../log-store.ts'
import {
  accepted,
  appendOne,
  batchOf,
  batchOfSize,
  bytesOf,
  codeOf,
  readLog,
  recordsIn,
  valuesOf,
} from './batches.ts'

/**
 * The contract of `LogStore` as tests: an engine is correct when it passes. Sizes stay small, so that an
 * engine may be opened with caches and files of a few hundred KiB and be read from behind them.
 */
export interface ContractEngine {
  open(): Promise<LogStore>
  /** After each test, when the store is closed. */
  cleanUp(): Promise<void>
}

const MAX_SEQUENCE = 2_147_483_647
const NO_LOG = 999_999
const PLENTY = 1024 ** 2

export function describeLogStore(engineName: string, engine: ContractEngine): void {
  describe(`LogStore contract: ${engineName}`, () => {
    let store: LogStore
    let topic: Topic
    let log: LogId
    let otherLog: LogId

    beforeEach(async () => {
      store = await engine.open()
      topic = await store.createTopic({ name: 'words', partitions: 2 })
      log = topic.logs[0]!
      otherLog = topic.logs[1]!
    })

    afterEach(async () => {
      await store.close()
      await engine.cleanUp()
    })

    async function read(logId: LogId, offset: number, maxBytes = PLENTY) {
      const [result] = await store.read([{ logId, offset, maxBytes }], { maxBytes })
      if (result === undefined || result.error !== null) throw result?.error ?? new Error('no result')
      return result
    }

    function errorOf(result: AppendResult | ReadResult | undefined): string | undefined {
      return result?.error?.code
    }

    async function stateOf(logId: LogId) {
      const [state] = await store.state([logId])
      return state
    }

    describe('append', () => {
      it('gives offsets from 0 without gaps, log by log, over several calls', async () => {
        expect((await appendOne(store, log, batchOf(['a', 'b', 'c']))).baseOffset).toBe(0)
        expect((await appendOne(store, otherLog, batchOf(['x']))).baseOffset).toBe(0)
        expect((await appendOne(store, log, batchOf(['d']))).baseOffset).toBe(3)
        expect((await appendOne(store, log, batchOf(['e', 'f']))).baseOffset).toBe(4)
        expect((await appendOne(store, otherLog, batchOf(['y']))).baseOffset).toBe(1)
        expect(await valuesOf(store, log)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
        expect(await valuesOf(store, otherLog)).toEqual(['x', 'y'])
      })

      it('keeps the order of the batches in one call, also over several logs', async () => {
        const results = await store.append([
          { logId: log, bytes: batchOf(['a', 'b']) },
          { logId: otherLog, bytes: batchOf(['x']) },
          { logId: log, bytes: batchOf(['c']) },
          { logId: otherLog, bytes: batchOf(['y', 'z']) },
        ])
        expect(results.map((result) => accepted(result).baseOffset)).toEqual([0, 0, 2, 1])
        expect(await valuesOf(store, log)).toEqual(['a', 'b', 'c'])
        expect(await valuesOf(store, otherLog)).toEqual(['x', 'y', 'z'])
      })

      it('keeps the order of calls that do not wait for each other', async () => {
        const calls = Array.from({ length: 300 }, (_, index) => appendOne(store, log, batchOf([`v${index}`])))
        const offsets = (await Promise.all(calls)).map(({ baseOffset }) => baseOffset)
        expect(offsets).toEqual(Array.from({ length: 300 }, (_, index) => index))
        expect(await valuesOf(store, log)).toEqual(offsets.map((offset) => `v${offset}`))
      })

      it('takes more at once than it has memory for, in order', async () => {
        const bytes = Math.min(16 * 1024, store.maxBatchBytes)
        const count = 100
        const calls = Array.from({ length: count }, (_, index) =>
          appendOne(store, index % 2 === 0 ? log : otherLog, batchOfSize(bytes, `v${index};`)),
        )
        const offsets = (await Promise.all(calls)).map(({ baseOffset }) => baseOffset)
        expect(offsets).toEqual(Array.from({ length: count }, (_, index) => Math.floor(index / 2)))
        const found = [...(await readLog(store, log, 0)), ...(await readLog(store, otherLog, 0))]
        const labels = found.map(({ value }) => Number(/^v(\d+);/.exec(value)?.[1]))
        expect(labels.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index))
      })

      it('leaves the memory to the caller as soon as it returns', async () => {
        const memory = Buffer.from(batchOf(['kept']))
        const call = store.append([{ logId: log, bytes: memory }])
        memory.fill(0xff)
        accepted((await call)[0])
        expect(await valuesOf(store, log)).toEqual(['kept'])
      })

      it('leaves the memory to the caller also when batches must wait for room', async () => {
        const bytes = Math.min(16 * 1024, store.maxBatchBytes)
        const memory = Buffer.alloc(bytes)
        const calls: Promise<AppendResult[]>[] = []
        for (let index = 0; index < 100; index++) {
          memory.set(batchOfSize(bytes, `v${index};`))
          calls.push(
            store.append([
              { logId: log, bytes: memory },
              { logId: otherLog, bytes: memory },
            ]),
          )
          memory.fill(0xff)
        }
        for (const results of await Promise.all(calls)) for (const result of results) accepted(result)
        for (const logId of [log, otherLog]) {
          const found = await readLog(store, logId, 0)
          expect(found.map(({ value }) => value.split(';')[0])).toEqual(calls.map((_, index) => `v${index}`))
        }
      })

      it('never writes into the caller’s batch', async () => {
        const bytes = batchOf(['a'])
        const before = Buffer.from(bytes).toString('hex')
        await appendOne(store, log, batchOf(['first']))
        await appendOne(store, log, bytes, { logAppendTimeMs: 5 })
        expect(Buffer.from(bytes).toString('hex')).toBe(before)
      })

      it('sets base offset and leader epoch, and leaves the rest and its checksum alone', async () => {
        await appendOne(store, log, batchOf(['a', 'b', 'c']))
        const sent = batchOf(['d', 'e'], { timestamps: [7, 9] })
        await appendOne(store, log, sent)
        const { records } = await read(log, 3)
        const bytes = await bytesOf(records)
        expect(batchHeader.baseOffset(bytes, 0)).toBe(3)
        expect(batchHeader.partitionLeaderEpoch(bytes, 0)).toBe((await stateOf(log))!.leaderEpoch)
        expect(batchCrc(bytes, 0, bytes.byteLength)).toBe(batchHeader.crc(bytes, 0))
        expect(Buffer.from(bytes.subarray(16))).toEqual(Buffer.from(sent.subarray(16)))
      })

      it('sets the time of the append and renews the checksum where the caller says so', async () => {
        await appendOne(store, log, batchOf(['a', 'b'], { timestamps: [7, 9] }), { logAppendTimeMs: 123_456 })
        const bytes = await bytesOf((await read(log, 0)).records)
        expect(batchHeader.isLogAppendTime(bytes, 0)).toBe(true)
        expect(batchHeader.maxTimestamp(bytes, 0)).toBe(123_456)
        expect(batchCrc(bytes, 0, bytes.byteLength)).toBe(batchHeader.crc(bytes, 0))
        const timestamps = [...decodeRecords(bytes)].map(({ timestamp }) => Number(timestamp))
        expect(timestamps).toEqual([123_456, 123_456])
        expect(await store.offsetForTime(log, 123_456)).toMatchObject({ offset: 0, timestampMs: 123_456 })
      })

      it('says where the log starts', async () => {
        await appendOne(store, log, batchOf(['a', 'b']))
        await store.advanceStart(log, 1)
        expect((await appendOne(store, log, batchOf(['c']))).logStartOffset).toBe(1)
      })

      it('answers each batch by itself, and never rejects', async () => {
        const results = await store.append([
          { logId: log, bytes: batchOf(['a']) },
          { logId: NO_LOG, bytes: batchOf(['lost']) },
          { logId: log, bytes: batchOf(['b']) },
        ])
        expect(accepted(results[0]).baseOffset).toBe(0)
        expect(errorOf(results[1])).toBe('UNKNOWN_LOG')
        expect(accepted(results[2]).baseOffset).toBe(1)
        expect(await store.append([])).toEqual([])
      })

      it('takes a batch of the largest size and refuses a larger one', async () => {
        const largest = batchOfSize(store.maxBatchBytes, 'large')
        expect((await appendOne(store, log, largest)).baseOffset).toBe(0)
        const tooLarge = batchOfSize(store.maxBatchBytes + 1, 'too large')
        const [refused] = await store.append([{ logId: log, bytes: tooLarge }])
        expect(errorOf(refused)).toBe('BATCH_TOO_LARGE')
        expect((await appendOne(store, log, batchOf(['next']))).baseOffset).toBe(1)
        const found = await readLog(store, log, 0, 100)
        expect(found.map(({ offset }) => offset)).toEqual([0, 1])
      })
    })

    describe('idempotent producers', () => {
      const producerId = 77

      function produced(baseSequence: number, values: readonly string[], producerEpoch = 0): Uint8Array {
        return batchOf(values, { producerId, producerEpoch, baseSequence })
      }

      it('answers the last five batches again with their first offset, and writes nothing', async () => {
        await appendOne(store, log, batchOf(['before']))
        const batches = Array.from({ length: 6 }, (_, index) =>
          produced(index * 2, [`${index}a`, `${index}b`]),
        )
        for (const batch of batches) expect((await appendOne(store, log, batch)).duplicate).toBe(false)
        for (const index of [5, 1, 3, 2, 4]) {
          expect(await appendOne(store, log, batches[index]!)).toMatchObject({
            baseOffset: 1 + index * 2,
            duplicate: true,
          })
        }
        const [forgotten] = await store.append([{ logId: log, bytes: batches[0]! }])
        expect(errorOf(forgotten)).toBe('OUT_OF_ORDER_SEQUENCE')
        expect((await stateOf(log))!.highWatermark).toBe(13)
        expect(await valuesOf(store, log)).toHaveLength(13)
      })

      it('recognises a duplicate while the original is in flight', async () => {
        const calls = [produced(0, ['a']), produced(0, ['a']), produced(1, ['b']), produced(0, ['a'])].map(
          (bytes) => appendOne(store, log, bytes),
        )
        const results = await Promise.all(calls)
        expect(results.map(({ baseOffset }) => baseOffset)).toEqual([0, 0, 1, 0])
        expect(results.map(({ duplicate }) => duplicate)).toEqual([false, true, false, true])
        const [first, again] = await store.append([
          { logId: log, bytes: produced(2, ['c']) },
          { logId: log, bytes: produced(2, ['c']) },
        ])
        expect([accepted(first).baseOffset, accepted(again).baseOffset]).toEqual([2, 2])
        expect(await valuesOf(store, log)).toEqual(['a', 'b', 'c'])
      })

      it('shows a duplicate’s original to a reader when it answers', async () => {
        const original = store.append([{ logId: log, bytes: produced(0, ['a']) }])
        await appendOne(store, log, produced(0, ['a']))
        expect((await stateOf(log))!.highWatermark).toBe(1)
        await original
      })

      it('refuses a gap in the sequences and goes on when it is filled', async () => {
        await appendOne(store, log, produced(0, ['a', 'b']))
        const [gap] = await store.append([{ logId: log, bytes: produced(3, ['d']) }])
        expect(errorOf(gap)).toBe('OUT_OF_ORDER_SEQUENCE')
        expect((await appendOne(store, log, produced(2, ['c']))).baseOffset).toBe(2)
        expect((await appendOne(store, log, produced(3, ['d']))).baseOffset).toBe(3)
      })

      it('refuses a batch that overlaps a known one without being it', async () => {
        await appendOne(store, log, produced(0, ['a', 'b']))
        const [overlap] = await store.append([{ logId: log, bytes: produced(0, ['a']) }])
        expect(errorOf(overlap)).toBe('OUT_OF_ORDER_SEQUENCE')
      })

      it('lets a new epoch begin at sequence 0 and fences the old one', async () => {
        await appendOne(store, log, produced(0, ['a'], 3))
        const [notAtZero] = await store.append([{ logId: log, bytes: produced(1, ['b'], 4) }])
        expect(errorOf(notAtZero)).toBe('OUT_OF_ORDER_SEQUENCE')
        expect(await appendOne(store, log, produced(0, ['c'], 4))).toMatchObject({
          baseOffset: 1,
          duplicate: false,
        })
        const [stale] = await store.append([{ logId: log, bytes: produced(1, ['d'], 3) }])
        expect(errorOf(stale)).toBe('INVALID_PRODUCER_EPOCH')
        const [staleDuplicate] = await store.append([{ logId: log, bytes: produced(0, ['a'], 3) }])
        expect(errorOf(staleDuplicate)).toBe('INVALID_PRODUCER_EPOCH')
        expect(await valuesOf(store, log)).toEqual(['a', 'c'])
      })

      it('lets the sequence wrap to 0 after 2147483647, also inside a batch', async () => {
        await appendOne(store, log, produced(MAX_SEQUENCE - 2, ['a', 'b']))
        const wrapping = produced(MAX_SEQUENCE, ['c', 'd'])
        expect((await appendOne(store, log, wrapping)).baseOffset).toBe(2)
        expect(await appendOne(store, log, wrapping)).toMatchObject({ baseOffset: 2, duplicate: true })
        expect((await appendOne(store, log, produced(1, ['e']))).baseOffset).toBe(4)
        const [state] = await store.producers(log)
        expect(state).toMatchObject({ producerId, lastSequence: 1, lastOffset: 4 })
      })

      it('lets a sequence end at 2147483647 and go on with 0', async () => {
        await appendOne(store, log, produced(MAX_SEQUENCE, ['a']))
        expect((await appendOne(store, log, produced(0, ['b']))).baseOffset).toBe(1)
      })

      it('lets a producer it does not know begin anywhere', async () => {
        expect((await appendOne(store, log, produced(41, ['a']))).baseOffset).toBe(0)
        expect((await appendOne(store, log, produced(42, ['b']))).baseOffset).toBe(1)
      })

      it('knows each producer in each log by itself', async () => {
        await appendOne(store, log, produced(0, ['a']))
        expect(await appendOne(store, otherLog, produced(0, ['a']))).toMatchObject({
          baseOffset: 0,
          duplicate: false,
        })
        const other = batchOf(['b'], { producerId: producerId + 1, producerEpoch: 0, baseSequence: 0 })
        expect(await appendOne(store, log, other)).toMatchObject({ baseOffset: 1, duplicate: false })
        const states = await store.producers(log)
        expect(states.map((state) => state.producerId).sort()).toEqual([producerId, producerId + 1])
        expect(states.find((state) => state.producerId === producerId)).toMatchObject({
          producerEpoch: 0,
          lastSequence: 0,
          lastOffset: 0,
        })
        expect(await codeOf(store.producers(NO_LOG))).toBe('UNKNOWN_LOG')
      })

      it('never repeats a producer id', async () => {
        const ranges = await Promise.all([1, 5, 1, 1000].map((count) => store.allocateProducerIds(count)))
        ranges.push(await store.allocateProducerIds(3))
        const ids = ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at))
        expect(ranges.map(({ count }) => count)).toEqual([1, 5, 1, 1000, 3])
        expect(new Set(ids).size).toBe(1010)
        expect(Math.min(...ids)).toBeGreaterThanOrEqual(0)
      })
    })

    describe('ownership', () => {
      it('refuses an earlier owner’s appends after a claim, and nobody else’s', async () => {
        const first = await store.claim(log)
        expect(first.endOffset).toBe(0)
        await appendOne(store, log, batchOf(['a']), { ownerEpoch: first.epoch })
        const second = await store.claim(log)
        expect(second.epoch).toBeGreaterThan(first.epoch)
        expect(second.endOffset).toBe(1)
        const [fenced] = await store.append([
          { logId: log, bytes: batchOf(['late']), ownerEpoch: first.epoch },
        ])
        expect(errorOf(fenced)).toBe('FENCED_OWNER')
        await appendOne(store, log, batchOf(['b']), { ownerEpoch: second.epoch })
        await appendOne(store, log, batchOf(['c']))
        expect(await valuesOf(store, log)).toEqual(['a', 'b', 'c'])
        expect(await codeOf(store.claim(NO_LOG))).toBe('UNKNOWN_LOG')
      })

      it('counts in the end offset whatever an earlier owner got in', async () => {
        const { epoch } = await store.claim(log)
        const appends = Array.from({ length: 5 }, (_, index) =>
          store.append([{ logId: log, bytes: batchOf([`v${index}`]), ownerEpoch: epoch }]),
        )
        const claim = store.claim(log)
        const late = Array.from({ length: 5 }, (_, index) =>
          store.append([{ logId: log, bytes: batchOf([`late${index}`]), ownerEpoch: epoch }]),
        )
        const outcomes = await Promise.all([...appends, ...late])
        const taken = outcomes.filter(([result]) => result?.error === null)
        const { endOffset } = await claim
        expect(endOffset).toBe(taken.length)
        const [after] = await store.append([{ logId: log, bytes: batchOf(['x']), ownerEpoch: epoch }])
        expect(errorOf(after)).toBe('FENCED_OWNER')
        expect((await stateOf(log))!.highWatermark).toBe(endOffset)
      })
    })

    describe('read', () => {
      beforeEach(async () => {
        await appendOne(store, log, batchOf(['a', 'b', 'c']))
        await appendOne(store, log, batchOf(['d']))
        await appendOne(store, log, batchOf(['e', 'f']))
        await appendOne(store, otherLog, batchOf(['x', 'y']))
      })

      it('starts with the batch that contains the offset', async () => {
        for (const [offset, first] of [
          [0, 0],
          [1, 0],
          [2, 0],
          [3, 3],
          [4, 4],
          [5, 4],
        ]) {
          const found = recordsIn(await bytesOf((await read(log, offset!)).records))
          expect(found[0]!.offset).toBe(first)
          expect(found.at(-1)!.offset).toBe(5)
        }
      })

      it('tells the offsets of the log, and aborted transactions only on request', async () => {
        expect(await read(log, 4)).toMatchObject({
          highWatermark: 6,
          lastStableOffset: 6,
          logStartOffset: 0,
          abortedTransactions: null,
        })
        const [committed] = await store.read(
          [{ logId: log, offset: 0, maxBytes: PLENTY, readCommitted: true }],
          { maxBytes: PLENTY },
        )
        expect(committed).toMatchObject({ error: null, abortedTransactions: [] })
        if (committed?.error === null) committed.records.close()
      })

      it('is empty at the end', async () => {
        const { records, highWatermark } = await read(log, 6)
        expect([records.byteLength, highWatermark]).toEqual([0, 6])
        expect(await records.readInto(new Uint8Array(10))).toBe(0)
        records.close()
        const empty = await store.createTopic({ name: 'empty', partitions: 1 })
        expect((await read(empty.logs[0]!, 0)).records.byteLength).toBe(0)
      })

      it('refuses offsets below the start and above the end, and logs that do not exist', async () => {
        await store.advanceStart(log, 4)
        const results = await store.read(
          [
            { logId: log, offset: 3, maxBytes: PLENTY },
            { logId: log, offset: 7, maxBytes: PLENTY },
            { logId: log, offset: -1, maxBytes: PLENTY },
            { logId: NO_LOG, offset: 0, maxBytes: PLENTY },
            { logId: log, offset: 4, maxBytes: PLENTY },
          ],
          { maxBytes: PLENTY },
        )
        expect(results.map(errorOf)).toEqual([
          'OFFSET_OUT_OF_RANGE',
          'OFFSET_OUT_OF_RANGE',
          'OFFSET_OUT_OF_RANGE',
          'UNKNOWN_LOG',
          undefined,
        ])
        expect(results[0]).toMatchObject({ logStartOffset: 4, highWatermark: 6 })
        const last = results[4]!
        if (last.error === null) expect(recordsIn(await bytesOf(last.records))[0]!.offset).toBe(4)
      })

      it('gives whole batches within the limit of the log', async () => {
        const sizes = [0, 3, 4].map((offset) => ({ offset, bytes: 0 }))
        const all = await bytesOf((await read(log, 0)).records)
        for (const [index, { byteLength }] of [...batchesIn(all)].entries()) sizes[index]!.bytes = byteLength
        const [first, second] = sizes.map(({ bytes }) => bytes)
        for (const [maxBytes, end] of [
          [first! + second!, 4],
          [first! + second! - 1, 3],
          [first! + second! + 1, 4],
        ]) {
          const found = recordsIn(await bytesOf((await read(log, 0, maxBytes)).records))
          expect(found.at(-1)!.offset).toBe(end! - 1)
        }
      })

      it('gives one whole batch despite both limits, of the first log that has one', async () => {
        const results = await store.read(
          [
            { logId: log, offset: 6, maxBytes: 0 },
            { logId: log, offset: 1, maxBytes: 1 },
            { logId: otherLog, offset: 0, maxBytes: PLENTY },
          ],
          { maxBytes: 1 },
        )
        const found = await Promise.all(
          results.map(async (result) => (result.error === null ? bytesOf(result.records) : null)),
        )
        expect(found.map((bytes) => recordsIn(bytes!).map(({ value }) => value))).toEqual([
          [],
          ['a', 'b', 'c'],
          [],
        ])
        expect(results[2]).toMatchObject({ error: null, highWatermark: 2 })
      })

      it('keeps later logs within what is left of the limit over all', async () => {
        const first = (await read(log, 0)).records.byteLength
        const second = (await read(otherLog, 0)).records.byteLength
        for (const [maxBytes, expected] of [
          [first + second, ['x', 'y']],
          [first + second - 1, []],
          [first, []],
        ] as const) {
          const results = await store.read(
            [
              { logId: log, offset: 0, maxBytes: PLENTY },
              { logId: otherLog, offset: 0, maxBytes: PLENTY },
            ],
            { maxBytes },
          )
          const [one, two] = results
          if (one?.error !== null || two?.error !== null) throw new Error('refused')
          expect(recordsIn(await bytesOf(one!.records))).toHaveLength(6)
          expect(recordsIn(await bytesOf(two!.records)).map(({ value }) => value)).toEqual(expected)
        }
      })

      it('answers several requests in their order, also of one log', async () => {
        const results = await store.read(
          [
            { logId: otherLog, offset: 0, maxBytes: PLENTY },
            { logId: log, offset: 3, maxBytes: PLENTY },
            { logId: log, offset: 0, maxBytes: PLENTY },
          ],
          { maxBytes: PLENTY },
        )
        const values: string[][] = []
        for (const result of results) {
          if (result.error !== null) throw result.error
          values.push(recordsIn(await bytesOf(result.records)).map(({ value }) => value))
        }
        expect(values).toEqual([
          ['x', 'y'],
          ['d', 'e', 'f'],
          ['a', 'b', 'c', 'd', 'e', 'f'],
        ])
      })

      it('can be taken in pieces of any size', async () => {
        const whole = Buffer.from(await bytesOf((await read(log, 0)).records))
        for (const pieceBytes of [1, 7, 60, 61, 4096]) {
          expect(Buffer.from(await bytesOf((await read(log, 0)).records, pieceBytes))).toEqual(whole)
        }
      })

      it('writes only as far as the records go', async () => {
        const { records } = await read(log, 3)
        const target = new Uint8Array(records.byteLength + 100).fill(0xee)
        let filled = 0
        for (;;) {
          const count = await records.readInto(target.subarray(filled))
          if (count === 0) break
          filled += count
        }
        records.close()
        expect(filled).toBe(records.byteLength)
        expect(target.subarray(filled).every((byte) => byte === 0xee)).toBe(true)
      })

      it('can be closed twice, and before the end', async () => {
        const { records } = await read(log, 0)
        await records.readInto(new Uint8Array(5))
        records.close()
        records.close()
        expect(await records.readInto(new Uint8Array(5))).toBe(0)
        expect(await valuesOf(store, log)).toHaveLength(6)
      })

      it('goes on in peace after the topic was deleted', async () => {
        const { records } = await read(log, 0)
        const piece = new Uint8Array(20)
        const first = Buffer.from(piece.subarray(0, await records.readInto(piece)))
        await store.deleteTopic(topic.id)
        await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
        const rest = new Uint8Array(records.byteLength - first.byteLength)
        for (let filled = 0; filled < rest.byteLength; )
          filled += await records.readInto(rest.subarray(filled))
        records.close()
        expect(recordsIn(Buffer.concat([first, rest])).map(({ value }) => value)).toEqual([
          'a',
          'b',
          'c',
          'd',
          'e',
          'f',
        ])
      })
    })

    describe('state', () => {
      it('tells start, end, epoch and bytes, and leaves out what it does not know', async () => {
        const first = batchOf(['a', 'b'])
        const second = batchOf(['c'])
        await appendOne(store, log, first)
        await appendOne(store, log, second)
        const states = await store.state([log, NO_LOG, otherLog])
        expect(states).toMatchObject([
          {
            logId: log,
            logStartOffset: 0,
            highWatermark: 3,
            lastStableOffset: 3,
            sizeBytes: first.byteLength + second.byteLength,
          },
          { logId: otherLog, logStartOffset: 0, highWatermark: 0, sizeBytes: 0 },
        ])
      })

      it('counts only the bytes between start and end', async () => {
        const sizes: number[] = []
        for (let index = 0; index < 20; index++) {
          const batch = batchOf([`${index}`.repeat(index + 1), 'second'])
          sizes.push(batch.byteLength)
          await appendOne(store, log, batch)
        }
        const live = (from: number) => sizes.slice(from).reduce((sum, size) => sum + size, 0)
        // In the middle of the fourth batch, which stays; then at a batch; then everything.
        for (const [to, firstLive] of [
          [7, 3],
          [7, 3],
          [8, 4],
          [31, 15],
          [40, 20],
        ] as const) {
          await store.advanceStart(log, to)
          expect((await stateOf(log))!.sizeBytes).toBe(live(firstLive))
        }
      })
    })

    describe('waitForAppend', () => {
      it('answers at once when something is there already, or a log is gone', async () => {
        await appendOne(store, log, batchOf(['a']))
        expect(
          await store.waitForAppend(
            new Map([
              [log, 0],
              [otherLog, 0],
            ]),
            60_000,
          ),
        ).toEqual([log])
        expect(await store.waitForAppend(new Map([[NO_LOG, 0]]), 60_000)).toEqual([NO_LOG])
      })

      it('wakes when the first log moves', async () => {
        const wait = store.waitForAppend(
          new Map([
            [log, 0],
            [otherLog, 0],
          ]),
          60_000,
        )
        await appendOne(store, otherLog, batchOf(['a']))
        expect(await wait).toEqual([otherLog])
        expect(await valuesOf(store, otherLog)).toEqual(['a'])
      })

      it('sleeps on while a log has not moved above the offset', async () => {
        const wait = store.waitForAppend(new Map([[log, 2]]), 60_000)
        await appendOne(store, log, batchOf(['a', 'b']))
        await appendOne(store, log, batchOf(['c']))
        expect(await wait).toEqual([log])
        expect((await stateOf(log))!.highWatermark).toBe(3)
      })

      it('ends empty after its time, at once without any', async () => {
        expect(await store.waitForAppend(new Map([[log, 0]]), 5)).toEqual([])
        expect(await store.waitForAppend(new Map([[log, 0]]), 0)).toEqual([])
      })

      it('ends empty when it is aborted', async () => {
        const controller = new AbortController()
        const wait = store.waitForAppend(new Map([[log, 0]]), 60_000, controller.signal)
        controller.abort()
        expect(await wait).toEqual([])
        expect(await store.waitForAppend(new Map([[log, 0]]), 60_000, controller.signal)).toEqual([])
      })

      it('wakes when the topic is deleted, and ends when the store closes', async () => {
        const other = await store.createTopic({ name: 'other', partitions: 1 })
        const deleted = store.waitForAppend(new Map([[other.logs[0]!, 0]]), 60_000)
        const closed = store.waitForAppend(new Map([[log, 0]]), 60_000)
        await store.deleteTopic(other.id)
        expect(await deleted).toEqual([other.logs[0]])
        await store.close()
        expect(await closed).toEqual([])
      })
    })

    describe('offsetForTime', () => {
      it('finds the first record at or after a time, and the latest one', async () => {
        await appendOne(store, log, batchOf(['a', 'b', 'c'], { timestamps: [10, 30, 20] }))
        await appendOne(store, log, batchOf(['d', 'e'], { timestamps: [25, 40] }))
        await appendOne(store, log, batchOf(['f'], { timestamps: [40] }))
        const cases: [number | 'max', number, number][] = [
          [0, 0, 10],
          [10, 0, 10],
          [11, 1, 30],
          [30, 1, 30],
          [31, 4, 40],
          [40, 4, 40],
          ['max', 4, 40],
        ]
        for (const [time, offset, timestampMs] of cases) {
          expect(await store.offsetForTime(log, time)).toMatchObject({ offset, timestampMs, leaderEpoch: 0 })
        }
        expect(await store.offsetForTime(log, 41)).toBeNull()
      })

      it('looks into compressed batches', async () => {
        await loadCodec('gzip')
        const options = { compression: 'gzip', timestamps: [10, 20, 30] } as const
        await appendOne(store, log, batchOf(['a', 'b', 'c'], options))
        await appendOne(store, log, batchOf(['d', 'e'], { ...options, timestamps: [50, 40] }))
        expect(await store.offsetForTime(log, 15)).toMatchObject({ offset: 1, timestampMs: 20 })
        expect(await store.offsetForTime(log, 'max')).toMatchObject({ offset: 3, timestampMs: 50 })
      })

      it('finds nothing in an empty log and counts nothing before the start', async () => {
        expect(await store.offsetForTime(otherLog, 0)).toBeNull()
        expect(await store.offsetForTime(otherLog, 'max')).toBeNull()
        await appendOne(store, log, batchOf(['a', 'b', 'c'], { timestamps: [90, 20, 30] }))
        await appendOne(store, log, batchOf(['d', 'e'], { timestamps: [40, 25] }))
        await store.advanceStart(log, 1)
        expect(await store.offsetForTime(log, 0)).toMatchObject({ offset: 1, timestampMs: 20 })
        expect(await store.offsetForTime(log, 'max')).toMatchObject({ offset: 3, timestampMs: 40 })
        expect(await store.offsetForTime(log, 50)).toBeNull()
        await store.advanceStart(log, 5)
        expect(await store.offsetForTime(log, 0)).toBeNull()
        expect(await store.offsetForTime(log, 'max')).toBeNull()
        expect(await codeOf(store.offsetForTime(NO_LOG, 0))).toBe('UNKNOWN_LOG')
      })
    })

    describe('advanceStart', () => {
      it('moves the start forward, never back and never beyond the end', async () => {
        await appendOne(store, log, batchOf(['a', 'b', 'c']))
        expect(await store.advanceStart(log, 2)).toBe(2)
        expect(await store.advanceStart(log, 1)).toBe(2)
        expect(await codeOf(store.advanceStart(log, 4))).toBe('OFFSET_OUT_OF_RANGE')
        expect(await codeOf(store.advanceStart(NO_LOG, 0))).toBe('UNKNOWN_LOG')
        expect((await stateOf(log))!.logStartOffset).toBe(2)
        expect(await valuesOf(store, log, 2)).toEqual(['c'])
        expect(await store.advanceStart(log, 3)).toBe(3)
        expect((await appendOne(store, log, batchOf(['d']))).baseOffset).toBe(3)
        expect(await valuesOf(store, log, 3)).toEqual(['d'])
        await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
        expect(await valuesOf(store, log, 3)).toEqual(['d'])
      })
    })

    describe('topics', () => {
      it('lists what was created, by name and by id', async () => {
        const version = store.topics.version
        const made = await store.createTopic({
          name: 'made',
          partitions: 3,
          configs: { 'retention.ms': '7' },
        })
        expect(made).toMatchObject({ name: 'made', configs: { 'retention.ms': '7' } })
        expect(made.id).toMatch(/^[A-Za-z0-9_-]{22}$/)
        expect(made.logs).toHaveLength(3)
        expect(new Set([...made.logs, ...topic.logs]).size).toBe(5)
        expect(store.topics.byName('made')).toEqual(made)
        expect(store.topics.byId(made.id)).toEqual(made)
        expect([...store.topics.all()].map(({ name }) => name).sort()).toEqual(['made', 'words'])
        expect(store.topics.version).toBeGreaterThan(version)
        expect(store.topics.byName('none')).toBeUndefined()
        expect(store.topics.byId('none')).toBeUndefined()
      })

      it('refuses a name that is taken, also when both are created at once', async () => {
        expect(await codeOf(store.createTopic({ name: 'words', partitions: 1 }))).toBe('TOPIC_EXISTS')
        const outcomes = await Promise.allSettled(
          [1, 2, 3].map((partitions) => store.createTopic({ name: 'twin', partitions })),
        )
        expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
        expect(store.topics.byName('twin')!.logs).toHaveLength(1)
      })

      it('adds partitions and keeps those it has', async () => {
        await appendOne(store, log, batchOf(['a']))
        const version = store.topics.version
        const more = await store.createPartitions(topic.id, 4)
        expect(more.logs.slice(0, 2)).toEqual(topic.logs)
        expect(new Set(more.logs).size).toBe(4)
        expect(store.topics.byName('words')).toEqual(more)
        expect(store.topics.version).toBeGreaterThan(version)
        expect((await appendOne(store, more.logs[3]!, batchOf(['z']))).baseOffset).toBe(0)
        expect(await valuesOf(store, log)).toEqual(['a'])
        expect(topic.logs).toHaveLength(2)
        expect(await codeOf(store.createPartitions('nothing', 9))).toBe('UNKNOWN_TOPIC')
      })

      it('replaces the settings', async () => {
        const made = await store.createTopic({ name: 'made', partitions: 1, configs: { a: '1', b: '2' } })
        const changed = await store.configureTopic(made.id, { b: '3', c: '4' })
        expect(changed.configs).toEqual({ b: '3', c: '4' })
        expect(store.topics.byId(made.id)!.configs).toEqual({ b: '3', c: '4' })
        expect(made.configs).toEqual({ a: '1', b: '2' })
        expect(await codeOf(store.configureTopic('nothing', {}))).toBe('UNKNOWN_TOPIC')
      })

      it('forgets a deleted topic and its logs', async () => {
        await appendOne(store, log, batchOf(['a']))
        await store.deleteTopic(topic.id)
        expect(store.topics.byName('words')).toBeUndefined()
        expect(store.topics.byId(topic.id)).toBeUndefined()
        expect(await store.state([log])).toEqual([])
        const [result] = await store.append([{ logId: log, bytes: batchOf(['b']) }])
        expect(errorOf(result)).toBe('UNKNOWN_LOG')
        expect(await codeOf(store.deleteTopic(topic.id))).toBe('UNKNOWN_TOPIC')
        expect(await codeOf(store.claim(log))).toBe('UNKNOWN_LOG')
      })

      it('gives a topic made again under the same name a new id and new logs', async () => {
        await appendOne(store, log, batchOf(['old']))
        await store.deleteTopic(topic.id)
        const again = await store.createTopic({ name: 'words', partitions: 2 })
        expect(again.id).not.toBe(topic.id)
        for (const logId of again.logs) expect(topic.logs).not.toContain(logId)
        expect(await stateOf(again.logs[0]!)).toMatchObject({ highWatermark: 0, sizeBytes: 0 })
        expect((await appendOne(store, again.logs[0]!, batchOf(['new']))).baseOffset).toBe(0)
        expect(await valuesOf(store, again.logs[0]!)).toEqual(['new'])
      })

      it('answers appends that a deletion overtakes, one way or the other', async () => {
        const appends = Array.from({ length: 50 }, (_, index) =>
          store.append([{ logId: log, bytes: batchOf([`v${index}`]) }]),
        )
        const deletion = store.deleteTopic(topic.id)
        const late = Array.from({ length: 50 }, () =>
          store.append([{ logId: log, bytes: batchOf(['late']) }]),
        )
        await deletion
        for (const [result] of await Promise.all([...appends, ...late])) {
          expect([undefined, 'UNKNOWN_LOG']).toContain(errorOf(result))
        }
        expect((await appendOne(store, await newLog(), batchOf(['after']))).baseOffset).toBe(0)
      })

      async function newLog(): Promise<LogId> {
        return (await store.createTopic({ name: 'new', partitions: 1 })).logs[0]!
      }
    })

    describe('close', () => {
      it('refuses everything afterwards with CLOSED, and can be called twice', async () => {
        await appendOne(store, log, batchOf(['a']))
        await store.close()
        await store.close()
        const [appended] = await store.append([{ logId: log, bytes: batchOf(['b']) }])
        expect(appended?.error).toMatchObject({ code: 'CLOSED', inDoubt: false })
        const [result] = await store.read([{ logId: log, offset: 0, maxBytes: 100 }], { maxBytes: 100 })
        expect(errorOf(result)).toBe('CLOSED')
        const changes = [
          store.createTopic({ name: 'more', partitions: 1 }),
          store.createPartitions(topic.id, 9),
          store.configureTopic(topic.id, {}),
          store.deleteTopic(topic.id),
          store.advanceStart(log, 1),
          store.claim(log),
          store.allocateProducerIds(1),
          store.offsetForTime(log, 0),
        ]
        expect(await Promise.all(changes.map(codeOf))).toEqual(changes.map(() => 'CLOSED'))
      })

      it('answers what was under way', async () => {
        const calls = Array.from({ length: 100 }, (_, index) =>
          store.append([{ logId: log, bytes: batchOf([`v${index}`]) }]),
        )
        const creation = store.createTopic({ name: 'late', partitions: 1 }).then(
          () => 'created',
          (error: { code: string }) => error.code,
        )
        await store.close()
        for (const [result] of await Promise.all(calls)) {
          expect([undefined, 'CLOSED']).toContain(errorOf(result))
        }
        expect(['created', 'CLOSED']).toContain(await creation)
      })
    })

    it('has an identity, a place and a bound', () => {
      expect(store.clusterId).toMatch(/^[A-Za-z0-9_-]{22}$/)
      expect(store.location).not.toBe('')
      expect(['fsync', 'os', 'memory']).toContain(store.durability)
      expect(store.maxBatchBytes).toBeGreaterThan(0)
    })
  })
}
