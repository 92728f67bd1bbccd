import { describeCluster, ErrorCode, initProducerId, offsetForLeaderEpoch } from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, produceBatch } from '../testing/requests.ts'

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
})

afterEach(async () => {
  client.close()
  await broker.close()
})

test('DescribeCluster tells of this broker, and of no controllers', async () => {
  for (let version = 0; version <= 2; version++) {
    const answer = await client.request(describeCluster, version, {
      includeClusterAuthorizedOperations: version === 1,
    })
    expect(answer).toMatchObject({
      errorCode: 0,
      clusterId: broker.clusterId,
      controllerId: 1,
      brokers: [{ brokerId: 1, host: '127.0.0.1', port: broker.port, rack: null }],
      clusterAuthorizedOperations: version === 1 ? 8096 : -2147483648,
    })
  }
  const controllers = await client.request(describeCluster, 1, {
    includeClusterAuthorizedOperations: false,
    endpointType: 2,
  })
  expect(controllers).toMatchObject({ errorCode: ErrorCode.MISMATCHED_ENDPOINT_TYPE, brokers: [] })
})

test('InitProducerId gives every producer another id', async () => {
  const ids = new Set<bigint>()
  for (let version = 0; version <= 5; version++) {
    const answer = await client.request(initProducerId, version, {
      transactionalId: null,
      transactionTimeoutMs: 1000,
    })
    expect(answer).toMatchObject({ errorCode: 0, producerEpoch: 0 })
    ids.add(answer.producerId)
  }
  expect(ids.size).toBe(6)
})

test('InitProducerId hands out thousands at once, each once', async () => {
  const store = await MemoryLogStore.open()
  await using shared = await Broker.start({ port: 0, store })
  const clients = await Promise.all([RawClient.connect(shared), RawClient.connect(shared)])
  const answers = await Promise.all(
    clients.flatMap((one) =>
      Array.from({ length: 1100 }, () =>
        one.request(initProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1000 }),
      ),
    ),
  )
  expect(new Set(answers.map(({ producerId }) => producerId)).size).toBe(2200)
  for (const one of clients) one.close()
})

test('OffsetForLeaderEpoch: the current epoch ends at the high watermark, others are unknown', async () => {
  await createTopic(client, 'words')
  await produceBatch(client, 'words', batchOf(['a', 'b']))
  for (let version = 2; version <= 4; version++) {
    const { topics } = await client.request(offsetForLeaderEpoch, version, {
      topics: [
        {
          topic: 'words',
          partitions: [
            { partition: 0, leaderEpoch: 0 },
            { partition: 0, leaderEpoch: 9 },
            { partition: 0, leaderEpoch: 0, currentLeaderEpoch: 4 },
            { partition: 5, leaderEpoch: 0 },
          ],
        },
      ],
    })
    expect(topics[0]!.partitions).toEqual([
      { errorCode: 0, partition: 0, leaderEpoch: 0, endOffset: 2n },
      { errorCode: 0, partition: 0, leaderEpoch: -1, endOffset: -1n },
      { errorCode: ErrorCode.UNKNOWN_LEADER_EPOCH, partition: 0, leaderEpoch: -1, endOffset: -1n },
      { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, partition: 5, leaderEpoch: -1, endOffset: -1n },
    ])
  }
})
