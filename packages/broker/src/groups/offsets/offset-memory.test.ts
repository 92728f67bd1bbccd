import { ErrorCode } from '@streambus/protocol'
import { afterEach, expect, test } from 'vitest'
import { CoordinatorFixture } from '../testing/coordinator-fixture.ts'

let fixture: CoordinatorFixture

afterEach(() => fixture.close())

const { POLICY_VIOLATION } = ErrorCode
const maxOffsetBytes = 100_000

/** Commits for one group after the other until one is refused. Returns how many were not. */
async function fill(idLength: number): Promise<number> {
  for (let index = 0; ; index++) {
    const groupId = String(index).padStart(idLength, 'x')
    const committed = await fixture.commit({ 0: 1 }, { groupId })
    if (committed === POLICY_VIOLATION) return index
    expect(committed).toEqual([[0]])
  }
}

test.each([1, 30_000])(
  'groups with ids of %i characters take no more memory than they may',
  async (length) => {
    fixture = await CoordinatorFixture.open({ maxOffsetBytes })
    const count = await fill(length)
    expect(count).toBeGreaterThan(0)
    expect(count * (length + 500)).toBeLessThan(maxOffsetBytes)
    // Whoever is in goes on.
    const first = '0'.padStart(length, 'x')
    expect(await fixture.commit({ 0: 2 }, { groupId: first })).toEqual([[0]])
    const other = 'y'.repeat(length)
    expect(await fixture.join('', { groupId: other })).toMatchObject({ errorCode: POLICY_VIOLATION })
    // What is deleted makes room, and a restart takes none.
    expect(await fixture.coordinator.delete(first)).toBe(0)
    fixture = await fixture.restarted()
    expect(await fixture.commit({ 0: 1 }, { groupId: other })).toEqual([[0]])
    expect(await fixture.commit({ 0: 1 }, { groupId: first })).toBe(POLICY_VIOLATION)
  },
)

test('offsets of transactions take memory while these are open, and then as any others', async () => {
  fixture = await CoordinatorFixture.open({ maxOffsetBytes: 4000 })
  expect(await fixture.commit({ 0: 1 })).toEqual([[0]])
  let open = 0
  while ((await fixture.commit({ 0: 2 }, { producerId: open })) !== POLICY_VIOLATION) open++
  expect(open).toBeGreaterThan(1)
  await fixture.complete(0, true)
  expect(await fixture.commit({ 0: 3 }, { producerId: open })).toEqual([[0]])
  for (let producerId = 1; producerId <= open; producerId++) await fixture.complete(producerId, false)
  expect(fixture.offsets()).toEqual({ 0: 2 })
  let again = 0
  while ((await fixture.commit({ 0: 2 }, { producerId: again })) !== POLICY_VIOLATION) again++
  expect(again).toBe(open)
})
