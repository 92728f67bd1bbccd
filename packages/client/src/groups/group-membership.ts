import type { Cluster } from '../cluster.ts'
import type { StreamBusError } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { ConsumerMembership } from './consumer-membership.ts'
import type { Coordinators } from './coordinators.ts'
import { type GroupConsumerOptions, membershipSettings } from './group-consumer-options.ts'
import type { CommittingMember } from './group-offsets.ts'
import { Membership } from './membership.ts'

/** Whoever reads the partitions. */
export interface MembershipListener {
  /** Resolves when reading them has begun. */
  assign(partitions: readonly TopicPartition[]): Promise<void>
  /** Resolves when nothing more happens to them: the last message is processed, its offset committed. */
  revoke(partitions: readonly TopicPartition[]): Promise<void>
  /** They belong to others already. */
  lose(partitions: readonly TopicPartition[]): void
  /** The rebalance is over. */
  settle(): void
  /** The coordinator cannot be asked for now; it is asked again. Told with each attempt. */
  stalled(error: StreamBusError): void
  /** It answers, whether it stalled before or not. */
  recovered(): void
  /** The membership is over, for good. */
  fail(error: StreamBusError): void
}

/** What the coordinator says of a request that came from a member it does not know so. */
export type LossCause = 'UNKNOWN_MEMBER_ID' | 'ILLEGAL_GENERATION'

/** One member of a group, whichever protocol it follows: it runs by itself, and tells its listener. */
export interface GroupMembership {
  /** As whom to commit; the generation is -1 while this is no member. */
  readonly member: CommittingMember
  start(): void
  /** A request of a generation was answered that it or the member is unknown. */
  lost(generation: number, cause: LossCause): void
  /** Leaves the group, so that others get the partitions at once. Static members are expected back. */
  leave(): Promise<void>
}

/** A membership that has not begun. Throws INVALID_ARGUMENT where the options are wrong. */
export function groupMembership(
  cluster: Cluster,
  coordinators: Coordinators,
  lane: string,
  options: GroupConsumerOptions,
  topics: readonly string[],
  listener: MembershipListener,
): GroupMembership {
  const settings = membershipSettings(options)
  return settings.protocol === 'consumer'
    ? new ConsumerMembership(cluster, coordinators, lane, settings, topics, listener)
    : new Membership(cluster, coordinators, lane, settings, topics, listener)
}
