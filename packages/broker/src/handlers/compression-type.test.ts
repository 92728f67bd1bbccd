import {
  batchesIn,
  batchHeader,
  type CompressionName,
  changeBatchHeader,
  compressionNames,
  ErrorCode,
  encodeRecordBatch,
  incrementalAlterConfigs,
  initProducerId,
  loadCodec,
  produce,
} from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  produceBatch,
  produceRequest,
  valuesOf,
} from '../testing/requests.ts'

/** What `compression.type` does to batches on their way into the log. */
let broker: Broker
let client: RawClient

beforeEach(async () => {
  await Promise.all(compressionNames.map(loadCodec))
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
})

afterEach(async () => {
  client.close()
  await broker.close()
})

const storedBatches = async (topic: string) => {
  const { records } = await fetchPartition(client, topic, 0)
  return [...batchesIn(records!)].map(({ position, byteLength }) =>
    records!.subarray(position, position + byteLength),
  )
}
const codecsOf = async (topic: string) =>
  (await storedBatches(topic)).map((batch) => compressionNames[batchHeader.codec(batch, 0)])
const valuesIn = async (topic: string) =>
  valuesOf((await fetchPartition(client, topic, 0)).records).map(({ value }) => value)

async function setType(topic: string, type: string, asking = client): Promise<void> {
  const { responses } = await asking.request(incrementalAlterConfigs, 1, {
    resources: [
      {
        resourceType: 2,
        resourceName: topic,
        configs: [{ name: 'compression.type', configOperation: 0, value: type }],
      },
    ],
    validateOnly: false,
  })
  expect(responses[0]).toMatchObject({ errorCode: 0 })
}

test.each(['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd', 'producer'] as const)(
  'a topic of %s stores what arrives in every codec in its own',
  async (type) => {
    await createTopic(client, 'words', { configs: { 'compression.type': type } })
    for (const [at, compression] of compressionNames.entries()) {
      const batch = batchOf([`${compression} ${'x'.repeat(40_000)}`, 'b'], { compression })
      expect(await produceBatch(client, 'words', batch)).toMatchObject({
        errorCode: 0,
        baseOffset: BigInt(2 * at),
      })
    }
    expect(
      (await valuesIn('words')).filter((_, at) => at % 2 === 0).map((value) => value.split(' ')[0]),
    ).toEqual(compressionNames)
    const stored = type === 'uncompressed' ? 'none' : type
    expect(await codecsOf('words')).toEqual(
      compressionNames.map((sent) => (stored === 'producer' ? sent : stored)),
    )
  },
)

test('a batch in the codec of its topic is stored byte for byte, and not decompressed', async () => {
  await createTopic(client, 'words', { configs: { 'compression.type': 'gzip' } })
  const batch = batchOf(['a'], { compression: 'gzip' })
  // Nothing that gzip can read: only who decompresses finds out.
  Buffer.from(batch.buffer, batch.byteOffset, batch.length).fill(7, 61)
  changeBatchHeader(batch, 0, {})
  expect(await produceBatch(client, 'words', batch)).toMatchObject({ errorCode: 0 })
  expect((await storedBatches('words'))[0]!.subarray(16)).toEqual(batch.subarray(16))
})

test('changing the setting takes effect with the next batch', async () => {
  await createTopic(client, 'words')
  for (const type of ['producer', 'zstd', 'uncompressed', 'lz4', 'producer']) {
    await setType('words', type)
    expect(await produceBatch(client, 'words', batchOf(['a'], { compression: 'gzip' }))).toMatchObject({
      errorCode: 0,
    })
  }
  expect(await codecsOf('words')).toEqual(['gzip', 'zstd', 'none', 'lz4', 'gzip'])
})

test('a default that the broker was started with holds for topics without a type of their own', async () => {
  await using other = await Broker.start({ port: 0, topicDefaults: { 'compression.type': 'lz4' } })
  const asking = await RawClient.connect(other)
  await createTopic(asking, 'inheriting')
  await produceBatch(asking, 'inheriting', batchOf(['a']))
  const { records } = await fetchPartition(asking, 'inheriting', 0)
  expect(compressionNames[batchHeader.codec(records!, 0)]).toBe('lz4')
  asking.close()
})

/** Batches of one idempotent producer, each of another size and codec, so that each takes another time. */
function pipelined(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) =>
    batchOf([`${at} ${'x'.repeat(at % 3 === 0 ? 200_000 : 10)}`], {
      compression: compressionNames[at % compressionNames.length] as CompressionName,
      producerId: 7,
      producerEpoch: 0,
      baseSequence: at,
    }),
  )
}

test('batches of one partition keep their order, whatever has to be done with them', async () => {
  await createTopic(client, 'words', { configs: { 'compression.type': 'gzip' } })
  await createTopic(client, 'others')
  const count = 60
  // Some change the setting while batches wait: those behind them must wait as well.
  const admin = await RawClient.connect(broker)
  const changes: Promise<void>[] = []
  const answers = pipelined(count).map((records, at) => {
    if (at % 10 === 5) changes.push(setType('words', at % 20 === 5 ? 'producer' : 'gzip', admin))
    return client.request(produce, 9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        { name: 'words', partitionData: [{ index: 0, records }] },
        { name: 'others', partitionData: [{ index: 0, records }] },
      ],
    })
  })
  for (const [at, answer] of answers.entries()) {
    const { responses } = await answer
    for (const { partitionResponses } of responses) {
      expect(partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: BigInt(at) })
    }
  }
  await Promise.all(changes)
  const order = Array.from({ length: count }, (_, at) => String(at))
  expect((await valuesIn('words')).map((value) => value.split(' ')[0])).toEqual(order)
  expect((await valuesIn('others')).map((value) => value.split(' ')[0])).toEqual(order)
  admin.close()
})

test('a repeated batch is recognised, also while the first one is on its way', async () => {
  await createTopic(client, 'words', { configs: { 'compression.type': 'zstd' } })
  const batches = pipelined(6)
  const twice = await Promise.all(
    [...batches, ...batches.slice(1)].map((one) => produceBatch(client, 'words', one)),
  )
  expect(twice.map(({ baseOffset }) => Number(baseOffset))).toEqual([0, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
  expect(await valuesIn('words')).toHaveLength(6)
  const gap = batchOf(['a'], { producerId: 7, producerEpoch: 0, baseSequence: 9, compression: 'gzip' })
  expect(await produceBatch(client, 'words', gap)).toMatchObject({
    errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  })
})

test('of LogAppendTime the time of arrival is stored and told', async () => {
  const configs = { 'compression.type': 'zstd', 'message.timestamp.type': 'LogAppendTime' }
  await createTopic(client, 'words', { configs })
  const before = BigInt(Date.now())
  const batch = encodeRecordBatch([{ value: 'a', timestamp: 1 }], { compression: 'gzip' })
  const { logAppendTimeMs } = await produceBatch(client, 'words', batch)
  expect(logAppendTimeMs).toBeGreaterThanOrEqual(before)
  const [stored] = await storedBatches('words')
  expect(batchHeader.isLogAppendTime(stored!, 0)).toBe(true)
  expect(BigInt(batchHeader.maxTimestamp(stored!, 0))).toBe(logAppendTimeMs)
  expect(batchHeader.codec(stored!, 0)).toBe(4)
})

test('a batch of a transaction stays one, and is checked against it', async () => {
  await createTopic(client, 'words', { configs: { 'compression.type': 'zstd' } })
  const transactionalId = 'tx'
  const { producerId, producerEpoch } = await client.request(initProducerId, 4, {
    transactionalId,
    transactionTimeoutMs: 60_000,
    producerId: -1n,
    producerEpoch: -1,
  })
  const options = { producerId, producerEpoch, transactional: true, compression: 'gzip' } as const
  const send = async (baseSequence: number, epoch = producerEpoch) => {
    const records = batchOf([`${baseSequence}`], { ...options, producerEpoch: epoch, baseSequence })
    const { responses } = await client.request(produce, 12, {
      ...produceRequest('words', [{ index: 0, records }]),
      transactionalId,
    })
    return responses[0]!.partitionResponses[0]!.errorCode
  }
  expect(await Promise.all([send(0), send(1), send(2)])).toEqual([0, 0, 0])
  for (const stored of await storedBatches('words')) {
    expect(batchHeader.isTransactional(stored, 0)).toBe(true)
    expect(batchHeader.codec(stored, 0)).toBe(4)
  }
  expect(await send(3, producerEpoch + 1)).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
})

test('what cannot be decompressed is refused by itself, with a sentence', async () => {
  await createTopic(client, 'words', { partitions: 2, configs: { 'compression.type': 'zstd' } })
  const damaged = batchOf(['a'], { compression: 'gzip' })
  damaged.fill(7, 61)
  changeBatchHeader(damaged, 0, {})
  const { responses } = await client.request(
    produce,
    9,
    produceRequest('words', [
      { index: 0, records: damaged },
      { index: 1, records: batchOf(['good'], { compression: 'gzip' }) },
    ]),
  )
  expect(responses[0]!.partitionResponses).toMatchObject([
    {
      errorCode: ErrorCode.INVALID_RECORD,
      baseOffset: -1n,
      errorMessage: expect.stringMatching(/^The records of the batch are malformed: gzip: .*\.$/),
    },
    { errorCode: 0, baseOffset: 0n },
  ])
  expect(await produceBatch(client, 'words', batchOf(['next']))).toMatchObject({ baseOffset: 0n })

  client.send(produce, 9, produceRequest('words', [{ index: 0, records: damaged }], { acks: 0 }))
  await client.closed
})

test('a record that a compacted topic cannot take is named', async () => {
  const configs = { 'compression.type': 'zstd', 'cleanup.policy': 'compact' }
  await createTopic(client, 'table', { configs })
  const unkeyed = encodeRecordBatch([{ key: 'a' }, { value: 'b' }], { compression: 'snappy' })
  expect(await produceBatch(client, 'table', unkeyed)).toMatchObject({
    errorCode: ErrorCode.INVALID_RECORD,
    recordErrors: [{ batchIndex: 1, batchIndexErrorMessage: expect.stringMatching(/Record 1 .* no key/) }],
  })
})

test('acks=0 is appended before the connection that asked is closed', async () => {
  await createTopic(client, 'words', { configs: { 'compression.type': 'gzip' } })
  const sender = await RawClient.connect(broker)
  for (let at = 0; at < 20; at++) {
    sender.send(produce, 9, produceRequest('words', [{ index: 0, records: batchOf([`${at}`]) }], { acks: 0 }))
  }
  sender.socket.end()
  await sender.closed
  await expect.poll(() => valuesIn('words')).toEqual(Array.from({ length: 20 }, (_, at) => `${at}`))
})

test('what the broker has acknowledged when it closes is stored, in order', async () => {
  const store = await MemoryLogStore.open()
  const closing = await Broker.start({ port: 0, store, keepStoreOpen: true })
  const sender = await RawClient.connect(closing)
  await createTopic(sender, 'words', { configs: { 'compression.type': 'gzip' } })
  const answers = pipelined(20).map((batch) => produceBatch(sender, 'words', batch))
  await answers[0]
  await closing.close()
  const outcomes = await Promise.allSettled(answers)
  const acknowledged = outcomes.filter(({ status }) => status === 'fulfilled')
  await using again = await Broker.start({ port: 0, store })
  const reader = await RawClient.connect(again)
  const stored = valuesOf((await fetchPartition(reader, 'words', 0)).records)
  reader.close()
  expect(stored.length).toBeGreaterThanOrEqual(acknowledged.length)
  expect(stored.map(({ value }) => value.split(' ')[0])).toEqual(stored.map((_, at) => String(at)))
})
