import { describeGroups, ErrorCode, leaveGroup } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { formGroup, TestMember } from '../groups/testing/test-member.ts'

let broker: Broker
let one: TestMember
let two: TestMember

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  one = await TestMember.connect(broker, 'readers')
  two = await TestMember.connect(broker, 'readers')
})

afterEach(async () => {
  one.close()
  two.close()
  await broker.close()
})

async function groupState(): Promise<string> {
  const { groups } = await one.client.request(describeGroups, 5, { groups: ['readers'] })
  return groups[0]!.groupState
}

test('who leaves is unknown at once, and the others rebalance', async () => {
  await formGroup([one, two])
  expect(await one.leave()).toMatchObject({
    errorCode: 0,
    members: [{ memberId: one.memberId, groupInstanceId: null, errorCode: 0 }],
  })
  expect(await one.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await two.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  expect(await two.join()).toMatchObject({ errorCode: 0, generationId: 2, leader: two.memberId })
})

test('the last one leaves an empty group', async () => {
  await formGroup([one])
  await one.leave()
  expect(await groupState()).toBe('Empty')
})

test.each([0, 1, 2])('version %i has one member and one error', async (version) => {
  await formGroup([one])
  const { memberId } = one
  const leave = (groupId: string, memberId: string) =>
    one.client.request(leaveGroup, version, { groupId, memberId })
  expect(await leave('readers', 'stranger')).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
  expect(await leave('', memberId)).toMatchObject({ errorCode: ErrorCode.INVALID_GROUP_ID })
  expect(await leave('readers', memberId)).toMatchObject({ errorCode: 0 })
  expect(await leave('readers', memberId)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('each member has an error of its own, and strangers disturb nobody', async () => {
  await formGroup([one, two])
  const strangers = [
    { memberId: 'stranger', groupInstanceId: null },
    { memberId: '', groupInstanceId: 'nobody' },
    { memberId: '', groupInstanceId: null },
    { memberId: one.memberId, groupInstanceId: 'nobody' },
  ]
  const refused = await one.client.request(leaveGroup, 3, { groupId: 'readers', members: strangers })
  expect(refused.errorCode).toBe(0)
  expect(refused.members).toEqual(
    strangers.map((member) => ({ ...member, errorCode: ErrorCode.UNKNOWN_MEMBER_ID })),
  )
  expect(await two.heartbeat()).toBe(0)
  const unknown = await one.client.request(leaveGroup, 5, {
    groupId: 'writers',
    members: strangers.slice(0, 1),
  })
  expect(unknown.members[0]).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('an administrator removes a static member by its instance id', async () => {
  await one.enter({ groupInstanceId: 'left' })
  await one.sync({ [one.memberId]: '' })
  const byId = { groupId: 'readers', members: [{ memberId: '', groupInstanceId: 'left' }] }
  expect(await two.client.request(leaveGroup, 3, byId)).toMatchObject({
    members: [{ memberId: '', groupInstanceId: 'left', errorCode: 0 }],
  })
  expect(await one.heartbeat({ groupInstanceId: 'left' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
})

test('a member that was told its id may leave before it joins, and with it its group', async () => {
  await one.join()
  expect(await groupState()).toBe('Empty')
  expect(await one.leave()).toMatchObject({ members: [{ errorCode: 0 }] })
  expect(await groupState()).toBe('Dead')
  expect(await one.join()).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('who leaves while it waits is told that it is unknown', async () => {
  await formGroup([one])
  await two.join()
  const joining = two.join()
  await one.hearsOfRebalance()
  const { memberId } = two
  await one.client.request(leaveGroup, 3, {
    groupId: 'readers',
    members: [{ memberId, groupInstanceId: null }],
  })
  expect(await joining).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
  expect(await one.join()).toMatchObject({ errorCode: 0, generationId: 2 })
})
