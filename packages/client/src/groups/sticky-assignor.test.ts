import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TopicPartition } from '../list-offsets.ts'
import type { GroupAssignment, MemberSubscription } from './assignor.ts'
import { stickyAssignor } from './sticky-assignor.ts'
import { encodeStickyUserData } from './sticky-user-data.ts'
import { anyGroup, faultsOf, keyOf, subscriptionOf } from './testing/assignor-arbitrary.ts'

/** The member as it joins again after an assignment. */
function withPast(member: MemberSubscription, past: GroupAssignment, generation = 1): MemberSubscription {
  const partitions = past.get(member.memberId)
  if (partitions === undefined) return member
  return { ...member, userData: encodeStickyUserData({ partitions, generation }) }
}

function keptOf(before: GroupAssignment, after: GroupAssignment): number {
  let kept = 0
  for (const [memberId, partitions] of before) {
    const now = new Set((after.get(memberId) ?? []).map(keyOf))
    kept += partitions.filter((one) => now.has(keyOf(one))).length
  }
  return kept
}

test('every partition has one owner, who reads it, and no partition could go to one with two fewer', () => {
  fc.assert(
    fc.property(anyGroup(), anyGroup(), (past, group) => {
      const before = stickyAssignor.assign(past.counts, past.members)
      const members = group.members.map((member) => withPast(member, before))
      const after = stickyAssignor.assign(group.counts, members)
      expect(faultsOf(group, after)).toEqual([])
      for (const { memberId, topics } of members) {
        const load = after.get(memberId)!.length
        for (const partitions of after.values()) {
          if (partitions.length - load < 2) continue
          expect(partitions.filter(({ topic }) => topics.includes(topic))).toEqual([])
        }
      }
    }),
  )
})

test('with equal subscriptions the shares differ by one at most, and as many partitions stay as can', () => {
  const size = fc.integer({ min: 1, max: 6 })
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
      size,
      size,
      (...any) => {
        const [sizes, countBefore, countAfter] = any
        const counts = new Map(sizes.map((count, index) => [`t${index}`, count]))
        const group = (count: number) =>
          Array.from({ length: count }, (_, index) => subscriptionOf(`m${index}`, [...counts.keys()]))
        const before = stickyAssignor.assign(counts, group(countBefore))
        const after = stickyAssignor.assign(
          counts,
          group(countAfter).map((member) => withPast(member, before)),
        )
        const loads = [...after.values()].map(({ length }) => length)
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
        const total = sizes.reduce((sum, one) => sum + one, 0)
        const share = Math.floor(total / countAfter)
        const had = [...before].filter(([id]) => after.has(id)).map(([, partitions]) => partitions.length)
        const withOneMore = Math.min(total % countAfter, had.filter((one) => one > share).length)
        const most = had.reduce((sum, one) => sum + Math.min(one, share), 0) + withOneMore
        expect(keptOf(before, after)).toBe(most)
      },
    ),
  )
})

test('nothing moves where nothing has changed', () => {
  fc.assert(
    fc.property(anyGroup(), ({ counts, members }) => {
      const before = stickyAssignor.assign(counts, members)
      const after = stickyAssignor.assign(
        counts,
        members.map((member) => withPast(member, before)),
      )
      const sorted = (all: readonly TopicPartition[]) => all.map(keyOf).sort()
      for (const [memberId, partitions] of before)
        expect(sorted(after.get(memberId)!)).toEqual(sorted(partitions))
    }),
  )
})

test('shares become even also where that takes a move through a member between', () => {
  const counts = new Map([
    ['t', 4],
    ['u', 2],
  ])
  // `a` reads what `b` reads, and `c` reads what `b` reads, but `c` nothing of what `a` does.
  const past: GroupAssignment = new Map([
    ['a', [0, 1, 2].map((partition) => ({ topic: 't', partition }))],
    [
      'b',
      [
        { topic: 't', partition: 3 },
        { topic: 'u', partition: 0 },
      ],
    ],
    ['c', [{ topic: 'u', partition: 1 }]],
  ])
  const members = [
    subscriptionOf('a', ['t']),
    subscriptionOf('b', ['t', 'u']),
    subscriptionOf('c', ['u']),
  ].map((member) => withPast(member, past))
  const after = stickyAssignor.assign(counts, members)
  expect([...after.values()].map(({ length }) => length)).toEqual([2, 2, 2])
})

test('of two members that say they had a partition, the one of the later generation keeps it', () => {
  const counts = new Map([['t', 2]])
  const both = (id: string): GroupAssignment => new Map([[id, [{ topic: 't', partition: 0 }]]])
  const members = [
    withPast(subscriptionOf('a', ['t']), both('a'), 4),
    withPast(subscriptionOf('b', ['t']), both('b'), 5),
  ]
  expect(stickyAssignor.assign(counts, members).get('b')).toEqual([{ topic: 't', partition: 0 }])
})

test('what a member says it owns does not count, only what it had', () => {
  const owned = { ownedPartitions: [{ topic: 't', partition: 0 }], generation: 9 }
  const members = [
    subscriptionOf('a', ['t'], owned),
    withPast(subscriptionOf('b', ['t']), new Map([['b', [{ topic: 't', partition: 0 }]]])),
  ]
  const after = stickyAssignor.assign(new Map([['t', 2]]), members)
  expect(after.get('b')).toEqual([{ topic: 't', partition: 0 }])
})
