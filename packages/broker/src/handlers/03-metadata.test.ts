import { ErrorCode, metadata } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'

test('every version tells of the broker and the topics; null is all, empty is none', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  const { topicId } = await createTopic(client, 'words', { partitions: 2 })
  for (let version = 0; version <= 13; version++) {
    const all = await client.request(metadata, version, { topics: version === 0 ? [] : null })
    expect(all.brokers).toMatchObject([{ nodeId: 1, host: '127.0.0.1', port: broker.port }])
    expect(all.topics).toMatchObject([
      {
        errorCode: 0,
        name: 'words',
        partitions: [0, 1].map((partitionIndex) => ({
          errorCode: 0,
          partitionIndex,
          leaderId: 1,
          leaderEpoch: version >= 7 ? 0 : -1,
          replicaNodes: [1],
          isrNodes: [1],
        })),
      },
    ])
    expect(all.clusterId).toBe(version >= 2 ? broker.clusterId : null)
    expect(all.controllerId).toBe(version >= 1 ? 1 : -1)
    if (version >= 10) expect(all.topics[0]!.topicId).toBe(topicId)
    if (version >= 1) expect((await client.request(metadata, version, { topics: [] })).topics).toEqual([])
  }
  client.close()
})

test('a missing topic is created where both sides allow it, and answered with its leader', async () => {
  await using broker = await Broker.start({ port: 0, defaultPartitions: 3 })
  const client = await RawClient.connect(broker)
  const ask = async (version: number, name: string, allowAutoTopicCreation = true) => {
    const request = { topics: [{ name }], ...(version >= 4 && { allowAutoTopicCreation }) }
    return (await client.request(metadata, version, request)).topics[0]!
  }
  expect(await ask(12, 'declined', false)).toMatchObject({
    errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    name: 'declined',
  })
  expect((await ask(1, 'implied')).partitions).toHaveLength(3)
  expect((await ask(12, 'allowed')).partitions[0]).toMatchObject({ leaderId: 1 })
  expect(await ask(12, 'not/allowed')).toMatchObject({ errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION })
  // Asked for at once by many, created once.
  const others = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(broker)))
  const answers = await Promise.all(
    others.map((other) => other.request(metadata, 12, { topics: [{ name: 'popular' }] })),
  )
  expect(new Set(answers.map(({ topics }) => topics[0]!.topicId)).size).toBe(1)
  for (const one of [client, ...others]) one.close()

  await using strict = await Broker.start({ port: 0, autoCreateTopics: false })
  const stranger = await RawClient.connect(strict)
  const { topics } = await stranger.request(metadata, 1, { topics: [{ name: 'words' }] })
  expect(topics[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  stranger.close()
})

test('topics by id, from version 12', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  const { topicId } = await createTopic(client, 'words')
  const { topics } = await client.request(metadata, 12, {
    topics: [
      { topicId, name: null },
      { topicId: 'AAAAAAAAAAAAAAAAAAAAEQ', name: null },
    ],
  })
  expect(topics).toMatchObject([
    { errorCode: 0, name: 'words', topicId },
    { errorCode: ErrorCode.UNKNOWN_TOPIC_ID, name: null, topicId: 'AAAAAAAAAAAAAAAAAAAAEQ' },
  ])
  client.close()
})

test('authorized operations only when asked for', async () => {
  await using broker = await Broker.start({ port: 0 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const silent = await client.request(metadata, 8, { topics: null })
  expect(silent.clusterAuthorizedOperations).toBe(-2147483648)
  expect(silent.topics[0]!.topicAuthorizedOperations).toBe(-2147483648)
  const told = await client.request(metadata, 8, {
    topics: null,
    includeClusterAuthorizedOperations: true,
    includeTopicAuthorizedOperations: true,
  })
  expect(told.clusterAuthorizedOperations).toBe(8096)
  expect(told.topics[0]!.topicAuthorizedOperations).toBe(3576)
  client.close()
})

test('the advertised address: as given, or the one the client came by', async () => {
  const advertise = { host: 'kafka.example', port: 1234 }
  await using told = await Broker.start({ port: 0, advertise })
  const client = await RawClient.connect(told)
  expect((await client.request(metadata, 9, { topics: [] })).brokers).toMatchObject([advertise])
  client.close()

  await using everywhere = await Broker.start({ port: 0, host: '0.0.0.0' })
  const local = await RawClient.connect({ host: '127.0.0.1', port: everywhere.port })
  expect((await local.request(metadata, 9, { topics: [] })).brokers).toMatchObject([
    { host: '127.0.0.1', port: everywhere.port },
  ])
  local.close()
})
