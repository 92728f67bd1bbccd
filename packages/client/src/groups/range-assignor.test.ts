import { expect, test } from 'vitest'
import type { MemberSubscription } from './assignor.ts'
import { rangeAssignor } from './range-assignor.ts'

function member(memberId: string, topics: string[], instanceId: string | null = null): MemberSubscription {
  return { memberId, instanceId, topics, ownedPartitions: [], generation: -1 }
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
