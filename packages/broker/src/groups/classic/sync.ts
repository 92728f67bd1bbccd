import { ErrorCode, type SyncGroupRequest, type SyncGroupResponseInput } from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import { groupMetadata } from '../group-records.ts'
import { errorCodeOf } from '../group-refusal.ts'
import type { Reply } from '../reply.ts'
import { assigned, syncFailure } from './answers.ts'
import type { ClassicGroup } from './classic-group.ts'
import { NO_BYTES } from './classic-member.ts'
import { abandonSync, prepareRebalance, synced } from './rebalance.ts'
import { resumeSession } from './session.ts'

/** SyncGroup, in the group's turn. Followers are answered when the leader's assignments are durable. */
export function syncGroup(
  group: ClassicGroup,
  request: SyncGroupRequest,
  reply: Reply<SyncGroupResponseInput>,
): void | Promise<void> {
  const { memberId } = request
  const refusal = refuseSync(group, request)
  if (refusal !== ErrorCode.NONE) return reply.send(syncFailure(refusal))
  const member = group.member(memberId)!
  if (group.state === 'PreparingRebalance') return reply.send(syncFailure(ErrorCode.REBALANCE_IN_PROGRESS))
  synced(group, memberId)
  if (group.state === 'Stable') return reply.send(assigned(group, member))
  // An earlier SyncGroup of this member that still waits is one that its client gave up.
  group.answerSync(member, syncFailure(ErrorCode.REBALANCE_IN_PROGRESS))
  member.awaitingSync = reply
  if (group.isLeader(memberId)) return assign(group, request)
}

function refuseSync(group: ClassicGroup, request: SyncGroupRequest): number {
  if (group.state === 'Empty') return ErrorCode.UNKNOWN_MEMBER_ID
  const refusal = group.refuseMember(request.memberId, request.groupInstanceId)
  if (refusal !== ErrorCode.NONE) return refusal
  if (request.generationId !== group.generation) return ErrorCode.ILLEGAL_GENERATION
  const { protocolType, protocolName } = request
  if (protocolType !== null && protocolType !== group.protocolType)
    return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
  if (protocolName !== null && protocolName !== group.protocolName)
    return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
  return ErrorCode.NONE
}

/** The leader has spoken: what it assigned becomes durable, then everyone who waits gets its part. */
async function assign(group: ClassicGroup, { assignments }: SyncGroupRequest): Promise<void> {
  const { context } = group
  const byMember = new Map<string, Uint8Array>()
  for (const { memberId, assignment } of assignments) {
    // For strangers nothing is kept.
    if (group.member(memberId) !== undefined) byMember.set(memberId, assignment)
  }
  const growth = growthBy(group, byMember)
  const noRoom = refuseMemory(group, growth)
  if (noRoom !== ErrorCode.NONE) {
    abandonSync(group, noRoom)
    return prepareRebalance(group, 'there is no memory for the assignments')
  }
  // Copies: the memory of the request is used again.
  for (const [memberId, assignment] of byMember) byMember.set(memberId, Uint8Array.from(assignment))
  const metadata = group.metadata((member) => byMember.get(member.id) ?? NO_BYTES)
  // Until they are the group's own, so that others do not take the same room meanwhile.
  context.memory.change(growth)
  try {
    await context.append([groupMetadata(group.id, metadata)])
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    context.log.warn({ group: group.id, error: error.message }, 'could not write the assignments of a group')
    abandonSync(group, errorCodeOf(error))
    return prepareRebalance(group, 'the assignments could not be written')
  } finally {
    context.memory.change(-growth)
  }
  group.recorded(metadata)
  for (const member of group.members()) {
    group.setAssignment(member, byMember.get(member.id) ?? NO_BYTES)
    if (group.answerSync(member, assigned(group, member))) resumeSession(group, member)
  }
  group.transitionTo('Stable')
}

/** By how many bytes the assignments are larger than those there are; 0 where they are not. */
function growthBy(group: ClassicGroup, byMember: ReadonlyMap<string, Uint8Array>): number {
  let growth = 0
  for (const { id, assignment } of group.members()) {
    growth += (byMember.get(id)?.byteLength ?? 0) - assignment.byteLength
  }
  return Math.max(growth, 0)
}

/**
 * NONE, or why the group may not grow by so many bytes. As with assignments that the log cannot take, no retry
 * makes a group smaller that is too large by itself; where others take the memory, it may be free later.
 */
function refuseMemory({ context, byteLength }: ClassicGroup, growth: number): number {
  if (growth === 0) return ErrorCode.NONE
  if (byteLength + growth > context.options.maxGroupBytes) return ErrorCode.UNKNOWN_SERVER_ERROR
  return context.memory.hasRoomFor(growth) ? ErrorCode.NONE : ErrorCode.COORDINATOR_NOT_AVAILABLE
}
