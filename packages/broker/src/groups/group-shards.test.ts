import { ErrorCode } from '@streambus/protocol'
import { type LogStore, MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withOverrides } from '../testing/controlled-store.ts'
import { CoordinatorFixture, GROUP } from './testing/coordinator-fixture.ts'
import { settled } from './testing/virtual-scheduler.ts'

let store: LogStore
let fixture: CoordinatorFixture
let memberId: string

beforeEach(async () => {
  const before = await CoordinatorFixture.open()
  memberId = (await before.stableGroup(1))[0]!
  await before.commit({ 0: 5 }, { memberId, generationId: 1 })
  before.coordinator.close()
  store = before.store
})

afterEach(() => fixture.close())

/** What each request about the group is answered. */
async function answers() {
  const { coordinator } = fixture
  const fetched = coordinator.fetchOffsets({
    groupId: GROUP,
    memberId: null,
    memberEpoch: -1,
    topics: null,
    requireStable: false,
  })
  const members = [{ memberId, groupInstanceId: null, reason: null }]
  return {
    join: (await fixture.join('')).errorCode,
    sync: (await fixture.sync(memberId, 1)).errorCode,
    heartbeat: await fixture.heartbeat(memberId, 1),
    leave: await coordinator.leave({ groupId: GROUP, memberId: '', members }),
    commit: await fixture.commit({ 0: 6 }, { memberId, generationId: 1 }),
    fetch: typeof fetched === 'number' ? fetched : 0,
    deleteOffsets: await coordinator.deleteOffsets({ groupId: GROUP, topics: [] }),
    describe: coordinator.describe(GROUP),
    list: coordinator.list(),
    delete: await coordinator.delete(GROUP),
  }
}

const everything = (errorCode: number) => ({
  join: errorCode,
  sync: errorCode,
  heartbeat: errorCode,
  leave: errorCode,
  commit: errorCode,
  fetch: errorCode,
  deleteOffsets: errorCode,
  describe: errorCode,
  list: errorCode,
  delete: errorCode,
})

test('while a group is loaded its members are in order, and everything else is told to come again', async () => {
  let letGo: () => void = () => undefined
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const slow = withOverrides(store, {
    read: async (requests, limits) => {
      await gate
      return store.read(requests, limits)
    },
  })
  fixture = CoordinatorFixture.over(slow)
  expect(await answers()).toEqual({
    ...everything(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS),
    heartbeat: ErrorCode.NONE,
  })
  letGo()
  await fixture.coordinator.loaded()
  expect(await fixture.heartbeat(memberId, 1)).toBe(0)
  expect(fixture.offsets()).toEqual({ 0: 5 })
})

test('a partition that cannot be read is read again later', async () => {
  let failing = true
  const faulty = withOverrides(store, {
    read: async (requests, limits) => {
      if (!failing) return store.read(requests, limits)
      const error = new StorageError('READ_FAILED', 'the disk does not answer')
      return requests.map(() => ({ error, logStartOffset: 0, highWatermark: 0 }))
    },
  })
  fixture = CoordinatorFixture.over(faulty)
  await fixture.coordinator.loaded()
  expect(await answers()).toEqual(everything(ErrorCode.COORDINATOR_NOT_AVAILABLE))
  failing = false
  await fixture.time.pass(5000)
  expect(await fixture.heartbeat(memberId, 1)).toBe(0)
  expect(fixture.offsets()).toEqual({ 0: 5 })
})

test('a coordinator that is closed answers that it is none', async () => {
  fixture = await CoordinatorFixture.reopen(store)
  fixture.coordinator.close()
  expect(await answers()).toEqual(everything(ErrorCode.NOT_COORDINATOR))
})

test('where somebody else took the log over there is no coordinator any more', async () => {
  fixture = await CoordinatorFixture.reopen(store)
  const successor = await CoordinatorFixture.reopen(store)
  expect(await fixture.commit({ 0: 6 }, { memberId, generationId: 1 })).toBe(ErrorCode.NOT_COORDINATOR)
  expect(await answers()).toEqual(everything(ErrorCode.NOT_COORDINATOR))
  expect(await successor.commit({ 0: 7 }, { memberId, generationId: 1 })).toEqual([[0]])
  successor.coordinator.close()
})

test('members that come at once, before there are any groups, find one coordinator', async () => {
  await store.close()
  store = await MemoryLogStore.open()
  await store.createTopic({ name: 'words', partitions: 3 })
  fixture = CoordinatorFixture.over(store)
  const commits = Array.from({ length: 100 }, (_, index) =>
    fixture.commit({ 0: index }, { groupId: `group-${index}` }),
  )
  await settled()
  expect(await Promise.all(commits)).toEqual(commits.map(() => [[0]]))
})

test('a session that ended while the coordinator was away begins anew', async () => {
  fixture = await CoordinatorFixture.reopen(store)
  await fixture.time.pass(9999)
  expect(fixture.memberIds).toEqual([memberId])
  await fixture.time.pass(1)
  expect(fixture.state).toBe('Empty')
})
