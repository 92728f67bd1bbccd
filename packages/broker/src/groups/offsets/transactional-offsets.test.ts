import { batchHeader, ErrorCode } from '@streambus/protocol'
import type { AppendBatch } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withOverrides } from '../../testing/controlled-store.ts'
import { CoordinatorFixture, GROUP } from '../testing/coordinator-fixture.ts'

let fixture: CoordinatorFixture
const PRODUCER = 7

beforeEach(async () => {
  fixture = await CoordinatorFixture.open()
})

afterEach(() => fixture.close())

test.each([
  ['committed', true, { 0: 2, 1: 2 }],
  ['aborted', false, { 0: 1 }],
])('offsets count when their transaction is %s', async (_, committed, expected) => {
  await fixture.commit({ 0: 1 })
  expect(await fixture.commit({ 0: 2, 1: 2 }, { producerId: PRODUCER })).toEqual([[0, 0]])
  expect(fixture.offsets()).toEqual({ 0: 1 })
  await fixture.complete(PRODUCER, committed)
  expect(fixture.offsets()).toEqual(expected)
  expect((await fixture.restarted()).offsets()).toEqual(expected)
})

test('who asks for stable offsets is told to wait while a transaction is open, across a restart too', async () => {
  await fixture.commit({ 0: 1, 1: 1 })
  await fixture.commit({ 0: 2 }, { producerId: PRODUCER })
  const unstable = { 0: `error ${ErrorCode.UNSTABLE_OFFSET_COMMIT}`, 1: 1 }
  expect(fixture.offsets({ requireStable: true })).toEqual(unstable)
  fixture = await fixture.restarted()
  expect(fixture.offsets({ requireStable: true })).toEqual(unstable)
  expect(fixture.offsets()).toEqual({ 0: 1, 1: 1 })
  await fixture.complete(PRODUCER, true)
  expect(fixture.offsets({ requireStable: true })).toEqual({ 0: 2, 1: 1 })
})

test('a partition that only an open transaction has committed is told to be unstable when it is asked for', async () => {
  await fixture.commit({ 0: 2 }, { producerId: PRODUCER })
  const fetched = fixture.coordinator.fetchOffsets({
    groupId: GROUP,
    memberId: null,
    memberEpoch: -1,
    topics: [{ name: 'words', partitionIndexes: [0, 1] }],
    requireStable: true,
  })
  expect(fetched).toMatchObject([
    {
      name: 'words',
      partitions: [
        { partitionIndex: 0, committedOffset: -1n, errorCode: ErrorCode.UNSTABLE_OFFSET_COMMIT },
        { partitionIndex: 1, committedOffset: -1n, errorCode: 0 },
      ],
    },
  ])
})

test('of a commit inside and one outside of a transaction the later one counts, whenever it ends', async () => {
  await fixture.commit({ 0: 1, 1: 1 }, { producerId: PRODUCER })
  await fixture.commit({ 0: 2 })
  await fixture.complete(PRODUCER, true)
  expect(fixture.offsets()).toEqual({ 0: 2, 1: 1 })
  expect((await fixture.restarted()).offsets()).toEqual({ 0: 2, 1: 1 })
})

test('transactions of several producers and groups end one by one', async () => {
  await fixture.commit({ 0: 1 }, { producerId: 1 })
  await fixture.commit({ 1: 2 }, { producerId: 2 })
  await fixture.complete(2, true)
  expect(fixture.offsets()).toEqual({ 1: 2 })
  await fixture.complete(1, true)
  expect(fixture.offsets()).toEqual({ 0: 1, 1: 2 })
})

test('a group that only had offsets of an aborted transaction is forgotten', async () => {
  await fixture.commit({ 0: 1 }, { producerId: PRODUCER })
  expect(fixture.state).toBe('Empty')
  await fixture.complete(PRODUCER, false)
  expect(fixture.state).toBe('Dead')
  expect((await fixture.restarted()).state).toBe('Dead')
})

test('what is deleted does not come back with a marker', async () => {
  await fixture.commit({ 0: 1 })
  await fixture.commit({ 0: 2, 1: 2 }, { producerId: PRODUCER })
  expect(await fixture.coordinator.delete(GROUP)).toBe(0)
  await fixture.complete(PRODUCER, true)
  expect(fixture.offsets()).toEqual({})
  expect((await fixture.restarted()).offsets()).toEqual({})
})

test('commits from members of an old generation, and from strangers, are refused', async () => {
  const [id] = await fixture.stableGroup(1)
  const commit = (memberId: string, generationIdOrMemberEpoch: number) =>
    fixture.coordinator.commitTransactionalOffsets({
      groupId: GROUP,
      committer: {
        memberId,
        groupInstanceId: null,
        generationIdOrMemberEpoch,
        transactional: true,
        apiVersion: 3,
      },
      topics: [],
      retentionTimeMs: -1n,
      transactional: { producerId: PRODUCER, producerEpoch: 0 },
    })
  expect(await commit(id!, 1)).toEqual([])
  expect(await commit(id!, 0)).toBe(ErrorCode.ILLEGAL_GENERATION)
  expect(await commit('stranger', 1)).toBe(ErrorCode.UNKNOWN_MEMBER_ID)
  // Producers that do not say who they are may commit for any group.
  expect(await commit('', -1)).toEqual([])
})

test('a generation of a group that does not exist', async () => {
  const refused = await fixture.coordinator.commitTransactionalOffsets({
    groupId: 'nowhere',
    committer: {
      memberId: 'a',
      groupInstanceId: null,
      generationIdOrMemberEpoch: 1,
      transactional: true,
      apiVersion: 3,
    },
    topics: [],
    retentionTimeMs: -1n,
    transactional: { producerId: PRODUCER, producerEpoch: 0 },
  })
  expect(refused).toBe(ErrorCode.ILLEGAL_GENERATION)
  const empty = { groupId: '', topics: [], retentionTimeMs: -1n }
  expect(
    await fixture.coordinator.commitTransactionalOffsets({
      ...empty,
      committer: {
        memberId: '',
        groupInstanceId: null,
        generationIdOrMemberEpoch: -1,
        transactional: true,
        apiVersion: 3,
      },
      transactional: { producerId: PRODUCER, producerEpoch: 0 },
    }),
  ).toBe(ErrorCode.INVALID_GROUP_ID)
})

test('the end of a transaction does not forget a group that is about to write what it is', async () => {
  let letGo: () => void = () => undefined
  let isHeld = false
  const held = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const { store } = fixture
  const slowStore = withOverrides(store, {
    append: async (batches) => {
      const copies = batches.map((batch): AppendBatch => ({ ...batch, bytes: Uint8Array.from(batch.bytes) }))
      // Markers overtake everything else.
      if (isHeld && !batchHeader.isControl(copies[0]!.bytes, 0)) await held
      return store.append(copies)
    },
  })
  fixture = CoordinatorFixture.over(slowStore)
  await fixture.commit({ 0: 1 }, { producerId: PRODUCER })
  const joining = fixture.enter()
  await fixture.time.pass(0)
  expect(await joining).toMatchObject({ errorCode: 0, generationId: 1 })
  isHeld = true
  // Nobody hears of the member any more: that the group is empty is on its way to the disk.
  await fixture.time.pass(60_000)
  await fixture.complete(PRODUCER, false)
  letGo()
  await fixture.time.pass(0)
  expect(fixture.state).toBe('Empty')
  expect((await CoordinatorFixture.reopen(store)).state).toBe('Empty')
  const again = fixture.enter()
  await fixture.time.pass(0)
  expect(await again).toMatchObject({ errorCode: 0, generationId: 3 })
})
