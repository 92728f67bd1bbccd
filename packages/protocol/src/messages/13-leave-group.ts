import { api, array, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/**
 * Removes members from a classic group: one up to v2, any number, by member or instance id, from v3
 * (KIP-345). v5 gives the reason (KIP-800).
 */
export const leaveGroup = api(13, 'LeaveGroup', {
  request: message(
    { versions: '0-5', flexible: '4+' },
    {
      groupId: string(),
      memberId: string({ versions: '0-2' }),
      members: array(
        {
          memberId: string(),
          groupInstanceId: string({ nullable: '3+', default: null }),
          reason: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
        },
        { versions: '3+' },
      ),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '4+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      errorCode: int16(),
      members: array(
        {
          memberId: string(),
          groupInstanceId: string({ nullable: '3+' }),
          errorCode: int16(),
        },
        { versions: '3+' },
      ),
    },
  ),
})

export type LeaveGroupRequest = Message<typeof leaveGroup.request>
export type LeaveGroupResponse = Message<typeof leaveGroup.response>
export type LeaveGroupRequestInput = MessageInput<typeof leaveGroup.request>
export type LeaveGroupResponseInput = MessageInput<typeof leaveGroup.response>
