import {
  api,
  array,
  bytes,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Brings the leader's assignment to every member of a classic group. v3 has static members (KIP-345), v5
 * names the protocol on both sides (KIP-559).
 */
export const syncGroup = api(14, 'SyncGroup', {
  request: message(
    { versions: '0-5', flexible: '4+' },
    {
      groupId: string(),
      generationId: int32(),
      memberId: string(),
      groupInstanceId: string({ versions: '3+', nullable: '3+', default: null }),
      protocolType: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
      protocolName: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
      assignments: array({
        memberId: string(),
        assignment: bytes(),
      }),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '4+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      errorCode: int16(),
      protocolType: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
      protocolName: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
      assignment: bytes(),
    },
  ),
})

export type SyncGroupRequest = Message<typeof syncGroup.request>
export type SyncGroupResponse = Message<typeof syncGroup.response>
export type SyncGroupRequestInput = MessageInput<typeof syncGroup.request>
export type SyncGroupResponseInput = MessageInput<typeof syncGroup.response>
