import {
  deleteGroups,
  describeGroups,
  ErrorCode,
  listGroups,
  offsetCommit,
  offsetDelete,
  offsetFetch,
} from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { formGroup, TestMember } from '../groups/testing/test-member.ts'
import { ALL_GROUP_OPERATIONS, OPERATIONS_NOT_ASKED_FOR } from '../node-identity.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'

let broker: Broker
let client: RawClient
let member: TestMember

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  member = await TestMember.connect(broker, 'stable')
  await createTopic(client, 'words', { partitions: 2 })
})

afterEach(async () => {
  client.close()
  member.close()
  await broker.close()
})

async function commit(groupId: string, topic = 'words'): Promise<void> {
  const partitions = [0, 1].map((partitionIndex) => ({
    partitionIndex,
    committedOffset: 5n,
    committedMetadata: null,
  }))
  const { topics } = await client.request(offsetCommit, 8, { groupId, topics: [{ name: topic, partitions }] })
  expect(topics[0]!.partitions.map(({ errorCode }) => errorCode)).toEqual([0, 0])
}

async function committed(groupId: string): Promise<string[]> {
  const { groups } = await client.request(offsetFetch, 8, { groups: [{ groupId, topics: null }] })
  return groups[0]!.topics.flatMap(({ name, partitions }) =>
    partitions.map((at) => `${name}-${at.partitionIndex}`),
  )
}

describe('ListGroups', () => {
  const list = async (version: number, filters = {}) => {
    const { errorCode, groups } = await client.request(listGroups, version, filters)
    expect(errorCode).toBe(0)
    return groups.sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  }

  test.each([0, 1, 2, 3, 4, 5])('version %i', async (version) => {
    expect(await list(version)).toEqual([])
    await formGroup([member])
    await commit('offsets only')
    expect(await list(version)).toEqual([
      {
        groupId: 'offsets only',
        protocolType: '',
        groupState: version >= 4 ? 'Empty' : '',
        groupType: version >= 5 ? 'classic' : '',
      },
      {
        groupId: 'stable',
        protocolType: 'consumer',
        groupState: version >= 4 ? 'Stable' : '',
        groupType: version >= 5 ? 'classic' : '',
      },
    ])
  })

  test('filters by state and type, however they are capitalised', async () => {
    await formGroup([member])
    await commit('offsets only')
    const ids = async (filters: object) => (await list(5, filters)).map(({ groupId }) => groupId)
    expect(await ids({ statesFilter: ['STABLE'] })).toEqual(['stable'])
    expect(await ids({ statesFilter: ['empty', 'Stable'] })).toEqual(['offsets only', 'stable'])
    expect(await ids({ statesFilter: ['Dead'] })).toEqual([])
    expect(await ids({ typesFilter: ['Classic'] })).toEqual(['offsets only', 'stable'])
    expect(await ids({ typesFilter: ['share'] })).toEqual([])
    expect(await ids({ statesFilter: ['Empty'], typesFilter: ['classic'] })).toEqual(['offsets only'])
  })
})

describe('DescribeGroups', () => {
  const ask = async (version: number, ...groupIds: string[]) =>
    (await client.request(describeGroups, version, { groups: groupIds })).groups

  test.each([0, 1, 2, 3, 4, 5, 6])('version %i', async (version) => {
    await member.join({ groupInstanceId: 'left' })
    await member.sync({ [member.memberId]: 'all' })
    const [stable, missing] = await ask(version, 'stable', 'nowhere')
    expect(stable).toMatchObject({
      errorCode: 0,
      groupId: 'stable',
      groupState: 'Stable',
      protocolType: 'consumer',
      protocolData: 'range',
      authorizedOperations: OPERATIONS_NOT_ASKED_FOR,
    })
    expect(stable!.members).toMatchObject([
      {
        memberId: member.memberId,
        groupInstanceId: version >= 4 ? 'left' : null,
        clientId: 'raw-client',
        clientHost: '/127.0.0.1',
        memberAssignment: Buffer.from('all'),
      },
    ])
    expect(stable!.members[0]!.memberMetadata.byteLength).toBeGreaterThan(0)
    expect(missing).toMatchObject({
      errorCode: version >= 6 ? ErrorCode.GROUP_ID_NOT_FOUND : 0,
      errorMessage: version >= 6 ? 'Group nowhere not found.' : null,
      groupState: 'Dead',
      members: [],
    })
  })

  test('members of a group that is not stable, without metadata', async () => {
    await member.enter()
    const [group] = await ask(5, 'stable')
    expect(group).toMatchObject({
      groupState: 'CompletingRebalance',
      protocolType: 'consumer',
      protocolData: '',
    })
    expect(group!.members).toMatchObject([
      { memberId: member.memberId, memberMetadata: Buffer.alloc(0), memberAssignment: Buffer.alloc(0) },
    ])
  })

  test('each group once, and what may be done to it when that is asked for', async () => {
    await commit('empty')
    const request = { groups: ['empty', 'empty'], includeAuthorizedOperations: true }
    const { groups } = await client.request(describeGroups, 3, request)
    expect(groups).toMatchObject([
      { groupId: 'empty', groupState: 'Empty', authorizedOperations: ALL_GROUP_OPERATIONS },
    ])
  })
})

describe('DeleteGroups', () => {
  const remove = async (version: number, ...groupsNames: string[]) => {
    const { results } = await client.request(deleteGroups, version, { groupsNames })
    return results.map(({ groupId, errorCode }) => [groupId, errorCode])
  }

  test.each([0, 1, 2])('version %i', async (version) => {
    expect(await remove(version, 'nowhere')).toEqual([['nowhere', ErrorCode.GROUP_ID_NOT_FOUND]])
    await formGroup([member])
    await commit('offsets only')
    expect(await remove(version, 'stable', 'offsets only', 'nowhere', 'nowhere')).toEqual([
      ['stable', ErrorCode.NON_EMPTY_GROUP],
      ['offsets only', 0],
      ['nowhere', ErrorCode.GROUP_ID_NOT_FOUND],
    ])
    expect(await member.heartbeat()).toBe(0)
    expect(await committed('offsets only')).toEqual([])
    expect((await client.request(listGroups, 4, {})).groups.map(({ groupId }) => groupId)).toEqual(['stable'])
  })

  test('a group that was left is deleted with its offsets, and is new when it comes back', async () => {
    await formGroup([member])
    await member.commit('words', 3)
    await member.leave()
    expect(await remove(2, 'stable')).toEqual([['stable', 0]])
    expect(await committed('stable')).toEqual([])
    member.memberId = ''
    expect(await member.enter()).toMatchObject({ errorCode: 0, generationId: 1 })
  })
})

describe('OffsetDelete', () => {
  const remove = async (groupId: string, ...topics: [name: string, partition: number][]) => {
    const answer = await client.request(offsetDelete, 0, {
      groupId,
      topics: topics.map(([name, partitionIndex]) => ({ name, partitions: [{ partitionIndex }] })),
    })
    return answer.errorCode === 0
      ? answer.topics.map(({ partitions }) => partitions[0]!.errorCode)
      : answer.errorCode
  }

  test('offsets that nobody uses are deleted one by one', async () => {
    await commit('offsets only')
    expect(await remove('offsets only', ['words', 0], ['nowhere', 0], ['words', 9])).toEqual([
      0,
      ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      0,
    ])
    expect(await committed('offsets only')).toEqual(['words-1'])
  })

  test('a consumer group keeps those of the topics it consumes, and loses others', async () => {
    await createTopic(client, 'old', { partitions: 2 })
    await commit('stable')
    await commit('stable', 'old')
    await formGroup([member])
    expect(await remove('stable', ['words', 0], ['old', 0])).toEqual([ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, 0])
    expect(await committed('stable')).toEqual(['words-0', 'words-1', 'old-1'])
    await member.leave()
    expect(await remove('stable', ['words', 0])).toEqual([0])
  })

  test('a group of something else has to be empty', async () => {
    await commit('stable')
    await formGroup([member], { protocolType: 'connect' })
    expect(await remove('stable', ['words', 0])).toBe(ErrorCode.NON_EMPTY_GROUP)
    expect(await committed('stable')).toEqual(['words-0', 'words-1'])
  })

  test('groups that do not exist, and the empty id', async () => {
    expect(await remove('nowhere', ['words', 0])).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
    await commit('offsets only')
    expect(await remove('nowhere', ['words', 0])).toBe(ErrorCode.GROUP_ID_NOT_FOUND)
    expect(await remove('', ['words', 0])).toBe(ErrorCode.INVALID_GROUP_ID)
  })
})
