import { beforeEach, describe, expect, it } from 'vitest'
import type { AbortedTransaction, LogId, LogStore, Offset, Topic } from '../log-store.ts'
import {
  accepted,
  appendOne,
  batchOf,
  bytesOf,
  type FoundRecord,
  markerOf,
  readLog,
  recordsIn,
  valuesOf,
} from './batches.ts'
import { type ContractSuite, errorOf, PLENTY, stateOf } from './contract-suite.ts'
import { committedValuesOf } from './read-committed.ts'

/** What the contract says of transactions: the last stable offset, aborted transactions, fencing. */
export function describeTransactions(suite: () => ContractSuite): void {
  let store: LogStore
  let topic: Topic
  let log: LogId
  let otherLog: LogId

  beforeEach(() => {
    ;({ store, topic, log, otherLog } = suite())
  })

  /** A producer that counts its sequences, as a client does. */
  class TestProducer {
    readonly producerId: number
    producerEpoch: number
    sequence = 0

    constructor(producerId: number, producerEpoch = 0) {
      this.producerId = producerId
      this.producerEpoch = producerEpoch
    }

    batch(...values: string[]): Uint8Array {
      return this.#batch(values, true)
    }

    plainBatch(...values: string[]): Uint8Array {
      return this.#batch(values, false)
    }

    marker(type: 'abort' | 'commit', coordinatorEpoch = 0): Uint8Array {
      return markerOf(type, this, { coordinatorEpoch })
    }

    async write(...values: string[]): Promise<Offset> {
      return (await appendOne(store, log, this.batch(...values))).baseOffset
    }

    async end(type: 'abort' | 'commit'): Promise<Offset> {
      return (await appendOne(store, log, this.marker(type))).baseOffset
    }

    #batch(values: string[], transactional: boolean): Uint8Array {
      const { producerId, producerEpoch, sequence: baseSequence } = this
      this.sequence += values.length
      return batchOf(values, { producerId, producerEpoch, baseSequence, transactional })
    }
  }

  const lastStableOffset = async () => (await stateOf(store, log)).lastStableOffset

  async function refusalOf(bytes: Uint8Array, options: { transactionVersion?: number } = {}) {
    const before = await stateOf(store, log)
    const producersBefore = await store.producers(log)
    const [result] = await store.append([{ logId: log, bytes, ...options }])
    expect(await stateOf(store, log)).toEqual(before)
    expect(await store.producers(log)).toEqual(producersBefore)
    return errorOf(result)
  }

  async function readAborted(
    offset: Offset,
    maxBytes = PLENTY,
  ): Promise<{ aborted: readonly AbortedTransaction[]; found: FoundRecord[]; lastStableOffset: Offset }> {
    const requests = [{ logId: log, offset, maxBytes, readCommitted: true }]
    const [result] = await store.read(requests, { maxBytes })
    if (result === undefined || result.error !== null) throw result?.error ?? new Error('no result')
    const found = recordsIn(await bytesOf(result.records))
    return { aborted: result.abortedTransactions!, found, lastStableOffset: result.lastStableOffset }
  }

  describe('transactions', () => {
    let one: TestProducer
    let two: TestProducer

    beforeEach(() => {
      one = new TestProducer(1)
      two = new TestProducer(2)
    })

    it('hold the last stable offset at their first record until they are committed', async () => {
      await appendOne(store, log, batchOf(['before']))
      expect(await one.write('a', 'b')).toBe(1)
      await appendOne(store, log, batchOf(['beside']))
      await one.write('c')
      expect(await stateOf(store, log)).toMatchObject({ highWatermark: 5, lastStableOffset: 1 })
      expect(await committedValuesOf(store, log)).toEqual(['before'])
      expect(await valuesOf(store, log)).toEqual(['before', 'a', 'b', 'beside', 'c'])
      expect(await one.end('commit')).toBe(5)
      expect(await stateOf(store, log)).toMatchObject({ highWatermark: 6, lastStableOffset: 6 })
      expect(await committedValuesOf(store, log)).toEqual(['before', 'a', 'b', 'beside', 'c'])
      expect((await readAborted(0)).aborted).toEqual([])
    })

    it('are listed where they are aborted', async () => {
      await appendOne(store, log, batchOf(['before']))
      await one.write('a', 'b')
      await appendOne(store, log, batchOf(['beside']))
      await one.end('abort')
      await appendOne(store, log, batchOf(['after']))
      expect(await lastStableOffset()).toBe(6)
      const { aborted, found } = await readAborted(0)
      expect(aborted).toEqual([{ producerId: 1, firstOffset: 1 }])
      expect(found).toHaveLength(6)
      expect(await committedValuesOf(store, log)).toEqual(['before', 'beside', 'after'])
      expect(await valuesOf(store, log)).toEqual(['before', 'a', 'b', 'beside', 'after'])
    })

    it('are each a log’s own', async () => {
      await one.write('a')
      await appendOne(store, otherLog, batchOf(['x']))
      expect((await stateOf(store, otherLog)).lastStableOffset).toBe(1)
      await appendOne(store, otherLog, one.marker('abort'))
      expect(await lastStableOffset()).toBe(0)
      const [result] = await store.read(
        [{ logId: otherLog, offset: 0, maxBytes: PLENTY, readCommitted: true }],
        { maxBytes: PLENTY },
      )
      expect(result).toMatchObject({ abortedTransactions: [], lastStableOffset: 2 })
    })

    it('of several producers overlap, and the earliest open one counts', async () => {
      await one.write('a1')
      await two.write('b1')
      await one.write('a2')
      const three = new TestProducer(3)
      await three.write('c1')
      expect(await lastStableOffset()).toBe(0)
      await two.end('abort')
      expect(await lastStableOffset()).toBe(0)
      await one.end('commit')
      expect(await lastStableOffset()).toBe(3)
      await one.write('a3')
      await three.end('abort')
      expect(await lastStableOffset()).toBe(6)
      await one.end('commit')
      expect(await lastStableOffset()).toBe(9)
      expect(await committedValuesOf(store, log)).toEqual(['a1', 'a2', 'a3'])
      expect((await readAborted(0)).aborted).toEqual([
        { producerId: 2, firstOffset: 1 },
        { producerId: 3, firstOffset: 3 },
      ])
    })

    it('follow each other under one producer, in its epoch and in later ones', async () => {
      await one.write('kept 1')
      await one.end('commit')
      await one.write('lost 1')
      await one.end('abort')
      await one.write('kept 2')
      await one.end('commit')
      one.producerEpoch++
      await one.end('commit')
      one.sequence = 0
      await one.write('lost 2')
      one.producerEpoch++
      await one.end('abort')
      one.sequence = 0
      await one.write('open')
      expect(await committedValuesOf(store, log)).toEqual(['kept 1', 'kept 2'])
      expect((await readAborted(0)).aborted).toEqual([
        { producerId: 1, firstOffset: 2 },
        { producerId: 1, firstOffset: 7 },
      ])
      expect(await lastStableOffset()).toBe(9)
    })

    it('may begin and end in one call, and in calls that do not wait', async () => {
      const results = await store.append([
        { logId: log, bytes: one.batch('a') },
        { logId: log, bytes: two.batch('b') },
        { logId: log, bytes: one.marker('abort') },
        { logId: log, bytes: two.marker('commit') },
      ])
      expect(results.map((result) => accepted(result).baseOffset)).toEqual([0, 1, 2, 3])
      const calls: Promise<unknown>[] = []
      for (let index = 0; index < 50; index++) {
        calls.push(one.write(`one ${index}`), two.write(`two ${index}`), one.end('abort'), two.end('commit'))
      }
      await Promise.all(calls)
      expect(await lastStableOffset()).toBe(204)
      expect(await committedValuesOf(store, log)).toEqual([
        'b',
        ...Array.from({ length: 50 }, (_, index) => `two ${index}`),
      ])
      expect((await readAborted(0)).aborted).toHaveLength(51)
    })

    it('never let a reader see a moment in between', async () => {
      const writes: Promise<unknown>[] = []
      for (let index = 0; index < 40; index++) {
        writes.push(one.write('lost'), two.write('kept'), one.end('abort'), two.end('commit'))
        const reads = Array.from({ length: 3 }, () => committedValuesOf(store, log))
        for (const values of await Promise.all(reads)) expect(values).not.toContain('lost')
      }
      await Promise.all(writes)
      expect(await committedValuesOf(store, log)).toHaveLength(40)
    })

    it('keep sequences and duplicates as they are outside of transactions', async () => {
      const batch = one.batch('a')
      await appendOne(store, log, batch)
      expect(await appendOne(store, log, batch)).toMatchObject({ baseOffset: 0, duplicate: true })
      await one.end('abort')
      expect(await appendOne(store, log, batch)).toMatchObject({ baseOffset: 0, duplicate: true })
      expect(await lastStableOffset()).toBe(2)
      one.sequence++
      expect(await refusalOf(one.batch('gap'))).toBe('OUT_OF_ORDER_SEQUENCE')
      one.sequence -= 2
      expect(await one.write('b')).toBe(2)
    })

    it('of version 2 begin with sequence 0, also of a producer the log does not know', async () => {
      const batches = ['a', 'b'].map((value) => one.batch(value)) as [Uint8Array, Uint8Array]
      expect(await refusalOf(batches[1], { transactionVersion: 2 })).toBe('OUT_OF_ORDER_SEQUENCE')
      for (const batch of batches) await appendOne(store, log, batch, { transactionVersion: 2 })
      await appendOne(store, otherLog, batches[1])
      expect(await valuesOf(store, log)).toEqual(['a', 'b'])
    })

    it('take nothing else of their producer while they are open', async () => {
      await one.write('a')
      expect(await refusalOf(one.plainBatch('b'))).toBe('INVALID_TXN_STATE')
      one.sequence--
      const bumped = batchOf(['b'], { producerId: 1, producerEpoch: 1, baseSequence: 0 })
      expect(await refusalOf(bumped)).toBe('INVALID_TXN_STATE')
      await appendOne(store, log, two.plainBatch('x'))
      await one.end('commit')
      await appendOne(store, log, one.plainBatch('b'))
      expect(await lastStableOffset()).toBe(4)
      expect(await committedValuesOf(store, log)).toEqual(['a', 'x', 'b'])
    })

    it('go on under a newer epoch until a marker ends them', async () => {
      await one.write('a')
      const bumped = new TestProducer(1, 1)
      expect(await bumped.write('b')).toBe(1)
      expect(await lastStableOffset()).toBe(0)
      expect(await refusalOf(one.batch('late'))).toBe('INVALID_PRODUCER_EPOCH')
      await bumped.end('abort')
      expect((await readAborted(0)).aborted).toEqual([{ producerId: 1, firstOffset: 0 }])
      expect(await committedValuesOf(store, log)).toEqual([])
    })

    it('are shown with their producers', async () => {
      await one.write('a', 'b')
      expect(await store.producers(log)).toMatchObject([
        { producerId: 1, lastOffset: 1, coordinatorEpoch: -1, currentTransactionFirstOffset: 0 },
      ])
      await appendOne(store, log, one.marker('commit', 7))
      expect(await store.producers(log)).toMatchObject([
        {
          producerId: 1,
          producerEpoch: 0,
          lastSequence: 1,
          lastOffset: 1,
          coordinatorEpoch: 7,
          currentTransactionFirstOffset: null,
        },
      ])
    })

    it('end with their topic', async () => {
      await one.write('a')
      const wait = store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000, readCommitted: true })
      await store.deleteTopic(topic.id)
      expect(await wait).toEqual([log])
      const [result] = await store.append([{ logId: log, bytes: one.marker('abort') }])
      expect(errorOf(result)).toBe('UNKNOWN_LOG')
    })
  })

  describe('end markers', () => {
    let one: TestProducer

    beforeEach(() => {
      one = new TestProducer(1)
    })

    it('take an offset and change nothing where no transaction is open', async () => {
      expect(await one.end('abort')).toBe(0)
      await one.write('a')
      await one.end('commit')
      for (const offset of [3, 4]) expect(await one.end('abort')).toBe(offset)
      expect(await lastStableOffset()).toBe(5)
      expect((await readAborted(0)).aborted).toEqual([])
      expect(await committedValuesOf(store, log)).toEqual(['a'])
      expect(await one.write('b')).toBe(5)
    })

    it('are refused with an old producer epoch, and take a new one', async () => {
      one.producerEpoch = 3
      await one.write('a')
      expect(await refusalOf(markerOf('abort', { producerId: 1, producerEpoch: 2 }))).toBe(
        'INVALID_PRODUCER_EPOCH',
      )
      await appendOne(store, log, markerOf('abort', { producerId: 1, producerEpoch: 4 }))
      expect(await store.producers(log)).toMatchObject([
        { producerEpoch: 4, lastSequence: -1, lastOffset: -1, currentTransactionFirstOffset: null },
      ])
      expect(await refusalOf(one.batch('late'))).toBe('INVALID_PRODUCER_EPOCH')
      one.producerEpoch = 4
      expect(await refusalOf(one.batch('not at zero'))).toBe('OUT_OF_ORDER_SEQUENCE')
      one.sequence = 0
      expect(await one.write('b')).toBe(2)
    })

    it('are refused of an older coordinator', async () => {
      await one.write('a')
      await appendOne(store, log, one.marker('commit', 5))
      await one.write('b')
      expect(await refusalOf(one.marker('abort', 4))).toBe('TRANSACTION_COORDINATOR_FENCED')
      expect(await lastStableOffset()).toBe(2)
      await appendOne(store, log, one.marker('commit', 5))
      await one.write('c')
      await appendOne(store, log, one.marker('commit', 6))
      expect(await committedValuesOf(store, log)).toEqual(['a', 'b', 'c'])
    })

    it('of version 2 end only transactions of earlier epochs, and may be repeated', async () => {
      await one.write('a')
      const { producerId } = one
      expect(await refusalOf(one.marker('commit'), { transactionVersion: 2 })).toBe('INVALID_PRODUCER_EPOCH')
      const marker = markerOf('commit', { producerId, producerEpoch: 1 })
      await appendOne(store, log, marker, { transactionVersion: 2 })
      await appendOne(store, log, marker, { transactionVersion: 2 })
      expect(await lastStableOffset()).toBe(3)
      const next = new TestProducer(1, 1)
      await next.write('b')
      expect(await refusalOf(marker, { transactionVersion: 2 })).toBe('INVALID_PRODUCER_EPOCH')
      expect(await lastStableOffset()).toBe(3)
    })

    it('are found by no lookup by time', async () => {
      const timestamps = [50]
      await appendOne(store, log, markerOf('commit', one, { timestamp: 90 }))
      expect(await store.offsetForTime(log, 0)).toBeNull()
      expect(await store.offsetForTime(log, 'max')).toBeNull()
      await appendOne(store, log, batchOf(['a'], { timestamps }))
      await appendOne(store, log, markerOf('commit', one, { timestamp: 95 }))
      expect(await store.offsetForTime(log, 0)).toMatchObject({ offset: 1, timestampMs: 50 })
      expect(await store.offsetForTime(log, 'max')).toMatchObject({ offset: 1, timestampMs: 50 })
      expect(await store.offsetForTime(log, 51)).toBeNull()
    })

    it('count among the bytes and offsets of the log', async () => {
      const marker = one.marker('commit')
      await appendOne(store, log, marker)
      expect(await stateOf(store, log)).toMatchObject({ highWatermark: 1, sizeBytes: marker.byteLength })
      expect(await readLog(store, log, 0)).toMatchObject([
        { offset: 0, marker: { type: 'commit', coordinatorEpoch: 0 } },
      ])
    })
  })

  describe('batches of a producer without sequences', () => {
    const producer = { producerId: 9, producerEpoch: 2 }

    it('are taken as often as they come, in transactions and epochs', async () => {
      const batch = (value: string, producerEpoch = 2) =>
        batchOf([value], { ...producer, producerEpoch, transactional: true })
      for (const value of ['a', 'a', 'b']) await appendOne(store, log, batch(value))
      expect(await refusalOf(batch('old', 1))).toBe('INVALID_PRODUCER_EPOCH')
      expect(await lastStableOffset()).toBe(0)
      await appendOne(store, log, markerOf('commit', producer))
      expect(await committedValuesOf(store, log)).toEqual(['a', 'a', 'b'])
      await appendOne(store, log, batch('c', 3))
      expect(await refusalOf(batch('late'))).toBe('INVALID_PRODUCER_EPOCH')
      await appendOne(store, log, markerOf('abort', { producerId: 9, producerEpoch: 3 }))
      expect(await committedValuesOf(store, log)).toEqual(['a', 'a', 'b'])
    })
  })

  describe('read_committed', () => {
    it('ends each answer before the last stable offset, also an empty one', async () => {
      const one = new TestProducer(1)
      await appendOne(store, log, batchOf(['a', 'b']))
      await one.write('c')
      await appendOne(store, log, batchOf(['d']))
      const { found, lastStableOffset: stable } = await readAborted(0)
      expect(found.map(({ value }) => value)).toEqual(['a', 'b'])
      expect(stable).toBe(2)
      for (const offset of [2, 3, 4]) {
        const answer = await readAborted(offset)
        expect(answer).toMatchObject({ aborted: [], found: [], lastStableOffset: 2 })
      }
      const requests = [{ logId: log, offset: 5, maxBytes: PLENTY, readCommitted: true }]
      const [beyond] = await store.read(requests, { maxBytes: PLENTY })
      expect(errorOf(beyond)).toBe('OFFSET_OUT_OF_RANGE')
    })

    it('leaves the room of what it may not give to the logs after it', async () => {
      await new TestProducer(1).write('open')
      await appendOne(store, otherLog, batchOf(['x']))
      const results = await store.read(
        [log, otherLog].map((logId) => ({ logId, offset: 0, maxBytes: 1, readCommitted: true })),
        { maxBytes: 1 },
      )
      const sizes = results.map((result) => (result.error === null ? result.records.byteLength : -1))
      expect(sizes[0]).toBe(0)
      expect(sizes[1]).toBeGreaterThan(0)
      for (const result of results) if (result.error === null) result.records.close()
    })

    it('lists exactly the aborted transactions that overlap what it gives', async () => {
      const producers = [1, 2, 3].map((producerId) => new TestProducer(producerId))
      const [one, two, three] = producers as [TestProducer, TestProducer, TestProducer]
      // one: 0–3 aborted · two: 1–8 aborted, around all others · three: 4–5 committed · one: 6–7 aborted
      await one.write('one a')
      await two.write('two a')
      await appendOne(store, log, batchOf(['plain']))
      await one.end('abort')
      await three.write('three')
      await three.end('commit')
      await one.write('one b')
      await one.end('abort')
      await two.end('abort')
      await appendOne(store, log, batchOf(['last']))
      const ranges: [Offset, Offset, Offset][] = [
        [0, 3, 1],
        [6, 7, 1],
        [1, 8, 2],
      ]
      for (let offset = 0; offset <= 10; offset++) {
        for (const maxBytes of [0, 100, 200, 300, 400, PLENTY]) {
          const { aborted, found } = await readAborted(offset, maxBytes)
          const end = found.at(-1)?.offset ?? -1
          const expected = ranges
            .filter(([first, last]) => found.length > 0 && first <= end && last >= offset)
            .map(([firstOffset, , producerId]) => ({ producerId, firstOffset }))
          expect(aborted).toEqual(expected)
        }
        expect(await committedValuesOf(store, log, offset, 0)).toEqual(
          ['plain', 'three', 'last'].filter((_, index) => [2, 4, 9][index]! >= offset),
        )
      }
    })

    it('finds them among many, from any offset on', async () => {
      const producers = Array.from({ length: 7 }, (_, index) => new TestProducer(index + 1))
      const open = new Map<TestProducer, Offset>()
      const aborted: [Offset, Offset, number][] = []
      for (let step = 0; step < 400; step++) {
        const producer = producers[(step * 5 + (step >> 3)) % 7]!
        const first = open.get(producer)
        if (first === undefined) open.set(producer, await producer.write('x'))
        else if (step % 3 === 0) {
          aborted.push([first, await producer.end('abort'), producer.producerId])
          open.delete(producer)
        } else if (step % 3 === 1) {
          await producer.end('commit')
          open.delete(producer)
        } else await producer.write('y')
      }
      const stable = await lastStableOffset()
      expect(stable).toBe(Math.min(...open.values(), 400))
      expect(aborted.length).toBeGreaterThan(30)
      for (let offset = 0; offset < stable; offset += 7) {
        for (const maxBytes of [0, 1000, PLENTY]) {
          const answer = await readAborted(offset, maxBytes)
          const end = answer.found.at(-1)!.offset
          const expected = aborted.filter(([first, last]) => first <= end && last >= offset)
          expect(answer.aborted).toEqual(
            expected.map(([firstOffset, , producerId]) => ({ producerId, firstOffset })),
          )
        }
      }
    })

    it('waits for the last stable offset instead of the high watermark', async () => {
      const one = new TestProducer(1)
      await one.write('a')
      const committed = store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000, readCommitted: true })
      const uncommitted = store.waitForAppend(new Map([[log, 1]]), { maxWaitMs: 60_000 })
      let woken = false
      void committed.then(() => {
        woken = true
      })
      await appendOne(store, log, batchOf(['b']))
      expect(await uncommitted).toEqual([log])
      await one.write('c')
      expect(woken).toBe(false)
      expect(await store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 1, readCommitted: true })).toEqual(
        [],
      )
      await one.end('commit')
      expect(await committed).toEqual([log])
      expect(await store.waitForAppend(new Map([[log, 3]]), { maxWaitMs: 1, readCommitted: true })).toEqual([
        log,
      ])
    })
  })

  describe('a log start beyond transactions', () => {
    it('forgets what was aborted below it, and nothing that reaches over it', async () => {
      const [one, two] = [new TestProducer(1), new TestProducer(2)]
      await one.write('a')
      await two.write('b')
      await one.end('abort')
      await appendOne(store, log, batchOf(['c', 'd']))
      await two.end('abort')
      await appendOne(store, log, batchOf(['e']))
      await store.advanceStart(log, 3)
      expect((await readAborted(3)).aborted).toEqual([{ producerId: 2, firstOffset: 1 }])
      expect(await committedValuesOf(store, log, 3)).toEqual(['c', 'd', 'e'])
      await store.advanceStart(log, 6)
      expect((await readAborted(6)).aborted).toEqual([])
      expect(await committedValuesOf(store, log, 6)).toEqual(['e'])
    })

    it('leaves a transaction open that began below it', async () => {
      const one = new TestProducer(1)
      await one.write('a')
      await appendOne(store, log, batchOf(['b', 'c', 'd']))
      const wait = store.waitForAppend(new Map([[log, 0]]), { maxWaitMs: 60_000, readCommitted: true })
      // In the middle of a batch.
      await store.advanceStart(log, 2)
      expect(await wait).toEqual([log])
      expect(await stateOf(store, log)).toMatchObject({ logStartOffset: 2, lastStableOffset: 2 })
      expect(await readAborted(2)).toMatchObject({ aborted: [], found: [] })
      expect((await store.producers(log))[0]).toMatchObject({ currentTransactionFirstOffset: 0 })
      await one.write('e')
      expect(await lastStableOffset()).toBe(2)
      await one.end('abort')
      expect((await readAborted(2)).aborted).toEqual([{ producerId: 1, firstOffset: 0 }])
      expect(await committedValuesOf(store, log, 2)).toEqual(['c', 'd'])
      await store.advanceStart(log, 6)
      expect(await stateOf(store, log)).toMatchObject({ logStartOffset: 6, lastStableOffset: 6 })
      expect((await readAborted(6)).aborted).toEqual([])
    })
  })

  describe('claims', () => {
    it('issued together each fence their own log', async () => {
      const many = await store.createTopic({ name: 'many', partitions: 100 })
      const first = await Promise.all(many.logs.map((logId) => store.claim(logId)))
      await Promise.all(
        many.logs.map((logId, index) =>
          appendOne(store, logId, batchOf(['a']), { ownerEpoch: first[index]!.epoch }),
        ),
      )
      const second = await Promise.all(many.logs.map((logId) => store.claim(logId)))
      for (const [index, logId] of many.logs.entries()) {
        expect(first[index]!.endOffset).toBe(0)
        expect(second[index]!.endOffset).toBe(1)
        expect(second[index]!.epoch).toBeGreaterThan(first[index]!.epoch)
        const late = [{ logId, bytes: batchOf(['late']), ownerEpoch: first[index]!.epoch }]
        expect(errorOf((await store.append(late))[0])).toBe('FENCED_OWNER')
      }
    })

    it('of one log issued together leave one owner', async () => {
      const owners = await Promise.all([1, 2, 3].map(() => store.claim(log)))
      const newest = Math.max(...owners.map(({ epoch }) => epoch))
      expect(new Set(owners.map(({ epoch }) => epoch)).size).toBe(3)
      for (const { epoch } of owners) {
        const [result] = await store.append([{ logId: log, bytes: batchOf(['a']), ownerEpoch: epoch }])
        expect(errorOf(result)).toBe(epoch === newest ? undefined : 'FENCED_OWNER')
      }
    })

    it('of a log that is being deleted end one way or the other', async () => {
      const outcomes = await Promise.allSettled([
        store.claim(log),
        store.deleteTopic(topic.id),
        store.claim(log),
      ])
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'UNKNOWN_LOG' })
      }
    })
  })
}
