import { ErrorCode } from '@streambus/protocol'
import { describe, expect, test } from 'vitest'
import {
  LAST_PRODUCER_EPOCH,
  PartitionSet,
  type Producer,
  type Transaction,
  type TransactionState,
} from './transaction.ts'
import { readRecord, recordOf, tombstoneOf } from './transaction-records.ts'
import {
  addPartitions,
  completed,
  type Decision,
  endTransaction,
  fenced,
  initProducer,
  isExpired,
  isTimedOut,
  verifyPartition,
} from './transitions.ts'

const NOW = 1_700_000_000_000
const FRESH = 99
const { NONE, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE, INVALID_PRODUCER_ID_MAPPING } =
  ErrorCode

function transaction(state: TransactionState, change: Partial<Transaction> = {}): Transaction {
  const isOpen = state === 'Ongoing' || state === 'PrepareCommit' || state === 'PrepareAbort'
  return {
    transactionalId: 'orders',
    state,
    producerId: 7,
    producerEpoch: 4,
    previousProducerId: -1,
    nextProducerId: -1,
    timeoutMs: 1000,
    partitions: isOpen ? PartitionSet.EMPTY.with([{ topic: 'words', partition: 0 }]) : PartitionSet.EMPTY,
    startMs: isOpen ? NOW - 500 : -1,
    updatedMs: NOW - 500,
    clientVersion: 2,
    ...change,
  }
}

function init(current: Transaction | undefined, expected: Producer | null = null): Decision {
  const request = { transactionalId: 'orders', timeoutMs: 2000, expected, nowMs: NOW }
  const decision = initProducer(current, { ...request, freshProducerId: null })
  return decision.kind === 'needs-producer-id'
    ? initProducer(current, { ...request, freshProducerId: FRESH })
    : decision
}

function end(current: Transaction | undefined, producer: Producer, committed: boolean, clientVersion: 0 | 2) {
  const request = { ...producer, committed, clientVersion, nowMs: NOW }
  const decision = endTransaction(current, { ...request, freshProducerId: null })
  return decision.kind === 'needs-producer-id'
    ? endTransaction(current, { ...request, freshProducerId: FRESH })
    : decision
}

function next(decision: Decision): Transaction {
  if (decision.kind !== 'change') throw new Error(`no change: ${JSON.stringify(decision)}`)
  return decision.next
}

const holder = (producerEpoch = 4, producerId = 7): Producer => ({ producerId, producerEpoch })
const answer = (errorCode: number): Decision => ({ kind: 'answer', errorCode })

describe('InitProducerId', () => {
  test('a new id gets a new producer id with epoch 0, whatever its producer says it had', () => {
    for (const expected of [null, holder(3)]) {
      expect(next(init(undefined, expected))).toMatchObject({
        state: 'Empty',
        producerId: FRESH,
        producerEpoch: 0,
        previousProducerId: -1,
        timeoutMs: 2000,
      })
    }
  })

  test.each<TransactionState>(['Empty', 'CompleteCommit', 'CompleteAbort'])(
    'in %s a new producer gets the next epoch, and the one before is fenced',
    (state) => {
      const taken = next(init(transaction(state)))
      expect(taken).toMatchObject({ state: 'Empty', producerId: 7, producerEpoch: 5, previousProducerId: -1 })
      expect(init(taken, holder(4))).toEqual(answer(PRODUCER_FENCED))
    },
  )

  test('a producer that goes on gets the next epoch, and the same one when it asks again', () => {
    const resumed = next(init(transaction('Empty'), holder(4)))
    expect(resumed).toMatchObject({ producerEpoch: 5, previousProducerId: 7 })
    expect(next(init(resumed, holder(4)))).toMatchObject({ producerEpoch: 5, previousProducerId: 7 })
    expect(init(resumed, holder(3))).toEqual(answer(PRODUCER_FENCED))
    expect(init(resumed, holder(4, 8))).toEqual(answer(PRODUCER_FENCED))
  })

  test('used up epochs: a new producer id, and the retry of who had the last epoch is recognised', () => {
    const last = transaction('CompleteCommit', { producerEpoch: LAST_PRODUCER_EPOCH })
    const rotated = next(init(last, holder(LAST_PRODUCER_EPOCH)))
    expect(rotated).toMatchObject({ producerId: FRESH, producerEpoch: 0, previousProducerId: 7 })
    expect(next(init(rotated, holder(LAST_PRODUCER_EPOCH)))).toMatchObject({
      producerId: FRESH,
      producerEpoch: 0,
    })
    expect(init(rotated, holder(LAST_PRODUCER_EPOCH - 1))).toEqual(answer(PRODUCER_FENCED))
    const fencedOut = next(init(last))
    expect(fencedOut).toMatchObject({ producerId: FRESH, producerEpoch: 0, previousProducerId: -1 })
    expect(init(fencedOut, holder(LAST_PRODUCER_EPOCH))).toEqual(answer(PRODUCER_FENCED))
  })

  test('an ongoing transaction is aborted with an epoch that nobody gets; a fenced producer cannot do it', () => {
    const current = transaction('Ongoing')
    expect(next(init(current))).toMatchObject({
      state: 'PrepareAbort',
      producerEpoch: 5,
      previousProducerId: -1,
      partitions: current.partitions,
      clientVersion: 2,
    })
    expect(init(current, holder(3))).toEqual(answer(PRODUCER_FENCED))
    expect(init(current, holder(4, 8))).toEqual(answer(PRODUCER_FENCED))
    const last = next(init(transaction('Ongoing', { producerEpoch: LAST_PRODUCER_EPOCH })))
    expect(last.producerEpoch).toBe(32_767)
    expect(next(init(completed(last, NOW)))).toMatchObject({ producerId: FRESH, producerEpoch: 0 })
  })

  test.each<TransactionState>(['PrepareCommit', 'PrepareAbort'])('in %s it has to wait', (state) => {
    expect(init(transaction(state))).toEqual(answer(CONCURRENT_TRANSACTIONS))
  })
})

describe('adding partitions', () => {
  const add = (current: Transaction | undefined, producer: Producer, partition = 1, maxPartitions = 3) =>
    addPartitions(current, {
      ...producer,
      partitions: [{ topic: 'words', partition }],
      clientVersion: 2,
      nowMs: NOW,
      maxPartitions,
    })

  test('the first begins the transaction, more join it, known ones change nothing', () => {
    const begun = next(add(transaction('CompleteCommit', { previousProducerId: 7 }), holder()))
    expect(begun).toMatchObject({ state: 'Ongoing', startMs: NOW, updatedMs: NOW, previousProducerId: -1 })
    expect(begun.partitions.size).toBe(1)
    const more = next(add({ ...begun, startMs: NOW - 9 }, holder(), 2))
    expect(more).toMatchObject({ startMs: NOW - 9 })
    expect(more.partitions.size).toBe(2)
    expect(add(more, holder(), 2)).toEqual(answer(NONE))
    expect(next(add(more, holder(), 3)).partitions.size).toBe(3)
    expect(add(more, holder(), 3, 2)).toEqual(answer(ErrorCode.POLICY_VIOLATION))
  })

  test('refused for others, and while the transaction ends', () => {
    expect(add(undefined, holder())).toEqual(answer(INVALID_PRODUCER_ID_MAPPING))
    expect(add(transaction('Empty'), holder(4, 8))).toEqual(answer(INVALID_PRODUCER_ID_MAPPING))
    expect(add(transaction('Empty'), holder(3))).toEqual(answer(PRODUCER_FENCED))
    expect(add(transaction('Empty'), holder(5))).toEqual(answer(PRODUCER_FENCED))
    expect(add(transaction('PrepareCommit'), holder())).toEqual(answer(CONCURRENT_TRANSACTIONS))
    const taken = transaction('CompleteAbort', { producerEpoch: 32_767 })
    expect(add(taken, holder(32_767))).toEqual(answer(PRODUCER_FENCED))
  })

  test('what may be written follows from it', () => {
    const verify = (current: Transaction | undefined, producerEpoch = 4, partition = 0) =>
      verifyPartition(current, 7, producerEpoch, 'words', partition)
    expect(verify(transaction('Ongoing'))).toBe(NONE)
    expect(verify(transaction('Ongoing'), 4, 1)).toBe(ErrorCode.TRANSACTION_ABORTABLE)
    expect(verify(transaction('Empty'))).toBe(ErrorCode.TRANSACTION_ABORTABLE)
    expect(verify(transaction('Ongoing'), 3)).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
    expect(verify(transaction('PrepareAbort'))).toBe(CONCURRENT_TRANSACTIONS)
    expect(verify(undefined)).toBe(INVALID_PRODUCER_ID_MAPPING)
    expect(verifyPartition(transaction('Ongoing'), 8, 4, 'words', 0)).toBe(INVALID_PRODUCER_ID_MAPPING)
  })
})

describe('EndTxn of clients before KIP-890', () => {
  test.each<[TransactionState, commit: number, abort: number]>([
    ['Empty', INVALID_TXN_STATE, INVALID_TXN_STATE],
    ['PrepareCommit', CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE],
    ['PrepareAbort', INVALID_TXN_STATE, CONCURRENT_TRANSACTIONS],
    ['CompleteCommit', NONE, INVALID_TXN_STATE],
    ['CompleteAbort', INVALID_TXN_STATE, NONE],
  ])('in %s', (state, commit, abort) => {
    expect(end(transaction(state), holder(), true, 0)).toEqual(answer(commit))
    expect(end(transaction(state), holder(), false, 0)).toEqual(answer(abort))
    expect(end(transaction(state), holder(3), true, 0)).toEqual(answer(PRODUCER_FENCED))
  })

  test('an ongoing transaction ends with the epoch it has', () => {
    for (const committed of [true, false]) {
      const prepared = next(end(transaction('Ongoing'), holder(), committed, 0))
      expect(prepared).toMatchObject({
        state: committed ? 'PrepareCommit' : 'PrepareAbort',
        producerEpoch: 4,
        previousProducerId: -1,
        clientVersion: 0,
      })
      expect(completed(prepared, NOW)).toMatchObject({
        state: committed ? 'CompleteCommit' : 'CompleteAbort',
        producerEpoch: 4,
      })
    }
    expect(end(undefined, holder(), true, 0)).toEqual(answer(INVALID_PRODUCER_ID_MAPPING))
    expect(end(transaction('Ongoing'), holder(4, 8), true, 0)).toEqual(answer(INVALID_PRODUCER_ID_MAPPING))
    expect(end(transaction('Ongoing'), holder(5), true, 0)).toEqual(answer(PRODUCER_FENCED))
  })
})

describe('EndTxn of clients of KIP-890', () => {
  /** Of a producer that ended its transaction at epoch 4. */
  const ended = (state: TransactionState) => transaction(state, { producerEpoch: 5, previousProducerId: 7 })

  test.each<[TransactionState, commit: number, abort: number]>([
    ['PrepareCommit', CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE],
    ['PrepareAbort', INVALID_TXN_STATE, CONCURRENT_TRANSACTIONS],
    ['CompleteCommit', NONE, INVALID_TXN_STATE],
    ['CompleteAbort', INVALID_TXN_STATE, NONE],
  ])('a repeated request finds %s', (state, commit, abort) => {
    expect(end(ended(state), holder(4), true, 2)).toEqual(answer(commit))
    expect(end(ended(state), holder(4), false, 2)).toEqual(answer(abort))
    expect(end(ended(state), holder(3), true, 2)).toEqual(answer(PRODUCER_FENCED))
  })

  test('a repeated request in Empty is of a fenced producer', () => {
    for (const committed of [true, false]) {
      expect(end(transaction('Empty'), holder(3), committed, 2)).toEqual(answer(PRODUCER_FENCED))
    }
  })

  test.each<TransactionState>(['Empty', 'CompleteCommit', 'CompleteAbort'])(
    'without a transaction, in %s: an abort takes the epoch on, a commit is wrong',
    (state) => {
      const aborted = next(end(transaction(state), holder(), false, 2))
      expect(aborted).toMatchObject({ state: 'CompleteAbort', producerEpoch: 5, previousProducerId: 7 })
      expect(end(aborted, holder(4), false, 2)).toEqual(answer(NONE))
      expect(end(transaction(state), holder(), true, 2)).toEqual(answer(INVALID_TXN_STATE))
    },
  )

  test('an ongoing transaction ends with the next epoch, which goes on', () => {
    const prepared = next(end(transaction('Ongoing'), holder(), true, 2))
    expect(prepared).toMatchObject({ state: 'PrepareCommit', producerEpoch: 5, previousProducerId: 7 })
    expect(completed(prepared, NOW)).toMatchObject({ state: 'CompleteCommit', producerEpoch: 5 })
    expect(end(prepared, holder(6), true, 2)).toEqual(answer(PRODUCER_FENCED))
  })

  test.each([
    ['the next epoch', 4, holder(5)],
    ['a new producer id', LAST_PRODUCER_EPOCH, { producerId: FRESH, producerEpoch: 0 }],
  ])('who was given %s with the end waits until that is complete', (_, producerEpoch, promised) => {
    const prepared = next(end(transaction('Ongoing', { producerEpoch }), holder(producerEpoch), true, 2))
    const partition = { topic: 'words', partition: 0 }
    const adding = { partitions: [partition], clientVersion: 2, nowMs: NOW, maxPartitions: 9 } as const
    expect(addPartitions(prepared, { ...promised, ...adding })).toEqual(answer(CONCURRENT_TRANSACTIONS))
    const verdict = verifyPartition(prepared, promised.producerId, promised.producerEpoch, 'words', 0)
    expect(verdict).toBe(CONCURRENT_TRANSACTIONS)
    expect(end(prepared, promised, false, 2)).toEqual(answer(CONCURRENT_TRANSACTIONS))
    expect(init(prepared, promised)).toEqual(answer(CONCURRENT_TRANSACTIONS))
    const other = { ...promised, producerEpoch: promised.producerEpoch + 1 }
    expect(end(prepared, other, false, 2).kind).toBe('answer')
    expect(end(prepared, other, false, 2)).not.toEqual(answer(CONCURRENT_TRANSACTIONS))
  })

  test('used up epochs: markers with the very last, then a new producer id; its retry is recognised', () => {
    const current = transaction('Ongoing', { producerEpoch: LAST_PRODUCER_EPOCH })
    const prepared = next(end(current, holder(LAST_PRODUCER_EPOCH), true, 2))
    expect(prepared).toMatchObject({ producerId: 7, producerEpoch: 32_767, nextProducerId: FRESH })
    expect(end(prepared, holder(LAST_PRODUCER_EPOCH), true, 2)).toEqual(answer(CONCURRENT_TRANSACTIONS))
    const done = completed(prepared, NOW)
    expect(done).toMatchObject({ producerId: FRESH, producerEpoch: 0, nextProducerId: -1 })
    expect(end(done, holder(LAST_PRODUCER_EPOCH), true, 2)).toEqual(answer(NONE))
    expect(end(done, holder(LAST_PRODUCER_EPOCH), false, 2)).toEqual(answer(INVALID_TXN_STATE))
    expect(end(done, holder(4), true, 2)).toEqual(answer(INVALID_PRODUCER_ID_MAPPING))
    const empty = transaction('Empty', { producerEpoch: LAST_PRODUCER_EPOCH })
    expect(next(end(empty, holder(LAST_PRODUCER_EPOCH), false, 2))).toMatchObject({
      state: 'CompleteAbort',
      producerId: FRESH,
      producerEpoch: 0,
    })
  })

  test('a producer whose transaction was aborted for it is fenced, not recognised', () => {
    const aborted = fenced(transaction('Ongoing'), NOW)
    for (const current of [aborted, completed(aborted, NOW)]) {
      expect(end(current, holder(4), false, 2)).toEqual(answer(PRODUCER_FENCED))
      expect(end(current, holder(4), true, 2)).toEqual(answer(PRODUCER_FENCED))
      expect(end(current, holder(4), false, 0)).toEqual(answer(PRODUCER_FENCED))
    }
  })
})

test('a transaction is too old only while it is ongoing; an id is forgotten only when it is not', () => {
  expect(isTimedOut(transaction('Ongoing'), NOW + 500)).toBe(false)
  expect(isTimedOut(transaction('Ongoing'), NOW + 501)).toBe(true)
  expect(isTimedOut(transaction('PrepareCommit'), NOW + 9999)).toBe(false)
  expect(isExpired(transaction('Empty'), NOW, 501)).toBe(false)
  expect(isExpired(transaction('CompleteAbort'), NOW, 500)).toBe(true)
  for (const state of ['Ongoing', 'PrepareCommit', 'PrepareAbort'] as const) {
    expect(isExpired(transaction(state), NOW, 1)).toBe(false)
  }
})

test('every state comes back from its record as it was', () => {
  const states = [
    'Empty',
    'Ongoing',
    'PrepareCommit',
    'PrepareAbort',
    'CompleteCommit',
    'CompleteAbort',
  ] as const
  for (const state of states) {
    const saved = transaction(state, { previousProducerId: 7, nextProducerId: 12, producerEpoch: 32_767 })
    const read = readRecord(recordOf(saved))!
    const { partitions, ...rest } = read.transaction!
    const { partitions: savedPartitions, ...savedRest } = saved
    expect(rest).toEqual(savedRest)
    expect([...partitions.byTopic()]).toEqual([...savedPartitions.byTopic()])
  }
  expect(readRecord(tombstoneOf('orders'))).toEqual({ transactionalId: 'orders', transaction: null })
})
