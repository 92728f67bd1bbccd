import { consumerGroupDescribe, consumerGroupHeartbeat, ErrorCode } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'

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

function describeGroups(groupIds: string[], version = 1, includeAuthorizedOperations = false) {
  return client.request(consumerGroupDescribe, version, { groupIds, includeAuthorizedOperations })
}

test('tells members, what they have and what they are to have', async () => {
  const { topicId } = await createTopic(client, 't', { partitions: 2 })
  for (const [memberId, instanceId] of [
    ['m1', null],
    ['m2', 'i2'],
  ] as const) {
    await client.request(consumerGroupHeartbeat, 1, {
      groupId: 'g',
      memberId,
      instanceId,
      rackId: 'r1',
      memberEpoch: 0,
      rebalanceTimeoutMs: 60_000,
      subscribedTopicNames: ['t'],
      subscribedTopicRegex: 't.*',
      topicPartitions: [],
    })
  }
  const partitions = (...listed: number[]) => ({
    topicPartitions: listed.length === 0 ? [] : [{ topicId, topicName: 't', partitions: listed }],
  })
  const { groups } = await describeGroups(['g', 'g'])
  expect(groups).toEqual([
    {
      errorCode: 0,
      errorMessage: null,
      groupId: 'g',
      groupState: 'Reconciling',
      groupEpoch: 2,
      assignmentEpoch: 2,
      assignorName: 'uniform',
      members: [
        {
          memberId: 'm1',
          instanceId: null,
          rackId: 'r1',
          memberEpoch: 1,
          clientId: 'raw-client',
          clientHost: '/127.0.0.1',
          subscribedTopicNames: ['t'],
          subscribedTopicRegex: 't.*',
          assignment: partitions(0, 1),
          targetAssignment: partitions(0),
          memberType: 1,
        },
        {
          memberId: 'm2',
          instanceId: 'i2',
          rackId: 'r1',
          memberEpoch: 2,
          clientId: 'raw-client',
          clientHost: '/127.0.0.1',
          subscribedTopicNames: ['t'],
          subscribedTopicRegex: 't.*',
          assignment: partitions(),
          targetAssignment: partitions(1),
          memberType: 1,
        },
      ],
      authorizedOperations: -2147483648,
    },
  ])
  expect((await describeGroups(['g'], 0, true)).groups[0]).toMatchObject({
    authorizedOperations: 0b1_0100_1000,
    members: [{ memberType: -1 }, { memberType: -1 }],
  })
})

test('a group that does not exist, and no group at all', async () => {
  const { groups } = await describeGroups(['nobody', ''])
  expect(groups).toMatchObject([
    {
      errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
      errorMessage: "There is no consumer group 'nobody'.",
      groupId: 'nobody',
    },
    { errorCode: ErrorCode.INVALID_GROUP_ID, groupId: '' },
  ])
})
