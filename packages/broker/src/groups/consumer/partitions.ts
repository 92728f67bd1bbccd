import type { TopicId } from '@streambus/storage'

/** Partitions by topic id, each list ascending and not empty. */
export type TopicPartitions = ReadonlyMap<TopicId, readonly number[]>

/** Partitions by topic id, and for each the epoch at which its member got it (KIP-1251). */
export type AssignedPartitions = ReadonlyMap<TopicId, ReadonlyMap<number, number>>

export const NO_PARTITIONS: TopicPartitions & AssignedPartitions = new Map<TopicId, never>()

export function sameTopicPartitions(a: TopicPartitions, b: TopicPartitions): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others === undefined || others.length !== partitions.length) return false
    for (let index = 0; index < partitions.length; index++) {
      if (others[index] !== partitions[index]) return false
    }
  }
  return true
}

export function sameAssignedPartitions(a: AssignedPartitions, b: AssignedPartitions): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others === undefined || others.size !== partitions.size) return false
    for (const [partition, epoch] of partitions) if (others.get(partition) !== epoch) return false
  }
  return true
}

/** Whether every partition listed is among the assigned ones. */
export function isWithin(
  partitions: Iterable<{ topicId: TopicId; partitions: readonly number[] }>,
  assigned: AssignedPartitions,
): boolean {
  for (const { topicId, partitions: listed } of partitions) {
    const own = assigned.get(topicId)
    for (const partition of listed) if (own?.has(partition) !== true) return false
  }
  return true
}

/** In the form of messages and records: topics with their partitions, ascending. */
export function listPartitions(assigned: AssignedPartitions): { topicId: TopicId; partitions: number[] }[] {
  return Array.from(assigned, ([topicId, partitions]) => ({
    topicId,
    partitions: [...partitions.keys()].sort((a, b) => a - b),
  }))
}
