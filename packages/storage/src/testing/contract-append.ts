import { batchCrc, batchHeader, decodeRecords } from '@streambus/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import type { AppendResult, LogId, LogStore } from '../log-store.ts'
import { accepted, appendOne, batchOf, batchOfSize, bytesOf, codeOf, readLog, valuesOf } from './batches.ts'
import { type ContractSuite, errorOf, NO_LOG, readOne, stateOf } from './contract-suite.ts'

const MAX_SEQUENCE = 2_147_483_647

/** What the contract says of appends, idempotent producers and owners. */
export function describeAppends(suite: () => ContractSuite): void {
  let store: LogStore
  let log: LogId
  let otherLog: LogId

  beforeEach(() => {
    ;({ store, log, otherLog } = suite())
  })

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
      const { records } = await readOne(store, log, 3)
      const bytes = await bytesOf(records)
      expect(batchHeader.baseOffset(bytes, 0)).toBe(3)
      expect(batchHeader.partitionLeaderEpoch(bytes, 0)).toBe((await stateOf(store, log)).leaderEpoch)
      expect(batchCrc(bytes, 0, bytes.byteLength)).toBe(batchHeader.crc(bytes, 0))
      expect(Buffer.from(bytes.subarray(16))).toEqual(Buffer.from(sent.subarray(16)))
    })

    it('sets the time of the append and renews the checksum where the caller says so', async () => {
      await appendOne(store, log, batchOf(['a', 'b'], { timestamps: [7, 9] }), { logAppendTimeMs: 123_456 })
      const bytes = await bytesOf((await readOne(store, log, 0)).records)
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
      const batches = Array.from({ length: 6 }, (_, index) => produced(index * 2, [`${index}a`, `${index}b`]))
      for (const batch of batches) expect((await appendOne(store, log, batch)).duplicate).toBe(false)
      for (const index of [5, 1, 3, 2, 4]) {
        expect(await appendOne(store, log, batches[index]!)).toMatchObject({
          baseOffset: 1 + index * 2,
          duplicate: true,
        })
      }
      const [forgotten] = await store.append([{ logId: log, bytes: batches[0]! }])
      expect(errorOf(forgotten)).toBe('OUT_OF_ORDER_SEQUENCE')
      expect((await stateOf(store, log)).highWatermark).toBe(13)
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
      expect((await stateOf(store, log)).highWatermark).toBe(1)
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
      const [fenced] = await store.append([{ logId: log, bytes: batchOf(['late']), ownerEpoch: first.epoch }])
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
      expect((await stateOf(store, log)).highWatermark).toBe(endOffset)
    })
  })
}
