import type { CurrentAssignment, MemberMetadata } from './member.ts'
import type { TopicPartitions } from './partitions.ts'

/** What a regular expression stood for when it was last resolved: the record RegularExpression. */
export interface ResolvedRegex {
  /** Ascending. */
  readonly topics: readonly string[]
  /** The version of the topic catalog it was resolved with. */
  readonly version: number
  readonly resolvedAtMs: number
}

/**
 * The durable state of a consumer group as a list of changes, one per record of `__consumer_offsets` and in
 * the order in which Kafka writes them. A value of null takes the thing away (a tombstone).
 */
export type ConsumerGroupRecord =
  /** The group itself: its epoch grows whenever the target assignment must be computed anew. */
  | { readonly kind: 'group'; readonly value: GroupMetadata | null }
  | { readonly kind: 'member'; readonly memberId: string; readonly value: MemberMetadata | null }
  /** The group epoch that the target assignment was computed for. */
  | { readonly kind: 'targetEpoch'; readonly value: { readonly assignmentEpoch: number } | null }
  /** What a member is to have in the end. */
  | { readonly kind: 'target'; readonly memberId: string; readonly value: TopicPartitions | null }
  | { readonly kind: 'current'; readonly memberId: string; readonly value: CurrentAssignment | null }
  | { readonly kind: 'regex'; readonly regex: string; readonly value: ResolvedRegex | null }

export interface GroupMetadata {
  readonly epoch: number
  /** Of the subscribed topics and their partition counts: differs when the assignment must change. */
  readonly metadataHash: bigint
}
