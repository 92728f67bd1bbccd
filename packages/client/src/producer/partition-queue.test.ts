import { expect, test } from 'vitest'
import { StreamBusError } from '../errors.ts'
import { GroupDelivery, SingleDelivery } from './delivery.ts'
import { Batch, PartitionQueue, recordBytes, sequenceAfter } from './partition-queue.ts'

const limits = { maxBatchBytes: 100, lingerMs: 10, deliveryTimeoutMs: 1_000 }
const identity = { producerId: 1, producerEpoch: 0 }

function append(queue: PartitionQueue, value: string): void {
  const record = { key: null, value, headers: [], timestamp: 0, delivery: new SingleDelivery(), slot: 0 }
  queue.append(record, recordBytes(record))
}

function take(queue: PartitionQueue, nowMs = 0): Batch {
  const batch = queue.next(nowMs, 5, false)
  if (!(batch instanceof Batch)) throw new Error('nothing to send')
  queue.take(batch)
  return batch
}

test('a batch leaves when it is full or has lingered, and takes nothing more once it left', () => {
  const queue = new PartitionQueue('t', 0, limits)
  append(queue, 'x')
  const begunMs = queue.pending[0]!.createdAtMs
  expect(queue.next(begunMs + 5, 5, true)).toBe(begunMs + 10)
  expect(queue.next(begunMs + 10, 5, true)).toBeInstanceOf(Batch)
  append(queue, 'x'.repeat(90))
  expect(queue.pending).toHaveLength(2)
  expect(queue.next(0, 5, true)).toBeInstanceOf(Batch)
  const taken = take(queue)
  append(queue, 'y')
  expect(taken.records).toHaveLength(1)
})

test('after a failure nothing leaves before all in flight have landed, then all go again in order', () => {
  const queue = new PartitionQueue('t', 0, limits)
  queue.startSequence(identity)
  const batches = ['1', '2', '3'].map((value) => {
    append(queue, value)
    return take(queue)
  })
  append(queue, '4')
  queue.land(batches[0]!)
  expect(queue.next(0, 5, false)).toBeUndefined()
  queue.land(batches[2]!)
  expect(queue.next(0, 5, false)).toBeUndefined()
  queue.land(batches[1]!)
  expect([take(queue), take(queue), take(queue)]).toEqual(batches)
  expect(batches.map(({ sequencedBy }) => sequencedBy!.baseSequence)).toEqual([0, 1, 2])
  expect(take(queue).sequencedBy!.baseSequence).toBe(3)
})

test('no more than the given number is in flight', () => {
  const queue = new PartitionQueue('t', 0, limits)
  append(queue, '1')
  take(queue)
  append(queue, '2')
  expect(queue.next(0, 1, false)).toBeUndefined()
  expect(queue.next(0, 2, false)).toBeInstanceOf(Batch)
})

test('a new sequence numbers what is pending from zero', () => {
  const queue = new PartitionQueue('t', 0, limits)
  queue.startSequence(identity)
  for (const value of ['1', '2']) append(queue, value)
  const lost = take(queue)
  append(queue, '3')
  const kept = take(queue)
  queue.land(lost)
  queue.remove(lost)
  queue.land(kept)
  expect(queue.waitsForEarlier(kept)).toBe(false)
  queue.endSequence()
  queue.startSequence({ producerId: 2, producerEpoch: 0 })
  expect(take(queue).sequencedBy).toEqual({ producerId: 2, producerEpoch: 0, baseSequence: 0 })
})

test('the halves of a split batch take its sequence numbers', () => {
  const queue = new PartitionQueue('t', 0, { ...limits, maxBatchBytes: 10_000 })
  queue.startSequence(identity)
  append(queue, 'before')
  const before = take(queue)
  queue.land(before)
  queue.remove(before)
  for (let index = 0; index < 5; index++) append(queue, String(index))
  const [first, second] = take(queue).split()
  expect([first.records.length, second.records.length]).toEqual([2, 3])
  expect([first.sequencedBy!.baseSequence, second.sequencedBy!.baseSequence]).toEqual([1, 3])
})

test('sequence numbers start again at zero after 2^31 - 1', () => {
  expect(sequenceAfter(2 ** 31 - 1, 1)).toBe(0)
  expect(sequenceAfter(2 ** 31 - 2, 5)).toBe(3)
})

/** A record whose call waits for its batch. */
function sendAlone(queue: PartitionQueue, value: string) {
  const record = { key: null, value, headers: [], timestamp: 7, delivery: undefined, slot: 0 }
  return queue.append(record, recordBytes(record)).sent()
}

test('calls that wait for their batch each get their own place in it, those of a group between them too', async () => {
  const queue = new PartitionQueue('t', 0, { ...limits, maxBatchBytes: 1_000 })
  const group = new GroupDelivery(2)
  const grouped = { key: null, value: 'g', headers: [], timestamp: 7, delivery: group }
  queue.append({ ...grouped, slot: 0 }, 20)
  const first = sendAlone(queue, '1')
  queue.append({ ...grouped, slot: 1 }, 20)
  const rest = ['2', '3'].map((value) => sendAlone(queue, value))
  take(queue).settle('t', 0, 40, -1)
  const at = (offset: number) => ({ topic: 't', partition: 0, offset, timestamp: 7 })
  expect(await group.promise).toEqual([at(40), at(42)])
  expect(await Promise.all([first, ...rest])).toEqual([at(41), at(43), at(44)])
})

test('calls that wait for a batch that was split get what became of its halves', async () => {
  const queue = new PartitionQueue('t', 0, { ...limits, maxBatchBytes: 1_000 })
  const calls = ['1', '2', '3', '4'].map((value) => sendAlone(queue, value))
  const settled = Promise.allSettled(calls)
  const [first, second] = take(queue).split()
  const [third, fourth] = second.split()
  fourth.settle('t', 0, 10, 99)
  first.settle('t', 0, 5, -1)
  const tooLarge = new StreamBusError('MESSAGE_TOO_LARGE', 'The broker takes less.')
  third.fail(tooLarge)
  expect(await settled).toEqual([
    { status: 'fulfilled', value: { topic: 't', partition: 0, offset: 5, timestamp: 7 } },
    { status: 'fulfilled', value: { topic: 't', partition: 0, offset: 6, timestamp: 7 } },
    { status: 'rejected', reason: tooLarge },
    { status: 'fulfilled', value: { topic: 't', partition: 0, offset: 10, timestamp: 99 } },
  ])
})
