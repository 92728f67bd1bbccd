import { describeGroups, ErrorCode } from '@streambus/protocol'
import { MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../../broker.ts'
import { withOverrides } from '../../testing/controlled-store.ts'
import { CoordinatorFixture } from '../testing/coordinator-fixture.ts'
import { TestMember } from '../testing/test-member.ts'

let broker: Broker
let failing: boolean
/** Appends wait for it. */
let held: Promise<void> | undefined
let appends = 0
const members: TestMember[] = []
let one: TestMember
let two: TestMember

beforeEach(async () => {
  failing = false
  held = undefined
  const store = await MemoryLogStore.open()
  broker = await Broker.start({
    port: 0,
    store: withOverrides(store, {
      append: async (batches) => {
        appends++
        await held
        return failing
          ? batches.map(() => ({ error: new StorageError('DISK_FULL', 'the disk is full') }))
          : store.append(batches)
      },
    }),
  })
  one = await newMember()
  two = await newMember()
  // The first alone, so that it leads, then both.
  await one.join({ groupInstanceId: 'one' })
  await one.sync()
  const joining = two.join({ groupInstanceId: 'two' })
  await one.hearsOfRebalance()
  await one.join({ groupInstanceId: 'one' })
  await joining
  const assignments = { [one.memberId]: 'left', [two.memberId]: 'right' }
  await Promise.all([one.sync(assignments), two.sync()])
})

afterEach(async () => {
  for (const member of members.splice(0)) member.close()
  await broker.close()
})

async function newMember(): Promise<TestMember> {
  const member = await TestMember.connect(broker, 'readers')
  members.push(member)
  return member
}

/** Who is in the group: instance id → member id. */
async function instances(): Promise<Record<string, string>> {
  const { groups } = await one.client.request(describeGroups, 5, { groups: ['readers'] })
  return Object.fromEntries(
    groups[0]!.members.map(({ groupInstanceId, memberId }) => [groupInstanceId, memberId]),
  )
}

test('who comes back takes its place under a new id: no rebalance, the same assignment', async () => {
  const again = await newMember()
  const joined = await again.join({ groupInstanceId: 'two' })
  expect(joined).toMatchObject({
    errorCode: 0,
    generationId: 2,
    leader: one.memberId,
    skipAssignment: false,
    members: [],
  })
  expect(again.memberId).not.toBe(two.memberId)
  expect(await one.heartbeat()).toBe(0)
  expect(await again.sync()).toMatchObject({ errorCode: 0, assignment: Buffer.from('right') })
  expect(await instances()).toEqual({ one: one.memberId, two: again.memberId })
})

test('the old id is fenced in every request, and unknown without its instance id', async () => {
  await (await newMember()).join({ groupInstanceId: 'two' })
  const groupInstanceId = 'two'
  expect(await two.heartbeat({ groupInstanceId })).toBe(ErrorCode.FENCED_INSTANCE_ID)
  expect(await two.sync({}, { groupInstanceId })).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  expect(await two.commit('words', 1, { groupInstanceId })).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await two.join({ groupInstanceId })).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  const left = await two.leave(groupInstanceId)
  expect(left.members[0]).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  expect(await two.heartbeat()).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await one.heartbeat()).toBe(0)
})

test('a leader that comes back keeps the assignment as it is, and sees the members', async () => {
  const again = await newMember()
  const joined = await again.join({ groupInstanceId: 'one' })
  expect(joined).toMatchObject({
    errorCode: 0,
    generationId: 2,
    skipAssignment: true,
    leader: again.memberId,
  })
  expect(joined.members.map(({ groupInstanceId }) => groupInstanceId)).toEqual(['one', 'two'])
  expect(await two.heartbeat()).toBe(0)
  expect(await again.sync()).toMatchObject({ errorCode: 0, assignment: Buffer.from('left') })
})

test('before version 9 a leader that comes back is told that it is not the leader', async () => {
  const again = await newMember()
  const joined = await again.join({ groupInstanceId: 'one', version: 8 })
  expect(joined).toMatchObject({ errorCode: 0, generationId: 2, leader: one.memberId, members: [] })
  expect(await again.sync()).toMatchObject({ errorCode: 0, assignment: Buffer.from('left') })
})

test('who comes back with a change that the vote does not mind is no reason to rebalance', async () => {
  const again = await newMember()
  expect(await again.join({ groupInstanceId: 'two', topics: ['more'] })).toMatchObject({ generationId: 2 })
  expect(await one.heartbeat()).toBe(0)
})

test('who comes back where nothing can be written is refused, and the one before it stays', async () => {
  const described = async () => (await one.client.request(describeGroups, 5, { groups: ['readers'] })).groups
  const before = await described()
  failing = true
  const again = await newMember()
  expect(await again.join({ groupInstanceId: 'two', topics: ['more'] })).toMatchObject({
    errorCode: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    memberId: '',
  })
  expect(await two.heartbeat({ groupInstanceId: 'two' })).toBe(0)
  expect(await described()).toEqual(before)
  failing = false
  expect(await again.join({ groupInstanceId: 'two' })).toMatchObject({ errorCode: 0, generationId: 2 })
})

test('what the one who comes back says of itself is seen when it is durable, and not before', async () => {
  const described = async () => (await one.client.request(describeGroups, 5, { groups: ['readers'] })).groups
  const before = await described()
  let release!: () => void
  held = new Promise((resolve) => {
    release = resolve
  })
  const appendsBefore = appends
  const again = await newMember()
  const joining = again.join({ groupInstanceId: 'two', topics: ['more'] })
  while (appends === appendsBefore) await new Promise((resolve) => setTimeout(resolve, 2))
  expect(await described()).toEqual(before)
  release()
  expect(await joining).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(await described()).not.toEqual(before)
})

test('who comes back during a rebalance fences the join that waits under its old id', async () => {
  const rejoining = two.join({ groupInstanceId: 'two', topics: ['more'] })
  await one.hearsOfRebalance()
  const again = await newMember()
  const joining = again.join({ groupInstanceId: 'two' })
  expect(await rejoining).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  await one.join({ groupInstanceId: 'one' })
  expect(await joining).toMatchObject({ errorCode: 0, generationId: 3 })
})

test('who comes back before the leader has assigned starts another rebalance, and fences the waiting sync', async () => {
  const rejoining = two.join({ groupInstanceId: 'two', topics: ['more'] })
  await one.hearsOfRebalance()
  await Promise.all([one.join({ groupInstanceId: 'one' }), rejoining])
  const syncing = two.sync()
  const again = await newMember()
  const joining = again.join({ groupInstanceId: 'two' })
  expect(await syncing).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  await one.hearsOfRebalance()
  await one.join({ groupInstanceId: 'one' })
  expect(await joining).toMatchObject({ errorCode: 0, generationId: 4 })
})

test('an instance id with a member id that was given to nobody is fenced', async () => {
  const stranger = await newMember()
  const request = { memberId: 'stranger', groupInstanceId: 'one' }
  expect(await stranger.join(request)).toMatchObject({ errorCode: ErrorCode.FENCED_INSTANCE_ID })
  expect(await one.heartbeat()).toBe(0)
})

test('a full group has a place for a static member that comes back', async () => {
  const full = await CoordinatorFixture.open({ maxMembers: 2 })
  try {
    const joining = ['one', 'two'].map((groupInstanceId) => full.join('', { groupInstanceId }))
    await full.time.pass(0)
    const [first, second] = await Promise.all(joining)
    const { generationId } = first!
    const syncing = [first!, second!].map(({ memberId }) =>
      full.sync(memberId, generationId!, { [second!.memberId]: 'all' }),
    )
    await Promise.all(syncing)
    expect(await full.join('', { groupInstanceId: 'two' })).toMatchObject({ errorCode: 0, generationId })
    expect(await full.join('', { groupInstanceId: 'three' })).toMatchObject({
      errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED,
    })
    // And while the others wait for it.
    const leader = full.memberIds[0]!
    const rebalancing = full.join(leader, { groupInstanceId: 'one' })
    const back = full.join('', { groupInstanceId: 'two' })
    await full.time.pass(0)
    expect(await rebalancing).toMatchObject({ errorCode: 0 })
    expect(await back).toMatchObject({ errorCode: 0, generationId: generationId! + 1 })
  } finally {
    await full.close()
  }
})
