import { BrokerError } from '../broker-error.ts'
import { ASSIGNOR_NAMES, type AssignorName } from './consumer/target-assignment.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const MEBIBYTE = 1024 * 1024
/** The longest time the protocol can say, and a timer can wait. */
const MAX_INT32 = 2 ** 31 - 1

/** How groups and their offsets are kept: `BrokerOptions.groups`. In parentheses the name Kafka has for it. */
export interface GroupOptions {
  /**
   * How long the first members of an empty group wait for others, so that they share one rebalance
   * (group.initial.rebalance.delay.ms). Default 3 seconds with a `dataDir`, 0 in memory.
   */
  initialRebalanceDelayMs?: number
  /** Shortest session timeout a member may have (group.min.session.timeout.ms). Default 6 seconds. */
  minSessionTimeoutMs?: number
  /** Longest session timeout a member may have (group.max.session.timeout.ms). Default 30 minutes. */
  maxSessionTimeoutMs?: number
  /** Members of one group, with those that were given an id and have not come back (group.max.size). Default 10,000. */
  maxMembers?: number
  /** Bytes of what the members of one group say of themselves and are assigned. Default 16 MiB. */
  maxGroupBytes?: number
  /** The same over all groups. Default 256 MiB. */
  maxMembershipBytes?: number
  /** Groups, also those that are nothing but committed offsets. Default 1,000,000. */
  maxGroups?: number
  /** Bytes that groups as such and their committed offsets take in memory. Default 1 GiB. */
  maxOffsetBytes?: number
  /** Longest metadata of a committed offset (offset.metadata.max.bytes). Default 4,096. */
  maxOffsetMetadataBytes?: number
  /** How long offsets are kept after their group was left, or after the commit (offsets.retention.minutes). Default 7 days. */
  offsetsRetentionMs?: number
  /** How often expired offsets are looked for (offsets.retention.check.interval.ms). Default 10 minutes. */
  offsetsRetentionCheckIntervalMs?: number
  /**
   * How long a member of a consumer group (KIP-848) may be silent (group.consumer.session.timeout.ms). Default
   * 45 seconds.
   */
  consumerSessionTimeoutMs?: number
  /** How often members of consumer groups are told to send a heartbeat (group.consumer.heartbeat.interval.ms). Default 5 seconds. */
  consumerHeartbeatIntervalMs?: number
  /** Members of one consumer group (group.consumer.max.size). Default 10,000. */
  consumerMaxMembers?: number
  /** Assignors that consumer groups may ask for; the first is the default (group.consumer.assignors). Default uniform, range. */
  consumerAssignors?: readonly AssignorName[]
  /**
   * Whether groups with members of the classic and the consumer protocol may change from one to the other
   * while in use (group.consumer.migration.policy). Default bidirectional.
   */
  consumerMigrationPolicy?: MigrationPolicy
}

/** Upgrade: from classic to consumer groups. */
export const MIGRATION_POLICIES = ['disabled', 'upgrade', 'downgrade', 'bidirectional'] as const
export type MigrationPolicy = (typeof MIGRATION_POLICIES)[number]

export type ResolvedGroupOptions = Readonly<Required<GroupOptions>>

/**
 * Fills in the defaults. Throws BrokerError INVALID_OPTION naming the option and what it may be.
 *
 * @param inMemory a broker in memory is one of a test, which waits for every rebalance.
 */
export function resolveGroupOptions(options: GroupOptions, inMemory: boolean): ResolvedGroupOptions {
  const integer = (name: keyof GroupOptions, fallback: number, least: number, most: number): number => {
    const value = options[name] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      throw new BrokerError(
        'INVALID_OPTION',
        `Option groups.${name} must be an integer from ${least} to ${most}, not ${String(value)}.`,
      )
    }
    return value
  }
  const minSessionTimeoutMs = integer('minSessionTimeoutMs', 6000, 1, MAX_INT32)
  return {
    initialRebalanceDelayMs: integer('initialRebalanceDelayMs', inMemory ? 0 : 3000, 0, MAX_INT32),
    minSessionTimeoutMs,
    maxSessionTimeoutMs: integer(
      'maxSessionTimeoutMs',
      Math.max(minSessionTimeoutMs, 30 * 60 * 1000),
      minSessionTimeoutMs,
      MAX_INT32,
    ),
    maxMembers: integer('maxMembers', 10_000, 1, 1_000_000),
    maxGroupBytes: integer('maxGroupBytes', 16 * MEBIBYTE, 1024, 1024 * MEBIBYTE),
    maxMembershipBytes: integer('maxMembershipBytes', 256 * MEBIBYTE, 1024, Number.MAX_SAFE_INTEGER),
    maxGroups: integer('maxGroups', 1_000_000, 1, MAX_INT32),
    maxOffsetBytes: integer('maxOffsetBytes', 1024 * MEBIBYTE, 1024, Number.MAX_SAFE_INTEGER),
    maxOffsetMetadataBytes: integer('maxOffsetMetadataBytes', 4096, 0, 32_767),
    offsetsRetentionMs: integer('offsetsRetentionMs', 7 * DAY_MS, 1, Number.MAX_SAFE_INTEGER),
    offsetsRetentionCheckIntervalMs: integer('offsetsRetentionCheckIntervalMs', 600_000, 1, MAX_INT32),
    consumerSessionTimeoutMs: integer('consumerSessionTimeoutMs', 45_000, 1, MAX_INT32),
    consumerHeartbeatIntervalMs: integer('consumerHeartbeatIntervalMs', 5000, 1, MAX_INT32),
    consumerMaxMembers: integer('consumerMaxMembers', 10_000, 1, 1_000_000),
    consumerAssignors: resolveAssignors(options.consumerAssignors),
    consumerMigrationPolicy: resolveMigrationPolicy(options.consumerMigrationPolicy),
  }
}

function resolveAssignors(names: readonly AssignorName[] = ASSIGNOR_NAMES): readonly AssignorName[] {
  const isListOfNames = Array.isArray(names) && names.every((name) => ASSIGNOR_NAMES.includes(name))
  if (isListOfNames && names.length > 0) return [...new Set(names)]
  throw new BrokerError(
    'INVALID_OPTION',
    `Option groups.consumerAssignors must list one or more of ${ASSIGNOR_NAMES.join(', ')}, not ${String(names)}.`,
  )
}

function resolveMigrationPolicy(policy: MigrationPolicy = 'bidirectional'): MigrationPolicy {
  if (MIGRATION_POLICIES.includes(policy)) return policy
  throw new BrokerError(
    'INVALID_OPTION',
    `Option groups.consumerMigrationPolicy must be one of ${MIGRATION_POLICIES.join(', ')}, not ${String(policy)}.`,
  )
}
