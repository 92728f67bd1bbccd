import {
  type CreateTopicsRequestInput,
  createPartitions,
  createTopics,
  type DescribeLogDirsRequestInput,
  deleteTopics,
  describeLogDirs,
  ErrorCode,
  encodeRecordBatch,
  ZERO_UUID,
} from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, produceBatch } from '../testing/requests.ts'

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0, defaultPartitions: 2 })
  client = await RawClient.connect(broker)
})

afterEach(async () => {
  client.close()
  await broker.close()
})

type TopicInput = CreateTopicsRequestInput['topics'][number]

function topicInput(name: string, rest: Partial<TopicInput> = {}): TopicInput {
  return { name, numPartitions: -1, replicationFactor: -1, assignments: [], configs: [], ...rest }
}

test('CreateTopics in every version, with defaults', async () => {
  for (let version = 0; version <= 7; version++) {
    const { topics } = await client.request(createTopics, version, { topics: [topicInput(`t${version}`)] })
    expect(topics).toMatchObject([{ name: `t${version}`, errorCode: 0 }])
    expect(broker.store.topics.byName(`t${version}`)!.logs).toHaveLength(2)
    if (version >= 5) {
      expect(topics[0]).toMatchObject({ numPartitions: 2, replicationFactor: 1 })
      expect(topics[0]!.configs).toContainEqual(
        expect.objectContaining({ name: 'max.message.bytes', value: '1048588', configSource: 5 }),
      )
    }
    if (version >= 7) expect(topics[0]!.topicId).toBe(broker.store.topics.byName('t7')!.id)
  }
})

test.each<[string, TopicInput, number, RegExp]>([
  ['an empty name', topicInput(''), ErrorCode.INVALID_TOPIC_EXCEPTION, /1 to 249 of the characters/],
  ['.', topicInput('.'), ErrorCode.INVALID_TOPIC_EXCEPTION, /cannot be named '\.'/],
  ['..', topicInput('..'), ErrorCode.INVALID_TOPIC_EXCEPTION, /cannot be named/],
  ['250 letters', topicInput('a'.repeat(250)), ErrorCode.INVALID_TOPIC_EXCEPTION, /too long/],
  ['a slash', topicInput('a/b'), ErrorCode.INVALID_TOPIC_EXCEPTION, /not allowed/],
  ['no partitions', topicInput('t', { numPartitions: 0 }), ErrorCode.INVALID_PARTITIONS, /1 to 100000/],
  ['too many', topicInput('t', { numPartitions: 2e9 }), ErrorCode.INVALID_PARTITIONS, /1 to 100000/],
  [
    'three replicas',
    topicInput('t', { replicationFactor: 3 }),
    ErrorCode.INVALID_REPLICATION_FACTOR,
    /must be 1 .*there is one broker/,
  ],
  [
    'a misspelt setting',
    topicInput('t', { configs: [{ name: 'max.mesage.bytes', value: '1' }] }),
    ErrorCode.INVALID_CONFIG,
    /no topic setting 'max.mesage.bytes'; the nearest one is max.message.bytes/,
  ],
  [
    'a value that is not served',
    topicInput('t', { configs: [{ name: 'compression.type', value: 'none' }] }),
    ErrorCode.INVALID_CONFIG,
    /cannot be 'none': it must be uncompressed, gzip, snappy, lz4, zstd, or producer/,
  ],
  [
    'values that cannot be together',
    topicInput('t', {
      configs: [
        { name: 'min.compaction.lag.ms', value: '2000' },
        { name: 'max.compaction.lag.ms', value: '1000' },
      ],
    }),
    ErrorCode.INVALID_CONFIG,
    /min.compaction.lag.ms is 2000, and cannot be above max.compaction.lag.ms, which is 1000/,
  ],
  [
    'a batch size above what storage takes',
    topicInput('t', { configs: [{ name: 'max.message.bytes', value: '2000000000' }] }),
    ErrorCode.INVALID_CONFIG,
    /from 1 to \d+/,
  ],
  [
    'a setting without a value',
    topicInput('t', { configs: [{ name: 'cleanup.policy', value: null }] }),
    ErrorCode.INVALID_CONFIG,
    /has no value/,
  ],
  [
    'assignments and a number',
    topicInput('t', { numPartitions: 1, assignments: [{ partitionIndex: 0, brokerIds: [1] }] }),
    ErrorCode.INVALID_REQUEST,
    /must both be -1/,
  ],
  [
    'another broker',
    topicInput('t', { assignments: [{ partitionIndex: 0, brokerIds: [2] }] }),
    ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    /broker 1 and no other/,
  ],
  [
    'a gap in the assignments',
    topicInput('t', { assignments: [{ partitionIndex: 1, brokerIds: [1] }] }),
    ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    /0, 1, 2/,
  ],
])('CreateTopics with %s is refused with a sentence', async (_, topic, errorCode, sentence) => {
  const { topics } = await client.request(createTopics, 7, { topics: [topic, topicInput('good')] })
  expect(topics).toMatchObject([{ errorCode }, { errorCode: 0 }])
  expect(topics[0]!.errorMessage).toMatch(sentence)
  expect(topics[0]!.errorMessage).toMatch(/\.$/)
})

test('CreateTopics: existing, repeated, assigned, and only validated topics', async () => {
  await createTopic(client, 'old')
  const { topics } = await client.request(createTopics, 7, {
    topics: [
      topicInput('old'),
      topicInput('twice'),
      topicInput('twice'),
      topicInput('placed', {
        assignments: [0, 1, 2].map((partitionIndex) => ({ partitionIndex, brokerIds: [1] })),
      }),
    ],
  })
  expect(topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
    ['old', ErrorCode.TOPIC_ALREADY_EXISTS],
    ['twice', ErrorCode.INVALID_REQUEST],
    ['placed', 0],
  ])
  expect(broker.store.topics.byName('placed')!.logs).toHaveLength(3)
  const validated = await client.request(createTopics, 7, {
    topics: [topicInput('imagined')],
    validateOnly: true,
  })
  expect(validated.topics).toMatchObject([{ errorCode: 0, topicId: ZERO_UUID }])
  expect(broker.store.topics.byName('imagined')).toBeUndefined()
})

test('DeleteTopics by name and by id; the name is free at once and the new topic starts at 0', async () => {
  for (let version = 0; version <= 5; version++) {
    await createTopic(client, 'words')
    expect(await produceBatch(client, 'words', batchOf(['x']))).toMatchObject({ baseOffset: 0n })
    const { responses } = await client.request(deleteTopics, version, {
      topicNames: ['words', 'missing'],
      timeoutMs: 1000,
    })
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION])
  }
  const { topicId } = await createTopic(client, 'words')
  await createTopic(client, 'other')
  const { responses } = await client.request(deleteTopics, 6, {
    topics: [
      { name: null, topicId },
      { name: null, topicId: 'AAAAAAAAAAAAAAAAAAAAEQ' },
      { name: null, topicId: ZERO_UUID },
      { name: 'other', topicId: ZERO_UUID },
      { name: 'other', topicId: ZERO_UUID },
    ],
    timeoutMs: 1000,
  })
  expect(responses).toMatchObject([
    { errorCode: 0, name: 'words', topicId },
    { errorCode: ErrorCode.UNKNOWN_TOPIC_ID },
    { errorCode: ErrorCode.INVALID_REQUEST },
    { errorCode: ErrorCode.INVALID_REQUEST },
    { errorCode: ErrorCode.INVALID_REQUEST },
  ])
  expect([...broker.store.topics.all()].map(({ name }) => name)).toEqual(['other'])
})

test('CreatePartitions raises the number and nothing else', async () => {
  await createTopic(client, 'words', { partitions: 2 })
  const raise = async (count: number, rest: { brokers?: number[][]; validateOnly?: boolean } = {}) => {
    const { results } = await client.request(createPartitions, 3, {
      topics: [
        { name: 'words', count, assignments: rest.brokers?.map((brokerIds) => ({ brokerIds })) ?? null },
      ],
      timeoutMs: 1000,
      validateOnly: rest.validateOnly ?? false,
    })
    return results[0]!
  }
  expect(await raise(2)).toMatchObject({ errorCode: ErrorCode.INVALID_PARTITIONS })
  expect((await raise(1)).errorMessage).toMatch(/has 2 partitions; the new number must be larger/)
  expect(await raise(4, { brokers: [[1]] })).toMatchObject({
    errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT,
  })
  expect(await raise(4, { validateOnly: true })).toMatchObject({ errorCode: 0, errorMessage: null })
  expect(broker.store.topics.byName('words')!.logs).toHaveLength(2)
  expect(await raise(4, { brokers: [[1], [1]] })).toMatchObject({ errorCode: 0 })
  expect(broker.store.topics.byName('words')!.logs).toHaveLength(4)
  const { results } = await client.request(createPartitions, 0, {
    topics: [{ name: 'missing', count: 4, assignments: null }],
    timeoutMs: 1000,
    validateOnly: false,
  })
  expect(results[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
})

test('DescribeLogDirs tells the bytes of records that partitions have', async () => {
  await createTopic(client, 'words')
  const batch = batchOf(['some bytes'])
  await produceBatch(client, 'words', batch)
  for (let version = 0; version <= 4; version++) {
    const { results } = await client.request(describeLogDirs, version, {
      topics: version % 2 === 0 ? null : [{ topic: 'words', partitions: [0, 7] }],
    })
    expect(results).toMatchObject([
      {
        errorCode: 0,
        logDir: 'memory',
        topics: [
          {
            name: 'words',
            partitions: [{ partitionIndex: 0, partitionSize: BigInt(batch.byteLength), offsetLag: 0n }],
          },
        ],
        totalBytes: -1n,
      },
    ])
  }
})

test('DescribeLogDirs tells of background work and of how partitions are kept, to those only who ask for it', async () => {
  const configs = { 'cleanup.policy': 'compact,delete', 'retention.ms': '60000' }
  await createTopic(client, 'words', { configs })
  await createTopic(client, 'plain', { configs: { 'retention.ms': '-1' } })
  const old = encodeRecordBatch([{ key: 'k', value: 'some bytes', timestamp: 1000 }])
  await produceBatch(client, 'words', old)
  const ask = (version: number, told: Pick<DescribeLogDirsRequestInput, 'withMaintenance' | 'withStorage'>) =>
    client.request(describeLogDirs, version, { topics: null, ...told })
  for (const [version, told] of [
    [4, {}],
    [1, { withMaintenance: true, withStorage: true }],
  ] as const) {
    const [dir] = (await ask(version, told)).results
    expect(dir!.maintenance).toBeNull()
    for (const { partitions } of dir!.topics) expect(partitions[0]!.storage).toBeNull()
  }
  for (let version = 2; version <= 4; version++) {
    const [dir] = (await ask(version, { withMaintenance: true, withStorage: true })).results
    expect(dir!.maintenance).toMatchObject({
      liveBytes: BigInt(old.byteLength),
      retentionChecks: 0n,
      failures: 0n,
      lastFailureAtMs: -1n,
    })
    const storageOf = (topic: string) =>
      dir!.topics.find(({ name }) => name === topic)!.partitions.map(({ storage }) => storage)
    expect(storageOf('words')[0]).toEqual({
      files: 0,
      segments: 0,
      heldBytes: BigInt(old.byteLength),
      expiredTo: 1n,
      compaction: {
        dirtyBytes: BigInt(old.byteLength),
        dirtyRatio: 0,
        lastPassAtMs: -1n,
        waitsFor: 'records',
      },
    })
    expect(storageOf('plain')[0]).toMatchObject({ expiredTo: -1n, compaction: null })
  }
})
