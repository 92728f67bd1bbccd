import { alterConfigs, describeConfigs, ErrorCode, incrementalAlterConfigs } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, produceBatch } from '../testing/requests.ts'

const TOPIC = 2
const BROKER = 4
const [SET, DELETE, APPEND, SUBTRACT] = [0, 1, 2, 3]

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0, autoCreateTopics: false })
  client = await RawClient.connect(broker)
  await createTopic(client, 'words', { configs: { 'max.message.bytes': '5000' } })
})

afterEach(async () => {
  client.close()
  await broker.close()
})

async function describe(resourceType: number, resourceName: string, version = 4, keys?: string[]) {
  const { results } = await client.request(describeConfigs, version, {
    resources: [{ resourceType, resourceName, configurationKeys: keys ?? null }],
    ...(version >= 1 && { includeSynonyms: true }),
    ...(version >= 3 && { includeDocumentation: true }),
  })
  return results[0]!
}

test('DescribeConfigs tells value, source, synonyms, type and documentation of every topic setting', async () => {
  const { errorCode, configs } = await describe(TOPIC, 'words')
  expect(errorCode).toBe(0)
  expect(configs.map(({ name }) => name)).toEqual([
    'max.message.bytes',
    'message.timestamp.type',
    'message.timestamp.before.max.ms',
    'message.timestamp.after.max.ms',
    'compression.type',
    'compression.gzip.level',
    'compression.zstd.level',
    'min.insync.replicas',
    'cleanup.policy',
    'segment.bytes',
    'segment.ms',
    'retention.ms',
    'retention.bytes',
    'min.cleanable.dirty.ratio',
    'min.compaction.lag.ms',
    'max.compaction.lag.ms',
    'delete.retention.ms',
  ])
  expect(configs[0]).toMatchObject({
    value: '5000',
    configSource: 1,
    readOnly: false,
    configType: 3,
    synonyms: [
      { name: 'max.message.bytes', value: '5000', source: 1 },
      { name: 'message.max.bytes', value: '1048588', source: 5 },
    ],
  })
  for (const { documentation } of configs) expect(documentation).toMatch(/\.$/)
  const chosen = await describe(TOPIC, 'words', 0, ['cleanup.policy', 'no.such'])
  expect(chosen.configs).toMatchObject([{ name: 'cleanup.policy', value: 'delete', isDefault: true }])
})

test('a default that the broker was started with holds for its topics, and is told as that', async () => {
  await using other = await Broker.start({ port: 0, topicDefaults: { 'retention.ms': '5000' } })
  const asking = await RawClient.connect(other)
  await createTopic(asking, 'inheriting')
  await createTopic(asking, 'own', { configs: { 'retention.ms': '7000' } })
  const retentionOf = async (resourceType: number, resourceName: string, name: string) => {
    const { results } = await asking.request(describeConfigs, 4, {
      resources: [{ resourceType, resourceName, configurationKeys: [name] }],
      includeSynonyms: true,
    })
    return results[0]!.configs[0]!
  }
  const inherited = [
    { name: 'log.retention.ms', value: '5000', source: 4 },
    { name: 'log.retention.ms', value: '604800000', source: 5 },
  ]
  expect(await retentionOf(TOPIC, 'inheriting', 'retention.ms')).toMatchObject({
    value: '5000',
    configSource: 4,
    synonyms: inherited,
  })
  expect(await retentionOf(TOPIC, 'own', 'retention.ms')).toMatchObject({
    value: '7000',
    configSource: 1,
    synonyms: [{ name: 'retention.ms', value: '7000', source: 1 }, ...inherited],
  })
  expect(await retentionOf(BROKER, '1', 'log.retention.ms')).toMatchObject({
    value: '5000',
    configSource: 4,
    synonyms: inherited,
  })
  asking.close()
})

test('DescribeConfigs of the broker tells its start options', async () => {
  const { configs } = await describe(BROKER, '1')
  const values = new Map(configs.map(({ name, value }) => [name, value]))
  expect(values.get('listeners')).toBe(`PLAINTEXT://127.0.0.1:${broker.port}`)
  expect(values.get('auto.create.topics.enable')).toBe('false')
  expect(values.get('num.partitions')).toBe('1')
  expect(values.get('log.dirs')).toBe('memory')
  expect(configs.every(({ readOnly }) => readOnly)).toBe(true)
  expect(await describe(BROKER, '')).toMatchObject({ errorCode: 0, configs: [] })
})

test.each([
  [TOPIC, 'missing', ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
  [TOPIC, 'a/b', ErrorCode.INVALID_TOPIC_EXCEPTION],
  [BROKER, '7', ErrorCode.INVALID_REQUEST],
  [32, 'group', ErrorCode.INVALID_REQUEST],
])('resource type %i named %j is refused', async (type, name, errorCode) => {
  expect(await describe(type, name)).toMatchObject({
    errorCode,
    errorMessage: expect.stringMatching(/\.$/),
  })
})

async function change(
  configs: { name: string; configOperation: number; value: string | null }[],
  resource = { resourceType: TOPIC, resourceName: 'words' },
  validateOnly = false,
) {
  const { responses } = await client.request(incrementalAlterConfigs, 1, {
    resources: [{ ...resource, configs }],
    validateOnly,
  })
  return responses[0]!
}

test('IncrementalAlterConfigs sets and deletes, and the change is in force at once', async () => {
  const batch = batchOf(['x'.repeat(600)])
  expect(await produceBatch(client, 'words', batch)).toMatchObject({ errorCode: 0 })
  const name = 'max.message.bytes'
  expect(await change([{ name, configOperation: SET!, value: '500' }])).toMatchObject({ errorCode: 0 })
  expect(await produceBatch(client, 'words', batch)).toMatchObject({
    errorCode: ErrorCode.MESSAGE_TOO_LARGE,
  })
  expect(await change([{ name, configOperation: DELETE!, value: null }])).toMatchObject({ errorCode: 0 })
  expect(await produceBatch(client, 'words', batch)).toMatchObject({ errorCode: 0 })
  expect((await describe(TOPIC, 'words')).configs[0]).toMatchObject({ value: '1048588', configSource: 5 })
})

test.each([
  ['compression.type', 'zstd', 2, 'producer', ['none', 'ZSTD', 'gzip,zstd', '']],
  ['compression.gzip.level', '9', 3, '-1', ['0', '10', '-2', 'high']],
  ['compression.zstd.level', '-131072', 3, '3', ['23', '-131073', '1.5']],
])(
  '%s has the values and the default that Kafka has',
  async (name, value, configType, byDefault, refused) => {
    const before = { name, value: byDefault, source: 5 }
    const read = async () => (await describe(TOPIC, 'words', 4, [name])).configs[0]
    expect(await read()).toMatchObject({ value: byDefault, configSource: 5, configType, synonyms: [before] })
    expect(await change([{ name, configOperation: SET!, value }])).toMatchObject({ errorCode: 0 })
    for (const bad of refused) {
      expect(await change([{ name, configOperation: SET!, value: bad }])).toMatchObject({
        errorCode: ErrorCode.INVALID_CONFIG,
        errorMessage: expect.stringMatching(/it must be .*\.$/),
      })
    }
    expect(await read()).toMatchObject({
      value,
      configSource: 1,
      synonyms: [{ name, value, source: 1 }, before],
    })
  },
)

test('a level is refused where the codec has none', async () => {
  expect(await change([{ name: 'compression.lz4.level', configOperation: SET!, value: '9' }])).toMatchObject({
    errorCode: ErrorCode.INVALID_CONFIG,
    errorMessage: expect.stringMatching(/no topic setting 'compression.lz4.level'/),
  })
})

test('IncrementalAlterConfigs makes all changes of a resource or none', async () => {
  const good = { name: 'message.timestamp.type', configOperation: SET!, value: 'LogAppendTime' }
  for (const bad of [
    { name: 'max.message.byte', configOperation: SET!, value: '1' },
    { name: 'max.message.bytes', configOperation: SET!, value: 'many' },
    { name: 'max.message.bytes', configOperation: SET!, value: null },
    { name: 'max.message.bytes', configOperation: APPEND!, value: '1' },
    { name: 'max.message.bytes', configOperation: 9, value: '1' },
    { name: 'cleanup.policy', configOperation: APPEND!, value: 'shrink' },
    { name: 'cleanup.policy', configOperation: SUBTRACT!, value: 'delete' },
    good,
  ]) {
    expect(await change([good, bad])).toMatchObject({
      errorCode: ErrorCode.INVALID_CONFIG,
      errorMessage: expect.stringMatching(/\.$/),
    })
  }
  expect(await change([good], undefined, true)).toMatchObject({ errorCode: 0 })
  expect(broker.store.topics.byName('words')!.configs).toEqual({ 'max.message.bytes': '5000' })
  const append = { name: 'cleanup.policy', configOperation: APPEND!, value: 'delete' }
  expect(await change([append])).toMatchObject({ errorCode: 0 })
})

test('changes from many connections at once are all kept', async () => {
  const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(broker)))
  const names = ['message.timestamp.before.max.ms', 'message.timestamp.after.max.ms', 'max.message.bytes']
  await Promise.all(
    clients.map((one, i) =>
      one.request(incrementalAlterConfigs, 1, {
        resources: [
          {
            resourceType: TOPIC,
            resourceName: 'words',
            configs: [{ name: names[i]!, configOperation: SET!, value: '1234' }],
          },
        ],
        validateOnly: false,
      }),
    ),
  )
  expect(Object.keys(broker.store.topics.byName('words')!.configs).sort()).toEqual([...names].sort())
  for (const one of clients) one.close()
})

test('AlterConfigs replaces all settings', async () => {
  for (let version = 0; version <= 2; version++) {
    const { responses } = await client.request(alterConfigs, version, {
      resources: [
        {
          resourceType: TOPIC,
          resourceName: 'words',
          configs: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }],
        },
      ],
      validateOnly: false,
    })
    expect(responses).toMatchObject([{ errorCode: 0, errorMessage: null }])
  }
  expect(broker.store.topics.byName('words')!.configs).toEqual({ 'message.timestamp.type': 'LogAppendTime' })
})

test('broker settings are read-only; a resource named twice is refused', async () => {
  const onBroker = { resourceType: BROKER, resourceName: '1' }
  const known = await change([{ name: 'num.partitions', configOperation: SET!, value: '5' }], onBroker)
  expect(known).toMatchObject({ errorCode: ErrorCode.INVALID_CONFIG })
  expect(known.errorMessage).toMatch(/start the broker with/)
  const unknown = await change([{ name: 'num.partition', configOperation: SET!, value: '5' }], onBroker)
  expect(unknown.errorMessage).toMatch(/the nearest one is num.partitions/)
  const resource = { resourceType: TOPIC, resourceName: 'words', configs: [] }
  const { responses } = await client.request(alterConfigs, 2, {
    resources: [resource, resource],
    validateOnly: false,
  })
  expect(responses.map(({ errorCode }) => errorCode)).toEqual([
    ErrorCode.INVALID_REQUEST,
    ErrorCode.INVALID_REQUEST,
  ])
})
