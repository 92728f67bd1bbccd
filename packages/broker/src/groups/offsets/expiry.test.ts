import { afterEach, beforeEach, expect, test } from 'vitest'
import { CoordinatorFixture, GROUP } from '../testing/coordinator-fixture.ts'

const MINUTE_MS = 60_000
const RETENTION_MS = 100 * MINUTE_MS
let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.open({
    offsetsRetentionMs: RETENTION_MS,
    offsetsRetentionCheckIntervalMs: MINUTE_MS,
  })
})

afterEach(() => fixture.close())

test('offsets of a group that nobody ever joined expire one by one, from their commit on', async () => {
  await fixture.commit({ 0: 1, 1: 1 })
  await fixture.time.pass(RETENTION_MS / 2)
  await fixture.commit({ 1: 2 })
  await fixture.time.pass(RETENTION_MS / 2 - MINUTE_MS)
  expect(fixture.offsets()).toEqual({ 0: 1, 1: 2 })
  await fixture.time.pass(2 * MINUTE_MS)
  expect(fixture.offsets()).toEqual({ 1: 2 })
  await fixture.time.pass(RETENTION_MS / 2)
  expect(fixture.offsets()).toEqual({})
  expect(fixture.state).toBe('Dead')
  expect((await fixture.restarted()).state).toBe('Dead')
})

test('offsets of a group that was left expire together, from when it was left, and the group with them', async () => {
  await fixture.commit({ 0: 1 })
  await fixture.time.pass(RETENTION_MS / 2)
  const [id] = await fixture.stableGroup(1, { sessionTimeoutMs: 1_800_000 })
  const { coordinator } = fixture
  await coordinator.leave({
    groupId: GROUP,
    memberId: '',
    members: [{ memberId: id!, groupInstanceId: null, reason: null }],
  })
  expect(fixture.state).toBe('Empty')
  await fixture.time.pass(RETENTION_MS - MINUTE_MS)
  fixture = await fixture.restarted()
  expect(fixture.offsets()).toEqual({ 0: 1 })
  await fixture.time.pass(2 * MINUTE_MS)
  expect(fixture.offsets()).toEqual({})
  expect(fixture.state).toBe('Dead')
  fixture = await fixture.restarted()
  expect(fixture.state).toBe('Dead')
})

test('a stable group keeps the offsets of what it consumes, and loses others', async () => {
  await fixture.store.createTopic({ name: 'other', partitions: 1 })
  await fixture.commit({ 0: 1 })
  const [id] = await fixture.stableGroup(1, { topics: ['other'], sessionTimeoutMs: 1_800_000 })
  for (let passedMs = 0; passedMs <= RETENTION_MS; passedMs += 20 * MINUTE_MS) {
    expect(await fixture.heartbeat(id!, 1)).toBe(0)
    await fixture.time.pass(20 * MINUTE_MS)
  }
  expect(fixture.offsets()).toEqual({})
  expect(fixture.state).toBe('Stable')
})

test('offsets of what a stable group consumes never expire', async () => {
  await fixture.commit({ 0: 1 })
  const [id] = await fixture.stableGroup(1, { sessionTimeoutMs: 1_800_000 })
  for (let passedMs = 0; passedMs <= 2 * RETENTION_MS; passedMs += 20 * MINUTE_MS) {
    expect(await fixture.heartbeat(id!, 1)).toBe(0)
    await fixture.time.pass(20 * MINUTE_MS)
  }
  expect(fixture.offsets()).toEqual({ 0: 1 })
})

test('a client may ask for a time of its own, which a restart does not forget', async () => {
  await fixture.commit({ 0: 1 }, { retentionTimeMs: 10 * MINUTE_MS })
  await fixture.commit({ 1: 1 })
  await fixture.time.pass(9 * MINUTE_MS)
  fixture = await fixture.restarted()
  expect(fixture.offsets()).toEqual({ 0: 1, 1: 1 })
  await fixture.time.pass(2 * MINUTE_MS)
  expect(fixture.offsets()).toEqual({ 1: 1 })
})

test('an offset that an open transaction may replace does not expire', async () => {
  await fixture.commit({ 0: 1, 1: 1 })
  await fixture.commit({ 0: 2 }, { producerId: 7 })
  await fixture.time.pass(RETENTION_MS + MINUTE_MS)
  expect(fixture.offsets()).toEqual({ 0: 1 })
  await fixture.complete(7, false)
  await fixture.time.pass(MINUTE_MS)
  expect(fixture.offsets()).toEqual({})
})
