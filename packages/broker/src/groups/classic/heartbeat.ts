import { ErrorCode, type HeartbeatRequest } from '@streambus/protocol'
import type { ClassicGroup } from './classic-group.ts'
import { resumeSession } from './session.ts'

/** Heartbeat, in the group's turn. Returns the error code. */
export function heartbeatGroup(group: ClassicGroup, request: HeartbeatRequest): number {
  const { memberId, groupInstanceId, generationId } = request
  const refusal = group.refuseMember(memberId, groupInstanceId)
  if (refusal !== ErrorCode.NONE) return refusal
  if (generationId !== group.generation) return ErrorCode.ILLEGAL_GENERATION
  resumeSession(group, group.member(memberId)!)
  return group.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
}
