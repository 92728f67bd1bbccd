import { describe, expect, test } from 'vitest'
import { type Client, clients, failureOf, fill, quick, type Setup, start, until } from './clients.ts'

async function adminOf(setup: Setup) {
  const admin = setup.kafka.admin()
  setup.clean(admin)
  await admin.connect()
  return admin
}

/** What kafkajs has retried in vain is the cause of what it throws. */
function typeOf(failure: { type?: string; cause?: unknown }): string | undefined {
  return failure.type ?? (failure.cause as { type?: string } | undefined)?.type
}

const [, [, shim]] = clients as [[string, Client], [string, Client]]

describe.each(clients)('%s', (_, client) => {
  test('topics are created, listed, extended, described and deleted', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const topics = [
      { topic: 'a', numPartitions: 2, configEntries: [{ name: 'max.message.bytes', value: '60000' }] },
      { topic: 'b' },
    ]
    expect(await admin.createTopics({ topics, validateOnly: true, waitForLeaders: false })).toBe(true)
    expect(await admin.listTopics()).toEqual([])
    expect(await admin.createTopics({ topics })).toBe(true)
    expect(await admin.createTopics({ topics })).toBe(false)
    expect((await admin.listTopics()).sort()).toEqual(['a', 'b'])
    await admin.createPartitions({ topicPartitions: [{ topic: 'b', count: 3 }] })
    const metadata = await admin.fetchTopicMetadata({ topics: ['b'] })
    expect(metadata.topics.map(({ name, partitions }) => [name, partitions.length])).toEqual([['b', 3]])
    expect(metadata.topics[0]!.partitions[0]).toMatchObject({
      partitionErrorCode: 0,
      replicas: [expect.any(Number)],
    })
    await admin.deleteTopics({ topics: ['a', 'b'] })
    expect(await admin.listTopics()).toEqual([])
  })

  test('why topics are not created stands in the errors of one error', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const topics = [{ topic: 'not allowed' }, { topic: 'fine' }]
    const failure = await failureOf(() => admin.createTopics({ topics }))
    expect(failure).toMatchObject({ name: 'KafkaJSAggregateError', message: 'Topic creation errors' })
    expect(failure.errors).toMatchObject([
      { name: 'KafkaJSCreateTopicError', type: 'INVALID_TOPIC_EXCEPTION', code: 17, topic: 'not allowed' },
    ])
    expect(await admin.listTopics()).toEqual(['fine'])
    const twice = await failureOf(() => admin.createTopics({ topics: [{ topic: 'x' }, { topic: 'x' }] }))
    expect(twice.message).toBe('Invalid topics array, it cannot have multiple entries for the same topic')
    const missing = await failureOf(() => admin.deleteTopics({ topics: ['missing'] }))
    expect(typeOf(missing)).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('whether a topic is there is told at once, and it is not created', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const unknown = {
      name: 'KafkaJSProtocolError',
      type: 'UNKNOWN_TOPIC_OR_PARTITION',
      code: 3,
      retriable: true,
    }
    expect(await failureOf(() => admin.fetchTopicMetadata({ topics: ['missing'] }))).toMatchObject(unknown)
    const consumer = setup.kafka.consumer({ groupId: 'g', allowAutoTopicCreation: false })
    setup.clean(consumer)
    await consumer.connect()
    expect(await failureOf(() => consumer.subscribe({ topics: ['missing'] }))).toMatchObject(unknown)
    expect(await admin.listTopics()).toEqual([])
  })

  test('offsets of topics are told: the ends, and those of a time', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 3)
    const admin = await adminOf(setup)
    expect(await admin.fetchTopicOffsets('topic')).toEqual([
      { partition: 0, offset: '3', high: '3', low: '0' },
    ])
    const inAnHour = Date.now() + 3_600_000
    expect(await admin.fetchTopicOffsetsByTimestamp('topic', 1)).toEqual([{ partition: 0, offset: '0' }])
    expect(await admin.fetchTopicOffsetsByTimestamp('topic', inAnHour)).toEqual([
      { partition: 0, offset: '3' },
    ])
    expect(await admin.fetchTopicOffsetsByTimestamp('topic')).toEqual([{ partition: 0, offset: '3' }])
  })

  test('records before an offset are deleted', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 3)
    const admin = await adminOf(setup)
    await admin.fetchTopicMetadata({ topics: ['topic'] })
    await admin.fetchTopicOffsets('topic')
    await admin.deleteTopicRecords({ topic: 'topic', partitions: [{ partition: 0, offset: '2' }] })
    expect(await admin.fetchTopicOffsets('topic')).toMatchObject([{ low: '2', high: '3' }])
    const failure = await failureOf(() =>
      admin.deleteTopicRecords({ topic: 'topic', partitions: [{ partition: 0, offset: '9' }] }),
    )
    const inner = failure.name === 'KafkaJSDeleteTopicRecordsError' ? failure : failure.cause
    expect(inner).toMatchObject({
      name: 'KafkaJSDeleteTopicRecordsError',
      partitions: [{ partition: 0, offset: '9', error: { type: 'OFFSET_OUT_OF_RANGE' } }],
    })
  })

  test('offsets of a group are set while it has no members, and read with what it has not committed', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 3, 2)
    const admin = await adminOf(setup)
    await admin.setOffsets({ groupId: 'g', topic: 'topic', partitions: [{ partition: 0, offset: '2' }] })
    const read = async () => {
      const [topic] = await admin.fetchOffsets({ groupId: 'g', topics: ['topic'] })
      return topic!.partitions.map(({ offset }) => offset)
    }
    expect(await read()).toEqual(['2', '-1'])
    const [resolved] = await admin.fetchOffsets({ groupId: 'g', topics: ['topic'], resolveOffsets: true })
    expect(resolved!.partitions.map(({ offset }) => offset)).toEqual(['2', '0'])
    const consumer = setup.kafka.consumer({ groupId: 'g', ...quick })
    setup.clean(consumer)
    await consumer.connect()
    await consumer.subscribe({ topics: ['topic'] })
    await consumer.run({ eachMessage: async () => {} })
    const failure = await failureOf(() =>
      admin.setOffsets({ groupId: 'g', topic: 'topic', partitions: [{ partition: 0, offset: '0' }] }),
    )
    expect(failure.name).toBe('KafkaJSNonRetriableError')
    expect(failure.message).toContain('The consumer group must have no running instances')
  })

  test('a group whose offsets are reset begins at the beginning or the end', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 2)
    const admin = await adminOf(setup)
    const seen: string[] = []
    const read = async () => {
      const consumer = setup.kafka.consumer({ groupId: 'g', ...quick })
      await consumer.connect()
      await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
      await consumer.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) })
      return consumer
    }
    const first = await read()
    await until(() => seen.length === 2)
    await first.disconnect()
    await admin.resetOffsets({ groupId: 'g', topic: 'topic', earliest: true })
    const second = await read()
    await until(() => seen.length === 4)
    await second.disconnect()
    expect(seen).toEqual(['0', '1', '0', '1'])
  })

  test('groups are listed, described and deleted', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 1)
    const admin = await adminOf(setup)
    const consumer = setup.kafka.consumer({ groupId: 'g', ...quick })
    await consumer.connect()
    await consumer.subscribe({ topics: ['topic'] })
    await consumer.run({ eachMessage: async () => {} })
    expect(await admin.listGroups()).toEqual({ groups: [{ groupId: 'g', protocolType: 'consumer' }] })
    const { groups } = await admin.describeGroups(['g', 'missing'])
    expect(groups.map(({ groupId, state, members }) => [groupId, state, members.length])).toEqual([
      ['g', 'Stable', 1],
      ['missing', 'Dead', 0],
    ])
    const [group] = groups
    expect(group).toMatchObject({ protocol: 'RoundRobinAssigner', protocolType: 'consumer' })
    const assignment = client.AssignerProtocol.MemberAssignment.decode(group!.members[0]!.memberAssignment)
    expect(assignment?.assignment).toEqual({ topic: [0] })
    expect(await consumer.describeGroup()).toMatchObject({ groupId: 'g', state: 'Stable' })
    const failure = await failureOf(() => admin.deleteGroups(['g']))
    expect(failure).toMatchObject({ name: 'KafkaJSDeleteGroupsError' })
    expect(failure.groups).toMatchObject([
      { groupId: 'g', errorCode: 68, error: { type: 'NON_EMPTY_GROUP' } },
    ])
    await consumer.disconnect()
    expect(await admin.deleteGroups(['g'])).toMatchObject([{ groupId: 'g', errorCode: 0 }])
    expect(await admin.listGroups()).toEqual({ groups: [] })
  })

  test('settings are described, and replaced by those that are named', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const { TOPIC } = client.ConfigResourceTypes
    const configEntries = [
      { name: 'segment.bytes', value: '6000000' },
      { name: 'max.message.bytes', value: '5000' },
    ]
    await admin.createTopics({ topics: [{ topic: 'topic', configEntries }] })
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        { type: TOPIC, name: 'topic', configEntries: [{ name: 'segment.bytes', value: '7000000' }] },
      ],
    })
    const configNames = ['segment.bytes', 'max.message.bytes']
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: TOPIC, name: 'topic', configNames }],
    })
    expect(resources).toMatchObject([{ resourceName: 'topic', resourceType: TOPIC, errorCode: 0 }])
    const found = new Map(resources[0]!.configEntries.map((entry) => [entry.configName, entry]))
    expect([...found.keys()].sort()).toEqual(configNames.sort())
    expect(found.get('segment.bytes')).toMatchObject({
      configValue: '7000000',
      isDefault: false,
      configSource: 1,
    })
    expect(found.get('max.message.bytes')).toMatchObject({ isDefault: true })
    const unknown = await failureOf(() =>
      admin.describeConfigs({ includeSynonyms: false, resources: [{ type: 7 as never, name: 'x' }] }),
    )
    expect(unknown.message).toBe('Invalid resource type 7: {"type":7,"name":"x"}')
  })

  test('the cluster is described', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const { brokers, controller, clusterId } = await admin.describeCluster()
    expect(brokers).toMatchObject([{ host: setup.broker.host, port: setup.broker.port }])
    expect(controller).toBe(brokers[0]!.nodeId)
    expect(clusterId).not.toBe('')
  })

  test('what a broker does not offer is an error that says so', async () => {
    await using setup = await start(client)
    const admin = await adminOf(setup)
    const failure = await failureOf(() => admin.listPartitionReassignments({}))
    expect(failure).toMatchObject({ name: 'KafkaJSServerDoesNotSupportApiKey', retriable: false })
  })
})

test('an access control rule that cannot be meant is refused before anything is sent', async () => {
  await using setup = await start(shim)
  const admin = await adminOf(setup)
  expect((await failureOf(() => admin.createAcls({ acl: [] }))).message).toBe('Empty ACL array')
  const filter = {
    resourceType: 99 as never,
    resourcePatternType: 1,
    operation: 1,
    permissionType: 1,
  } as const
  expect((await failureOf(() => admin.describeAcls(filter))).message).toBe('Invalid resource type 99')
})
