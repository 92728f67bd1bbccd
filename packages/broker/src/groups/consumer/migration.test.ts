import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ConsumerGroupHeartbeatRequestInput,
  consumerGroupDescribe,
  consumerGroupHeartbeat,
  decodeConsumerAssignment,
  ErrorCode,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
  heartbeat,
  joinGroup,
  leaveGroup,
  listGroups,
  offsetCommit,
  offsetFetch,
  syncGroup,
} from '@streambus/protocol'
import { type LogStore, MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../../broker.ts'
import { withOverrides } from '../../testing/controlled-store.ts'
import { RawClient } from '../../testing/raw-client.ts'
import { createTopic } from '../../testing/requests.ts'
import type { GroupOptions } from '../group-options.ts'

let broker: Broker
let client: RawClient
let topicId: string
let dataDir: string | undefined

beforeEach(() => start())

afterEach(async () => {
  await stop()
  if (dataDir !== undefined) rmSync(dataDir, { recursive: true })
  dataDir = undefined
})

async function start(groups: GroupOptions = {}, store?: LogStore): Promise<void> {
  broker = await Broker.start({
    port: 0,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(store === undefined ? {} : { store }),
    groups: { initialRebalanceDelayMs: 0, ...groups },
  })
  client = await RawClient.connect(broker)
  topicId = broker.store.topics.byName('t')?.id ?? (await createTopic(client, 't', { partitions: 4 })).topicId
}

async function stop(): Promise<void> {
  client.close()
  await broker.close()
}

/** A member of the classic protocol with a cooperative assignor. */
class ClassicClient {
  readonly instanceId: string | null
  memberId = ''
  generation = -1
  owned: number[] = []

  constructor(instanceId: string | null = null) {
    this.instanceId = instanceId
  }

  async join(rest: { protocolType?: string; metadata?: Uint8Array } = {}) {
    const ownedPartitions = this.owned.length === 0 ? [] : [{ topic: 't', partitions: this.owned }]
    const metadata =
      rest.metadata ??
      encodeConsumerSubscription(3, { topics: ['t'], ownedPartitions, generationId: this.generation })
    const request = () =>
      client.request(joinGroup, 9, {
        groupId: 'g',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 20_000,
        memberId: this.memberId,
        groupInstanceId: this.instanceId,
        protocolType: rest.protocolType ?? 'consumer',
        protocols: [{ name: 'cooperative-sticky', metadata }],
      })
    let answer = await request()
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.memberId = answer.memberId
      answer = await request()
    }
    if (answer.errorCode === ErrorCode.NONE) {
      this.memberId = answer.memberId
      this.generation = answer.generationId
    }
    return answer
  }

  async sync(assignments: { memberId: string; partitions: number[]; userData?: Uint8Array }[] = []) {
    const answer = await client.request(syncGroup, 5, {
      groupId: 'g',
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: this.instanceId,
      protocolType: 'consumer',
      protocolName: 'cooperative-sticky',
      assignments: assignments.map(({ memberId, partitions, userData = null }) => ({
        memberId,
        assignment: encodeConsumerAssignment(3, {
          assignedPartitions: [{ topic: 't', partitions }],
          userData,
        }),
      })),
    })
    if (answer.errorCode === ErrorCode.NONE) {
      const { assignedPartitions } = decodeConsumerAssignment(answer.assignment)
      this.owned = assignedPartitions.flatMap(({ partitions }) => partitions)
    }
    return answer.errorCode
  }

  async heartbeat() {
    const { errorCode } = await client.request(heartbeat, 4, {
      groupId: 'g',
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: this.instanceId,
    })
    return errorCode
  }

  async leave() {
    const { members } = await client.request(leaveGroup, 5, {
      groupId: 'g',
      members: [{ memberId: this.memberId, groupInstanceId: this.instanceId, reason: null }],
    })
    return members[0]!.errorCode
  }

  /** The only member of a classic group, with everything assigned to it. */
  static async alone(instanceId: string | null = null): Promise<ClassicClient> {
    const member = new ClassicClient(instanceId)
    expect(await member.join()).toMatchObject({ errorCode: 0, generationId: 1 })
    expect(await member.sync([{ memberId: member.memberId, partitions: [0, 1, 2, 3] }])).toBe(0)
    return member
  }
}

function beat(request: Partial<ConsumerGroupHeartbeatRequestInput>) {
  return client.request(consumerGroupHeartbeat, 1, {
    groupId: 'g',
    memberId: 'new',
    memberEpoch: 0,
    rebalanceTimeoutMs: -1,
    ...request,
  })
}

function joinNew(rest: Partial<ConsumerGroupHeartbeatRequestInput> = {}) {
  return beat({ rebalanceTimeoutMs: 60_000, subscribedTopicNames: ['t'], topicPartitions: [], ...rest })
}

async function groupType() {
  const { groups } = await client.request(listGroups, 5, { statesFilter: [], typesFilter: [] })
  return groups[0]?.groupType
}

test('a classic group becomes a consumer group with the first member of the consumer protocol', async () => {
  const classic = await ClassicClient.alone()
  expect(await joinNew()).toMatchObject({ errorCode: 0, memberEpoch: 2, assignment: { topicPartitions: [] } })
  expect(await groupType()).toBe('consumer')
  const { groups } = await client.request(consumerGroupDescribe, 1, {
    groupIds: ['g'],
    includeAuthorizedOperations: false,
  })
  expect(groups[0]!.members).toMatchObject([
    { memberId: classic.memberId, memberType: 0, memberEpoch: 1 },
    { memberId: 'new', memberType: 1, memberEpoch: 2 },
  ])

  // The classic member hears of a rebalance, learns what it keeps, and joins again without the rest.
  expect(await classic.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await classic.join()).toMatchObject({ errorCode: 0, generationId: 1, leader: '', members: [] })
  expect(await classic.sync()).toBe(0)
  expect(classic.owned).toEqual([0, 1])
  expect(await beat({ memberEpoch: 2 })).toMatchObject({ errorCode: 0, assignment: null })
  expect(await classic.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await classic.join()).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(await classic.sync()).toBe(0)
  expect(await classic.heartbeat()).toBe(0)
  expect(await beat({ memberEpoch: 2 })).toMatchObject({
    assignment: { topicPartitions: [{ topicId, partitions: [2, 3] }] },
  })
  expect(await groupType()).toBe('consumer')
})

test('what classic members were given last is theirs, also when the assignment after it could not be written', async () => {
  await stop()
  let isFull = false
  const memory = await MemoryLogStore.open()
  const store = withOverrides(memory, {
    append: async (batches) =>
      isFull
        ? batches.map(() => ({ error: new StorageError('DISK_FULL', 'the disk is full') }))
        : memory.append(batches),
  })
  await start({}, store)
  const classic = await ClassicClient.alone()
  expect(await classic.join()).toMatchObject({ errorCode: 0, generationId: 2 })
  isFull = true
  expect(await classic.sync([{ memberId: classic.memberId, partitions: [0, 1, 2, 3] }])).toBe(
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
  )
  isFull = false
  expect(await joinNew()).toMatchObject({ errorCode: 0, assignment: { topicPartitions: [] } })
  expect(await groupType()).toBe('consumer')
})

test('joins and syncs that wait in a classic group are sent back to join again', async () => {
  const first = await ClassicClient.alone()
  const second = new ClassicClient()
  const other = await RawClient.connect(broker)
  // The second member waits for the first, which does not know of it yet.
  const waiting = other.request(joinGroup, 9, {
    groupId: 'g',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 20_000,
    memberId: (
      await other.request(joinGroup, 9, {
        groupId: 'g',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 20_000,
        memberId: '',
        protocolType: 'consumer',
        protocols: [
          { name: 'cooperative-sticky', metadata: encodeConsumerSubscription(3, { topics: ['t'] }) },
        ],
      })
    ).memberId,
    protocolType: 'consumer',
    protocols: [{ name: 'cooperative-sticky', metadata: encodeConsumerSubscription(3, { topics: ['t'] }) }],
  })
  expect(await first.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await joinNew()).toMatchObject({ errorCode: 0 })
  const sentBack = await waiting
  expect(sentBack).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS })
  second.memberId = sentBack.memberId
  expect(await second.join()).toMatchObject({ errorCode: 0 })
  other.close()
})

test('when the last member of the consumer protocol leaves, the group is classic again', async () => {
  const classic = new ClassicClient()
  await joinNew()
  expect(await classic.join()).toMatchObject({
    errorCode: 0,
    generationId: 2,
    protocolName: 'cooperative-sticky',
  })
  expect(await classic.sync()).toBe(0)
  expect(classic.owned).toEqual([])
  expect(await beat({ memberEpoch: -1 })).toMatchObject({ errorCode: 0 })
  expect(await groupType()).toBe('classic')
  expect(await classic.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await classic.join()).toMatchObject({ errorCode: 0, generationId: 3, leader: classic.memberId })
  expect(await classic.sync([{ memberId: classic.memberId, partitions: [0, 1, 2, 3] }])).toBe(0)
  expect(classic.owned).toEqual([0, 1, 2, 3])
})

test('a static member takes the place of one of the other protocol, in both directions', async () => {
  const classic = await ClassicClient.alone('i1')
  expect(await joinNew({ instanceId: 'i1' })).toMatchObject({
    errorCode: 0,
    memberEpoch: 2,
    assignment: { topicPartitions: [{ topicId, partitions: [0, 1, 2, 3] }] },
  })
  expect(await groupType()).toBe('consumer')
  expect(await classic.heartbeat()).toBe(ErrorCode.FENCED_INSTANCE_ID)

  const successor = new ClassicClient('i1')
  expect(await successor.join()).toMatchObject({ errorCode: 0 })
  expect(await groupType()).toBe('classic')
  expect(await beat({ memberEpoch: 2, instanceId: 'i1' })).toMatchObject({
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
  })
  await successor.join()
  expect(await successor.sync([{ memberId: successor.memberId, partitions: [0, 1, 2, 3] }])).toBe(0)
})

test('members of both protocols leave by LeaveGroup', async () => {
  const classic = new ClassicClient()
  await joinNew()
  await classic.join()
  expect(await classic.leave()).toBe(0)
  expect(await classic.leave()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await groupType()).toBe('consumer')
  expect(await beat({ memberEpoch: 1 })).toMatchObject({ errorCode: 0, memberEpoch: 3 })
})

test('classic members are told what is wrong with their requests', async () => {
  await joinNew()
  const classic = new ClassicClient()
  const refused = { errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL }
  expect(await classic.join({ protocolType: 'connect' })).toMatchObject(refused)
  expect(await classic.join({ metadata: new Uint8Array([0, 1, 9]) })).toMatchObject(refused)
  await classic.join()
  const { generation, memberId } = classic
  classic.generation = 9
  expect(await classic.heartbeat()).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await classic.sync()).toBe(ErrorCode.ILLEGAL_GENERATION)
  classic.generation = generation
  for (const id of ['nobody', 'new']) {
    classic.memberId = id
    expect(await classic.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
    expect(await classic.sync()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  }
  classic.memberId = memberId
  expect(await classic.sync()).toBe(0)
})

test('an empty group of one kind becomes the other, and keeps its offsets', async () => {
  const classic = await ClassicClient.alone()
  await client.request(offsetCommit, 8, {
    groupId: 'g',
    generationIdOrMemberEpoch: classic.generation,
    memberId: classic.memberId,
    topics: [
      { name: 't', partitions: [{ partitionIndex: 0, committedOffset: 5n, committedMetadata: null }] },
    ],
  })
  const committed = async () => {
    const { groups } = await client.request(offsetFetch, 8, {
      groups: [{ groupId: 'g', topics: [{ name: 't', partitionIndexes: [0] }] }],
    })
    return groups[0]!.topics[0]!.partitions[0]!.committedOffset
  }
  await classic.leave()
  expect(await joinNew()).toMatchObject({ errorCode: 0, memberEpoch: 1 })
  expect(await groupType()).toBe('consumer')
  expect(await committed()).toBe(5n)
  await beat({ memberEpoch: -1 })
  await ClassicClient.alone()
  expect(await groupType()).toBe('classic')
  expect(await committed()).toBe(5n)
})

test('groups that cannot become consumer groups stay as they are', async () => {
  const own = new ClassicClient()
  await own.join()
  await own.sync([{ memberId: own.memberId, partitions: [0], userData: new Uint8Array([1]) }])
  expect(await joinNew()).toMatchObject({
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
    errorMessage: expect.stringMatching(/an assignor of its own/),
  })
  expect(await own.heartbeat()).toBe(0)
  await own.leave()

  const connector = new ClassicClient()
  await connector.join({ protocolType: 'connect' })
  expect(await joinNew()).toMatchObject({
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
    errorMessage: expect.stringMatching(/not a group of consumers/),
  })
  expect(await groupType()).toBe('classic')
})

test('the migration policy decides', async () => {
  await stop()
  await start({ consumerMigrationPolicy: 'upgrade' })
  const classic = await ClassicClient.alone()
  expect(await joinNew()).toMatchObject({ errorCode: 0 })
  await beat({ memberEpoch: -1 })
  expect(await groupType()).toBe('consumer')
  expect(await classic.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  await stop()

  await start({ consumerMigrationPolicy: 'downgrade' })
  await ClassicClient.alone()
  expect(await joinNew()).toMatchObject({
    errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
    errorMessage: expect.stringMatching(/switched off/),
  })
})

test('a refused member makes no consumer group of a classic one', async () => {
  const classic = await ClassicClient.alone()
  expect(await joinNew({ subscribedTopicRegex: '(' })).toMatchObject({
    errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION,
  })
  expect(await groupType()).toBe('classic')
  expect(await classic.heartbeat()).toBe(0)
})

test('a group with members of both protocols survives a restart, and so does one that was turned', async () => {
  await stop()
  dataDir = mkdtempSync(join(tmpdir(), 'streambus-migration-'))
  await start()
  const classic = await ClassicClient.alone()
  await joinNew()
  const restart = async () => {
    await stop()
    await start()
    while ((await joinNew({ groupId: 'ready' })).errorCode !== 0);
    await beat({ groupId: 'ready', memberEpoch: -1 })
  }
  await restart()
  expect(await classic.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  await classic.join()
  await classic.sync()
  expect(classic.owned).toEqual([0, 1])
  await classic.join()
  expect(await beat({ memberEpoch: 2 })).toMatchObject({
    assignment: { topicPartitions: [{ topicId, partitions: [2, 3] }] },
  })
  await beat({ memberEpoch: -1 })
  await restart()
  const { groups } = await client.request(listGroups, 5, { statesFilter: [], typesFilter: [] })
  expect(groups).toContainEqual(expect.objectContaining({ groupId: 'g', groupType: 'classic' }))
  expect(await classic.heartbeat()).toBe(0)
})
