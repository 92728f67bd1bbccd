import { batchesIn, loadCodec } from '@streambus/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import type { LogId, LogStore, Topic } from '../log-store.ts'
import { appendOne, batchOf, bytesOf, codeOf, recordsIn, valuesOf } from './batches.ts'
import { type ContractSuite, errorOf, NO_LOG, PLENTY, readOne, stateOf } from './contract-suite.ts'

/** What the contract says of reading, waiting and finding by time. */
export function describeReads(suite: () => ContractSuite): void {
  let store: LogStore
  let topic: Topic
  let log: LogId
  let otherLog: LogId

  beforeEach(() => {
    ;({ store, topic, log, otherLog } = suite())
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
        const found = recordsIn(await bytesOf((await readOne(store, log, offset!)).records))
        expect(found[0]!.offset).toBe(first)
        expect(found.at(-1)!.offset).toBe(5)
      }
    })

    it('tells the offsets of the log, and aborted transactions only on request', async () => {
      expect(await readOne(store, log, 4)).toMatchObject({
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
      const { records, highWatermark } = await readOne(store, log, 6)
      expect([records.byteLength, highWatermark]).toEqual([0, 6])
      expect(await records.readInto(new Uint8Array(10))).toBe(0)
      records.close()
      const empty = await store.createTopic({ name: 'empty', partitions: 1 })
      expect((await readOne(store, empty.logs[0]!, 0)).records.byteLength).toBe(0)
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
      const all = await bytesOf((await readOne(store, log, 0)).records)
      for (const [index, { byteLength }] of [...batchesIn(all)].entries()) sizes[index]!.bytes = byteLength
      const [first, second] = sizes.map(({ bytes }) => bytes)
      for (const [maxBytes, end] of [
        [first! + second!, 4],
        [first! + second! - 1, 3],
        [first! + second! + 1, 4],
      ]) {
        const found = recordsIn(await bytesOf((await readOne(store, log, 0, maxBytes)).records))
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
      const first = (await readOne(store, log, 0)).records.byteLength
      const second = (await readOne(store, otherLog, 0)).records.byteLength
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
      const whole = Buffer.from(await bytesOf((await readOne(store, log, 0)).records))
      for (const pieceBytes of [1, 7, 60, 61, 4096]) {
        expect(Buffer.from(await bytesOf((await readOne(store, log, 0)).records, pieceBytes))).toEqual(whole)
      }
    })

    it('writes only as far as the records go', async () => {
      const { records } = await readOne(store, log, 3)
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
      const { records } = await readOne(store, log, 0)
      await records.readInto(new Uint8Array(5))
      records.close()
      records.close()
      expect(await records.readInto(new Uint8Array(5))).toBe(0)
      expect(await valuesOf(store, log)).toHaveLength(6)
    })

    it('goes on in peace after the topic was deleted', async () => {
      const { records } = await readOne(store, log, 0)
      const piece = new Uint8Array(20)
      const first = Buffer.from(piece.subarray(0, await records.readInto(piece)))
      await store.deleteTopic(topic.id)
      await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
      const rest = new Uint8Array(records.byteLength - first.byteLength)
      for (let filled = 0; filled < rest.byteLength; ) filled += await records.readInto(rest.subarray(filled))
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
        expect((await stateOf(store, log)).sizeBytes).toBe(live(firstLive))
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
          { maxWaitMs: 60_000 },
        ),
      ).toEqual([log])
      expect(await store.waitForAppend(new Map([[NO_LOG, 0]]), { maxWaitMs: 60_000 })).toEqual([NO_LOG])
    })

    it('wakes when the first log moves', async () => {
      const wait = store.waitForAppend(
        new Map([
          [log, 0],
          [otherLog, 0],
        ]),
        { maxWaitMs: 60_000 },
      )
      await appendOne(store, otherLog, batchOf(['a']))
      expect(await wait).toEqual([otherLog])
      expect(await valuesOf(store, otherLog)).toEqual(['a'])
    })

    it('sleeps on while a log has not moved above the offset', async () => {
      const wait = store.waitForAppend(new Map([[log, 2]]), { maxWaitMs: 60_000 })
      await appendOne(store, log, batchOf(['a', 'b']))
      await appendOne(store, log, batchOf(['c']))
      expect(await wait).toEqual([log])
      expect((await stateOf(store, log)).highWatermark).toBe(3)
    })

    it('ends empty after its time, at once without any', async () => {
      expect(await store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 5 })).toEqual([])
      expect(await store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 0 })).toEqual([])
    })

    it('ends empty when it is aborted', async () => {
      const controller = new AbortController()
      const wait = store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000, signal: controller.signal })
      controller.abort()
      expect(await wait).toEqual([])
      expect(
        await store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000, signal: controller.signal }),
      ).toEqual([])
    })

    it('wakes when the topic is deleted, and ends when the store closes', async () => {
      const other = await store.createTopic({ name: 'other', partitions: 1 })
      const deleted = store.waitForAppend(new Map([[other.logs[0]!, 0]]), { maxWaitMs: 60_000 })
      const closed = store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000 })
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
      const { sizeBytes } = await stateOf(store, log)
      expect(await store.advanceStart(log, 2)).toEqual({ startOffset: 2, freedBytes: 0 })
      expect(await store.advanceStart(log, 1)).toEqual({ startOffset: 2, freedBytes: 0 })
      expect(await codeOf(store.advanceStart(log, 4))).toBe('OFFSET_OUT_OF_RANGE')
      expect(await codeOf(store.advanceStart(NO_LOG, 0))).toBe('UNKNOWN_LOG')
      expect((await stateOf(store, log)).logStartOffset).toBe(2)
      expect(await valuesOf(store, log, 2)).toEqual(['c'])
      expect(await store.advanceStart(log, 3)).toEqual({ startOffset: 3, freedBytes: sizeBytes })
      expect((await appendOne(store, log, batchOf(['d']))).baseOffset).toBe(3)
      expect(await valuesOf(store, log, 3)).toEqual(['d'])
      await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
      expect(await valuesOf(store, log, 3)).toEqual(['d'])
    })
  })
}
