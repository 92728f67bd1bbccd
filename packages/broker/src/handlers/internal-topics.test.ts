import {
  createPartitions,
  createTopics,
  deleteTopics,
  ErrorCode,
  findCoordinator,
  listGroups,
  metadata,
} from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, fetchPartition, produceBatch } from '../testing/requests.ts'

const NAME = '__consumer_offsets'
let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0, maxPartitions: 3 })
  client = await RawClient.connect(broker)
})

afterEach(async () => {
  client.close()
  await broker.close()
})

const find = () => client.request(findCoordinator, 3, { key: 'readers' })
const create = async (name: string) => {
  const topic = { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
  return (await client.request(createTopics, 7, { topics: [topic] })).topics[0]!
}

test.each([NAME, '__transaction_state'])(
  '%s cannot be created by clients, nor by asking for it',
  async (name) => {
    const refused = {
      errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
      errorMessage: expect.stringMatching(/own/),
    }
    expect(await create(name)).toMatchObject(refused)
    const asked = await client.request(metadata, 9, { topics: [{ name }], allowAutoTopicCreation: true })
    expect(asked.topics[0]).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION })
    expect(broker.store.topics.byName(name)).toBeUndefined()
  },
)

test('clients cannot delete, enlarge or write to it, and may read it', async () => {
  await find()
  const refused = { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, errorMessage: expect.stringMatching(/own/) }
  const topicId = broker.store.topics.byName(NAME)!.id
  for (const topic of [{ name: NAME }, { name: null, topicId }]) {
    const { responses } = await client.request(deleteTopics, 6, { topics: [topic], timeoutMs: 1000 })
    expect(responses[0]).toMatchObject(refused)
  }
  const enlarge = { name: NAME, count: 60, assignments: null }
  const enlarged = await client.request(createPartitions, 3, {
    topics: [enlarge],
    timeoutMs: 1000,
    validateOnly: false,
  })
  expect(enlarged.results[0]).toMatchObject(refused)
  expect(await produceBatch(client, NAME, batchOf(['x']))).toMatchObject({
    errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
  })
  expect(await fetchPartition(client, NAME, 0)).toMatchObject({ errorCode: 0 })
  expect(broker.store.topics.byName(NAME)!.logs).toHaveLength(50)
  expect((await client.request(listGroups, 4, {})).errorCode).toBe(0)
})

test('it does not count among the partitions that clients may create', async () => {
  await createTopic(client, 'one', { partitions: 2 })
  await find()
  await createTopic(client, 'two')
  expect(await create('three')).toMatchObject({ errorCode: ErrorCode.POLICY_VIOLATION })
})
