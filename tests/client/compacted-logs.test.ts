/**
 * Logs as compaction leaves them: batches whose last records are gone, batches without a record, offsets no batch
 * covers, tombstones whose batch has a delete horizon. Written into the store past the broker, which takes none of
 * this from a producer.
 */
import type { Message, StreamBus } from '@streambus/client'
import { encodeRecordBatch } from '@streambus/protocol'
import type { KeepingPolicy, LogStore } from '@streambus/storage'
import { MemoryLogStore } from '@streambus/storage'
import { Kafka, logLevel } from 'kafkajs'
import { beforeEach, expect, test } from 'vitest'
import { emptyBatch, extendTo } from '../../packages/storage/src/compaction/offset-range.ts'
import { collect, needsStreamBus, settled, startBus } from './test-bus.ts'

const policy = (): KeepingPolicy => ({
  compaction: { minDirtyRatio: 0, minLagMs: 0, maxLagMs: 1e15, deleteRetentionMs: 3600_000 },
  segmentBytes: 1,
  segmentMs: 1,
  retentionMs: Number.POSITIVE_INFINITY,
  retentionBytes: Number.POSITIVE_INFINITY,
})

beforeEach((context) => needsStreamBus(context, 'the store is written to directly'))

async function openLog(): Promise<{ store: LogStore; append: (...batches: Uint8Array[]) => Promise<void> }> {
  const store = await MemoryLogStore.open()
  const { logs } = await store.createTopic({ name: 't', partitions: 1 })
  return {
    store,
    append: async (...batches) => {
      for (const bytes of batches) {
        const [result] = await store.append([{ logId: logs[0]!, bytes }])
        if (result?.error !== null) throw result?.error
      }
    },
  }
}

/** One record, and so many offsets behind it that have none. */
function thinned(value: string, emptyOffsets: number): Uint8Array {
  const batch = encodeRecordBatch([{ key: value, value, timestamp: 1000 }])
  extendTo(batch, 1 + emptyOffsets)
  return batch
}

const offsetsAndTexts = (messages: readonly Message[]) =>
  messages.map((message): [number, string | null] => [message.offset, message.text()])

const shapes: Record<string, { batches: Uint8Array[]; expected: [number, string][] }> = {
  'batches whose last records are gone': {
    batches: [thinned('a', 9), thinned('b', 0), thinned('c', 99)],
    expected: [
      [0, 'a'],
      [10, 'b'],
      [11, 'c'],
    ],
  },
  'batches without a record, at the start, in the middle and at the end': {
    batches: [
      emptyBatch(0, 5, 0),
      thinned('a', 1),
      emptyBatch(0, 1, 0),
      emptyBatch(0, 1000, 0),
      thinned('b', 0),
      emptyBatch(0, 3, 0),
    ],
    expected: [
      [5, 'a'],
      [1008, 'b'],
    ],
  },
  'nothing but batches without a record': {
    batches: [emptyBatch(0, 7, 0), emptyBatch(0, 3, 0)],
    expected: [],
  },
}

for (const [name, { batches, expected }] of Object.entries(shapes)) {
  test(`${name}: every reader comes to the end, and to every record`, async () => {
    const { store, append } = await openLog()
    await append(...batches)
    await using session = await startBus({ store })
    const { bus } = session
    const [end] = await store.state([1])
    for (const isolation of ['read_committed', 'read_uncommitted'] as const) {
      for (const maxBytes of [1, 1024 ** 2]) {
        for (const from of [0, 1, 5, 6, 7, 10, 11, 500, end!.highWatermark]) {
          if (from > end!.highWatermark) continue
          const options = { from, until: 'end', isolation, maxPartitionBytes: maxBytes, maxBytes } as const
          const read = await collect(bus.consumer('t', options))
          expect(offsetsAndTexts(read)).toEqual(expected.filter(([offset]) => offset >= from))
        }
      }
    }
    const grouped = { group: 'g', until: 'end' } as const
    expect((await collect(bus.consumer('t', grouped))).map(({ offset }) => offset)).toEqual(
      expected.map(([offset]) => offset),
    )
    expect(await collect(bus.consumer('t', grouped))).toEqual([])
  })
}

/** A log of updates by plain and transactional producers, with what a reader gets of it before and after. */
async function writeUpdates(bus: StreamBus): Promise<void> {
  const plain = bus.producer({ compression: 'gzip' })
  const transactional = bus.producer({ transactionalId: 'p' })
  for (let round = 0; round < 10; round++) {
    await plain.sendBatch('t', [
      { key: `k${round % 3}`, value: `plain ${round}` },
      { key: `own ${round}`, value: 'x' },
    ])
    await transactional
      .transaction(async (tx) => {
        await tx.send('t', `transactional ${round}`, { key: `t${round % 4}` })
        await tx.send('t', `transactional ${round}`, { key: 'k0' })
        if (round % 3 === 0) throw new Error('aborted')
      })
      .catch(() => {})
  }
  await plain.send('t', null, { key: 'k1' })
  await settled(bus)
}

const fields = (messages: readonly Message[]) =>
  messages.map((message) => ({
    offset: message.offset,
    key: message.key?.toString(),
    value: message.text(),
    timestamp: message.timestamp,
  }))

test('a compacted topic gives the last message of each key, to who reads what is committed and to who reads all', async () => {
  const { store } = await openLog()
  await using session = await startBus({ store })
  const { bus } = session
  await writeUpdates(bus)
  const read = async (isolation: 'read_committed' | 'read_uncommitted', maxBytes = 1024 ** 2) =>
    fields(
      await collect(bus.consumer('t', { until: 'end', isolation, maxPartitionBytes: maxBytes, maxBytes })),
    )
  const last = new Map((await read('read_committed')).map((message) => [message.key, message]))
  await bus.producer().send('t', 'x', { key: 'newest' })
  await store.maintain({ maxBytes: 1e9 }, policy)
  const expected = [...last.values()].sort((a, b) => a.offset - b.offset)
  expect(expected.some(({ value }) => value === null)).toBe(true)
  for (const isolation of ['read_committed', 'read_uncommitted'] as const) {
    for (const maxBytes of [1, 1024 ** 2]) {
      expect((await read(isolation, maxBytes)).slice(0, -1)).toEqual(expected)
    }
  }
  // The producer of the aborted transactions goes on: its markers are gone, and hide nothing of this.
  await bus.producer({ transactionalId: 'p' }).transaction((tx) => tx.send('t', 'after', { key: 't0' }))
  await settled(bus)
  expect((await read('read_committed')).at(-1)).toMatchObject({ key: 't0', value: 'after' })
})

test('kafkajs reads a compacted topic to its end', async () => {
  const { store } = await openLog()
  await using session = await startBus({ store })
  const { bus, broker } = session
  await writeUpdates(bus)
  await bus.producer().send('t', 'x', { key: 'newest' })
  await store.maintain({ maxBytes: 1e9 }, policy)
  const expected = (await collect(bus.consumer('t', { until: 'end' }))).map(({ offset }) => offset)
  const kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: 'foreign', maxBytesPerPartition: 200 })
  await consumer.connect()
  await consumer.subscribe({ topic: 't', fromBeginning: true })
  const found: number[] = []
  await new Promise<void>((resolve) => {
    void consumer.run({
      eachMessage: async ({ message }) => {
        found.push(Number(message.offset))
        if (message.key?.toString() === 'newest') resolve()
      },
    })
  })
  await consumer.disconnect()
  expect(found).toEqual(expected)
})
