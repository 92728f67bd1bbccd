/** Groups for the tests of assignors. */
import fc from 'fast-check'
import type { TopicPartition } from '../../list-offsets.ts'
import type { GroupAssignment, MemberSubscription } from '../assignor.ts'

export interface AnyGroup {
  readonly counts: ReadonlyMap<string, number>
  readonly members: readonly MemberSubscription[]
}

export function subscriptionOf(
  memberId: string,
  topics: readonly string[],
  more: Partial<MemberSubscription> = {},
): MemberSubscription {
  const nothing = { instanceId: null, ownedPartitions: [], generation: -1, userData: null }
  return { memberId, topics, ...nothing, ...more }
}

/** Up to six members that read some of up to four topics each, or all of them all; some of them static. */
export function anyGroup(): fc.Arbitrary<AnyGroup> {
  const topics = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 })
  const members = fc.array(fc.record({ reads: fc.integer({ min: 1, max: 15 }), isStatic: fc.boolean() }), {
    minLength: 1,
    maxLength: 6,
  })
  return fc.tuple(topics, members, fc.boolean()).map(([sizes, chosen, all]) => {
    const names = sizes.map((_, index) => `t${index}`)
    const subscriptions = chosen.map(({ reads, isStatic }, index) => {
      const some = names.filter((_, topic) => all || (reads >> topic) & 1)
      const instanceId = isStatic ? `i${9 - index}` : null
      return subscriptionOf(`m${index}`, some, { instanceId })
    })
    const read = names.filter((name) => subscriptions.some((one) => one.topics.includes(name)))
    return {
      counts: new Map(read.map((name) => [name, sizes[names.indexOf(name)]!])),
      members: subscriptions,
    }
  })
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** What is wrong with an assignment: partitions without an owner or with two, or with one who does not read them. */
export function faultsOf({ counts, members }: AnyGroup, assignment: GroupAssignment): string[] {
  const faults: string[] = []
  const owned = new Map<string, string>()
  for (const { memberId, topics } of members) {
    for (const one of assignment.get(memberId) ?? [{ topic: 'no entry', partition: -1 }]) {
      const key = keyOf(one)
      if (!topics.includes(one.topic)) faults.push(`${key} went to ${memberId}, who does not read it`)
      if (owned.has(key)) faults.push(`${key} went to ${memberId} and ${owned.get(key)}`)
      owned.set(key, memberId)
    }
  }
  for (const [topic, count] of counts) {
    for (let partition = 0; partition < count; partition++) {
      if (!owned.has(keyOf({ topic, partition }))) faults.push(`${topic}/${partition} has no owner`)
    }
  }
  return faults
}
