import type { TopicPartition } from '../list-offsets.ts'

/** What a member of a group tells about itself when it joins. */
export interface MemberSubscription {
  readonly memberId: string
  /** Of a static member (KIP-345), else null. */
  readonly instanceId: string | null
  readonly topics: readonly string[]
  /** What it holds on to while the group rebalances; empty where it gave up everything. */
  readonly ownedPartitions: readonly TopicPartition[]
  /** The generation in which it got those, -1 where it does not tell. */
  readonly generation: number
  /** What it adds for the assignor, in a format of the assignor's own; null where nothing. */
  readonly userData: Uint8Array | null
}

/** What a member got in a rebalance. */
export interface PastAssignment {
  readonly partitions: readonly TopicPartition[]
  /** -1 where it has got nothing yet. */
  readonly generation: number
}

/** Partitions by member id; every member has an entry. */
export type GroupAssignment = ReadonlyMap<string, readonly TopicPartition[]>

/** The same for whoever takes time to think about it. */
export type MemberAssignor = Omit<Assignor, 'assign'> & {
  assign(
    partitionCounts: ReadonlyMap<string, number>,
    members: readonly MemberSubscription[],
  ): GroupAssignment | Promise<GroupAssignment>
}

/** How the leading member shares out partitions. All members must name it by the same name. */
export interface Assignor {
  readonly name: string
  /**
   * True where members keep their partitions while the group rebalances, and give up only those that others get
   * (KIP-429). A partition that moves is then left out of one assignment, and in the next.
   */
  readonly incremental: boolean
  /** What a member tells the leader, besides what every subscription holds; nothing where it is left out. */
  userData?(last: PastAssignment): Uint8Array
  /**
   * @param partitionCounts how many partitions each topic has; a topic that does not exist is left out
   */
  assign(
    partitionCounts: ReadonlyMap<string, number>,
    members: readonly MemberSubscription[],
  ): GroupAssignment
}

/**
 * Static members first, by their instance ids, which outlive restarts; then the others by member id. The order of
 * Java's MemberInfo.
 */
export function bySeniority(a: MemberSubscription, b: MemberSubscription): number {
  if ((a.instanceId === null) !== (b.instanceId === null)) return a.instanceId === null ? 1 : -1
  const one = a.instanceId ?? a.memberId
  const other = b.instanceId ?? b.memberId
  if (one === other) return 0
  return one < other ? -1 : 1
}
