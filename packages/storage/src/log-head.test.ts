import { expect, it } from 'vitest'
import { LogHead } from './log-head.ts'
import { ProducerBudget } from './producer-table.ts'
import { StoreState } from './store-state.ts'
import { batchOf, markerOf } from './testing/batches.ts'

const DAY_MS = 24 * 3600 * 1000
const PRODUCER = { producerId: 1, producerEpoch: 0 }

function admitted(head: LogHead, bytes: Uint8Array, nowMs: number) {
  const admission = head.admit({ logId: head.id, bytes }, nowMs)
  if (admission.kind !== 'accepted') throw new Error(admission.kind)
  return admission
}

it('a producer is not forgotten while the end of its transaction is on its way to disk', () => {
  const head = new LogHead(1, 'topic')
  const begin = admitted(head, batchOf(['a'], { ...PRODUCER, baseSequence: 0, transactional: true }), 0)
  head.commit(head.nextOffset, 100, begin.transaction)
  const end = admitted(head, markerOf('abort', PRODUCER), 0)
  head.expireProducers(2 * DAY_MS)
  expect(head.producers.get(1)).toMatchObject({ transactionFirstOffset: null })
  expect(head.lastStableOffset).toBe(0)

  // The write of the marker fails: the transaction is open as before, and no time ends that.
  head.withdraw(end.baseOffset, end.producerId, end.previousProducer)
  head.expireProducers(2 * DAY_MS)
  expect(head.producers.get(1)).toMatchObject({ transactionFirstOffset: 0 })

  const again = admitted(head, markerOf('abort', PRODUCER), 2 * DAY_MS)
  expect(head.abortedWithin(0, 2)).toEqual([])
  head.commit(head.nextOffset, 100, again.transaction)
  expect(head.lastStableOffset).toBe(2)
  expect(head.abortedWithin(0, 2)).toEqual([{ producerId: 1, firstOffset: 0 }])
  head.expireProducers(3 * DAY_MS + 1)
  expect(head.producers.get(1)).toBeUndefined()
})

it('a flood of producers pushes out those that are silent, and no other', () => {
  const budget = new ProducerBudget(100)
  const head = new LogHead(1, 'topic', budget)
  const inTransaction = { producerId: 1, producerEpoch: 0 }
  const begin = admitted(head, batchOf(['a'], { ...inTransaction, baseSequence: 0, transactional: true }), 0)
  head.commit(head.nextOffset, 100, begin.transaction)
  const busy = { producerId: 2, producerEpoch: 0 }
  for (let id = 10; id < 2000; id++) {
    const nowMs = id * 10
    if (id % 10 === 0) admitted(head, batchOf(['b'], { ...busy, baseSequence: id / 10 - 1 }), nowMs)
    admitted(head, batchOf(['c'], { producerId: id, producerEpoch: 0, baseSequence: 0 }), nowMs)
    expect(budget.producers).toBeLessThanOrEqual(100)
  }
  expect(head.producers.states()).toHaveLength(budget.producers)
  expect(head.producers.get(1)).toMatchObject({ transactionFirstOffset: 0 })
  expect(head.producers.get(2)?.window).toHaveLength(5)
  expect(head.producers.get(1999)).toBeDefined()
  expect(head.producers.get(10)).toBeUndefined()
})

it('the logs of a store remember a bounded number of producers together, and a deleted log none', () => {
  const budget = new ProducerBudget(50)
  const state = new StoreState(budget)
  const topic = { name: 'words', id: 'id', logs: [1, 2], configs: {}, createdAtMs: 0 }
  state.apply({ type: 'topic-created', ...topic })
  const heads = [state.logs.get(1)!, state.logs.get(2)!]
  for (let id = 0; id < 300; id++) {
    const bytes = batchOf(['a'], { producerId: id, producerEpoch: 0, baseSequence: 0 })
    admitted(heads[id % 2]!, bytes, id)
  }
  expect(budget.producers).toBe(50)
  const last = admitted(
    heads[0]!,
    batchOf(['z'], { producerId: 900, producerEpoch: 0, baseSequence: 0 }),
    300,
  )
  state.apply({ type: 'topic-deleted', id: 'id' })
  expect(budget.producers).toBe(0)
  // The write that the batch was in failed after that.
  heads[0]!.withdraw(last.baseOffset, last.producerId, last.previousProducer)
  expect(budget.producers).toBe(0)
})
