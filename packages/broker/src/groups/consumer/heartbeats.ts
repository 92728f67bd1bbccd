import { ErrorCode } from '@streambus/protocol'
import type { TopicCatalog } from '@streambus/storage'
import type { GroupClient } from '../group-client.ts'
import { GroupRefusal } from '../group-refusal.ts'
import { regexBytes } from './consumer-group-state.ts'
import type { Draft } from './draft.ts'
import {
  type ConsumerGroupHeartbeatRequest,
  type HeartbeatAnswer,
  isFullRequest,
  isLeaving,
  refusedHeartbeat,
} from './heartbeat-request.ts'
import {
  haveSameSubscription,
  isReconciledTo,
  JOIN_EPOCH,
  type Member,
  type MemberMetadata,
  MemberState,
  STATIC_LEAVE_EPOCH,
} from './member.ts'
import {
  checkMemory,
  findMember,
  memberOfHeartbeat,
  replaceStaticMember,
  writeMetadata,
} from './membership.ts'
import { listPartitions, NO_PARTITIONS, sameAssignedPartitions } from './partitions.ts'
import { type ListedPartitions, reconcile } from './reconciliation.ts'
import { resolveNewRegex, updateRegexes } from './regex-subscriptions.ts'
import { Subscriptions, subscriptionTest } from './subscriptions.ts'
import { type AssignorName, updateTargetAssignment } from './target-assignment.ts'
import type { TopicRegexes } from './topic-regexes.ts'

/** One heartbeat, checked by `checkHeartbeatRequest`, with the id its member has from now on. */
export interface Heartbeat {
  readonly request: ConsumerGroupHeartbeatRequest
  readonly client: GroupClient
}

export interface HeartbeatContext {
  readonly topics: TopicCatalog
  readonly regexes: TopicRegexes
  readonly nowMs: number
  /** Whether topics may have changed since the last decision about this group. */
  readonly topicsChanged: boolean
  readonly maxMembers: number
  /** Whether the group may grow to so many bytes. */
  readonly hasMemoryFor: (byteLength: number) => boolean
  readonly assignors: readonly AssignorName[]
  readonly heartbeatIntervalMs: number
}

/**
 * Decides about all the heartbeats that wait for a group at once, so that many joins share one target
 * assignment: first who is a member and what each says about itself, then the group epoch and the target,
 * then one step of each member towards it. Returns the answers in the order of the heartbeats.
 */
export function decideHeartbeats(
  draft: Draft,
  heartbeats: readonly Heartbeat[],
  context: HeartbeatContext,
): HeartbeatAnswer[] {
  const outcomes = heartbeats.map((heartbeat): Admitted | Left | GroupRefusal => {
    try {
      return isLeaving(heartbeat.request) ? leave(draft, heartbeat.request) : admit(draft, heartbeat, context)
    } catch (error) {
      if (error instanceof GroupRefusal) return error
      throw error
    }
  })
  const admitted = outcomes.filter((outcome) => outcome instanceof Admitted)
  const bump =
    (draft.state.groupEpoch === 0 && admitted.length > 0) ||
    outcomes.some((outcome) => !(outcome instanceof GroupRefusal) && outcome.changesSubscriptions)
  refreshGroup(draft, context, bump)
  if (admitted.length > 0 && draft.state.groupEpoch > draft.state.assignmentEpoch) {
    updateTargetAssignment(draft, context.topics, context.assignors)
  }
  return outcomes.map((outcome, index) => {
    const { request } = heartbeats[index]!
    if (outcome instanceof GroupRefusal) return refusedHeartbeat(outcome.errorCode, outcome.message)
    if (outcome instanceof Admitted) return takeStep(draft, request, outcome, context)
    const { memberId, memberEpoch } = request
    return { ...refusedHeartbeat(ErrorCode.NONE, null), memberId, memberEpoch }
  })
}

/**
 * Raises the group epoch where that is asked for, or where the topics the group is subscribed to are no longer
 * what its target assignment was computed from.
 */
export function refreshGroup(
  draft: Draft,
  context: Pick<HeartbeatContext, 'topics' | 'regexes' | 'nowMs' | 'topicsChanged'>,
  bump: boolean,
): void {
  if (!bump && !context.topicsChanged) return
  const regexesChanged = updateRegexes(draft, context)
  const { members, regexes, groupEpoch } = draft.state
  const metadataHash = new Subscriptions(regexes, context.topics).hash(members.values())
  if (bump || regexesChanged || metadataHash !== draft.state.metadataHash) {
    draft.write({ kind: 'group', value: { epoch: groupEpoch + 1, metadataHash } })
  }
}

/** A heartbeat whose member takes a step towards its target. */
class Admitted {
  /** As the member was before the heartbeat. */
  readonly before: Member
  readonly changesSubscriptions: boolean

  constructor(before: Member, changesSubscriptions: boolean) {
    this.before = before
    this.changesSubscriptions = changesSubscriptions
  }
}

interface Left {
  readonly changesSubscriptions: boolean
}

function leave(draft: Draft, { memberId, memberEpoch, instanceId }: ConsumerGroupHeartbeatRequest): Left {
  const member = findMember(draft.state, memberId, instanceId)
  if (memberEpoch !== STATIC_LEAVE_EPOCH) {
    draft.removeMember(member.memberId)
    return { changesSubscriptions: true }
  }
  // It has stopped, so that it has given up what it was to give up; what it was assigned waits for it.
  const value = {
    ...member,
    memberEpoch: STATIC_LEAVE_EPOCH,
    state: MemberState.STABLE,
    pendingRevocation: NO_PARTITIONS,
  }
  draft.write({ kind: 'current', memberId: member.memberId, value })
  return { changesSubscriptions: false }
}

function admit(draft: Draft, { request, client }: Heartbeat, context: HeartbeatContext): Admitted {
  const regex = request.subscribedTopicRegex
  if (regex !== null && regex !== '') context.regexes.check(regex)
  const { state } = draft
  const { memberId } = request
  const { member: before, holder } = memberOfHeartbeat(state, request, context.maxMembers)
  const metadata = heartbeatMetadata(before, request, client)
  // Nothing is written before it is sure that nothing is refused.
  const newRegex = resolveNewRegex(state, metadata.subscribedTopicRegex, context)
  const known = holder ?? state.members.get(memberId)
  checkMemory(state, memberId, metadata, known, regexBytes(newRegex), context.hasMemoryFor)
  if (holder !== undefined) replaceStaticMember(draft, holder, memberId)
  writeMetadata(draft, before, metadata)
  if (newRegex !== null) draft.write({ kind: 'regex', regex: metadata.subscribedTopicRegex, value: newRegex })
  return new Admitted(before, !haveSameSubscription(before, metadata))
}

/** What is known of a member when the fields of a heartbeat that say something are taken over. */
function heartbeatMetadata(
  before: MemberMetadata,
  request: ConsumerGroupHeartbeatRequest,
  { clientId, clientHost }: GroupClient,
): MemberMetadata {
  const names = request.subscribedTopicNames
  return {
    instanceId: request.instanceId ?? before.instanceId,
    rackId: request.rackId ?? before.rackId,
    clientId,
    clientHost,
    subscribedTopicNames: names === null ? before.subscribedTopicNames : [...new Set(names)].sort(),
    subscribedTopicRegex: request.subscribedTopicRegex ?? before.subscribedTopicRegex,
    rebalanceTimeoutMs:
      request.rebalanceTimeoutMs === -1 ? before.rebalanceTimeoutMs : request.rebalanceTimeoutMs,
    serverAssignor: request.serverAssignor ?? before.serverAssignor,
    classic: null,
  }
}

function takeStep(
  draft: Draft,
  request: ConsumerGroupHeartbeatRequest,
  { before }: Admitted,
  context: HeartbeatContext,
): HeartbeatAnswer {
  const { memberId } = before
  // A later heartbeat may have taken it out of the group again, for good or for a while.
  const epochNow = draft.state.members.get(memberId)?.memberEpoch
  if (epochNow === undefined || epochNow === STATIC_LEAVE_EPOCH) {
    return refusedHeartbeat(ErrorCode.UNKNOWN_MEMBER_ID, `Member ${memberId} has left the group.`)
  }
  const member = reconcileMember(draft, memberId, request.topicPartitions, context.topics)
  // The member may not know what it is assigned: it joins, asks, missed a response, or has just got something.
  const tellsAssignment =
    request.memberEpoch !== before.memberEpoch ||
    request.memberEpoch === JOIN_EPOCH ||
    isFullRequest(request) ||
    !sameAssignedPartitions(before.assigned, member.assigned)
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    memberId,
    memberEpoch: member.memberEpoch,
    heartbeatIntervalMs: context.heartbeatIntervalMs,
    assignment: tellsAssignment ? { topicPartitions: listPartitions(member.assigned) } : null,
  }
}

/** One step of a member towards its target, written where it changes something. */
export function reconcileMember(
  draft: Draft,
  memberId: string,
  owned: ListedPartitions | null,
  topics: TopicCatalog,
): Member {
  const { state } = draft
  const member = state.members.get(memberId)!
  if (isReconciledTo(member, state.assignmentEpoch)) return member
  const next = reconcile(member, {
    targetEpoch: state.assignmentEpoch,
    target: state.target(memberId),
    isSubscribed: subscriptionTest(member, state.regexes, topics),
    ownerOf: (topicId, partition) => state.owner(topicId, partition),
    owned,
  })
  if (next !== member) draft.write({ kind: 'current', memberId, value: next })
  return next
}
