import { ErrorCode, heartbeat } from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { formGroup, TestMember } from '../groups/testing/test-member.ts'

let broker: Broker
let member: TestMember
let other: TestMember

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  member = await TestMember.connect(broker, 'readers')
  other = await TestMember.connect(broker, 'readers')
})

afterEach(async () => {
  member.close()
  other.close()
  await broker.close()
})

test('nobody knows the members of a group that does not exist', async () => {
  expect(await member.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
})

test('what a heartbeat hears in each state of the group', async () => {
  await member.join()
  await other.join()
  await Promise.all([member.join(), other.join()])
  // CompletingRebalance
  expect(await member.heartbeat()).toBe(0)
  await formGroup([member, other])
  // Stable
  expect(await member.heartbeat()).toBe(0)
  expect(await member.heartbeat({ generationId: member.generationId - 1 })).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await member.heartbeat({ generationId: member.generationId + 1 })).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await member.heartbeat({ groupInstanceId: 'nobody' })).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  const [leader, follower] = member.isLeader ? [member, other] : [other, member]
  const joining = leader.join()
  // PreparingRebalance
  await follower.hearsOfRebalance()
  await follower.leave()
  await joining
  expect(await follower.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  await leader.leave()
  // Empty
  expect(await leader.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
})

test.each([0, 1, 2, 3, 4])('version %i', async (version) => {
  await formGroup([member])
  const { generationId, memberId } = member
  const alive = { groupId: 'readers', generationId, memberId }
  expect(await member.client.request(heartbeat, version, alive)).toMatchObject({ errorCode: 0 })
  const empty = { groupId: '', generationId, memberId }
  expect(await member.client.request(heartbeat, version, empty)).toMatchObject({
    errorCode: ErrorCode.INVALID_GROUP_ID,
  })
})
