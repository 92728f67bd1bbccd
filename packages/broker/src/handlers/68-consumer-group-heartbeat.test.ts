import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ConsumerGroupHeartbeatRequestInput,
  consumerGroupDescribe,
  consumerGroupHeartbeat,
  createPartitions,
  deleteGroups,
  describeGroups,
  ErrorCode,
  joinGroup,
  listGroups,
  offsetCommit,
  offsetFetch,
} from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'

let broker: Broker
let client: RawClient
let topicId: string

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  ;({ topicId } = await createTopic(client, 't', { partitions: 4 }))
})

afterEach(async () => {
  client.close()
  await broker.close()
})

function heartbeat(request: Partial<ConsumerGroupHeartbeatRequestInput>, version = 1) {
  return client.request(consumerGroupHeartbeat, version, {
    groupId: 'g',
    memberId: 'm1',
    memberEpoch: 0,
    rebalanceTimeoutMs: -1,
    ...request,
  })
}

function joining(memberId: string, rest: Partial<ConsumerGroupHeartbeatRequestInput> = {}, version = 1) {
  return heartbeat(
    { memberId, rebalanceTimeoutMs: 60_000, subscribedTopicNames: ['t'], topicPartitions: [], ...rest },
    version,
  )
}

test('in version 0 the broker chooses the member id, in version 1 the member does', async () => {
  const first = await joining('', { groupId: 'g0' }, 0)
  expect(first).toMatchObject({
    throttleTimeMs: 0,
    errorCode: 0,
    errorMessage: null,
    memberEpoch: 1,
    heartbeatIntervalMs: 5000,
    assignment: { topicPartitions: [{ topicId, partitions: [0, 1, 2, 3] }] },
  })
  expect(first.memberId).not.toBe('')
  expect(await joining('')).toMatchObject({
    errorCode: ErrorCode.INVALID_REQUEST,
    errorMessage: 'MemberId must not be empty.',
  })
  for (const blank of [{ memberId: ' ' }, { groupId: ' ' }, { instanceId: '\t' }, { rackId: ' ' }]) {
    expect(await joining('mine', blank)).toMatchObject({ errorCode: ErrorCode.INVALID_REQUEST })
  }
  expect(await joining('mine')).toMatchObject({ errorCode: 0, memberId: 'mine' })
})

test('a refusal names what was refused, however long that is', async () => {
  const serverAssignor = 'x'.repeat(32_767)
  const { errorCode, errorMessage } = await joining('m1', { serverAssignor })
  expect(errorCode).toBe(ErrorCode.UNSUPPORTED_ASSIGNOR)
  expect(errorMessage).toMatch(/^ServerAssignor 'x+/)
  const groupId = 'g'.repeat(32_767)
  await client.request(joinGroup, 3, {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: '',
    protocolType: 'connect',
    protocols: [{ name: 'any', metadata: Buffer.alloc(0) }],
  })
  expect(await joining('m1', { groupId })).toMatchObject({ errorCode: ErrorCode.GROUP_ID_NOT_FOUND })
})

test('a group subscribes to a hundred regular expressions and no more', async () => {
  const subscribe = (index: number, regex = index) =>
    joining(`m${index}`, { subscribedTopicNames: null, subscribedTopicRegex: `t(${regex})?` })
  for (let index = 0; index < 100; index++) expect(await subscribe(index)).toMatchObject({ errorCode: 0 })
  expect(await subscribe(100)).toMatchObject({ errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED })
  expect(await subscribe(100, 99)).toMatchObject({ errorCode: 0 })
  expect(await heartbeat({ memberId: 'm0', memberEpoch: -1 })).toMatchObject({ errorCode: 0 })
  expect(await subscribe(101)).toMatchObject({ errorCode: 0 })
})

test('a static member that is refused when it comes back leaves everything as it was', async () => {
  await using small = await Broker.start({ port: 0, groups: { maxGroupBytes: 3000 } })
  const other = client
  client = await RawClient.connect(small)
  const static1 = { instanceId: 'one' }
  expect(await joining('before', static1)).toMatchObject({ errorCode: 0 })
  expect(await heartbeat({ memberId: 'before', memberEpoch: -2, ...static1 })).toMatchObject({ errorCode: 0 })
  const subscribedTopicNames = Array.from({ length: 100 }, (_, index) => `topic-${index}`)
  expect(await joining('after', { ...static1, subscribedTopicNames })).toMatchObject({
    errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED,
  })
  expect(await joining('after', static1)).toMatchObject({ errorCode: 0, memberId: 'after' })
  client.close()
  client = other
})

test('two members share a topic, one leaves, and the other gets everything', async () => {
  await joining('m1')
  expect(await joining('m2')).toMatchObject({ memberEpoch: 2, assignment: { topicPartitions: [] } })
  expect(await heartbeat({ memberId: 'm1', memberEpoch: 1 })).toMatchObject({
    memberEpoch: 1,
    assignment: { topicPartitions: [{ topicId, partitions: [0, 1] }] },
  })
  const confirmed = [{ topicId, partitions: [0, 1] }]
  expect(await heartbeat({ memberId: 'm1', memberEpoch: 1, topicPartitions: confirmed })).toMatchObject({
    memberEpoch: 2,
    assignment: null,
  })
  expect(await heartbeat({ memberId: 'm2', memberEpoch: 2 })).toMatchObject({
    assignment: { topicPartitions: [{ topicId, partitions: [2, 3] }] },
  })
  expect(await heartbeat({ memberId: 'm2', memberEpoch: -1 })).toMatchObject({
    errorCode: 0,
    memberEpoch: -1,
  })
  expect(await heartbeat({ memberId: 'm1', memberEpoch: 2 })).toMatchObject({
    memberEpoch: 3,
    assignment: { topicPartitions: [{ topicId, partitions: [0, 1, 2, 3] }] },
  })
})

test('a hundred members that join at once each get their share', async () => {
  await createTopic(client, 'wide', { partitions: 1000 })
  const joined = await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const own = await RawClient.connect(broker)
      const answer = await own.request(consumerGroupHeartbeat, 1, {
        groupId: 'many',
        memberId: `m${index}`,
        memberEpoch: 0,
        rebalanceTimeoutMs: 60_000,
        subscribedTopicNames: ['wide'],
        topicPartitions: [],
      })
      own.close()
      return answer
    }),
  )
  expect(joined.every(({ errorCode }) => errorCode === 0)).toBe(true)
  const { groups } = await client.request(consumerGroupDescribe, 1, {
    groupIds: ['many'],
    includeAuthorizedOperations: false,
  })
  const targets = groups[0]!.members.map(
    ({ targetAssignment }) => targetAssignment.topicPartitions[0]!.partitions.length,
  )
  expect(targets).toEqual(new Array(100).fill(10))
})

test('refusals name what is wrong', async () => {
  const refusals: [Partial<ConsumerGroupHeartbeatRequestInput>, number, RegExp][] = [
    [{ groupId: '' }, ErrorCode.INVALID_REQUEST, /GroupId must not be empty/],
    [{ memberEpoch: -3 }, ErrorCode.INVALID_REQUEST, /MemberEpoch is -3/],
    [{ memberEpoch: 1 }, ErrorCode.GROUP_ID_NOT_FOUND, /no consumer group 'g'/],
    [{ memberEpoch: -1 }, ErrorCode.GROUP_ID_NOT_FOUND, /no consumer group 'g'/],
    [
      {
        memberEpoch: 0,
        rebalanceTimeoutMs: 1,
        subscribedTopicNames: [],
        topicPartitions: [],
        serverAssignor: 'mine',
      },
      ErrorCode.UNSUPPORTED_ASSIGNOR,
      /'mine' is not supported; these are: uniform, range/,
    ],
    [
      { memberEpoch: 0, rebalanceTimeoutMs: 1, subscribedTopicRegex: '(', topicPartitions: [] },
      ErrorCode.INVALID_REGULAR_EXPRESSION,
      /missing closing/,
    ],
  ]
  for (const [request, errorCode, message] of refusals) {
    const answer = await heartbeat(request)
    expect(answer).toMatchObject({ errorCode, assignment: null })
    expect(answer.errorMessage).toMatch(message)
  }
  expect(broker.store.topics.byName('__consumer_offsets')).toBeDefined()
  expect((await client.request(listGroups, 5, { statesFilter: [], typesFilter: [] })).groups).toEqual([])
})

test('a refused join of a group that nobody is in makes no group', async () => {
  await joining('m1', { subscribedTopicRegex: '(' })
  const { groups } = await client.request(consumerGroupDescribe, 0, {
    groupIds: ['g'],
    includeAuthorizedOperations: false,
  })
  expect(groups).toMatchObject([{ errorCode: ErrorCode.GROUP_ID_NOT_FOUND }])
})

test('new partitions reach the members with their next heartbeat', async () => {
  await joining('m1')
  await client.request(createPartitions, 3, {
    topics: [{ name: 't', count: 5, assignments: null }],
    timeoutMs: 1000,
    validateOnly: false,
  })
  expect(await heartbeat({ memberEpoch: 1 })).toMatchObject({
    memberEpoch: 2,
    assignment: { topicPartitions: [{ topicId, partitions: [0, 1, 2, 3, 4] }] },
  })
})

test('commits need the epoch of the member and OffsetCommit 9', async () => {
  await joining('m1')
  const commit = async (memberEpoch: number, version: number) => {
    const { topics } = await client.request(offsetCommit, version, {
      groupId: 'g',
      generationIdOrMemberEpoch: memberEpoch,
      memberId: 'm1',
      topics: [
        {
          name: 't',
          topicId,
          partitions: [{ partitionIndex: 0, committedOffset: 7n, committedMetadata: null }],
        },
      ],
    })
    return topics[0]!.partitions[0]!.errorCode
  }
  expect(await commit(1, 8)).toBe(ErrorCode.UNSUPPORTED_VERSION)
  expect(await commit(0, 9)).toBe(ErrorCode.STALE_MEMBER_EPOCH)
  expect(await commit(1, 10)).toBe(ErrorCode.NONE)
  const { groups } = await client.request(offsetFetch, 9, {
    groups: [
      { groupId: 'g', memberId: 'm1', memberEpoch: 1, topics: [{ name: 't', partitionIndexes: [0] }] },
      { groupId: 'g', memberId: 'm1', memberEpoch: 9, topics: null },
    ],
    requireStable: false,
  })
  expect(groups[0]).toMatchObject({ topics: [{ partitions: [{ committedOffset: 7n }] }] })
  expect(groups[1]).toMatchObject({ errorCode: ErrorCode.STALE_MEMBER_EPOCH })
})

test('the group is listed with its type, is no classic group, and can be deleted when it is empty', async () => {
  await joining('m1')
  const list = () => client.request(listGroups, 5, { statesFilter: ['stable'], typesFilter: ['consumer'] })
  expect(await list()).toMatchObject({
    groups: [{ groupId: 'g', protocolType: 'consumer', groupState: 'Stable', groupType: 'consumer' }],
  })
  const { groups } = await client.request(describeGroups, 6, {
    groups: ['g'],
    includeAuthorizedOperations: false,
  })
  expect(groups).toMatchObject([{ errorCode: ErrorCode.GROUP_ID_NOT_FOUND, groupState: 'Dead' }])
  const remove = async () =>
    (await client.request(deleteGroups, 2, { groupsNames: ['g'] })).results[0]!.errorCode
  expect(await remove()).toBe(ErrorCode.NON_EMPTY_GROUP)
  await heartbeat({ memberEpoch: -1 })
  expect(await remove()).toBe(ErrorCode.NONE)
  expect(await remove()).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
  expect(await heartbeat({ memberEpoch: 1 })).toMatchObject({ errorCode: ErrorCode.GROUP_ID_NOT_FOUND })
})

test('members go on with their epochs on a broker that was started again', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'streambus-groups-'))
  let own = await Broker.start({ port: 0, dataDir })
  let connection = await RawClient.connect(own)
  const created = await createTopic(connection, 't', { partitions: 2 })
  const request = {
    groupId: 'g',
    memberId: 'm1',
    memberEpoch: 0,
    rebalanceTimeoutMs: 60_000,
    subscribedTopicNames: ['t'],
    topicPartitions: [],
  }
  await connection.request(consumerGroupHeartbeat, 1, request)
  connection.close()
  await own.close()

  own = await Broker.start({ port: 0, dataDir })
  connection = await RawClient.connect(own)
  let answer = await connection.request(consumerGroupHeartbeat, 1, { ...request, memberEpoch: 1 })
  while (answer.errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) {
    answer = await connection.request(consumerGroupHeartbeat, 1, { ...request, memberEpoch: 1 })
  }
  expect(answer).toMatchObject({
    errorCode: 0,
    memberEpoch: 1,
    assignment: { topicPartitions: [{ topicId: created.topicId, partitions: [0, 1] }] },
  })
  connection.close()
  await own.close()
  rmSync(dataDir, { recursive: true })
})
