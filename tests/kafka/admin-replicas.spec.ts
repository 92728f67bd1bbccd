import { connect, type StreamBus } from '@streambus/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { failureOf } from '../client/test-bus.ts'
import { startTwoBrokers, type TwoBrokers } from './two-brokers.ts'

const PARTITION_BYTES = 200_000
/** A move takes minutes then. */
const SLOW_BYTES_PER_SECOND = '1000'

let cluster: TwoBrokers
let bus: StreamBus

beforeAll(async () => {
  cluster = await startTwoBrokers()
  bus = await connect(cluster.bootstrap)
  const bothAreThere = async () => expect((await bus.admin.describeCluster()).brokers).toHaveLength(2)
  await vi.waitFor(bothAreThere, { timeout: 30_000 })
}, 120_000)

afterAll(async () => {
  await bus?.close()
  await cluster?.[Symbol.asyncDispose]()
}, 60_000)

/** Partition 0 is on broker 1, partition 1 on broker 2. */
async function newTopic(topic: string): Promise<void> {
  await bus.admin.createTopic(topic, { replicas: [[1], [2]] })
  for (const partition of [0, 1]) {
    await bus.producer().send(topic, Buffer.alloc(PARTITION_BYTES), { partition })
  }
}

async function partitionsOf(topic: string) {
  return (await bus.admin.describeTopic(topic)).partitions
}

async function leadersOf(topic: string): Promise<number[]> {
  return (await partitionsOf(topic)).map(({ leader }) => leader)
}

test('each broker is asked about what only it knows', async () => {
  const { admin } = bus
  const topic = 'spread'
  await newTopic(topic)
  for (const { sizeBytes } of await partitionsOf(topic)) expect(sizeBytes).toBeGreaterThan(PARTITION_BYTES)
  const held = (await admin.describeLogDirs()).flatMap((dir) =>
    dir.replicas.filter((one) => one.topic === topic).map(({ partition }) => [dir.broker, partition]),
  )
  expect(held).toEqual([
    [1, 0],
    [2, 1],
  ])
  const deleted = await admin.deleteRecords([
    { topic, partition: 1, before: 1 },
    { topic, partition: 0, before: 0 },
  ])
  expect(deleted).toEqual([
    { topic, partition: 1, lowWatermark: 1 },
    { topic, partition: 0, lowWatermark: 0 },
  ])
  for (const broker of [1, 2]) {
    const [nodeId] = await admin.describeConfigs({ broker }, { names: ['node.id'] })
    expect(nodeId).toMatchObject({ value: String(broker), source: 'static_broker_config', isDefault: false })
  }
})

test('a move is seen while it is under way, and called off', async () => {
  const { admin } = bus
  const topic = 'slow'
  await newTopic(topic)
  const rates = ['leader.replication.throttled.rate', 'follower.replication.throttled.rate']
  const limit = async (value: string | null) => {
    for (const broker of [1, 2]) {
      await admin.alterConfigs({ broker }, Object.fromEntries(rates.map((name) => [name, value])))
    }
  }
  await limit(SLOW_BYTES_PER_SECOND)
  await admin.alterConfigs(topic, {
    'leader.replication.throttled.replicas': '*',
    'follower.replication.throttled.replicas': '*',
  })
  await admin.alterPartitionReassignments([{ topic, partition: 0, replicas: [2] }])
  expect(await admin.listPartitionReassignments()).toEqual([
    { topic, partition: 0, replicas: [2, 1], adding: [2], removing: [1] },
  ])
  expect(await admin.listPartitionReassignments({ partitions: [{ topic, partition: 1 }] })).toEqual([])
  await admin.alterPartitionReassignments([{ topic, partition: 0, replicas: null }])
  expect(await admin.listPartitionReassignments()).toEqual([])
  await expect
    .poll(async () => (await partitionsOf(topic)).map(({ replicas }) => replicas))
    .toEqual([[1], [2]])
  await limit(null)
})

// Here, and not where other tests have transactions.
test('features are lowered and raised again, and checked', async () => {
  const { admin } = bus
  const feature = 'transaction.version'
  const level = async () => (await admin.describeFeatures()).finalized[feature]?.max ?? 0
  const before = await level()
  expect(before).toBeGreaterThan(0)
  const lower = { [feature]: { level: before - 1, downgrade: 'safe' } } as const
  await admin.updateFeatures(lower, { validateOnly: true })
  expect(await level()).toBe(before)
  await admin.updateFeatures(lower)
  await expect.poll(level).toBe(before - 1)
  await admin.updateFeatures({ [feature]: before })
  await expect.poll(level).toBe(before)
  expect(await failureOf(admin.updateFeatures({ [feature]: before - 1 }))).toMatchObject({
    brokerError: 'INVALID_UPDATE_VERSION',
  })
})

test('partitions move, the preferred leader is elected, and a broker that is gone is forgotten', async () => {
  const { admin } = bus
  const topic = 'moving'
  await newTopic(topic)
  const partitions = [
    { topic, partition: 0 },
    { topic, partition: 1 },
  ]
  await admin.alterPartitionReassignments(partitions.map((one) => ({ ...one, replicas: [2, 1] })))
  await expect.poll(() => admin.listPartitionReassignments(), { timeout: 30_000 }).toEqual([])
  await expect.poll(() => leadersOf(topic)).toEqual([1, 2])
  const elected = await admin.electLeaders({ partitions })
  expect(elected.toSorted((a, b) => a.partition - b.partition)).toEqual([
    { topic, partition: 0, isNew: true },
    { topic, partition: 1, isNew: false },
  ])
  await expect.poll(() => leadersOf(topic)).toEqual([2, 2])

  await cluster.second.stop()
  await expect.poll(() => leadersOf(topic), { timeout: 30_000 }).toEqual([1, 1])
  await expect(admin.electLeaders({ partitions })).rejects.toMatchObject({
    code: 'SOME_FAILED',
    failures: [
      { item: partitions[0], error: { brokerError: 'PREFERRED_LEADER_NOT_AVAILABLE' } },
      { item: partitions[1], error: { brokerError: 'PREFERRED_LEADER_NOT_AVAILABLE' } },
    ],
  })
  await admin.unregisterBroker(2)
  expect(await failureOf(admin.describeConfigs({ broker: 2 }, { timeoutMs: 5_000 }))).toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: 'There is no broker 2: the cluster has 1.',
  })
})
