import { connect, type StreamBus } from '@streambus/client'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { collect } from '../client/test-bus.ts'

const kafka = inject('kafka')
let bus: StreamBus
let topics = 0

beforeAll(async () => {
  bus = await connect(kafka.plaintext)
})

afterAll(async () => {
  await bus.close()
})

async function newTopic(options: Parameters<typeof bus.admin.createTopic>[1] = {}): Promise<string> {
  const name = `admin-${process.pid}-${++topics}`
  await bus.admin.createTopic(name, { partitions: 1, ...options })
  return name
}

test('several topics are created and deleted, by name and id, and what fails does not hide what does not', async () => {
  const { admin } = bus
  const there = await newTopic()
  const [a, b] = [`${there}-a`, `${there}-b`]
  const failure = await admin
    .createTopics([{ name: a, partitions: 2 }, { name: there }, { name: b, replicas: [[1], [1], [1]] }])
    .catch((error: unknown) => error)
  expect(failure).toMatchObject({
    code: 'SOME_FAILED',
    failures: [{ item: { name: there }, error: { code: 'TOPIC_EXISTS' } }],
    succeeded: [
      { name: a, partitions: 2, replicationFactor: 1 },
      { name: b, partitions: 3 },
    ],
  })
  const { id } = await admin.describeTopic(b)
  await expect(admin.deleteTopics([a, { id }, `${there}-c`])).rejects.toMatchObject({
    failures: [{ item: `${there}-c`, error: { code: 'UNKNOWN_TOPIC' } }],
    succeeded: [a, b],
  })
  await expect(admin.deleteTopic({ id })).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
})

test('partitions are added where they are wanted, and changes can be checked only', async () => {
  const topic = await newTopic()
  await bus.admin.createPartitions(topic, 3, { validateOnly: true })
  await bus.admin.createPartitions(topic, 2, { replicas: [[1]] })
  await expect.poll(async () => (await bus.admin.describeTopic(topic)).partitions).toHaveLength(2)
  await expect(bus.admin.createPartitions(topic, 3, { replicas: [[7]] })).rejects.toMatchObject({
    brokerError: 'INVALID_REPLICA_ASSIGNMENT',
  })
  await expect(bus.admin.createPartitions(topic, 1)).rejects.toMatchObject({ code: 'INVALID_PARTITIONS' })
})

test('settings of topics are described in full and changed one by one', async () => {
  const { admin } = bus
  const topic = await newTopic({ configs: { 'retention.bytes': '5000' } })
  const names = ['retention.bytes', 'cleanup.policy']
  const described = await admin.describeConfigs(topic, { names, synonyms: true, documentation: true })
  expect(described.find(({ name }) => name === 'retention.bytes')).toMatchObject({
    value: '5000',
    isDefault: false,
    source: 'dynamic_topic_config',
    type: 'long',
    documentation: expect.stringContaining('size'),
  })
  expect(described.find(({ name }) => name === 'retention.bytes')!.synonyms).toEqual([
    { name: 'retention.bytes', value: '5000', source: 'dynamic_topic_config' },
    { name: 'log.retention.bytes', value: '-1', source: 'default_config' },
  ])
  await admin.alterConfigs(topic, { 'retention.bytes': null, 'cleanup.policy': { append: 'compact' } })
  const values = async () =>
    Object.fromEntries(
      (await admin.describeConfigs(topic, { names })).map(({ name, value }) => [name, value]),
    )
  await expect.poll(values).toEqual({ 'retention.bytes': '-1', 'cleanup.policy': 'delete,compact' })
  await admin.alterConfigs(topic, { 'cleanup.policy': { subtract: ['delete'] } })
  await expect.poll(async () => (await values())['cleanup.policy']).toBe('compact')
  await admin.alterConfigs(topic, { 'retention.bytes': '1' }, { validateOnly: true })
  await expect(admin.alterConfigs(topic, { 'retention.bytes': 'soon' })).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
  })
  expect((await values())['retention.bytes']).toBe('-1')
})

test('brokers, all brokers, loggers, groups and client metrics have settings, too', async () => {
  const { admin } = bus
  const names = ['log.cleaner.threads']
  await admin.alterConfigs({ broker: 1 }, { 'log.cleaner.threads': '2' })
  const ofBroker = (broker: 1 | 'default') => admin.describeConfigs({ broker }, { names })
  await expect
    .poll(() => ofBroker(1))
    .toMatchObject([{ value: '2', isDefault: false, source: 'dynamic_broker_config' }])
  await admin.alterConfigs({ broker: 1 }, { 'log.cleaner.threads': null })
  await admin.alterConfigs({ broker: 'default' }, { 'log.cleaner.threads': '2' })
  await expect
    .poll(() => ofBroker('default'))
    .toMatchObject([{ value: '2', isDefault: false, source: 'dynamic_default_broker_config' }])
  await expect
    .poll(() => ofBroker(1))
    .toMatchObject([{ isDefault: true, source: 'dynamic_default_broker_config' }])
  await admin.alterConfigs({ broker: 'default' }, { 'log.cleaner.threads': null })

  const logger = 'kafka.server.KafkaApis'
  await admin.alterConfigs({ brokerLogger: 1 }, { [logger]: 'DEBUG' })
  await expect
    .poll(() => admin.describeConfigs({ brokerLogger: 1 }, { names: [logger] }))
    .toMatchObject([{ name: logger, value: 'DEBUG', source: 'dynamic_broker_logger_config' }])
  await admin.alterConfigs({ brokerLogger: 1 }, { [logger]: null })

  const group = `admin-${process.pid}-settings`
  await admin.alterConfigs({ group }, { 'consumer.session.timeout.ms': '50000' })
  const sessionTimeout = ['consumer.session.timeout.ms']
  await expect
    .poll(() => admin.describeConfigs({ group }, { names: sessionTimeout }))
    .toMatchObject([{ value: '50000', isDefault: false, source: 'dynamic_group_config' }])
  await expect.poll(() => admin.listConfigResources('group')).toContain(group)

  const clientMetrics = `admin-${process.pid}`
  await admin.alterConfigs({ clientMetrics }, { 'interval.ms': '60000', metrics: 'org.apache' })
  await expect
    .poll(() => admin.describeConfigs({ clientMetrics }, { names: ['interval.ms'] }))
    .toMatchObject([{ value: '60000', isDefault: false, source: 'dynamic_client_metrics_config' }])
  expect(await admin.listConfigResources('clientMetrics')).toContain(clientMetrics)
})

test('records are deleted, offsets found by their special places, epochs by their ends', async () => {
  const { admin } = bus
  const topic = await newTopic({ partitions: 2 })
  for (const timestamp of [1_000, 3_000, 2_000]) {
    await bus.producer().send(topic, 'x', { timestamp, partition: 0 })
  }
  const place = { topic, partition: 0 }
  const question = (at: 'earliest' | 'latest' | 'max_timestamp' | 'earliest_local') => ({ ...place, at })
  expect(
    await admin.listOffsets([question('max_timestamp'), question('latest'), question('earliest_local')]),
  ).toMatchObject([{ offset: 1, timestampMs: 3_000 }, { offset: 3 }, { offset: 0 }])
  const leaderEpoch = (await admin.listOffsets([question('latest')]))[0]!.leaderEpoch!
  expect(await admin.offsetsForLeaderEpochs([{ ...place, leaderEpoch }])).toEqual([
    { ...place, leaderEpoch, endOffset: 3 },
  ])
  await expect(
    admin.deleteRecords([
      { ...place, before: 2 },
      { topic, partition: 1, before: 9 },
    ]),
  ).rejects.toMatchObject({
    failures: [{ error: { code: 'OFFSET_OUT_OF_RANGE' } }],
    succeeded: [{ ...place, lowWatermark: 2 }],
  })
  expect(await admin.deleteRecords([{ ...place, before: 'latest' }])).toEqual([{ ...place, lowWatermark: 3 }])
  expect(await collect(bus.consumer(topic, { until: 'end' }))).toEqual([])
})

test('log folders are described, and replicas moved between them', async () => {
  const { admin } = bus
  const topic = await newTopic()
  await bus.producer().send(topic, 'x'.repeat(1_000))
  const place = { topic, partition: 0 }
  const dirs = await admin.describeLogDirs()
  expect(dirs).toHaveLength(2)
  for (const dir of dirs) {
    expect(dir).toMatchObject({ broker: 1, error: null })
    expect(dir.usableBytes).toBeLessThanOrEqual(dir.totalBytes!)
  }
  const holds = (dir: (typeof dirs)[number]) => dir.replicas.some((one) => one.topic === topic)
  expect(dirs.find(holds)!.replicas.find((one) => one.topic === topic)!.sizeBytes).toBeGreaterThan(1_000)
  const target = dirs.find((dir) => !holds(dir))!
  await admin.alterReplicaLogDirs([{ ...place, broker: 1, logDir: target.path }])
  await expect
    .poll(async () => (await admin.describeLogDirs({ brokers: [1] })).filter(holds).map(({ path }) => path), {
      timeout: 30_000,
    })
    .toEqual([target.path])
  await expect(
    admin.alterReplicaLogDirs([{ ...place, broker: 1, logDir: '/nowhere' }]),
  ).rejects.toMatchObject({ failures: [{ error: { brokerError: 'LOG_DIR_NOT_FOUND' } }] })
})

test('leaders are elected where that is needed', async () => {
  const topic = await newTopic({ partitions: 2 })
  const partitions = [
    { topic, partition: 0 },
    { topic, partition: 1 },
  ]
  for (const type of ['preferred', 'unclean'] as const) {
    const elected = await bus.admin.electLeaders({ type, partitions })
    expect(elected.toSorted((a, b) => a.partition - b.partition)).toEqual(
      partitions.map((one) => ({ ...one, isNew: false })),
    )
  }
  await bus.admin.electLeaders()
  const unknown = { topic, partition: 7 }
  await expect(bus.admin.electLeaders({ partitions: [partitions[0]!, unknown] })).rejects.toMatchObject({
    failures: [{ item: unknown, error: { code: 'UNKNOWN_TOPIC' } }],
    succeeded: [{ ...partitions[0], isNew: false }],
  })
})

test('partitions are moved to other brokers where there are some, and moves called off', async () => {
  const { admin } = bus
  const topic = await newTopic({ partitions: 2 })
  await admin.alterPartitionReassignments([{ topic, partition: 0, replicas: [1] }])
  expect(await admin.listPartitionReassignments()).toEqual([])
  expect(await admin.listPartitionReassignments({ partitions: [{ topic, partition: 0 }] })).toEqual([])
  await expect(
    admin.alterPartitionReassignments([
      { topic, partition: 0, replicas: [1] },
      { topic, partition: 1, replicas: [7] },
      { topic, partition: 2, replicas: [1] },
      { topic: `${topic}-gone`, partition: 0, replicas: null },
    ]),
  ).rejects.toMatchObject({
    failures: [
      { error: { brokerError: 'INVALID_REPLICA_ASSIGNMENT' } },
      { error: { code: 'UNKNOWN_TOPIC' } },
      { error: { code: 'UNKNOWN_TOPIC' } },
    ],
    succeeded: [{ partition: 0 }],
  })
  await expect(
    admin.alterPartitionReassignments([{ topic, partition: 0, replicas: null }]),
  ).rejects.toMatchObject({ failures: [{ error: { brokerError: 'NO_REASSIGNMENT_IN_PROGRESS' } }] })
})

test('the cluster tells its features and its quorum', async () => {
  const { admin } = bus
  const cluster = await admin.describeCluster()
  expect(cluster.brokers).toMatchObject([{ id: 1 }])
  const features = await admin.describeFeatures()
  expect(features.epoch).toBeGreaterThan(0)
  const metadata = features.finalized['metadata.version']!
  expect(metadata.max).toBeLessThanOrEqual(features.supported['metadata.version']!.max)
  const quorum = await admin.describeQuorum()
  expect(quorum).toMatchObject({ leaderId: 1, voters: [{ id: 1 }] })
  expect(quorum.voters[0]!.logEndOffset).toBeGreaterThan(0)
})

test('a broker that is not there cannot be unregistered', async () => {
  await expect(bus.admin.unregisterBroker(77)).rejects.toMatchObject({
    brokerError: 'BROKER_ID_NOT_REGISTERED',
  })
})

test('groups are listed by type and state, members removed, producers fenced, transactions listed', async () => {
  const { admin } = bus
  const topic = await newTopic()
  const group = `${topic}-group`
  await bus.producer().send(topic, 'x')
  for await (const _ of bus.consumer(topic, { group, instanceId: 'one' })) {
    const ids = async (filter: Parameters<typeof admin.listGroups>[0]) =>
      (await admin.listGroups(filter)).map(({ groupId }) => groupId)
    expect(await ids({ types: ['classic'], states: ['Stable'] })).toContain(group)
    expect(await ids({ states: ['Empty'] })).not.toContain(group)
    const [member] = (await admin.describeGroup(group)).members
    await admin.removeMembers(group, { reason: 'the machine is gone' })
    const left = (await admin.describeGroup(group)).members.map(({ memberId }) => memberId)
    expect(left).not.toContain(member!.memberId)
    break
  }
  await expect(admin.removeMembers(`${group}-gone`)).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' })

  const transactionalId = `${topic}-tx`
  await expect(
    bus.producer({ transactionalId }).transaction(async (tx) => {
      await tx.send(topic, 'y')
      await admin.fenceProducer(transactionalId)
    }),
  ).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  const listed = await admin.listTransactions({ idPattern: `${topic}-.*` })
  expect(listed.map((one) => one.transactionalId)).toEqual([transactionalId])
  expect(await admin.listTransactions({ idPattern: `${topic}-.*`, states: ['Ongoing'] })).toEqual([])
})
