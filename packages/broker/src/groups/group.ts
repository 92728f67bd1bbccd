import type { CoordinatorRecord } from '../coordinator/coordinator-log.ts'
import type { CommittedOffset } from './offsets/committed-offset.ts'
import type { GroupOffsets } from './offsets/group-offsets.ts'

export type GroupKind = 'classic' | 'consumer'

/** Who commits offsets, as the request says. */
export interface Committer {
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** The generation of a classic group, the member's epoch of a consumer group; -1 for no member. */
  readonly generationIdOrMemberEpoch: number
  /** Part of a transaction: the state of the group does not matter then. */
  readonly transactional: boolean
  /** Of OffsetCommit or TxnOffsetCommit. */
  readonly apiVersion: number
}

/** What a commit is about. */
export interface CommittedPartitions {
  /** Of a topic that exists. */
  readonly name: string
  readonly partitions: readonly { readonly partitionIndex: number }[]
}

/**
 * What the coordinator needs of a group, whichever protocol its members speak. Everything here is called in the
 * group's turn, except for what only reads.
 */
export interface Group {
  readonly id: string
  readonly kind: GroupKind
  readonly offsets: GroupOffsets
  /** Kafka's name of the state: 'Stable'. */
  readonly state: string
  /** '' where no member ever said. */
  readonly protocolType: string
  /** True without members. */
  readonly isEmpty: boolean
  /**
   * True when the log says nothing of the group itself and memory nothing that matters: it may be forgotten
   * without a record as soon as it has no offsets.
   */
  readonly isDisposable: boolean

  isSubscribedTo(topic: string): boolean
  /** An error code for the whole commit, or NONE when it is in order. */
  refuseCommit(committer: Committer, topics: readonly CommittedPartitions[]): number
  /** An error code, or NONE when this member may read offsets. Members are named from OffsetFetch v9 on. */
  refuseFetch(memberId: string | null, memberEpoch: number): number
  /** An error code for the whole request, or NONE. */
  refuseOffsetDelete(): number
  /** An error code, or NONE when the group may be deleted. */
  refuseDelete(): number
  /** A member has committed, so it is alive. */
  committed(memberId: string): void
  /** Since when an offset counts as unused, as milliseconds since the epoch; null when none of them expires. */
  unusedSince(): ((offset: CommittedOffset) => number) | null
  /** Records that delete the group, without its offsets. */
  tombstones(): CoordinatorRecord[]
  /** Records that make the group as it is, without its offsets: what a rewritten log has of it. */
  snapshot(): CoordinatorRecord[]
  /** The log was read to its end: sessions of the members it names begin now. */
  start(): void
  /** Ends timers and answers everyone who waits with the error code. */
  stop(errorCode: number): void
}
