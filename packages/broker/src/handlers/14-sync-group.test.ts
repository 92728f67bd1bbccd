import { ErrorCode } from '@streambus/protocol'
import { MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { formGroup, syncAll, TestMember } from '../groups/testing/test-member.ts'
import { withOverrides } from '../testing/controlled-store.ts'

let broker: Broker
let failing: boolean
let leader: TestMember
let follower: TestMember

beforeEach(async () => {
  failing = false
  const store = await MemoryLogStore.open()
  broker = await Broker.start({
    port: 0,
    store: withOverrides(store, {
      append: async (batches) =>
        failing
          ? batches.map(() => ({ error: new StorageError('DISK_FULL', 'the disk is full') }))
          : store.append(batches),
    }),
  })
  const members = [await TestMember.connect(broker, 'readers'), await TestMember.connect(broker, 'readers')]
  for (const member of members) await member.join()
  await Promise.all(members.map((member) => member.join()))
  leader = members.find(({ isLeader }) => isLeader)!
  follower = members.find(({ isLeader }) => !isLeader)!
})

afterEach(async () => {
  leader.close()
  follower.close()
  await broker.close()
})

test.each([0, 1, 2, 3, 4, 5])('everyone gets what the leader assigned, in version %i', async (version) => {
  const following = follower.sync({}, { version })
  const assignments = { [leader.memberId]: 'left', [follower.memberId]: 'right' }
  expect(await leader.sync(assignments, { version })).toMatchObject({
    errorCode: 0,
    assignment: Buffer.from('left'),
    ...(version === 5 ? { protocolType: 'consumer', protocolName: 'range' } : {}),
  })
  expect(await following).toMatchObject({ errorCode: 0, assignment: Buffer.from('right') })
  // Who asks later, or again, gets the same.
  expect(await follower.sync({}, { version })).toMatchObject({
    errorCode: 0,
    assignment: Buffer.from('right'),
  })
})

test('a member that the leader forgot gets nothing, and assignments for strangers are for nobody', async () => {
  const following = follower.sync()
  await leader.sync({ stranger: 'something' })
  expect(await following).toMatchObject({ errorCode: 0, assignment: Buffer.alloc(0) })
})

test.each([
  ['an empty group id', { groupId: '' }, ErrorCode.INVALID_GROUP_ID],
  ['another group', { groupId: 'writers' }, ErrorCode.UNKNOWN_MEMBER_ID],
  ['a stranger', { memberId: 'stranger' }, ErrorCode.UNKNOWN_MEMBER_ID],
  ['an instance id that nobody has', { groupInstanceId: 'nobody' }, ErrorCode.UNKNOWN_MEMBER_ID],
  ['an old generation', { generationId: 0 }, ErrorCode.ILLEGAL_GENERATION],
  ['a generation to come', { generationId: 2 }, ErrorCode.ILLEGAL_GENERATION],
  ['another protocol type', { protocolType: 'connect' }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  ['another protocol', { protocolName: 'sticky' }, ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
])('%s is refused, and the group goes on', async (_, request, errorCode) => {
  expect(await leader.sync({}, request)).toMatchObject({ errorCode, assignment: Buffer.alloc(0) })
  await syncAll([leader, follower])
  expect(await leader.heartbeat()).toBe(0)
})

test('during a rebalance there is nothing to ask for', async () => {
  await syncAll([leader, follower])
  const joining = leader.join()
  await follower.hearsOfRebalance()
  expect(await follower.sync()).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS })
  await follower.join()
  expect(await joining).toMatchObject({ generationId: 2 })
})

test('assignments that cannot be written reach nobody, and the group rebalances', async () => {
  failing = true
  const following = follower.sync()
  expect(await leader.sync({ [follower.memberId]: 'right' })).toMatchObject({
    errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    assignment: Buffer.alloc(0),
  })
  expect(await following).toMatchObject({ errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE })
  expect(await follower.heartbeat()).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
  failing = false
  await formGroup([leader, follower])
  expect(leader.generationId).toBe(2)
  expect(await follower.heartbeat()).toBe(0)
})

test('who asks again is the one who is answered', async () => {
  const impatient = follower.sync()
  const other = await TestMember.connect(broker, 'readers')
  Object.assign(other, { memberId: follower.memberId, generationId: follower.generationId })
  // Both wait; which of them came first only the broker knows.
  const again = other.sync()
  await leader.sync({ [follower.memberId]: 'right' })
  const errorCodes = [(await impatient).errorCode, (await again).errorCode].sort()
  expect([[0, 0].join(), [0, ErrorCode.REBALANCE_IN_PROGRESS].join()]).toContain(errorCodes.join())
  other.close()
})
