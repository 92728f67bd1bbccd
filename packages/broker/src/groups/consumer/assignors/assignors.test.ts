import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TopicPartitions } from '../partitions.ts'
import type { AssignableMember, Assignor } from './assignor.ts'
import { assignByRange } from './range.ts'
import { assignUniformly } from './uniform.ts'

const assignors: [string, Assignor][] = [
  ['uniform', assignUniformly],
  ['range', assignByRange],
]

/** A group whose members' subscriptions are rows of booleans over the topics t0, t1, … */
interface Group {
  readonly counts: readonly number[]
  readonly subscriptions: readonly (readonly boolean[])[]
  readonly isEqual: boolean
}

const groups: fc.Arbitrary<Group> = fc
  .record({
    counts: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
    memberCount: fc.integer({ min: 1, max: 8 }),
    isEqual: fc.boolean(),
  })
  .chain(({ counts, memberCount, isEqual }) => {
    const row = fc.array(fc.boolean(), { minLength: counts.length, maxLength: counts.length })
    const rows = isEqual
      ? row.map((only) => new Array<boolean[]>(memberCount).fill(only))
      : fc.array(row, { minLength: memberCount, maxLength: memberCount })
    return rows.map((subscriptions) => ({ counts, subscriptions, isEqual }))
  })

function membersOf(
  { subscriptions }: Group,
  previous: ReadonlyMap<string, TopicPartitions> = new Map(),
): AssignableMember[] {
  const shared = new Map<string, string[]>()
  return subscriptions.map((row, index) => {
    const topicIds = row.flatMap((subscribed, topic) => (subscribed ? [`t${topic}`] : []))
    const key = topicIds.join()
    if (!shared.has(key)) shared.set(key, topicIds)
    const memberId = `m${index}`
    return { memberId, topicIds: shared.get(key)!, previous: previous.get(memberId) ?? new Map() }
  })
}

function run(assign: Assignor, group: Group, previous?: ReadonlyMap<string, TopicPartitions>) {
  return assign({
    members: membersOf(group, previous),
    partitionCount: (topicId) => group.counts[Number(topicId.slice(1))]!,
  })
}

function sizes(assignment: ReadonlyMap<string, TopicPartitions>): number[] {
  return Array.from(assignment.values(), (topics) =>
    Array.from(topics.values(), ({ length }) => length).reduce((sum, length) => sum + length, 0),
  )
}

/** topic-partition → member; throws where two have it. */
function owners(assignment: ReadonlyMap<string, TopicPartitions>): Map<string, string> {
  const owners = new Map<string, string>()
  for (const [memberId, topics] of assignment) {
    for (const [topicId, partitions] of topics) {
      for (const partition of partitions) {
        const key = `${topicId}-${partition}`
        expect(owners.has(key)).toBe(false)
        owners.set(key, memberId)
      }
    }
  }
  return owners
}

function movedFrom(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): number {
  let moved = 0
  for (const [key, owner] of before) if (after.has(key) && after.get(key) !== owner) moved++
  return moved
}

describe.each(assignors)('%s', (name, assign) => {
  test('gives each partition of each subscribed topic to exactly one of its subscribers', () => {
    fc.assert(
      fc.property(groups, groups, (group, former) => {
        const previous = run(assign, { ...former, counts: [...former.counts, ...new Array(5).fill(9)] })
        const owner = owners(run(assign, group, previous))
        for (const [topic, count] of group.counts.entries()) {
          const subscribers = group.subscriptions.flatMap((row, index) => (row[topic] ? [`m${index}`] : []))
          for (let partition = 0; partition < count; partition++) {
            const key = `t${topic}-${partition}`
            if (subscribers.length === 0) expect(owner.has(key)).toBe(false)
            else expect(subscribers).toContain(owner.get(key))
            owner.delete(key)
          }
        }
        expect(owner.size).toBe(0)
      }),
    )
  })

  test('is balanced within one partition, over all topics or topic by topic', () => {
    fc.assert(
      fc.property(groups, groups, (group, former) => {
        const assignment = run(assign, group, run(assign, former))
        if (name === 'uniform' && group.isEqual) {
          expect(Math.max(...sizes(assignment)) - Math.min(...sizes(assignment))).toBeLessThanOrEqual(1)
        }
        if (name === 'range') {
          for (const topic of group.counts.keys()) {
            const subscribers = group.subscriptions.flatMap((row, index) => (row[topic] ? [`m${index}`] : []))
            const shares = subscribers.map((id) => assignment.get(id)!.get(`t${topic}`)?.length ?? 0)
            if (shares.length > 0) expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
          }
        }
      }),
    )
  })

  test('changes nothing when nothing changed', () => {
    fc.assert(
      fc.property(groups, groups, (group, former) => {
        const first = run(assign, group, run(assign, former))
        expect(run(assign, group, first)).toEqual(first)
      }),
    )
  })
})

test('uniform: with unequal subscriptions nothing can move to a subscriber with two fewer', () => {
  fc.assert(
    fc.property(groups, groups, (group, former) => {
      const assignment = run(assignUniformly, group, run(assignUniformly, former))
      const size = sizes(assignment)
      for (const [key, owner] of owners(assignment)) {
        const topic = Number(key.slice(1, key.indexOf('-')))
        for (const [index, row] of group.subscriptions.entries()) {
          if (row[topic]) expect(size[Number(owner.slice(1))]! - size[index]!).toBeLessThan(2)
        }
      }
    }),
  )
})

test('uniform: with unequal subscriptions whoever has one already gets no second one while others have none', () => {
  const group: Group = {
    counts: [3],
    subscriptions: [[true], [true], [true], [false], [true]],
    isEqual: false,
  }
  const previous = new Map([['m0', new Map([['t0', [0]]])]])
  expect(sizes(run(assignUniformly, group, previous))).toEqual([1, 1, 1, 0, 0])
})

test('uniform: when a member joins or leaves, only what balance asks for moves', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 8 }),
      (counts, memberCount) => {
        const of = (members: number): Group => ({
          counts,
          subscriptions: new Array(members).fill(counts.map(() => true)),
          isEqual: true,
        })
        const total = counts.reduce((sum, count) => sum + count, 0)
        const few = run(assignUniformly, of(memberCount))
        const many = run(assignUniformly, of(memberCount + 1), few)
        // The new member gets its share, and nothing else moves.
        expect(movedFrom(owners(few), owners(many))).toBe(Math.floor(total / (memberCount + 1)))
        const again = run(assignUniformly, of(memberCount), many)
        // Only what the member that left had got a new owner.
        expect(movedFrom(owners(many), owners(again))).toBe(sizes(many)[memberCount])
      },
    ),
  )
})

test('range: topics with as many partitions and the same subscribers are dealt out alike', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 8 }), (count, memberCount) => {
      const of = (topics: number): Group => ({
        counts: new Array(topics).fill(count),
        subscriptions: new Array(memberCount).fill(new Array(topics).fill(true)),
        isEqual: true,
      })
      for (const topics of run(assignByRange, of(3), run(assignByRange, of(1))).values()) {
        expect(topics.get('t1')).toEqual(topics.get('t0'))
        expect(topics.get('t2')).toEqual(topics.get('t0'))
      }
    }),
  )
})

test('range deals in runs of partitions when nothing was assigned before', () => {
  const group = { counts: [7], subscriptions: [[true], [true], [true]], isEqual: true }
  expect([...run(assignByRange, group).values()]).toEqual([
    new Map([['t0', [0, 1, 2]]]),
    new Map([['t0', [3, 4]]]),
    new Map([['t0', [5, 6]]]),
  ])
})
