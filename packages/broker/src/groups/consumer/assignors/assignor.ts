import type { TopicId } from '@streambus/storage'
import type { TopicPartitions } from '../partitions.ts'

/** What an assignor decides from. */
export interface AssignmentTask {
  /** In the order in which members are served where nothing else decides. */
  readonly members: readonly AssignableMember[]
  /** Partitions of a topic that some member is subscribed to. */
  partitionCount(topicId: TopicId): number
}

export interface AssignableMember {
  readonly memberId: string
  /** Existing topics, without repeats. Members with equal subscriptions share one array. */
  readonly topicIds: readonly TopicId[]
  /** Its target so far. May name topics it is not subscribed to and partitions that are gone. */
  readonly previous: TopicPartitions
}

/**
 * Gives every partition of the subscribed topics to exactly one subscribed member, and leaves as many as
 * possible where they are. Returns the target of each member.
 */
export type Assignor = (task: AssignmentTask) => Map<string, TopicPartitions>

export function haveEqualSubscriptions(members: readonly AssignableMember[]): boolean {
  return members.every(({ topicIds }) => topicIds === members[0]!.topicIds)
}
