import { type ConsumerGroupHeartbeatRequest, ErrorCode } from '@streambus/protocol'
import { GroupRefusal } from '../group-refusal.ts'
import { type ConsumerGroupState, memberBytes } from './consumer-group-state.ts'
import type { Draft } from './draft.ts'
import {
  JOIN_EPOCH,
  type Member,
  type MemberMetadata,
  newMember,
  STATIC_LEAVE_EPOCH,
  sameMetadata,
} from './member.ts'
import { isWithin } from './partitions.ts'

/** Who is a member, and under which id. Everything here throws GroupRefusal. */

/** The member of that id, which must exist. */
export function knownMember(state: ConsumerGroupState, memberId: string): Member {
  const member = state.members.get(memberId)
  if (member === undefined) {
    throw new GroupRefusal(ErrorCode.UNKNOWN_MEMBER_ID, `Member ${memberId} is not a member of the group.`)
  }
  return member
}

/** The member that an instance id belongs to. With a member id it must be that one. */
export function knownStaticMember(
  state: ConsumerGroupState,
  instanceId: string,
  memberId: string | null,
): Member {
  const member = state.staticMember(instanceId)
  if (member === undefined) {
    throw new GroupRefusal(ErrorCode.UNKNOWN_MEMBER_ID, `Instance id ${instanceId} is unknown in the group.`)
  }
  if (memberId !== null && member.memberId !== memberId) {
    throw new GroupRefusal(
      ErrorCode.FENCED_INSTANCE_ID,
      `Member ${memberId} with instance id ${instanceId} was fenced by member ${member.memberId}.`,
    )
  }
  return member
}

/** The member by its instance id, where it has said one, or else by its member id. */
export function findMember(state: ConsumerGroupState, memberId: string, instanceId: string | null): Member {
  return instanceId === null ? knownMember(state, memberId) : knownStaticMember(state, instanceId, memberId)
}

/** A member as a heartbeat finds it, or as it will be when nothing is in its way. */
interface MemberOfHeartbeat {
  readonly member: Member
  /** The static member whose place it is to take, with everything that one was assigned. */
  readonly holder: Member | undefined
}

/** The member that a heartbeat is of: a new one where it joins. */
export function memberOfHeartbeat(
  state: ConsumerGroupState,
  request: ConsumerGroupHeartbeatRequest,
  maxMembers: number,
): MemberOfHeartbeat {
  const { memberId, memberEpoch, instanceId } = request
  if (memberEpoch !== JOIN_EPOCH) {
    const member = findMember(state, memberId, instanceId)
    checkEpoch(member, request)
    return { member, holder: undefined }
  }
  const holder = instanceId === null ? undefined : state.staticMember(instanceId)
  if (holder === undefined) return { member: joiningMember(state, memberId, maxMembers), holder }
  if (holder.classic === null && holder.memberEpoch !== STATIC_LEAVE_EPOCH) {
    // The member itself: the answer to its join got lost, or it was fenced and has given everything up. Members
    // keep their ids, and UNRELEASED_INSTANCE_ID would be the end of it.
    if (holder.memberId === memberId) return { member: holder, holder: undefined }
    throw new GroupRefusal(
      ErrorCode.UNRELEASED_INSTANCE_ID,
      `Member ${memberId} cannot join with instance id ${instanceId}: member ${holder.memberId} has it.`,
    )
  }
  if (holder.memberId !== memberId && state.members.has(memberId)) {
    // What it has itself would be nobody's then.
    throw new GroupRefusal(
      ErrorCode.INVALID_REQUEST,
      `Member ${memberId} is in the group already, and cannot be the member with instance id ${instanceId} as well.`,
    )
  }
  return { member: successorOf(holder, memberId), holder }
}

export function joiningMember(state: ConsumerGroupState, memberId: string, maxMembers: number): Member {
  const member = state.members.get(memberId)
  if (member !== undefined) return member
  if (state.members.size >= maxMembers) {
    throw new GroupRefusal(ErrorCode.GROUP_MAX_SIZE_REACHED, `The group has ${maxMembers} members already.`)
  }
  return newMember(memberId)
}

function successorOf(holder: Member, memberId: string): Member {
  return { ...holder, memberId, memberEpoch: 0, previousMemberEpoch: 0 }
}

/** Gives what a static member has to its successor, under a new id and from epoch 0. */
export function replaceStaticMember(draft: Draft, holder: Member, memberId: string): Member {
  const target = draft.state.target(holder.memberId)
  const successor = successorOf(holder, memberId)
  draft.removeMember(holder.memberId)
  draft.write({ kind: 'member', memberId, value: successor })
  draft.write({ kind: 'target', memberId, value: target })
  draft.write({ kind: 'current', memberId, value: successor })
  return successor
}

/**
 * Refuses what there is no memory for.
 *
 * @param known the member whose metadata it takes the place of.
 * @param otherBytes what comes with it.
 */
export function checkMemory(
  { byteLength }: ConsumerGroupState,
  memberId: string,
  metadata: MemberMetadata,
  known: Member | undefined,
  otherBytes: number,
  hasMemoryFor: (byteLength: number) => boolean,
): void {
  const knownBytes = known === undefined ? 0 : memberBytes(known.memberId, known)
  const growth = memberBytes(memberId, metadata) + otherBytes - knownBytes
  if (growth > 0 && !hasMemoryFor(byteLength + growth)) {
    throw new GroupRefusal(
      ErrorCode.GROUP_MAX_SIZE_REACHED,
      'There is no memory left for what members say about themselves.',
    )
  }
}

/** Writes what a member says about itself, where it is new. */
export function writeMetadata(draft: Draft, before: Member, metadata: MemberMetadata): void {
  const { memberId } = before
  if (draft.state.members.has(memberId) && sameMetadata(before, metadata)) return
  draft.write({ kind: 'member', memberId, value: metadata })
}

/**
 * A heartbeat is of the member's epoch; or of the one before it, if the member has nothing but what it is
 * assigned: then the response that told it the new epoch got lost.
 */
function checkEpoch(member: Member, { memberEpoch, topicPartitions }: ConsumerGroupHeartbeatRequest): void {
  if (memberEpoch === member.memberEpoch) return
  if (
    memberEpoch < member.memberEpoch &&
    memberEpoch === member.previousMemberEpoch &&
    topicPartitions !== null &&
    isWithin(topicPartitions, member.assigned)
  ) {
    return
  }
  throw new GroupRefusal(
    ErrorCode.FENCED_MEMBER_EPOCH,
    `Member ${member.memberId} has epoch ${member.memberEpoch}, not ${memberEpoch}: ` +
      'it must give up all its partitions and join again.',
  )
}
