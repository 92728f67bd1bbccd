import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MemberSubscription } from './assignor.ts'
import { rangeAssignor } from './range-assignor.ts'
import { anyGroup, faultsOf, subscriptionOf } from './testing/assignor-arbitrary.ts'

function member(memberId: string, topics: string[], instanceId: string | null = null): MemberSubscription {
  return subscriptionOf(memberId, topics, { instanceId })
}

function assign(counts: Record<string, number>, members: readonly MemberSubscription[]) {
  const assignment = rangeAssignor.assign(new Map(Object.entries(counts)), members)
  return Object.fromEntries(
    [...assignment].map(([id, partitions]) => [id, partitions.map((one) => `${one.topic}${one.partition}`)]),
  )
}

test('each topic is cut into runs, and the first members get what does not divide evenly', () => {
  expect(
    assign(
      { t: 7, u: 2 },
      ['c', 'a', 'b'].map((id) => member(id, ['t', 'u'])),
    ),
  ).toEqual({
    a: ['t0', 't1', 't2', 'u0'],
    b: ['t3', 't4', 'u1'],
    c: ['t5', 't6'],
  })
})

test('a topic goes only to those who asked for it, and one that does not exist to nobody', () => {
  expect(assign({ t: 2, u: 2 }, [member('a', ['t', 'missing']), member('b', ['t', 'u'])])).toEqual({
    a: ['t0'],
    b: ['t1', 'u0', 'u1'],
  })
  expect(assign({ t: 3 }, [member('a', ['missing'])])).toEqual({ a: [] })
})

test('static members come first, by their instance ids, so that a restart changes nothing', () => {
  const first = assign({ t: 3 }, [member('x', ['t'], 'two'), member('y', ['t'], 'one'), member('a', ['t'])])
  expect(first).toEqual({ y: ['t0'], x: ['t1'], a: ['t2'] })
})

test('every partition has one owner, who reads it; of each topic shares differ by one at most', () => {
  fc.assert(
    fc.property(anyGroup(), (group) => {
      const assignment = rangeAssignor.assign(group.counts, group.members)
      expect(faultsOf(group, assignment)).toEqual([])
      for (const topic of group.counts.keys()) {
        const readers = group.members.filter(({ topics }) => topics.includes(topic))
        const loads = readers.map(
          ({ memberId }) => assignment.get(memberId)!.filter((one) => one.topic === topic).length,
        )
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
      }
    }),
  )
})

test('the same numbers of topics of the same size go to the same member', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 6 }), (size, count) => {
      const members = Array.from({ length: count }, (_, index) => member(`m${index}`, ['t', 'u']))
      for (const partitions of rangeAssignor
        .assign(
          new Map([
            ['t', size],
            ['u', size],
          ]),
          members,
        )
        .values()) {
        const numbers = (name: string) =>
          partitions.filter(({ topic }) => topic === name).map(({ partition }) => partition)
        expect(numbers('t')).toEqual(numbers('u'))
      }
    }),
  )
})
