import { ErrorCode, type FetchRequestInput, fetch, loadCodec, produce } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  fetchRequest,
  produceBatch,
  produceRequest,
  valuesOf,
} from '../testing/requests.ts'

let broker: Broker
let client: RawClient
let producer: RawClient
let topicId: string

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  producer = await RawClient.connect(broker)
  topicId = (await createTopic(client, 'words', { partitions: 3 })).topicId
})

afterEach(async () => {
  client.close()
  producer.close()
  await broker.close()
})

/** The same request in any version: by name before 13, by id from then on. */
function requestIn(version: number, partitions: { partition: number; fetchOffset: number }[]) {
  const request = fetchRequest('words', partitions)
  return version < 13 ? request : { ...request, topics: [{ ...request.topics[0]!, topic: '', topicId }] }
}

test('every served version returns the batches from the one that contains the offset', async () => {
  await produceBatch(client, 'words', batchOf(['a', 'b', 'c']))
  await produceBatch(client, 'words', batchOf(['d']))
  for (let version = 4; version <= 17; version++) {
    const { responses } = await client.request(
      fetch,
      version,
      requestIn(version, [{ partition: 0, fetchOffset: 1 }]),
    )
    const { records, ...rest } = responses[0]!.partitions[0]!
    expect(valuesOf(records)).toEqual([
      { offset: 0, value: 'a' },
      { offset: 1, value: 'b' },
      { offset: 2, value: 'c' },
      { offset: 3, value: 'd' },
    ])
    expect(rest).toMatchObject({
      errorCode: 0,
      highWatermark: 4n,
      lastStableOffset: 4n,
      abortedTransactions: null,
    })
  }
})

test('at the end: empty; beyond it or before the start: OFFSET_OUT_OF_RANGE', async () => {
  await produceBatch(client, 'words', batchOf(['a']))
  const atEnd = await fetchPartition(client, 'words', 1)
  expect(atEnd).toMatchObject({ errorCode: 0, highWatermark: 1n })
  expect(atEnd.records).toHaveLength(0)
  for (const offset of [2, -1]) {
    expect(await fetchPartition(client, 'words', offset)).toMatchObject({
      errorCode: ErrorCode.OFFSET_OUT_OF_RANGE,
      highWatermark: -1n,
    })
  }
})

test('unknown topics, ids and partitions, and other leader epochs, fail one by one', async () => {
  await produceBatch(client, 'words', batchOf(['a']))
  const named = await client.request(fetch, 12, {
    ...fetchRequest('words', []),
    topics: [
      {
        topic: 'words',
        partitions: [
          { partition: 0, fetchOffset: 0n, partitionMaxBytes: 1000, currentLeaderEpoch: 0 },
          { partition: 1, fetchOffset: 0n, partitionMaxBytes: 1000, currentLeaderEpoch: 5 },
          { partition: 9, fetchOffset: 0n, partitionMaxBytes: 1000 },
        ],
      },
      { topic: 'missing', partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1000 }] },
    ],
  })
  expect(named.responses.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([
    ErrorCode.NONE,
    ErrorCode.UNKNOWN_LEADER_EPOCH,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ])
  const byId = await client.request(fetch, 17, {
    ...fetchRequest('', []),
    topics: [
      {
        topicId: 'AAAAAAAAAAAAAAAAAAAAEQ',
        partitions: [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1000 }],
      },
    ],
  })
  expect(byId.responses[0]).toMatchObject({
    topicId: 'AAAAAAAAAAAAAAAAAAAAEQ',
    partitions: [{ errorCode: ErrorCode.UNKNOWN_TOPIC_ID }],
  })
})

test('the first partition with records returns one whole batch despite all limits, later ones obey', async () => {
  for (const index of [1, 2]) {
    await client.request(
      produce,
      9,
      produceRequest('words', [{ index, records: batchOf(['x'.repeat(5000)]) }]),
    )
  }
  const partitions = [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0, maxBytes: 100 }))
  const { responses } = await client.request(fetch, 12, fetchRequest('words', partitions, { maxBytes: 1 }))
  expect(responses[0]!.partitions.map(({ records }) => valuesOf(records).length)).toEqual([0, 1, 0])
})

test('read_committed lists aborted transactions, of which there are none', async () => {
  await produceBatch(client, 'words', batchOf(['a']))
  const { responses } = await client.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { isolationLevel: 1 }),
  )
  expect(responses[0]!.partitions[0]!.abortedTransactions).toEqual([])
})

test('a long poll is answered when records arrive, or empty when its time is up', async () => {
  const waiting = client.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 }),
  )
  await produceBatch(producer, 'words', batchOf(['news']))
  const { responses } = await waiting
  expect(valuesOf(responses[0]!.partitions[0]!.records)).toEqual([{ offset: 0, value: 'news' }])

  const empty = await client.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 1 }], { maxWaitMs: 20 }),
  )
  expect(empty.responses[0]!.partitions[0]).toMatchObject({ errorCode: 0, highWatermark: 1n })
})

test('a long poll waits for minBytes over several appends', async () => {
  const waiting = client.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000, minBytes: 3000 }),
  )
  for (let i = 0; i < 3; i++) await produceBatch(producer, 'words', batchOf(['x'.repeat(1000)]))
  const { responses } = await waiting
  expect(valuesOf(responses[0]!.partitions[0]!.records)).toHaveLength(3)
})

test('a long poll ends when its topic is deleted, and when a partition has an error it never waits', async () => {
  const request = (partition: number): FetchRequestInput =>
    fetchRequest('words', [{ partition, fetchOffset: 0 }], { maxWaitMs: 60_000 })
  const failed = await client.request(fetch, 12, request(77))
  expect(failed.responses[0]!.partitions[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

  const waiting = client.request(fetch, 12, request(0))
  await broker.store.deleteTopic(topicId)
  const { responses } = await waiting
  expect(responses[0]!.partitions[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
})

test('nothing to fetch: answered at once', async () => {
  const { responses } = await client.request(fetch, 12, {
    ...fetchRequest('words', []),
    topics: [],
    maxWaitMs: 60_000,
  })
  expect(responses).toEqual([])
})

test('clients from before zstd get an error in the place of zstd, and other records whole', async () => {
  await loadCodec(4)
  const noise = Array.from({ length: 300 }, (_, i) => `${i}`.repeat(100))
  await produceBatch(client, 'words', batchOf(noise))
  expect(valuesOf((await fetchPartition(client, 'words', 0, 9)).records)).toHaveLength(300)
  await produceBatch(client, 'words', batchOf(['a'], { compression: 'zstd' }))
  expect(await fetchPartition(client, 'words', 0, 9)).toMatchObject({
    errorCode: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  })
  expect(valuesOf((await fetchPartition(client, 'words', 0, 10)).records)).toHaveLength(301)
})

test('a session is told only what changed', async () => {
  const all = [0, 1, 2].map((partition) => ({ partition, fetchOffset: 0 }))
  const first = await client.request(fetch, 12, fetchRequest('words', all, { sessionEpoch: 0 }))
  expect(first.sessionId).toBeGreaterThan(0)
  expect(first.responses[0]!.partitions).toHaveLength(3)
  const { sessionId } = first
  const next = (sessionEpoch: number, extra: Partial<FetchRequestInput> = {}) =>
    client.request(fetch, 12, {
      ...fetchRequest('words', []),
      topics: [],
      sessionId,
      sessionEpoch,
      ...extra,
    })
  expect(await next(1)).toMatchObject({ sessionId, errorCode: 0, responses: [] })

  const waiting = next(2, { maxWaitMs: 60_000 })
  await producer.request(produce, 9, produceRequest('words', [{ index: 1, records: batchOf(['a']) }]))
  const second = await waiting
  expect(second.responses[0]!.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([1])

  const third = await next(3, {
    topics: [{ topic: 'words', partitions: [{ partition: 1, fetchOffset: 1n, partitionMaxBytes: 1000 }] }],
    forgottenTopicsData: [{ topic: 'words', partitions: [0] }],
  })
  expect(third.responses).toEqual([])

  expect(await next(3)).toMatchObject({ errorCode: ErrorCode.INVALID_FETCH_SESSION_EPOCH, sessionId: 0 })
  expect(await next(4, { sessionId: sessionId + 1 })).toMatchObject({
    errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  })
  const byId = await client.request(fetch, 13, {
    ...fetchRequest('', []),
    topics: [],
    sessionId,
    sessionEpoch: 4,
  })
  expect(byId).toMatchObject({ errorCode: ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR })

  expect(await next(-1)).toMatchObject({ errorCode: 0, sessionId: 0, responses: [] })
  expect(await next(5)).toMatchObject({ errorCode: ErrorCode.FETCH_SESSION_ID_NOT_FOUND })
})
