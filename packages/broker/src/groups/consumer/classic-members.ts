import {
  CONSUMER_PROTOCOL_TYPE,
  ErrorCode,
  type HeartbeatRequest,
  type JoinGroupRequest,
  type JoinGroupResponseInput,
  type LeaveGroupRequest,
  type SyncGroupRequest,
  type SyncGroupResponseInput,
} from '@streambus/protocol'
import { joinFailure } from '../classic/answers.ts'
import type { GroupClient } from '../group-client.ts'
import { GroupRefusal } from '../group-refusal.ts'
import { newMemberId } from '../member-id.ts'
import { byTopicId, readSubscription, writeAssignment } from './classic-protocol.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import type { ConsumerGroupState } from './consumer-group-state.ts'
import { Draft } from './draft.ts'
import { reconcileMember, refreshGroup } from './heartbeats.ts'
import { type ClassicProtocol, haveSameSubscription, type Member, MemberState } from './member.ts'
import {
  checkMemory,
  findMember,
  joiningMember,
  knownStaticMember,
  replaceStaticMember,
  writeMetadata,
} from './membership.ts'
import { becomeClassic, mustBecomeClassic } from './migration.ts'
import { updateTargetAssignment } from './target-assignment.ts'

/**
 * Members of a consumer group that use the classic protocol still. Each JoinGroup takes them one step towards
 * their target, as a heartbeat does for the others, and is answered at once; SyncGroup tells the assignment;
 * Heartbeat says when to join again. Everything here is called in the group's turn and throws GroupRefusal and
 * StorageError.
 */

/** From this version on new members join a second time with the id they are given (KIP-394). */
const MEMBER_ID_REQUIRED_SINCE = 4

export async function joinConsumerGroup(
  group: ConsumerGroup,
  request: JoinGroupRequest,
  client: GroupClient,
): Promise<JoinGroupResponseInput> {
  const { context } = group
  const { groupInstanceId: instanceId } = request
  const isNew = request.memberId === ''
  const memberId = isNew ? newMemberId(instanceId ?? client.clientId, context.newId()) : request.memberId
  const supportedProtocols = copiesOf(request.protocols)
  const subscription = readSubscription(supportedProtocols[0]?.metadata ?? new Uint8Array(0))
  if (subscription === null || !supports(group.durable, request.protocolType, supportedProtocols)) {
    return joinFailure(request.memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  }
  if (isNew && instanceId === null && client.apiVersion >= MEMBER_ID_REQUIRED_SINCE) {
    return joinFailure(memberId, ErrorCode.MEMBER_ID_REQUIRED)
  }
  await group.loadRegexes()
  const draft = new Draft(group.durable)
  const before = memberThatJoins(draft, memberId, instanceId, isNew, context.options.consumerMaxMembers)
  const after: Member = {
    ...before,
    instanceId: instanceId ?? before.instanceId,
    rackId: subscription.rackId === '' ? null : subscription.rackId,
    clientId: client.clientId,
    clientHost: client.clientHost,
    subscribedTopicNames: [...new Set(subscription.topics)].sort(),
    subscribedTopicRegex: '',
    rebalanceTimeoutMs:
      request.rebalanceTimeoutMs === -1 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs,
    serverAssignor: null,
    classic: { sessionTimeoutMs: request.sessionTimeoutMs, supportedProtocols },
  }
  const known = draft.state.members.get(memberId)
  checkMemory(draft.state, memberId, after, known, 0, (byteLength) => group.hasMemoryFor(byteLength))
  writeMetadata(draft, before, after)
  refreshGroup(draft, group.decisionContext(), !haveSameSubscription(before, after))
  const protocolName = supportedProtocols[0]!.name
  const joined = {
    ...joinFailure(memberId, ErrorCode.NONE),
    protocolType: CONSUMER_PROTOCOL_TYPE,
    protocolName,
  }
  if (mustBecomeClassic(draft, context)) {
    const { generation } = await becomeClassic(group, draft)
    return { ...joined, generationId: generation }
  }
  if (draft.state.groupEpoch > draft.state.assignmentEpoch) {
    updateTargetAssignment(draft, context.topics, context.options.consumerAssignors)
  }
  const owned = byTopicId(subscription.ownedPartitions, context.topics)
  const { memberEpoch } = reconcileMember(draft, memberId, owned, context.topics)
  await group.commit(draft)
  group.timers.end(memberId, 'join')
  group.renewSession(memberId)
  group.timers.start(memberId, 'sync', after.rebalanceTimeoutMs)
  return { ...joined, generationId: memberEpoch }
}

export function syncConsumerGroup(group: ConsumerGroup, request: SyncGroupRequest): SyncGroupResponseInput {
  const member = classicMember(group, request)
  const { memberId, memberEpoch } = member
  const { supportedProtocols } = member.classic!
  const { protocolType, protocolName } = request
  if (
    (protocolType !== null && protocolType !== CONSUMER_PROTOCOL_TYPE) ||
    (protocolName !== null && protocolName !== supportedProtocols[0]!.name)
  ) {
    throw new GroupRefusal(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, 'That is not the protocol it joined with.')
  }
  // A member that is to give partitions up hears what it keeps; it joins again when it has given them up.
  if (group.durable.groupEpoch > memberEpoch && member.state !== MemberState.UNREVOKED_PARTITIONS) {
    askToJoin(group, member)
    throw new GroupRefusal(ErrorCode.REBALANCE_IN_PROGRESS, 'It must join again.')
  }
  group.timers.end(memberId, 'sync')
  group.renewSession(memberId)
  return {
    errorCode: ErrorCode.NONE,
    protocolType,
    protocolName,
    assignment: writeAssignment(member.assigned, supportedProtocols, group.context.topics),
  }
}

/** Returns the error code: REBALANCE_IN_PROGRESS when the member can take a step. */
export function heartbeatConsumerGroup(group: ConsumerGroup, request: HeartbeatRequest): number {
  const member = classicMember(group, request)
  group.renewSession(member.memberId)
  const canTakeStep =
    member.memberEpoch < group.durable.groupEpoch ||
    member.state === MemberState.UNREVOKED_PARTITIONS ||
    (member.state === MemberState.UNRELEASED_PARTITIONS && !isWaiting(group.durable, member))
  if (!canTakeStep) return ErrorCode.NONE
  askToJoin(group, member)
  return ErrorCode.REBALANCE_IN_PROGRESS
}

/** Members of either protocol leave, or are removed by an administrator. Returns an error code for each. */
export async function leaveConsumerGroup(
  group: ConsumerGroup,
  leavers: LeaveGroupRequest['members'],
): Promise<number[]> {
  await group.loadRegexes()
  const draft = new Draft(group.durable)
  const errorCodes = leavers.map(({ memberId, groupInstanceId }) => {
    try {
      const member =
        groupInstanceId === null
          ? findMember(draft.state, memberId, null)
          : knownStaticMember(draft.state, groupInstanceId, memberId === '' ? null : memberId)
      draft.removeMember(member.memberId)
      return ErrorCode.NONE
    } catch (error) {
      if (error instanceof GroupRefusal) return error.errorCode
      throw error
    }
  })
  await group.finishRemovals(draft)
  return errorCodes
}

function memberThatJoins(
  draft: Draft,
  memberId: string,
  instanceId: string | null,
  isNew: boolean,
  maxMembers: number,
): Member {
  if (instanceId === null) return joiningMember(draft.state, memberId, maxMembers)
  if (!isNew) return knownStaticMember(draft.state, instanceId, memberId)
  const holder = draft.state.staticMember(instanceId)
  if (holder === undefined) return joiningMember(draft.state, memberId, maxMembers)
  return replaceStaticMember(draft, holder, memberId)
}

/** One of its protocols must be known to every member of the classic protocol. */
function supports(
  { members }: ConsumerGroupState,
  protocolType: string,
  protocols: readonly ClassicProtocol[],
): boolean {
  if (protocolType !== CONSUMER_PROTOCOL_TYPE) return false
  // In one pass over what each of them knows: a member may know tens of thousands.
  let common = new Set(protocols.map(({ name }) => name))
  for (const { classic } of members.values()) {
    if (classic === null) continue
    const known = classic.supportedProtocols.filter(({ name }) => common.has(name))
    common = new Set(known.map(({ name }) => name))
  }
  return common.size > 0
}

function classicMember(
  { durable }: ConsumerGroup,
  { memberId, groupInstanceId, generationId }: HeartbeatRequest | SyncGroupRequest,
): Member {
  const member = findMember(durable, memberId, groupInstanceId)
  if (member.classic === null) {
    throw new GroupRefusal(ErrorCode.UNKNOWN_MEMBER_ID, `Member ${memberId} uses the consumer protocol.`)
  }
  if (member.memberEpoch !== generationId) {
    throw new GroupRefusal(ErrorCode.ILLEGAL_GENERATION, `Member ${memberId} is at ${member.memberEpoch}.`)
  }
  return member
}

function askToJoin({ timers }: ConsumerGroup, { memberId, rebalanceTimeoutMs }: Member): void {
  if (!timers.isRunning(memberId, 'join')) timers.start(memberId, 'join', rebalanceTimeoutMs)
}

/** Whether other members still have something that the member is to have. */
function isWaiting(state: ConsumerGroupState, { memberId, assigned }: Member): boolean {
  for (const [topicId, partitions] of state.target(memberId)) {
    for (const partition of partitions) {
      if (assigned.get(topicId)?.has(partition) !== true && state.owner(topicId, partition) !== undefined) {
        return true
      }
    }
  }
  return false
}

/** The first of each name counts. Copies: the memory of the request is used again. */
function copiesOf(protocols: JoinGroupRequest['protocols']): ClassicProtocol[] {
  const copies = new Map<string, ClassicProtocol>()
  for (const { name, metadata } of protocols) {
    if (!copies.has(name)) copies.set(name, { name, metadata: Uint8Array.from(metadata) })
  }
  return [...copies.values()]
}
