import fc from 'fast-check'
import { expect, test } from 'vitest'
import { roundRobinAssignor } from './round-robin-assignor.ts'
import { anyGroup, faultsOf, keyOf, subscriptionOf } from './testing/assignor-arbitrary.ts'

function assign(counts: Record<string, number>, members: Parameters<typeof roundRobinAssignor.assign>[1]) {
  const assignment = roundRobinAssignor.assign(new Map(Object.entries(counts)), members)
  return Object.fromEntries([...assignment].map(([id, partitions]) => [id, partitions.map(keyOf)]))
}

test('partitions of all topics, by name, are dealt out in turn', () => {
  const members = ['b', 'a'].map((id) => subscriptionOf(id, ['u', 't']))
  expect(assign({ u: 3, t: 3 }, members)).toEqual({ a: ['t/0', 't/2', 'u/1'], b: ['t/1', 'u/0', 'u/2'] })
})

test('who does not read a topic is passed over, as the Java client documents it', () => {
  const members = [['t0'], ['t0', 't1'], ['t0', 't1', 't2']].map((topics, index) =>
    subscriptionOf(`C${index}`, topics),
  )
  expect(assign({ t0: 1, t1: 2, t2: 3 }, members)).toEqual({
    C0: ['t0/0'],
    C1: ['t1/0'],
    C2: ['t1/1', 't2/0', 't2/1', 't2/2'],
  })
})

test('static members come first, by their instance ids; a topic that nobody reads has no owner', () => {
  const members = [
    subscriptionOf('a', ['t']),
    subscriptionOf('x', ['t'], { instanceId: 'two' }),
    subscriptionOf('y', ['t'], { instanceId: 'one' }),
  ]
  expect(assign({ t: 4, unread: 2 }, members)).toEqual({ y: ['t/0', 't/3'], x: ['t/1'], a: ['t/2'] })
})

test('every partition has one owner, who reads it; with equal subscriptions shares differ by one at most', () => {
  fc.assert(
    fc.property(anyGroup(), (group) => {
      const assignment = roundRobinAssignor.assign(group.counts, group.members)
      expect(faultsOf(group, assignment)).toEqual([])
      const all = group.counts.size
      if (group.members.some(({ topics }) => topics.length < all)) return
      const loads = [...assignment.values()].map(({ length }) => length)
      expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
    }),
  )
})
