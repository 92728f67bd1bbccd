import { expect, test } from 'vitest'
import { seen, startBus } from './test-bus.ts'

test('topics are created, listed, described, extended and deleted', async () => {
  await using session = await startBus()
  const { bus } = session
  const { admin } = bus
  await admin.createTopic('b', { partitions: 2, configs: { 'max.message.bytes': '5000' } })
  await admin.createTopic('a')
  const topics = async () =>
    (await admin.listTopics()).map(({ name, partitions }) => [name, partitions.length])
  await seen(topics).toEqual([
    ['a', 1],
    ['b', 2],
  ])
  await bus.producer().sendBatch('b', [
    { value: 'x', partition: 1 },
    { value: 'y', partition: 1 },
  ])
  const described = await admin.describeTopic('b')
  expect(described).toMatchObject({ name: 'b', isInternal: false })
  expect(described.id).toMatch(/^[\w-]{22}$/)
  expect(described.partitions).toMatchObject([
    { partition: 0, earliest: 0, latest: 0 },
    { partition: 1, earliest: 0, latest: 2 },
  ])
  expect(described.partitions[1]!.sizeBytes).toBeGreaterThan(60)
  expect(described.configs.filter(({ isDefault }) => !isDefault)).toMatchObject([
    { name: 'max.message.bytes', value: '5000' },
  ])
  await admin.createPartitions('b', 4)
  await seen(() => admin.partitionsOf('b')).toBe(4)
  await admin.deleteTopic('b')
  await seen(topics).toEqual([['a', 1]])
})

test('settings of a topic are changed one by one and taken back', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t')
  const value = async () =>
    (await admin.describeConfigs('t')).find(({ name }) => name === 'max.message.bytes')
  await seen(value).toMatchObject({ isDefault: true })
  const before = await value()
  await admin.alterConfigs('t', { 'max.message.bytes': '7777' })
  await seen(value).toMatchObject({ value: '7777', isDefault: false })
  await admin.alterConfigs('t', { 'max.message.bytes': null })
  await seen(value).toEqual(before)
})

test('offsets are found by position and by time', async () => {
  await using session = await startBus()
  const { bus } = session
  for (const timestamp of [1_000, 2_000, 3_000]) await bus.producer().send('t', 'x', { timestamp })
  const at = async (query: 'earliest' | 'latest' | { timestampMs: number }) =>
    (await bus.admin.listOffsets([{ topic: 't', partition: 0, at: query }]))[0]!.offset
  expect(await at('earliest')).toBe(0)
  expect(await at('latest')).toBe(3)
  expect(await at({ timestampMs: 1_500 })).toBe(1)
  expect(await at({ timestampMs: 9_000 })).toBeNull()
  const both = await bus.admin.listOffsets([
    { topic: 't', partition: 0, at: 'latest' },
    { topic: 't', partition: 0, at: 'earliest' },
  ])
  expect(both.map(({ offset }) => offset)).toEqual([3, 0])
})

test('the cluster is described by its brokers and what they offer', async () => {
  await using session = await startBus()
  const cluster = await session.bus.admin.describeCluster()
  expect(cluster.clusterId).toBe(session.broker.clusterId)
  expect(cluster.brokers).toMatchObject([{ host: session.broker.host, port: session.broker.port }])
  expect(cluster.apiVersions.get(18)).toMatchObject({ min: 0 })
})
