import { expect, it } from 'vitest'
import { LogHead } from './log-head.ts'
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
