import { ErrorCode, type LeaveGroupRequest } from '@streambus/protocol'
import type { ClassicGroup } from './classic-group.ts'
import { dismiss, membersLeft, pendingMemberLeft } from './session.ts'

type Leaver = LeaveGroupRequest['members'][number]

/**
 * LeaveGroup, in the group's turn: an error code for each member, in the order of the request. All who leave
 * together share one rebalance. `settled` resolves when what follows from it is durable.
 */
export function leaveGroup(
  group: ClassicGroup,
  members: readonly Leaver[],
): { errorCodes: number[]; settled: void | Promise<void> } {
  const { memberCount } = group
  const errorCodes = members.map((leaver) => leave(group, leaver))
  if (group.memberCount < memberCount) return { errorCodes, settled: membersLeft(group) }
  if (errorCodes.includes(ErrorCode.NONE)) return { errorCodes, settled: pendingMemberLeft(group) }
  return { errorCodes, settled: undefined }
}

function leave(group: ClassicGroup, { memberId, groupInstanceId }: Leaver): number {
  if (group.isPendingMember(memberId)) {
    group.removePendingMember(memberId)
    return ErrorCode.NONE
  }
  if (memberId === '' && groupInstanceId !== null) {
    // An administrator removes whoever has the instance id.
    const member = group.staticMember(groupInstanceId)
    if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    dismiss(group, member)
    return ErrorCode.NONE
  }
  const refusal = group.refuseMember(memberId, groupInstanceId)
  if (refusal === ErrorCode.NONE) dismiss(group, group.member(memberId)!)
  return refusal
}
