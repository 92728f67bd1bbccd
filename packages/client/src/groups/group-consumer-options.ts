import type { ConsumerOptions } from '../consumer/consumer.ts'
import type { FetchOptions } from '../consumer/fetch-settings.ts'
import type { StartPosition } from '../consumer/start-position.ts'
import { StreamBusError } from '../errors.ts'
import { checkList } from '../known-options.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { positive } from '../options.ts'
import type { Assignor, MemberAssignor } from './assignor.ts'
import type { ConsumerMembershipSettings } from './consumer-membership.ts'
import { cooperativeStickyAssignor } from './cooperative-sticky-assignor.ts'
import type { GroupObserver } from './group-observer.ts'
import type { MembershipSettings } from './membership.ts'
import { rangeAssignor } from './range-assignor.ts'
import { roundRobinAssignor } from './round-robin-assignor.ts'
import { stickyAssignor } from './sticky-assignor.ts'

const assignors = {
  range: rangeAssignor,
  roundrobin: roundRobinAssignor,
  sticky: stickyAssignor,
  'cooperative-sticky': cooperativeStickyAssignor,
} as const

export type AssignorName = keyof typeof assignors

/** Those that brokers come with; theirs may have others. */
export type RemoteAssignorName = 'uniform' | 'range' | (string & {})

/** What members have in common, whichever protocol their group follows. */
interface MemberOptions extends FetchOptions {
  /** Consumers that name the same group share the partitions, and go on where the group has come to. */
  group: string
  /**
   * Where to begin in partitions the group has not committed an offset of, or whose committed offset the log does
   * not hold any more. Default `earliest`.
   */
  from?: StartPosition
  /**
   * The same, for each topic.
   *
   * @internal
   */
  fromOfTopic?: (topic: string) => StartPosition
  /** `end`: stop at what was the end of each partition when this consumer got it. Default: go on for ever. */
  until?: 'end'
  /** Stop after this many messages. */
  limit?: number
  /**
   * Whether offsets of processed messages are committed by themselves: every `autoCommitIntervalMs`, before
   * partitions are given up, and at the end. Default true.
   */
  autoCommit?: boolean
  /** How often, with `autoCommit`. Default 5,000. */
  autoCommitIntervalMs?: number
  /** Makes this a static member (KIP-345): its partitions wait for it until its session is over. */
  instanceId?: string
  /** How long processing a message may hold up a rebalance that takes its partition away. Default 300,000. */
  rebalanceTimeoutMs?: number
  /** Called after each rebalance with the partitions that are new to this consumer, also where there are none. */
  onAssigned?: (partitions: readonly TopicPartition[]) => void
  /**
   * Called when it takes them away: after their messages are processed and before others get them, or, with
   * `lost`, when others may have them already.
   */
  onRevoked?: (partitions: readonly TopicPartition[], lost: boolean) => void
  /** @internal */
  observer?: GroupObserver
  /** Whether checksums of batches are verified. Default true. */
  verifyChecksums?: boolean
  /** Ends the reading, which then throws ABORTED, and leaves the group. */
  signal?: AbortSignal
}

/** The members share out the partitions among themselves. */
export interface ClassicProtocolOptions {
  /** `classic`: every Kafka has it, and clients of all ages. This is the default. */
  groupProtocol?: 'classic'
  /**
   * How partitions are shared out; every member of the group has to offer the one that is used. `range`: runs of
   * each topic's partitions, the same numbers of several topics to the same member. `roundrobin`: one by one over
   * all topics. `sticky`: even shares that move as little as possible. `cooperative-sticky`: the same, and with it
   * alone a rebalance leaves partitions that stay where they are alone, where with the others members give
   * everything up. Default `range` and `cooperative-sticky`, as Java clients do.
   */
  assignors?: readonly AssignorName[]
  /**
   * Others than those that have a name here, in their place.
   *
   * @internal
   */
  ownAssignors?: readonly MemberAssignor[]
  /** After so long without a sign of life others get the partitions. Default 45,000. */
  sessionTimeoutMs?: number
  /** How often the member says that it is alive. Default 3,000. */
  heartbeatIntervalMs?: number
  remoteAssignor?: never
}

/** The broker shares out the partitions (KIP-848), and says how often to send heartbeats. */
export interface ConsumerProtocolOptions {
  /**
   * `consumer`: members take partitions and give them up one by one, while the others go on. Offered by StreamBus
   * and by Apache Kafka from 4.0 on. A group can change from one protocol to the other while it is in use, member by
   * member. Default `classic`.
   */
  groupProtocol: 'consumer'
  /** How the broker shares out partitions. Default: its own choice, which is `uniform` unless it is set up otherwise. */
  remoteAssignor?: RemoteAssignorName
  assignors?: never
  sessionTimeoutMs?: never
  heartbeatIntervalMs?: never
}

export type GroupConsumerOptions = MemberOptions & (ClassicProtocolOptions | ConsumerProtocolOptions)

/** With a `group` or without; whether there is one tells the compiler which other options there may be. */
export type AnyConsumerOptions = GroupConsumerOptions | (ConsumerOptions & { group?: never })

const classicOnly = ['assignors', 'sessionTimeoutMs', 'heartbeatIntervalMs'] as const

/** Checks the options that concern the group and fills in what was left out. */
export function membershipSettings(
  options: GroupConsumerOptions,
): MembershipSettings | ConsumerMembershipSettings {
  if (typeof options.group !== 'string' || options.group === '') {
    throw new StreamBusError('INVALID_ARGUMENT', 'group must be the name of a consumer group.')
  }
  const common = {
    groupId: options.group,
    instanceId: options.instanceId ?? null,
    rebalanceTimeoutMs: positive('rebalanceTimeoutMs', options.rebalanceTimeoutMs ?? 300_000),
  }
  const { groupProtocol = 'classic' } = options
  if (groupProtocol !== 'classic' && groupProtocol !== 'consumer') {
    const sentence = `groupProtocol can be 'classic' or 'consumer', and is '${String(groupProtocol)}'.`
    throw new StreamBusError('INVALID_ARGUMENT', sentence)
  }
  if (options.groupProtocol === 'consumer') return { ...common, ...consumerProtocolSettings(options) }
  if (options.remoteAssignor !== undefined) {
    const sentence = "remoteAssignor has no meaning without groupProtocol: 'consumer'; see assignors."
    throw new StreamBusError('INVALID_ARGUMENT', sentence)
  }
  return { ...common, ...classicProtocolSettings(options) }
}

function classicProtocolSettings(options: MemberOptions & ClassicProtocolOptions) {
  const names = options.assignors ?? ['range', 'cooperative-sticky']
  checkList('assignors', names)
  const unknown = names.find((name) => !Object.hasOwn(assignors, name))
  if (names.length === 0 || unknown !== undefined) {
    const known = Object.keys(assignors).join(', ')
    const given = unknown === undefined ? 'none' : `'${unknown}'`
    throw new StreamBusError('INVALID_ARGUMENT', `assignors can be ${known}, and are ${given}.`)
  }
  return {
    protocol: 'classic' as const,
    sessionTimeoutMs: positive('sessionTimeoutMs', options.sessionTimeoutMs ?? 45_000),
    heartbeatIntervalMs: positive('heartbeatIntervalMs', options.heartbeatIntervalMs ?? 3_000),
    assignors: options.ownAssignors ?? names.map((name): Assignor => assignors[name]),
    observer: options.observer,
  }
}

function consumerProtocolSettings(options: ConsumerProtocolOptions) {
  const meaningless = classicOnly.find((name) => options[name] !== undefined)
  if (meaningless !== undefined) {
    const sentence = `${meaningless} has no meaning with groupProtocol: 'consumer': the broker shares out partitions (see remoteAssignor), and says how often to send heartbeats and how long sessions last.`
    throw new StreamBusError('INVALID_ARGUMENT', sentence)
  }
  const { remoteAssignor } = options
  if (remoteAssignor !== undefined && (typeof remoteAssignor !== 'string' || remoteAssignor === '')) {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      'remoteAssignor must be the name of an assignor of the broker.',
    )
  }
  return { protocol: 'consumer' as const, remoteAssignor: remoteAssignor ?? null }
}
