import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TopicPartition } from '../list-offsets.ts'
import type { MemberSubscription } from './assignor.ts'
import { cooperativeStickyAssignor } from './cooperative-sticky-assignor.ts'
import { subscriptionOf } from './testing/assignor-arbitrary.ts'

type Owned = Map<string, readonly TopicPartition[]>

const key = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`

function members(ids: readonly string[], topics: readonly string[], owned: Owned): MemberSubscription[] {
  return ids.map((memberId) =>
    subscriptionOf(memberId, topics, { ownedPartitions: owned.get(memberId) ?? [], generation: 1 }),
  )
}

/** Assigns until nothing is left out any more, as the rebalances of a group do; returns every round. */
function rounds(counts: ReadonlyMap<string, number>, ids: readonly string[], before: Owned): Owned[] {
  const topics = [...counts.keys()]
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const all: Owned[] = []
  let owned = before
  for (;;) {
    owned = new Map(cooperativeStickyAssignor.assign(counts, members(ids, topics, owned)))
    all.push(owned)
    if ([...owned.values()].flat().length === total || all.length > 3) return all
  }
}

test('a member that joins gets its share in the second round, after the others gave it up', () => {
  const counts = new Map([['t', 4]])
  const [only] = rounds(counts, ['a'], new Map())
  const [first, second, ...more] = rounds(counts, ['a', 'b'], only!)
  expect(first!.get('b')).toEqual([])
  expect(first!.get('a')).toHaveLength(2)
  expect(second!.get('a')).toEqual(first!.get('a'))
  expect(second!.get('b')).toHaveLength(2)
  expect(more).toEqual([])
})

test('shares are even, nothing is held twice, and no more moves than it takes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      (sizes, membersBefore, membersAfter) => {
        const counts = new Map(sizes.map((size, index) => [`t${index}`, size]))
        const ids = (count: number) => Array.from({ length: count }, (_, index) => `m${index}`)
        const before = rounds(counts, ids(membersBefore), new Map()).at(-1)!
        const after = rounds(counts, ids(membersAfter), before)
        let previous = before
        for (const round of after) {
          const holders = new Map<string, string>()
          for (const [member, partitions] of round) {
            for (const one of partitions) {
              expect(holders.has(key(one))).toBe(false)
              holders.set(key(one), member)
              // Whoever had it and still is a member must have let it go in an earlier round.
              for (const [other, had] of previous) {
                if (other !== member && round.has(other)) expect(had.map(key)).not.toContain(key(one))
              }
            }
          }
          previous = round
        }
        const loads = [...previous.values()].map(({ length }) => length)
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
        expect(loads.reduce((sum, load) => sum + load, 0)).toBe(sizes.reduce((sum, size) => sum + size, 0))
        const share = Math.ceil(loads.reduce((sum, load) => sum + load, 0) / membersAfter)
        for (const [member, had] of before) {
          if (!previous.has(member)) continue
          const kept = had.filter((one) => previous.get(member)!.some((now) => key(now) === key(one))).length
          expect(kept).toBeGreaterThanOrEqual(Math.min(had.length, share - 1))
        }
      },
    ),
  )
})

test('members that read different topics get only those they asked for', () => {
  const counts = new Map([
    ['t', 4],
    ['u', 2],
  ])
  const assignment = cooperativeStickyAssignor.assign(counts, [
    ...members(['a'], ['t'], new Map()),
    ...members(['b'], ['t', 'u'], new Map()),
  ])
  expect(assignment.get('a')!.every(({ topic }) => topic === 't')).toBe(true)
  expect(assignment.get('a')).toHaveLength(3)
  expect(assignment.get('b')).toHaveLength(3)
})

test('of two members that claim a partition, the one of the later generation has it', () => {
  const claim = [{ topic: 't', partition: 0 }]
  const [old] = members(['a'], ['t'], new Map([['a', claim]]))
  const assignment = cooperativeStickyAssignor.assign(new Map([['t', 1]]), [
    old!,
    subscriptionOf('b', ['t'], { ownedPartitions: claim, generation: 2 }),
  ])
  expect([assignment.get('a'), assignment.get('b')]).toEqual([[], claim])
})

test('a generation that stands only in the user data, as clients before KIP-792 write it, counts as well', () => {
  const ownedPartitions = [{ topic: 't', partition: 0 }]
  const userData = cooperativeStickyAssignor.userData!({ partitions: ownedPartitions, generation: 3 })
  const assignment = cooperativeStickyAssignor.assign(new Map([['t', 1]]), [
    subscriptionOf('a', ['t'], { ownedPartitions, generation: 2 }),
    subscriptionOf('b', ['t'], { ownedPartitions, userData }),
  ])
  expect([assignment.get('a'), assignment.get('b')]).toEqual([[], ownedPartitions])
})
