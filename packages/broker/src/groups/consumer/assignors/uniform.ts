import type { TopicId } from '@streambus/storage'
import type { TopicPartitions } from '../partitions.ts'
import { type AssignmentTask, haveEqualSubscriptions } from './assignor.ts'
import { PartitionLists } from './partition-lists.ts'
import { balanceUnequalSubscriptions } from './unequal-subscriptions.ts'

/**
 * All partitions of all topics together: members with equal subscriptions get as many as any other, or one
 * more. Balance comes first, then leaving partitions where they are.
 */
export function assignUniformly(task: AssignmentTask): Map<string, TopicPartitions> {
  return haveEqualSubscriptions(task.members) ? dealOut(task) : balanceUnequalSubscriptions(task)
}

interface Partition {
  readonly topicId: TopicId
  readonly partition: number
}

/** Every member may get every partition. */
function dealOut({ members, partitionCount }: AssignmentTask): Map<string, TopicPartitions> {
  const lists = new PartitionLists(members.map(({ memberId }) => memberId))
  const topicIds = members[0]?.topicIds ?? []
  if (topicIds.length === 0) return lists.finish()
  const free = new Map(
    topicIds.map((topicId) => [topicId, new Array<boolean>(partitionCount(topicId)).fill(true)]),
  )
  let total = 0
  for (const partitions of free.values()) total += partitions.length
  const least = Math.floor(total / members.length)
  let extras = total % members.length

  const before = members.map(({ previous }) => stillAssignable(previous, free))
  // Members that have one more than the least keep it, as far as there are such places: giving the places to
  // others would only move partitions.
  const quotas = before.map(({ length }) => {
    if (length <= least || extras === 0) return least
    extras--
    return least + 1
  })
  for (const [index, quota] of quotas.entries()) {
    if (extras === 0) break
    if (quota > least) continue
    extras--
    quotas[index] = least + 1
  }
  for (const [index, { memberId }] of members.entries()) {
    for (const { topicId, partition } of before[index]!.slice(0, quotas[index])) {
      free.get(topicId)![partition] = false
      lists.add(memberId, topicId, partition)
    }
  }
  const unassigned = freePartitions(free)
  for (const [index, { memberId }] of members.entries()) {
    for (let size = before[index]!.length; size < quotas[index]!; size++) {
      const { topicId, partition } = unassigned.next().value!
      lists.add(memberId, topicId, partition)
    }
  }
  return lists.finish()
}

/** What a member had and may keep. */
function stillAssignable(
  previous: TopicPartitions,
  free: ReadonlyMap<TopicId, readonly boolean[]>,
): Partition[] {
  const kept: Partition[] = []
  for (const [topicId, partitions] of previous) {
    const count = free.get(topicId)?.length ?? 0
    for (const partition of partitions) if (partition < count) kept.push({ topicId, partition })
  }
  return kept
}

function* freePartitions(free: ReadonlyMap<TopicId, readonly boolean[]>): Generator<Partition, undefined> {
  for (const [topicId, partitions] of free) {
    for (const [partition, isFree] of partitions.entries()) if (isFree) yield { topicId, partition }
  }
}
