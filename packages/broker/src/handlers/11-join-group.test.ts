import { describeGroups, ErrorCode, encodeConsumerSubscription } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { formGroup, TestMember } from '../groups/testing/test-member.ts'

let broker: Broker
const members: TestMember[] = []

beforeEach(async () => {
  broker = await Broker.start({ port: 0, groups: { maxMembers: 3, maxGroupBytes: 8000 } })
})

afterEach(async () => {
  for (const member of members.splice(0)) member.close()
  await broker.close()
})

async function newMember(groupId = 'readers'): Promise<TestMember> {
  const member = await TestMember.connect(broker, groupId)
  members.push(member)
  return member
}

async function stableGroup(size: number): Promise<TestMember[]> {
  const group = await Promise.all(Array.from({ length: size }, () => newMember()))
  await formGroup(group)
  return group
}

const protocols = (...names: string[]) =>
  names.map((name) => ({ name, metadata: encodeConsumerSubscription(0, { topics: ['words'] }) }))

test('a new member is told its id first, then joins with it', async () => {
  const member = await newMember()
  const first = await member.join()
  expect(first).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED, generationId: -1, leader: '' })
  expect(first.memberId).toMatch(/^raw-client-.+/)
  const second = await member.join()
  expect(second).toMatchObject({
    errorCode: 0,
    generationId: 1,
    protocolType: 'consumer',
    protocolName: 'range',
    leader: first.memberId,
    memberId: first.memberId,
    skipAssignment: false,
  })
  expect(second.members).toEqual([
    {
      memberId: first.memberId,
      groupInstanceId: null,
      metadata: Buffer.from(encodeConsumerSubscription(0, { topics: ['words'] })),
    },
  ])
})

test.each([0, 1, 2, 3])('in version %i a new member joins at once', async (version) => {
  const member = await newMember()
  expect(await member.join({ version })).toMatchObject({ errorCode: 0, generationId: 1 })
})

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('a join in version %i, refused and accepted', async (version) => {
  const member = await newMember()
  const refused = await member.join({ version, sessionTimeoutMs: 1 })
  expect(refused).toMatchObject({ errorCode: ErrorCode.INVALID_SESSION_TIMEOUT, members: [] })
  expect(await member.enter({ version })).toMatchObject({ errorCode: 0, protocolName: 'range' })
})

test('members that join together share a generation, and only the leader hears of the others', async () => {
  const [one, two] = [await newMember(), await newMember()]
  await one.join()
  await two.join()
  const [first, second] = await Promise.all([one.join(), two.join()])
  expect(first).toMatchObject({ errorCode: 0, generationId: 1 })
  expect(second).toMatchObject({ errorCode: 0, generationId: 1, leader: first.leader })
  const leader = one.isLeader ? first : second
  const follower = one.isLeader ? second : first
  expect(leader.members.map(({ memberId }) => memberId).sort()).toEqual([one.memberId, two.memberId].sort())
  expect(follower.members).toEqual([])
})

test.each([
  ['an empty group id', { groupId: '' }, ErrorCode.INVALID_GROUP_ID],
  ['a session timeout that is too short', { sessionTimeoutMs: 5999 }, ErrorCode.INVALID_SESSION_TIMEOUT],
  ['a session timeout that is too long', { sessionTimeoutMs: 1_800_001 }, ErrorCode.INVALID_SESSION_TIMEOUT],
  ['an id that nobody was given', { memberId: 'nobody' }, ErrorCode.UNKNOWN_MEMBER_ID],
  ['no protocols', { protocols: [] }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  ['no protocol type', { protocolType: '' }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  [
    'metadata that is too large',
    { protocols: [{ name: 'range', metadata: new Uint8Array(9000) }] },
    ErrorCode.GROUP_MAX_SIZE_REACHED,
  ],
])('%s is refused, and no group comes of it', async (_, request, errorCode) => {
  const member = await newMember()
  expect(await member.join(request)).toMatchObject({ errorCode })
  const other = await newMember()
  expect(await other.enter()).toMatchObject({ errorCode: 0, generationId: 1 })
})

test.each([
  ['an id that nobody was given', { memberId: 'nobody' }, ErrorCode.UNKNOWN_MEMBER_ID],
  [
    'an instance id that nobody has',
    { memberId: 'nobody', groupInstanceId: 'nobody' },
    ErrorCode.UNKNOWN_MEMBER_ID,
  ],
  ['another protocol type', { protocolType: 'connect' }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  ['no protocol in common', { protocols: protocols('sticky') }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
])('%s is refused by a stable group, which stays as it is', async (_, request, errorCode) => {
  const [one, two] = await stableGroup(2)
  const stranger = await newMember()
  expect(await stranger.join(request)).toMatchObject({ errorCode })
  expect(await one!.heartbeat()).toBe(0)
  expect(await two!.heartbeat()).toBe(0)
})

test('the vote takes what most prefer among what all know', async () => {
  const [one, two, three] = [await newMember(), await newMember(), await newMember()]
  const joins: [TestMember, string[]][] = [
    [one, ['sticky', 'range', 'roundrobin']],
    [two, ['own', 'roundrobin', 'range']],
    [three, ['range', 'roundrobin']],
  ]
  for (const [member, names] of joins) await member.join({ protocols: protocols(...names) })
  const joined = await Promise.all(
    joins.map(([member, names]) => member.join({ protocols: protocols(...names) })),
  )
  for (const answer of joined) expect(answer).toMatchObject({ errorCode: 0, protocolName: 'range' })
})

test('a follower that joins again as it was gets the generation there is', async () => {
  const [one, two] = await stableGroup(2)
  const follower = one!.isLeader ? two! : one!
  const leader = one!.isLeader ? one! : two!
  expect(await follower.join()).toMatchObject({ errorCode: 0, generationId: 1, members: [] })
  expect(await leader.heartbeat()).toBe(0)
  expect(await follower.sync()).toMatchObject({ errorCode: 0 })
})

test.each(['a leader that joins again', 'a follower that has changed'])(
  '%s starts a rebalance',
  async (who) => {
    const [one, two] = await stableGroup(2)
    const [leader, follower] = one!.isLeader ? [one!, two!] : [two!, one!]
    const isLeader = who === 'a leader that joins again'
    const rejoined = isLeader ? leader.join() : follower.join({ topics: ['words', 'more'] })
    const other = isLeader ? follower : leader
    await other.hearsOfRebalance()
    expect(await other.join()).toMatchObject({ errorCode: 0, generationId: 2 })
    expect(await rejoined).toMatchObject({ errorCode: 0, generationId: 2 })
  },
)

test('between join and sync a member that missed its answer gets it again, the leader with the members', async () => {
  const [one, two] = [await newMember(), await newMember()]
  await one.join()
  await two.join()
  const [first, second] = await Promise.all([one.join(), two.join()])
  expect(await one.join()).toEqual(first)
  expect(await two.join()).toEqual(second)
})

test('between join and sync a member that has changed starts another rebalance', async () => {
  const [one, two] = [await newMember(), await newMember()]
  await one.join()
  await two.join()
  await Promise.all([one.join(), two.join()])
  const changed = one.join({ topics: ['more'] })
  const syncing = await two.sync()
  expect(syncing.errorCode).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await two.join()).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(await changed).toMatchObject({ errorCode: 0, generationId: 2 })
})

test('a group takes no more members than it may have, counting those who were given an id', async () => {
  const [one] = await stableGroup(2)
  const pending = await newMember()
  expect(await pending.join()).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED })
  const late = await newMember()
  expect(await late.join()).toMatchObject({ errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED, memberId: '' })
  expect(await one!.heartbeat()).toBe(0)
  await pending.leave()
  expect(await late.join()).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED })
})

test('members that are told their id and never come back hold up nobody', async () => {
  for (let index = 0; index < 2; index++) {
    const pending = await newMember('other')
    await pending.join({ sessionTimeoutMs: 6000 })
  }
  const group = await stableGroup(3)
  expect(await group[0]!.heartbeat()).toBe(0)
})

test('a member whose name is as long as a name can be can be told of, like any other', async () => {
  await using roomy = await Broker.start({ port: 0 })
  const member = await TestMember.connect(roomy, 'long')
  members.push(member)
  for (const groupInstanceId of ['x'.repeat(32_767), `xx${'\u{1F600}'.repeat(8191)}`]) {
    const joined = await member.join({ memberId: '', groupInstanceId, version: 5 })
    expect(joined).toMatchObject({ errorCode: 0, memberId: expect.stringMatching(/^.{1,300}$/u) })
    const { groups } = await member.client.request(describeGroups, 5, { groups: ['long'] })
    expect(groups[0]!.members.map(({ memberId }) => memberId)).toContain(joined.memberId)
    expect(await member.heartbeat({ groupInstanceId })).toBe(0)
    await member.leave(groupInstanceId)
  }
})

test('the connection of a waiting member closes, and the group goes on without its answer', async () => {
  const [one] = await stableGroup(1)
  const gone = await newMember()
  await gone.join({ version: 9 })
  const waiting = gone.join()
  waiting.catch(() => undefined)
  await one!.hearsOfRebalance()
  gone.close()
  await expect(waiting).rejects.toThrow('closed')
  expect(await one!.join()).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(await one!.heartbeat()).toBe(0)
})

test('closing the broker answers those who wait', async () => {
  const [one] = await stableGroup(1)
  const waiting = await newMember()
  await waiting.join()
  const joining = waiting.join()
  await one!.hearsOfRebalance()
  const closing = broker.close()
  expect(await joining).toMatchObject({ errorCode: ErrorCode.NOT_COORDINATOR })
  await closing
})
