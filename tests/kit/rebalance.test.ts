import { consumerGroupHeartbeat } from '@streambus/protocol'
import { eventually, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'

test('a forced rebalance takes every member through it, and ends with the partitions shared out', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t', 4)
  const rebalances: Record<string, number> = { a: 0, b: 0 }
  const members = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const bus = await broker.connect({ clientId: name })
      const consumer = bus.consumer('t', {
        group: 'g',
        heartbeatIntervalMs: 20,
        onAssigned: () => {
          rebalances[name]!++
        },
      })
      return { consumer, reading: consumer[Symbol.asyncIterator]().next() }
    }),
  )
  const { admin } = await broker.connect()
  const shares = async () => (await admin.describeGroup('g')).members.map(({ assigned }) => assigned.length)
  await eventually(async () => expect(await shares()).toEqual([2, 2]))
  const before = { ...rebalances }
  await broker.forceRebalance('g')
  expect(await shares()).toEqual([2, 2])
  await eventually(() => {
    expect(rebalances.a).toBeGreaterThan(before.a!)
    expect(rebalances.b).toBeGreaterThan(before.b!)
  })
  await Promise.all(members.map(({ consumer }) => consumer.close()))
  await Promise.all(members.map(({ reading }) => reading))
  await expect(broker.forceRebalance('g')).rejects.toMatchObject({
    code: 'UNKNOWN_GROUP',
    message: "Group 'g' has no members that could rebalance.",
  })
})

test('a consumer group of KIP-848 gets a new epoch, which its members follow', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t', 2)
  const raw = await RawClient.connect(broker)
  const heartbeat = (memberEpoch: number, rest: object = {}) =>
    raw.request(consumerGroupHeartbeat, 1, {
      groupId: 'g',
      memberId: 'm',
      memberEpoch,
      rebalanceTimeoutMs: -1,
      ...rest,
    })
  const joined = await heartbeat(0, {
    rebalanceTimeoutMs: 60_000,
    subscribedTopicNames: ['t'],
    topicPartitions: [],
  })
  const { topicId, partitions } = joined.assignment!.topicPartitions[0]!
  const owned = { topicPartitions: [{ topicId, partitions }] }
  expect((await heartbeat(joined.memberEpoch, owned)).memberEpoch).toBe(joined.memberEpoch)
  let epoch = joined.memberEpoch
  const rebalanced = broker.forceRebalance('g')
  await eventually(async () => {
    epoch = (await heartbeat(epoch, owned)).memberEpoch
    expect(epoch).toBeGreaterThan(joined.memberEpoch)
  })
  await rebalanced
  raw.close()
})

test('a group that is not there cannot rebalance, and one whose member is silent is told by its state', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  await expect(broker.forceRebalance('g')).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' })
  const bus = await broker.connect()
  let isMember = false
  const consumer = bus.consumer('t', {
    group: 'g',
    heartbeatIntervalMs: 600_000,
    onAssigned: () => {
      isMember = true
    },
  })
  const reading = consumer[Symbol.asyncIterator]().next()
  await eventually(() => isMember)
  await expect(broker.forceRebalance('g', { timeoutMs: 50 })).rejects.toMatchObject({
    name: 'AssertionError',
    message: "Group 'g' has not rebalanced yet: it is PreparingRebalance.",
  })
  await consumer.close()
  await reading
})
