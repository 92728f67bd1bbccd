import { ErrorCode } from '@streambus/protocol'
import { afterEach, expect, test } from 'vitest'
import { CoordinatorFixture } from '../testing/coordinator-fixture.ts'

let fixture: CoordinatorFixture

afterEach(() => fixture.close())

const protocolsOf = (bytes: number) => [{ name: 'range', metadata: Buffer.alloc(bytes) }]

test('a thousand members that join and never sync hold memory no longer than the rebalance timeout', async () => {
  fixture = await CoordinatorFixture.open({ maxMembershipBytes: 4_000_000 })
  const request = { protocols: protocolsOf(1000), rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 60_000 }
  const joining: Promise<unknown>[] = []
  for (let index = 0; index < 1000; index++) {
    const { memberId } = await fixture.join('', request)
    joining.push(fixture.join(memberId, request))
  }
  await fixture.time.pass(0)
  await Promise.all(joining)
  expect(fixture.memberIds).toHaveLength(1000)
  // Others go on meanwhile.
  expect(await fixture.commit({ 0: 1 }, { groupId: 'others' })).toEqual([[0]])
  await fixture.time.pass(20_000)
  expect(fixture.memberIds).toEqual([])
  expect(fixture.state).toBe('Empty')
  // There is room for as many again.
  for (let index = 0; index < 1000; index++) {
    expect(await fixture.join('', request)).toMatchObject({ errorCode: ErrorCode.MEMBER_ID_REQUIRED })
  }
})

test('the members of all groups together take no more memory than they may', async () => {
  fixture = await CoordinatorFixture.open({ maxMembershipBytes: 20_000 })
  const request = { protocols: protocolsOf(8000), apiVersion: 3 }
  const waiting = [
    fixture.join('', { ...request, groupId: 'a' }),
    fixture.join('', { ...request, groupId: 'b' }),
  ]
  await fixture.time.pass(0)
  expect(await fixture.join('', { ...request, groupId: 'c' })).toMatchObject({
    errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED,
  })
  const [first] = await Promise.all(waiting)
  await fixture.coordinator.leave({
    groupId: 'a',
    memberId: '',
    members: [{ memberId: first!.memberId, groupInstanceId: null, reason: null }],
  })
  const joining = fixture.join('', { ...request, groupId: 'c' })
  await fixture.time.pass(0)
  expect(await joining).toMatchObject({ errorCode: 0 })
})

test('assignments count, too', async () => {
  fixture = await CoordinatorFixture.open({ maxGroupBytes: 10_000 })
  const [id] = await fixture.stableGroup(1)
  const joining = fixture.join(id!)
  await fixture.time.pass(0)
  await joining
  await fixture.sync(id!, 2, { [id!]: 'x'.repeat(7000) })
  const { memberId } = await fixture.join('', { apiVersion: 4 })
  expect(await fixture.join(memberId, { protocols: protocolsOf(1000) })).toMatchObject({
    errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED,
  })
})

test('a group of one member takes no more memory with its assignment than a group may', async () => {
  fixture = await CoordinatorFixture.open({ maxGroupBytes: 10_000 })
  const [id] = await fixture.stableGroup(1)
  const joining = fixture.join(id!)
  await fixture.time.pass(0)
  await joining
  expect(await fixture.sync(id!, 2, { [id!]: 'x'.repeat(10_000) })).toMatchObject({
    errorCode: ErrorCode.UNKNOWN_SERVER_ERROR,
  })
  expect(fixture.state).toBe('PreparingRebalance')
  // It has what the generation before gave it, and can go on.
  const again = fixture.join(id!)
  await fixture.time.pass(0)
  expect(await again).toMatchObject({ errorCode: 0, generationId: 3 })
  expect(await fixture.sync(id!, 3, { [id!]: 'all' })).toMatchObject({ errorCode: 0 })
})

test('the assignments of all groups together take no more memory than they may', async () => {
  fixture = await CoordinatorFixture.open({ maxMembershipBytes: 20_000 })
  const groups = ['a', 'b', 'c']
  const joining = groups.map((groupId) => fixture.join('', { groupId, apiVersion: 3 }))
  await fixture.time.pass(0)
  const joined = await Promise.all(joining)
  const syncing = groups.map((groupId, at) => {
    const { memberId } = joined[at]!
    return fixture.sync(memberId, 1, { [memberId]: 'x'.repeat(6000) }, groupId)
  })
  await fixture.time.pass(0)
  expect((await Promise.all(syncing)).map(({ errorCode }) => errorCode)).toEqual([
    0,
    0,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ])
})

test('an assignment that is too large for the log reaches nobody', async () => {
  fixture = await CoordinatorFixture.open()
  const { memberId } = await fixture.join('')
  const joining = fixture.join(memberId)
  await fixture.time.pass(0)
  await joining
  const huge = 'x'.repeat(fixture.store.maxBatchBytes)
  expect(await fixture.sync(memberId, 1, { [memberId]: huge })).toMatchObject({
    errorCode: ErrorCode.UNKNOWN_SERVER_ERROR,
  })
  expect(fixture.state).toBe('PreparingRebalance')
})
