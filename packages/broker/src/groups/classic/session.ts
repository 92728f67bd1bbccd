import { ErrorCode } from '@streambus/protocol'
import { joinFailure, syncFailure } from './answers.ts'
import type { ClassicGroup } from './classic-group.ts'
import type { ClassicMember } from './classic-member.ts'
import { completeIfAllJoined, prepareRebalance } from './rebalance.ts'

/** The member was heard of: its session ends when it is not heard of again for this long. */
export function resumeSession(
  group: ClassicGroup,
  member: ClassicMember,
  timeoutMs = member.sessionTimeoutMs,
): void {
  member.session?.cancel()
  member.session = group.context.after(group, timeoutMs, () => expireSession(group, member))
}

function expireSession(group: ClassicGroup, member: ClassicMember): void | Promise<void> {
  if (group.member(member.id) !== member) return
  // Who waits for the others, or for the leader, cannot send heartbeats. New members get no session until they
  // have seen a join complete; they time out even so, as their clients may be gone and have come back under
  // other ids.
  const waits = member.awaitingJoin !== undefined || member.awaitingSync !== undefined
  if (waits && !member.isNew) return
  group.context.log.info({ group: group.id, member: member.id }, 'a member was not heard of any more')
  return removeMember(group, member)
}

/** Takes the member out, and begins or goes on with the rebalance that this means. */
function removeMember(group: ClassicGroup, member: ClassicMember): void | Promise<void> {
  dismiss(group, member)
  return membersLeft(group)
}

/** Takes the member out. If it waits it hears that it is unknown, so that it joins again if it is alive after all. */
export function dismiss(group: ClassicGroup, member: ClassicMember): void {
  group.answerJoin(member, joinFailure('', ErrorCode.UNKNOWN_MEMBER_ID))
  group.answerSync(member, syncFailure(ErrorCode.UNKNOWN_MEMBER_ID))
  group.remove(member.id)
}

/** What follows when members have gone. */
export function membersLeft(group: ClassicGroup): void | Promise<void> {
  switch (group.state) {
    case 'Stable':
    case 'CompletingRebalance':
      return prepareRebalance(group, 'a member left')
    case 'PreparingRebalance':
      return completeIfAllJoined(group)
  }
}

/** What follows when somebody who was expected back is not any more. */
export function pendingMemberLeft(group: ClassicGroup): void | Promise<void> {
  if (group.state === 'PreparingRebalance') return completeIfAllJoined(group)
  group.context.dropIfDisposable(group)
}
