import type { TopicId } from '@streambus/storage'
import type { TopicPartitions } from '../partitions.ts'

/** Targets in the making: partitions are added in any order and come out ascending. */
export class PartitionLists {
  readonly #byMember = new Map<string, Map<TopicId, number[]>>()

  constructor(memberIds: Iterable<string>) {
    for (const memberId of memberIds) this.#byMember.set(memberId, new Map())
  }

  add(memberId: string, topicId: TopicId, partition: number): void {
    const topics = this.#byMember.get(memberId)!
    const partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, [partition])
    else partitions.push(partition)
  }

  finish(): Map<string, TopicPartitions> {
    for (const topics of this.#byMember.values()) {
      for (const partitions of topics.values()) partitions.sort((a, b) => a - b)
    }
    return this.#byMember
  }
}
