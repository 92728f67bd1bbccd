import { afterEach, beforeEach, expect, test } from 'vitest'
import { CONSUMER_OFFSETS } from '../coordinator/internal-topics.ts'
import { CoordinatorFixture, GROUP } from './testing/coordinator-fixture.ts'

let fixture: CoordinatorFixture

beforeEach(async () => {
  fixture = await CoordinatorFixture.open({}, { rewriteLogsFromBytes: 20_000 })
})

afterEach(() => fixture.close())

async function logState() {
  const logId = fixture.store.topics.byName(CONSUMER_OFFSETS)!.logs[fixture.coordinator.partitionOf(GROUP)]!
  return (await fixture.store.state([logId]))[0]!
}

/** Commits until the log has grown beyond what it is rewritten from. */
async function outgrow(): Promise<void> {
  for (let offset = 10; offset < 300; offset++) await fixture.commit({ 2: offset })
}

test('a log that has outgrown its state becomes short again, and says the same', async () => {
  const ids = await fixture.stableGroup(2, { sessionTimeoutMs: 1_800_000 })
  await fixture.coordinator.leave({
    groupId: GROUP,
    memberId: '',
    members: ids.map((memberId) => ({ memberId, groupInstanceId: null, reason: null })),
  })
  await fixture.commit({ 0: 5 })
  await outgrow()
  const before = await logState()
  await fixture.time.pass(31_000)
  const after = await logState()
  expect(after.logStartOffset).toBeGreaterThan(before.logStartOffset)
  expect(after.sizeBytes).toBeLessThan(before.sizeBytes / 10)
  fixture = await fixture.restarted()
  expect(fixture.state).toBe('Empty')
  expect(fixture.offsets()).toEqual({ 0: 5, 2: 299 })
})

test('members keep their generation and assignments, also in the middle of a rebalance', async () => {
  const [one, two] = await fixture.stableGroup(2, {
    sessionTimeoutMs: 1_800_000,
    rebalanceTimeoutMs: 600_000,
  })
  for (let offset = 0; offset < 300; offset++) {
    await fixture.commit({ 2: offset }, { memberId: one!, generationId: 1 })
  }
  void fixture.join(two!, { topics: ['more'], sessionTimeoutMs: 1_800_000, rebalanceTimeoutMs: 600_000 })
  await fixture.time.pass(31_000)
  expect(fixture.state).toBe('PreparingRebalance')
  expect((await logState()).logStartOffset).toBeGreaterThan(0)
  fixture = await fixture.restarted()
  expect(fixture.state).toBe('Stable')
  for (const id of [one!, two!]) expect(await fixture.heartbeat(id, 1)).toBe(0)
  expect(fixture.offsets()).toEqual({ 2: 299 })
})

test('which of two commits counts does not depend on whether the log was rewritten in between', async () => {
  await fixture.commit({ 0: 1, 1: 1 })
  await fixture.commit({ 0: 2, 1: 2 }, { producerId: 7 })
  await fixture.commit({ 1: 3 })
  await outgrow()
  await fixture.time.pass(31_000)
  await fixture.complete(7, true)
  const expected = { 0: 2, 1: 3, 2: 299 }
  expect(fixture.offsets()).toEqual(expected)
  fixture = await fixture.restarted()
  expect(fixture.offsets()).toEqual(expected)
})
