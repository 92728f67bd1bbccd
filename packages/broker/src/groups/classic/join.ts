import { ErrorCode, type JoinGroupRequest, type JoinGroupResponseInput } from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import type { GroupClient } from '../group-client.ts'
import { groupMetadata } from '../group-records.ts'
import { errorCodeOf } from '../group-refusal.ts'
import { newMemberId } from '../member-id.ts'
import type { Reply } from '../reply.ts'
import { joined, joinFailure, syncFailure } from './answers.ts'
import type { ClassicGroup } from './classic-group.ts'
import { ClassicMember, MEMBER_OVERHEAD_BYTES, type MemberProtocol, protocolBytes } from './classic-member.ts'
import { completeIfAllJoined, prepareRebalance, rebalance } from './rebalance.ts'
import { membersLeft, pendingMemberLeft, resumeSession } from './session.ts'

/** A JoinGroup in the works. */
interface Join {
  readonly group: ClassicGroup
  readonly request: JoinGroupRequest
  readonly client: GroupClient
  /** Copies: the memory of the request is used again. */
  readonly protocols: readonly MemberProtocol[]
  readonly reply: Reply<JoinGroupResponseInput>
}

type Outcome = void | Promise<void>

/** From this version on new members join a second time with the id they are given (KIP-394). */
const MEMBER_ID_REQUIRED_SINCE = 4
/** From this version on a leader can be told to keep the assignment as it is (KIP-814). */
const SKIP_ASSIGNMENT_SINCE = 9
/**
 * How long the JoinGroup of a new member may wait. It has no session yet: without an end, clients that give up
 * and try again would leave one member behind for each time.
 */
const NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000

/** JoinGroup, in the group's turn. The answer may come later, when the other members have joined. */
export function joinGroup(
  group: ClassicGroup,
  request: JoinGroupRequest,
  client: GroupClient,
  reply: Reply<JoinGroupResponseInput>,
): Outcome {
  const { memberId, protocolType } = request
  const refuse = (errorCode: number): void => reply.send(joinFailure(memberId, errorCode))
  if (!hasPlaceFor(group, request)) {
    const wasMember = group.member(memberId) !== undefined
    group.remove(memberId)
    reply.send(joinFailure('', ErrorCode.GROUP_MAX_SIZE_REACHED))
    if (wasMember) return membersLeft(group)
    return
  }
  if (!group.supports(protocolType, request.protocols)) return refuse(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  if (!hasMemoryFor(group, request, client)) return refuse(ErrorCode.GROUP_MAX_SIZE_REACHED)
  const join: Join = { group, request, client, protocols: copiesOf(request.protocols), reply }
  return memberId === '' ? joinAsNewMember(join) : joinAgain(join)
}

/** Whether the group is not full. Who is in it stays in it, unless it is slower than others in a group too large. */
function hasPlaceFor(group: ClassicGroup, request: JoinGroupRequest): boolean {
  const { memberId } = request
  const known = knownMember(group, request)
  const { maxMembers } = group.context.options
  const pendingOthers = group.pendingMemberCount - (group.isPendingMember(memberId) ? 1 : 0)
  switch (group.state) {
    case 'Empty':
      return pendingOthers < maxMembers
    case 'PreparingRebalance':
      if (known?.awaitingJoin !== undefined) return true
      // Those who have joined count, so that the last to come are out when the limit has been lowered.
      return group.awaitingJoinCount + pendingOthers < maxMembers
    default:
      return known !== undefined || group.memberCount + pendingOthers < maxMembers
  }
}

/** The member that sends the request, or the static one whose place it takes. */
function knownMember(
  group: ClassicGroup,
  { memberId, groupInstanceId }: JoinGroupRequest,
): ClassicMember | undefined {
  return memberId === '' && groupInstanceId !== null
    ? group.staticMember(groupInstanceId)
    : group.member(memberId)
}

function hasMemoryFor(group: ClassicGroup, request: JoinGroupRequest, { clientId }: GroupClient): boolean {
  const { groupInstanceId, protocols } = request
  const known = knownMember(group, request)
  const bytes =
    known === undefined
      ? protocolBytes(protocols) + MEMBER_OVERHEAD_BYTES + clientId.length + (groupInstanceId?.length ?? 0)
      : protocolBytes(protocols) - protocolBytes(known.protocols)
  if (bytes <= 0) return true
  const { context, byteLength } = group
  return byteLength + bytes <= context.options.maxGroupBytes && context.memory.hasRoomFor(bytes)
}

/** The first of each name counts, as in Kafka. */
function copiesOf(protocols: JoinGroupRequest['protocols']): MemberProtocol[] {
  const copies = new Map<string, MemberProtocol>()
  for (const { name, metadata } of protocols) {
    if (!copies.has(name)) copies.set(name, { name, metadata: Uint8Array.from(metadata) })
  }
  return [...copies.values()]
}

function joinAsNewMember(join: Join): Outcome {
  const { group, request, client, reply } = join
  const { groupInstanceId } = request
  const newId = newMemberId(groupInstanceId ?? client.clientId, group.context.newId())
  if (groupInstanceId !== null) {
    const current = group.staticMember(groupInstanceId)
    return current === undefined ? addMember(join, newId) : replaceStaticMember(join, current, newId)
  }
  if (client.apiVersion < MEMBER_ID_REQUIRED_SINCE) return addMember(join, newId)
  const timer = group.context.after(group, request.sessionTimeoutMs, () => {
    group.removePendingMember(newId)
    return pendingMemberLeft(group)
  })
  group.addPendingMember(newId, timer)
  reply.send(joinFailure(newId, ErrorCode.MEMBER_ID_REQUIRED))
}

function joinAgain(join: Join): Outcome {
  const { group, request, protocols, reply } = join
  const { memberId, groupInstanceId } = request
  if (group.isPendingMember(memberId)) {
    // Only dynamic members are told to come back.
    if (groupInstanceId !== null) return reply.send(joinFailure(memberId, ErrorCode.UNKNOWN_MEMBER_ID))
    return addMember(join, memberId)
  }
  const refusal = group.refuseMember(memberId, groupInstanceId)
  if (refusal !== ErrorCode.NONE) return reply.send(joinFailure(memberId, refusal))
  const member = group.member(memberId)!
  const isAsBefore = member.hasProtocols(protocols)
  switch (group.state) {
    case 'PreparingRebalance':
      return rejoin(join, member, 'a member joins')
    case 'CompletingRebalance':
      if (!isAsBefore) return rejoin(join, member, 'a member has changed')
      break
    case 'Stable':
      // The leader sees changes that are in no member's metadata, such as new partitions.
      if (group.isLeader(memberId)) return rejoin(join, member, 'the leader joins again')
      if (!isAsBefore) return rejoin(join, member, 'a member has changed')
      break
    default:
      return reply.send(joinFailure(memberId, ErrorCode.UNKNOWN_MEMBER_ID))
  }
  // It may just have missed the answer: it gets the generation there is, and nobody else is disturbed.
  reply.send(joined(group, memberId))
}

function addMember(join: Join, memberId: string): Outcome {
  const { group, request, client, protocols, reply } = join
  const member = new ClassicMember({
    id: memberId,
    instanceId: request.groupInstanceId,
    clientId: client.clientId,
    clientHost: client.clientHost,
    rebalanceTimeoutMs: rebalanceTimeoutMs(join),
    sessionTimeoutMs: request.sessionTimeoutMs,
    protocols,
  })
  member.isNew = true
  if (group.state === 'PreparingRebalance' && group.previousState === 'Empty') group.newMemberAdded = true
  group.add(member, reply, request.protocolType)
  resumeSession(group, member, NEW_MEMBER_JOIN_TIMEOUT_MS)
  return rebalance(group, 'a member joins')
}

function rejoin(join: Join, member: ClassicMember, reason: string): Outcome {
  const { group } = join
  update(join, member)
  return rebalance(group, reason)
}

function update(join: Join, member: ClassicMember): void {
  const { group, reply } = join
  change(join, member)
  // An earlier JoinGroup of this member that still waits is one that its client gave up.
  group.answerJoin(member, joinFailure(member.id, ErrorCode.REBALANCE_IN_PROGRESS))
  group.setAwaitingJoin(member, reply)
}

/** Version 0 has one timeout for both. */
function rebalanceTimeoutMs({ request, client }: Join): number {
  return client.apiVersion === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs
}

/** The process behind a static member was started again. It takes the place of the one before it. */
function replaceStaticMember(join: Join, current: ClassicMember, newId: string): Outcome {
  const { group } = join
  if (group.state === 'Stable' && keepsVote(join, current))
    return replaceWithoutRebalance(join, current, newId)
  const replacement = takePlaceOf(group, current, newId)
  update(join, replacement)
  if (group.state === 'Stable') return prepareRebalance(group, 'a static member has changed')
  // The leader may have been told the old id already: what it assigns would be for nobody.
  if (group.state === 'CompletingRebalance') return prepareRebalance(group, 'a static member came back')
  return completeIfAllJoined(group)
}

/** What the member says of itself now, as long as `look` looks at it: nobody else may see it before it is durable. */
function withChanges<T>(join: Join, current: ClassicMember, look: () => T): T {
  const { protocols, rebalanceTimeoutMs, sessionTimeoutMs } = current
  change(join, current)
  try {
    return look()
  } finally {
    join.group.setProtocols(current, protocols)
    current.rebalanceTimeoutMs = rebalanceTimeoutMs
    current.sessionTimeoutMs = sessionTimeoutMs
  }
}

function change(join: Join, member: ClassicMember): void {
  const { group, protocols, request } = join
  group.setProtocols(member, protocols)
  member.rebalanceTimeoutMs = rebalanceTimeoutMs(join)
  member.sessionTimeoutMs = request.sessionTimeoutMs
}

/** Whether the group would still choose the protocol it has. */
function keepsVote(join: Join, current: ClassicMember): boolean {
  const { group } = join
  return withChanges(join, current, () => group.selectProtocol()) === group.protocolName
}

/** The group goes on with its generation and assignments. The new id is durable before anyone hears it. */
async function replaceWithoutRebalance(join: Join, current: ClassicMember, newId: string): Promise<void> {
  const { group, client, reply } = join
  const formerLeaderId = group.leaderId ?? ''
  const metadata = withChanges(join, current, () => group.metadata((member) => member.assignment))
  const renamed = {
    ...metadata,
    leader: group.isLeader(current.id) ? newId : metadata.leader,
    members: metadata.members.map((member) =>
      member.memberId === current.id ? { ...member, memberId: newId } : member,
    ),
  }
  try {
    await group.context.append([groupMetadata(group.id, renamed)])
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    reply.send(joinFailure('', errorCodeOf(error)))
    return
  }
  change(join, current)
  group.recorded(renamed)
  takePlaceOf(group, current, newId)
  if (client.apiVersion >= SKIP_ASSIGNMENT_SINCE) {
    reply.send({ ...joined(group, newId), skipAssignment: group.isLeader(newId) })
  } else {
    // Told that another one leads, it does not assign anew.
    reply.send({ ...joined(group, newId), leader: formerLeaderId, members: [] })
  }
}

/** Whoever still waits under the old id is fenced. */
function takePlaceOf(group: ClassicGroup, current: ClassicMember, newId: string): ClassicMember {
  group.answerJoin(current, joinFailure(current.id, ErrorCode.FENCED_INSTANCE_ID))
  group.answerSync(current, syncFailure(ErrorCode.FENCED_INSTANCE_ID))
  const replacement = group.rename(current, newId)
  resumeSession(group, replacement)
  return replacement
}
