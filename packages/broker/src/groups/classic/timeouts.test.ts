import { ErrorCode, type JoinGroupResponseInput } from '@streambus/protocol'
import { afterEach, expect, test } from 'vitest'
import { CoordinatorFixture, GROUP } from '../testing/coordinator-fixture.ts'

let fixture: CoordinatorFixture

afterEach(() => fixture.close())

/** What a promise has come to, without waiting for it. */
function outcome(joining: Promise<JoinGroupResponseInput>): { answer: JoinGroupResponseInput | undefined } {
  const seen: { answer: JoinGroupResponseInput | undefined } = { answer: undefined }
  void joining.then((answer) => {
    seen.answer = answer
  })
  return seen
}

test('the first members wait the initial delay, and each that comes makes it longer', async () => {
  fixture = await CoordinatorFixture.open({ initialRebalanceDelayMs: 3000 })
  const first = outcome(fixture.enter())
  await fixture.time.pass(2000)
  const second = outcome(fixture.enter())
  await fixture.time.pass(3999)
  expect(first.answer).toBeUndefined()
  await fixture.time.pass(1)
  expect(first.answer).toMatchObject({ errorCode: 0, generationId: 1 })
  expect(second.answer).toMatchObject({ errorCode: 0, generationId: 1 })
})

test('the initial delay ends with the rebalance timeout, however many keep coming', async () => {
  fixture = await CoordinatorFixture.open({ initialRebalanceDelayMs: 3000 })
  const first = outcome(fixture.enter({ rebalanceTimeoutMs: 8000 }))
  for (let index = 0; index < 3; index++) {
    await fixture.time.pass(2000)
    outcome(fixture.enter({ rebalanceTimeoutMs: 8000 }))
  }
  await fixture.time.pass(1999)
  expect(first.answer).toBeUndefined()
  await fixture.time.pass(1)
  expect(first.answer).toMatchObject({ errorCode: 0, generationId: 1 })
  expect(first.answer!.members).toHaveLength(4)
})

test('whoever comes after all others have left during the initial delay is welcome', async () => {
  fixture = await CoordinatorFixture.open({ initialRebalanceDelayMs: 3000 })
  const { memberId } = await fixture.join('')
  void fixture.join(memberId)
  await fixture.time.pass(1000)
  await fixture.coordinator.leave({
    groupId: GROUP,
    memberId: '',
    members: [{ memberId, groupInstanceId: null, reason: null }],
  })
  const next = outcome(fixture.enter())
  await fixture.time.pass(5000)
  expect(next.answer).toMatchObject({ errorCode: 0, generationId: 1 })
})

test('a session that is not renewed ends, and the others rebalance', async () => {
  fixture = await CoordinatorFixture.open()
  const [one, two] = await fixture.stableGroup(2, { sessionTimeoutMs: 10_000 })
  await fixture.time.pass(9000)
  expect(await fixture.heartbeat(one!, 1)).toBe(0)
  await fixture.time.pass(1000)
  expect(fixture.memberIds).toEqual([one])
  expect(fixture.state).toBe('PreparingRebalance')
  expect(await fixture.heartbeat(two!, 1)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  expect(await fixture.heartbeat(one!, 1)).toBe(ErrorCode.REBALANCE_IN_PROGRESS)
})

test('a commit renews the session, too', async () => {
  fixture = await CoordinatorFixture.open()
  const [one] = await fixture.stableGroup(1, { sessionTimeoutMs: 10_000 })
  await fixture.time.pass(9000)
  const committer = {
    memberId: one!,
    groupInstanceId: null,
    generationIdOrMemberEpoch: 1,
    transactional: false,
    apiVersion: 8,
  }
  const nothing = { groupId: 'readers', topics: [], retentionTimeMs: -1n, transactional: null }
  expect(await fixture.coordinator.commitOffsets({ ...nothing, committer })).toEqual([])
  await fixture.time.pass(9999)
  expect(fixture.memberIds).toEqual([one])
  await fixture.time.pass(1)
  expect(fixture.state).toBe('Empty')
})

test('members that do not join again in time are out; the others go on without them', async () => {
  fixture = await CoordinatorFixture.open()
  const [one, two, three] = await fixture.stableGroup(3, {
    rebalanceTimeoutMs: 20_000,
    sessionTimeoutMs: 30_000,
  })
  const joined = outcome(fixture.join(one!, { rebalanceTimeoutMs: 20_000, sessionTimeoutMs: 30_000 }))
  await fixture.time.pass(10_000)
  const alsoJoined = outcome(fixture.join(three!, { rebalanceTimeoutMs: 5000, sessionTimeoutMs: 30_000 }))
  await fixture.time.pass(9999)
  expect(joined.answer).toBeUndefined()
  await fixture.time.pass(1)
  expect(joined.answer).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(alsoJoined.answer).toMatchObject({ errorCode: 0, generationId: 2 })
  expect(fixture.memberIds).toEqual([one, three])
  expect(await fixture.heartbeat(two!, 1)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
})

test('a leader that does not join again is replaced by the first that has', async () => {
  fixture = await CoordinatorFixture.open()
  const [leader, two, three] = await fixture.stableGroup(3)
  const joins = [three!, two!].map((id) => outcome(fixture.join(id, { topics: ['more'] })))
  await fixture.time.pass(20_000)
  for (const { answer } of joins) expect(answer).toMatchObject({ errorCode: 0, leader: two })
  expect(await fixture.heartbeat(leader!, 1)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
})

test('static members keep their place through a rebalance they miss, until they miss what is assigned', async () => {
  fixture = await CoordinatorFixture.open()
  const timeouts = { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }
  const joins = ['left', 'right'].map((groupInstanceId) =>
    outcome(fixture.join('', { ...timeouts, groupInstanceId })),
  )
  await fixture.time.pass(0)
  const [left, right] = joins.map(({ answer }) => answer!.memberId)
  await Promise.all([fixture.sync(left!, 1, { [left!]: 'all' }), fixture.sync(right!, 1)])
  const joined = outcome(fixture.join(right!, { ...timeouts, groupInstanceId: 'right', topics: ['more'] }))
  await fixture.time.pass(20_000)
  expect(joined.answer).toMatchObject({ errorCode: 0, generationId: 2, leader: right })
  expect(fixture.memberIds).toEqual([left, right])
  await fixture.sync(right!, 2)
  await fixture.time.pass(20_000)
  expect(fixture.memberIds).toEqual([right])
})

test('nobody leads a rebalance in which only absent static members are left', async () => {
  fixture = await CoordinatorFixture.open()
  const timeouts = { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }
  const join = () => fixture.join('', { ...timeouts, groupInstanceId: 'left' })
  const joined = outcome(join())
  await fixture.time.pass(0)
  const { memberId } = joined.answer!
  await fixture.sync(memberId, 1, { [memberId]: 'all' })
  const dynamic = outcome(fixture.enter(timeouts))
  await fixture.time.pass(0)
  await fixture.coordinator.leave({
    groupId: 'readers',
    memberId: '',
    members: [{ memberId: 'client-2', groupInstanceId: null, reason: null }],
  })
  await fixture.time.pass(0)
  expect(dynamic.answer).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
  await fixture.time.pass(20_000)
  expect(fixture.state).toBe('PreparingRebalance')
  const back = outcome(join())
  await fixture.time.pass(0)
  expect(back.answer).toMatchObject({ errorCode: 0, generationId: 2 })
})

test('a member that does not ask for its assignment is out, and the others rebalance', async () => {
  fixture = await CoordinatorFixture.open()
  const ids: string[] = []
  for (let index = 0; index < 2; index++)
    ids.push((await fixture.join('', { sessionTimeoutMs: 60_000 })).memberId)
  const joining = ids.map((id) => fixture.join(id, { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }))
  await fixture.time.pass(0)
  await Promise.all(joining)
  const syncing = fixture.sync(ids[0]!, 1, { [ids[0]!]: 'all' })
  await fixture.time.pass(0)
  expect(await syncing).toMatchObject({ errorCode: 0 })
  await fixture.time.pass(20_000)
  expect(fixture.memberIds).toEqual([ids[0]])
  expect(fixture.state).toBe('PreparingRebalance')
  const joined = fixture.join(ids[0]!)
  await fixture.time.pass(0)
  expect(await joined).toMatchObject({ errorCode: 0, generationId: 2 })
})

test('members wait for a leader that says nothing as long as the rebalance timeout', async () => {
  fixture = await CoordinatorFixture.open()
  const ids: string[] = []
  for (let index = 0; index < 2; index++) ids.push((await fixture.join('')).memberId)
  const joining = ids.map((id) => fixture.join(id, { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 20_000 }))
  await fixture.time.pass(0)
  await Promise.all(joining)
  const syncing = fixture.sync(ids[1]!, 1)
  await fixture.time.pass(20_000)
  expect(await syncing).toMatchObject({ errorCode: ErrorCode.REBALANCE_IN_PROGRESS })
  expect(fixture.memberIds).toEqual([ids[1]])
})

test('a member that was told its id and does not come back is forgotten, and its group with it', async () => {
  fixture = await CoordinatorFixture.open()
  const { memberId } = await fixture.join('', { sessionTimeoutMs: 10_000 })
  await fixture.time.pass(9999)
  expect(fixture.state).toBe('Empty')
  await fixture.time.pass(1)
  expect(fixture.state).toBe('Dead')
  expect(await fixture.join(memberId)).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('a rebalance waits for those who were told their id, but not longer than their session', async () => {
  fixture = await CoordinatorFixture.open()
  const [one] = await fixture.stableGroup(1)
  await fixture.join('', { sessionTimeoutMs: 10_000 })
  const joining = outcome(fixture.join(one!))
  await fixture.time.pass(9999)
  expect(joining.answer).toBeUndefined()
  await fixture.time.pass(1)
  expect(joining.answer).toMatchObject({ errorCode: 0, generationId: 2 })
})

test('a new member waits for the others at most five minutes', async () => {
  fixture = await CoordinatorFixture.open()
  await fixture.stableGroup(1, { sessionTimeoutMs: 1_800_000, rebalanceTimeoutMs: 3_600_000 })
  const joining = outcome(fixture.enter())
  await fixture.time.pass(5 * 60_000 - 1)
  expect(joining.answer).toBeUndefined()
  await fixture.time.pass(1)
  expect(joining.answer).toMatchObject({ errorCode: ErrorCode.UNKNOWN_MEMBER_ID })
})

test('a group that was loaded and is too large loses those who join last', async () => {
  fixture = await CoordinatorFixture.open()
  const ids = await fixture.stableGroup(3)
  fixture.coordinator.close()
  const { store } = fixture
  fixture = await CoordinatorFixture.reopen(store, { maxMembers: 2 })
  await fixture.time.pass(0)
  expect(fixture.state).toBe('PreparingRebalance')
  const joining = ids.map((id) => outcome(fixture.join(id)))
  await fixture.time.pass(0)
  expect(joining.map(({ answer }) => answer?.errorCode)).toEqual([0, 0, ErrorCode.GROUP_MAX_SIZE_REACHED])
})
