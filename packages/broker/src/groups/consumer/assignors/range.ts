import type { TopicId } from '@streambus/storage'
import type { TopicPartitions } from '../partitions.ts'
import type { AssignableMember, AssignmentTask } from './assignor.ts'
import { PartitionLists } from './partition-lists.ts'

/**
 * Each topic by itself: every subscriber gets as many of its partitions as any other, or one more. Topics with
 * the same number of partitions and the same subscribers are dealt out alike, so that what has the same key in
 * both reaches the same member.
 */
export function assignByRange({ members, partitionCount }: AssignmentTask): Map<string, TopicPartitions> {
  const lists = new PartitionLists(members.map(({ memberId }) => memberId))
  for (const { topicIds, subscribers, partitions } of alikeTopics(members, partitionCount)) {
    const shares = share(subscribers, topicIds, partitions)
    for (const [index, { memberId }] of subscribers.entries()) {
      for (const topicId of topicIds) {
        for (const partition of shares[index]!) lists.add(memberId, topicId, partition)
      }
    }
  }
  return lists.finish()
}

interface AlikeTopics {
  readonly topicIds: TopicId[]
  readonly subscribers: readonly AssignableMember[]
  readonly partitions: number
}

function alikeTopics(
  members: readonly AssignableMember[],
  partitionCount: (topicId: TopicId) => number,
): Iterable<AlikeTopics> {
  const subscribersOf = new Map<TopicId, { members: AssignableMember[]; indexes: number[] }>()
  for (const [index, member] of members.entries()) {
    for (const topicId of member.topicIds) {
      const known = subscribersOf.get(topicId)
      if (known === undefined) subscribersOf.set(topicId, { members: [member], indexes: [index] })
      else {
        known.members.push(member)
        known.indexes.push(index)
      }
    }
  }
  const groups = new Map<string, AlikeTopics>()
  for (const [topicId, { members: subscribers, indexes }] of subscribersOf) {
    const partitions = partitionCount(topicId)
    const key = `${partitions}:${indexes.length === members.length ? 'all' : indexes.join()}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { topicIds: [topicId], subscribers, partitions })
    else group.topicIds.push(topicId)
  }
  return groups.values()
}

/** Deals partitions 0…count-1 out to the subscribers, in their order. */
function share(
  subscribers: readonly AssignableMember[],
  topicIds: readonly TopicId[],
  count: number,
): number[][] {
  const least = Math.floor(count / subscribers.length)
  let extras = count % subscribers.length
  const taken = new Set<number>()
  const shares = subscribers.map((): number[] => [])
  const keepsExtra = subscribers.map((member, index) => {
    const before = held(member, topicIds, count).filter((partition) => !taken.has(partition))
    const hasExtra = before.length > least && extras > 0
    if (hasExtra) extras--
    for (const partition of before.slice(0, hasExtra ? least + 1 : least)) {
      taken.add(partition)
      shares[index]!.push(partition)
    }
    return hasExtra
  })
  let next = 0
  for (const [index, own] of shares.entries()) {
    let quota = keepsExtra[index] ? least + 1 : least
    if (!keepsExtra[index] && extras > 0) {
      extras--
      quota++
    }
    while (own.length < quota) {
      while (taken.has(next)) next++
      own.push(next++)
    }
  }
  return shares
}

/** What a member had: of the first of the topics that it had anything of, as the others are to follow it. */
function held(
  { previous }: AssignableMember,
  topicIds: readonly TopicId[],
  count: number,
): readonly number[] {
  for (const topicId of topicIds) {
    const partitions = previous.get(topicId)
    if (partitions !== undefined) return partitions.filter((partition) => partition < count)
  }
  return []
}
