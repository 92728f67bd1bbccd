import type { TopicId } from '@streambus/storage'
import type { TopicPartitions } from '../partitions.ts'
import type { AssignableMember, AssignmentTask } from './assignor.ts'
import { PartitionLists } from './partition-lists.ts'

/** Rounds over all topics. Each that moves a partition makes the loads more equal, so that few are needed. */
const MAX_ROUNDS = 50

/**
 * Balance where members are subscribed to different topics. Members keep what they have as far as they may;
 * then, topic by topic, the partitions are levelled among the topic's subscribers, with what these have of
 * other topics counted, until no topic changes any more. Then no partition can move to a subscriber that has at
 * least two fewer than its owner.
 */
export function balanceUnequalSubscriptions(task: AssignmentTask): Map<string, TopicPartitions> {
  const loads = task.members.map((member): Load => ({ member, size: 0, topics: new Map() }))
  const topics = subscribedTopics(loads, task)
  for (const topic of topics) keepPrevious(topic)
  // Those that leave the least choice come first.
  topics.sort((a, b) => a.subscribers.length - b.subscribers.length)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let moved = 0
    for (const topic of topics) moved += level(topic)
    if (moved === 0) break
  }
  const lists = new PartitionLists(loads.map(({ member }) => member.memberId))
  for (const { member, topics } of loads) {
    for (const [topicId, partitions] of topics) {
      for (const partition of partitions) lists.add(member.memberId, topicId, partition)
    }
  }
  return lists.finish()
}

interface Load {
  readonly member: AssignableMember
  /** Partitions of all topics. */
  size: number
  readonly topics: Map<TopicId, number[]>
}

interface SubscribedTopic {
  readonly topicId: TopicId
  readonly partitions: number
  readonly subscribers: Load[]
  /** Partitions that nobody has. */
  readonly free: number[]
}

function subscribedTopics(loads: readonly Load[], { partitionCount }: AssignmentTask): SubscribedTopic[] {
  const topics = new Map<TopicId, SubscribedTopic>()
  for (const load of loads) {
    for (const topicId of load.member.topicIds) {
      load.topics.set(topicId, [])
      const topic = topics.get(topicId)
      if (topic !== undefined) topic.subscribers.push(load)
      else {
        topics.set(topicId, {
          topicId,
          partitions: partitionCount(topicId),
          subscribers: [load],
          free: [],
        })
      }
    }
  }
  return [...topics.values()]
}

function keepPrevious({ topicId, partitions, subscribers, free }: SubscribedTopic): void {
  const taken = new Set<number>()
  for (const load of subscribers) {
    for (const partition of load.member.previous.get(topicId) ?? []) {
      if (partition >= partitions || taken.has(partition)) continue
      taken.add(partition)
      give(load, topicId, partition)
    }
  }
  for (let partition = 0; partition < partitions; partition++) {
    if (!taken.has(partition)) free.push(partition)
  }
}

/** Deals one topic's partitions out as evenly as what its subscribers have of other topics allows. */
function level({ topicId, partitions, subscribers, free }: SubscribedTopic): number {
  const others = subscribers.map((load) => load.size - load.topics.get(topicId)!.length)
  const height = waterLevel(others, partitions)
  const quotas = others.map((other) => Math.max(0, height - other))
  let extras = partitions - quotas.reduce((sum, quota) => sum + quota, 0)
  // Whoever has one more already comes first: giving its place to another would only move a partition.
  for (const wantsHolders of [true, false]) {
    for (const [index, load] of subscribers.entries()) {
      if (extras === 0) break
      const quota = height - others[index]!
      // Nobody gets a second one.
      if (quota < 0 || quotas[index]! > quota) continue
      if (load.topics.get(topicId)!.length > quota !== wantsHolders) continue
      quotas[index] = quota + 1
      extras--
    }
  }
  for (const [index, load] of subscribers.entries()) {
    const own = load.topics.get(topicId)!
    while (own.length > quotas[index]!) {
      free.push(own.pop()!)
      load.size--
    }
  }
  const moved = free.length
  for (const [index, load] of subscribers.entries()) {
    while (load.topics.get(topicId)!.length < quotas[index]!) give(load, topicId, free.pop()!)
  }
  return moved
}

/** The greatest size up to which `amount` partitions can fill all subscribers that are below it. */
function waterLevel(sizes: readonly number[], amount: number): number {
  const ascending = [...sizes].sort((a, b) => a - b)
  let sum = amount
  for (let count = 1; ; count++) {
    sum += ascending[count - 1]!
    const height = Math.floor(sum / count)
    if (count === ascending.length || height < ascending[count]!) return height
  }
}

function give(load: Load, topicId: TopicId, partition: number): void {
  load.size++
  load.topics.get(topicId)!.push(partition)
}
