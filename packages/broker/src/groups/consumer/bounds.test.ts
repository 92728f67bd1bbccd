import { ErrorCode, encodeConsumerSubscription } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CoordinatorFixture, GROUP } from '../testing/coordinator-fixture.ts'

/** What one client says must not keep everybody else waiting. What these tests did before takes minutes. */
let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.open()
})

afterEach(() => fixture.close())

function heartbeat(memberId: string, subscribedTopicNames: string[]) {
  const request = {
    groupId: GROUP,
    memberId,
    memberEpoch: 0,
    instanceId: null,
    rackId: null,
    rebalanceTimeoutMs: 60_000,
    subscribedTopicNames,
    subscribedTopicRegex: null,
    serverAssignor: null,
    topicPartitions: [],
  }
  return fixture.coordinator.consumerHeartbeat(request, {
    clientId: 'client',
    clientHost: '/192.0.2.1',
    apiVersion: 1,
  })
}

const metadata = encodeConsumerSubscription(0, { topics: ['words'] })
const protocols = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `${prefix}${index}`, metadata }))

test('two members of the classic protocol that know very many protocols each are soon told apart', async () => {
  expect(await heartbeat('m', ['words'])).toMatchObject({ errorCode: 0 })
  const many = { apiVersion: 3, protocols: protocols('a', 40_000) }
  expect(await fixture.join('', many)).toMatchObject({ errorCode: 0 })
  expect(await fixture.join('', { apiVersion: 3, protocols: protocols('b', 600_000) })).toMatchObject({
    errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
  })
  // One in common is enough.
  const other = [...protocols('b', 10), many.protocols[39_999]!]
  expect(await fixture.join('', { apiVersion: 3, protocols: other })).toMatchObject({ errorCode: 0 })
  const stranger = [...protocols('b', 10), many.protocols[39_998]!]
  expect(await fixture.join('', { apiVersion: 3, protocols: stranger })).toMatchObject({
    errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
  })
})

test('whether a group with very many subscriptions is subscribed to a topic is soon known', async () => {
  const names = (prefix: string) => Array.from({ length: 10_000 }, (_, index) => `${prefix}${index}`)
  for (let index = 0; index < 8; index++) {
    expect(await heartbeat(`m${index}`, names(`topic-${index}-`))).toMatchObject({ errorCode: 0 })
  }
  const named = { name: 'words', partitions: [{ partitionIndex: 0 }] }
  const topics = Array.from({ length: 200_000 }, () => named)
  const deleted = await fixture.coordinator.deleteOffsets({ groupId: GROUP, topics })
  expect(deleted).toHaveLength(200_000)
  expect(await heartbeat('m0', ['words'])).toMatchObject({ errorCode: 0 })
  expect(await fixture.coordinator.deleteOffsets({ groupId: GROUP, topics: [named] })).toEqual([
    [ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC],
  ])
})
