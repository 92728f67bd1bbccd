import {
  ErrorCode,
  type LeaveGroupRequest,
  type LeaveGroupResponseInput,
  leaveGroup,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * LeaveGroup (key 13), versions 0–5: members of a classic group leave, each with an error code of its own. An
 * empty member id with an instance id is an administrator who removes that static member. Up to version 2 one
 * member, whose error is that of the answer.
 */
const MANY_MEMBERS_SINCE = 3

export function leaveGroupHandler({
  groups,
}: BrokerServices): Handler<LeaveGroupRequest, LeaveGroupResponseInput> {
  return {
    api: leaveGroup,
    minVersion: 0,
    maxVersion: 5,
    async handle(request, { version }) {
      const { groupId, memberId } = request
      const members =
        version >= MANY_MEMBERS_SINCE ? request.members : [{ memberId, groupInstanceId: null, reason: null }]
      const left = await groups.leave({ groupId, memberId, members })
      if (typeof left === 'number') return { errorCode: left, members: [] }
      if (version < MANY_MEMBERS_SINCE) return { errorCode: left[0]! }
      return {
        errorCode: ErrorCode.NONE,
        members: members.map(({ memberId, groupInstanceId }, at) => ({
          memberId,
          groupInstanceId,
          errorCode: left[at]!,
        })),
      }
    },
  }
}
