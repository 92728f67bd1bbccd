import { type AssignedPartitions, NO_PARTITIONS } from './partitions.ts'

/** How far a member has come on its way to its target assignment. The numbers are those of Kafka's records. */
export const MemberState = {
  /** It has what it was told to have, at its epoch. */
  STABLE: 0,
  /** It was told to give partitions up and has not confirmed it. */
  UNREVOKED_PARTITIONS: 1,
  /** It reached the target epoch, but other members still have some of its partitions. */
  UNRELEASED_PARTITIONS: 2,
  /** Written by a later version. */
  UNKNOWN: 127,
} as const
export type MemberState = (typeof MemberState)[keyof typeof MemberState]

/** The epochs that a heartbeat may carry beside a member's own. */
export const JOIN_EPOCH = 0
export const LEAVE_EPOCH = -1
/** A static member leaves for a while: its partitions wait for it until its session times out. */
export const STATIC_LEAVE_EPOCH = -2

/** A protocol that a member of the classic kind offered when it joined. */
export interface ClassicProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

/** What is known only of members that use the classic protocol in a consumer group. */
export interface ClassicMembership {
  readonly sessionTimeoutMs: number
  readonly supportedProtocols: readonly ClassicProtocol[]
}

/** What a member said about itself: the record MemberMetadata. */
export interface MemberMetadata {
  readonly instanceId: string | null
  readonly rackId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Ascending, without repeats. */
  readonly subscribedTopicNames: readonly string[]
  /** Empty: none. */
  readonly subscribedTopicRegex: string
  readonly rebalanceTimeoutMs: number
  readonly serverAssignor: string | null
  /** Null for members of the consumer protocol. */
  readonly classic: ClassicMembership | null
}

/** Where a member stands: the record CurrentMemberAssignment. */
export interface CurrentAssignment {
  readonly memberEpoch: number
  readonly previousMemberEpoch: number
  readonly state: MemberState
  /** What it was told to have. */
  readonly assigned: AssignedPartitions
  /** What it was told to give up and may still have. */
  readonly pendingRevocation: AssignedPartitions
}

/** Immutable: a change makes a new object. */
export interface Member extends MemberMetadata, CurrentAssignment {
  readonly memberId: string
}

/** A member as it is before any record told of it. */
export function newMember(memberId: string): Member {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: '',
    clientHost: '',
    subscribedTopicNames: [],
    subscribedTopicRegex: '',
    rebalanceTimeoutMs: -1,
    serverAssignor: null,
    classic: null,
    memberEpoch: 0,
    previousMemberEpoch: 0,
    state: MemberState.STABLE,
    assigned: NO_PARTITIONS,
    pendingRevocation: NO_PARTITIONS,
  }
}

/** A member's metadata alone: what its record holds. */
export function metadataOf(member: MemberMetadata): MemberMetadata {
  const { instanceId, rackId, clientId, clientHost, subscribedTopicNames, subscribedTopicRegex } = member
  const { rebalanceTimeoutMs, serverAssignor, classic } = member
  return {
    instanceId,
    rackId,
    clientId,
    clientHost,
    subscribedTopicNames,
    subscribedTopicRegex,
    rebalanceTimeoutMs,
    serverAssignor,
    classic,
  }
}

/** A member's assignment alone: what its record holds. */
export function currentOf(member: CurrentAssignment): CurrentAssignment {
  const { memberEpoch, previousMemberEpoch, state, assigned, pendingRevocation } = member
  return { memberEpoch, previousMemberEpoch, state, assigned, pendingRevocation }
}

/** Whether a member has reached a target assignment, so that nothing is left to do for it. */
export function isReconciledTo(member: CurrentAssignment, targetEpoch: number): boolean {
  return member.state === MemberState.STABLE && member.memberEpoch === targetEpoch
}

export function sameMetadata(a: MemberMetadata, b: MemberMetadata): boolean {
  return (
    a.instanceId === b.instanceId &&
    a.rackId === b.rackId &&
    a.clientId === b.clientId &&
    a.clientHost === b.clientHost &&
    haveSameSubscription(a, b) &&
    a.rebalanceTimeoutMs === b.rebalanceTimeoutMs &&
    a.serverAssignor === b.serverAssignor &&
    sameClassicMembership(a.classic, b.classic)
  )
}

export function haveSameSubscription(a: MemberMetadata, b: MemberMetadata): boolean {
  return (
    a.subscribedTopicRegex === b.subscribedTopicRegex &&
    sameNames(a.subscribedTopicNames, b.subscribedTopicNames)
  )
}

export function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((name, index) => name === b[index]))
}

function sameClassicMembership(a: ClassicMembership | null, b: ClassicMembership | null): boolean {
  if (a === null || b === null) return a === b
  return (
    a.sessionTimeoutMs === b.sessionTimeoutMs &&
    a.supportedProtocols.length === b.supportedProtocols.length &&
    a.supportedProtocols.every(({ name, metadata }, index) => {
      const other = b.supportedProtocols[index]!
      return name === other.name && Buffer.compare(metadata, other.metadata) === 0
    })
  )
}
