import {
  api,
  array,
  bool,
  bytes,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Enters a classic group or its next generation. v1 has a rebalance timeout apart from the session timeout
 * (KIP-62), from v4 a new member joins a second time with the id it was given (KIP-394), v5 has static
 * members (KIP-345), v7 names the protocol type (KIP-559), v8 the reason (KIP-800), v9 lets a leader keep
 * the assignment (KIP-814).
 */
export const joinGroup = api(11, 'JoinGroup', {
  request: message(
    { versions: '0-9', flexible: '6+' },
    {
      groupId: string(),
      sessionTimeoutMs: int32(),
      rebalanceTimeoutMs: int32({ versions: '1+', default: -1, ignorable: true }),
      memberId: string(),
      groupInstanceId: string({ versions: '5+', nullable: '5+', default: null }),
      protocolType: string(),
      protocols: array({
        name: string(),
        metadata: bytes(),
      }),
      reason: string({ versions: '8+', nullable: '8+', default: null, ignorable: true }),
    },
  ),
  response: message(
    { versions: '0-9', flexible: '6+' },
    {
      throttleTimeMs: int32({ versions: '2+', ignorable: true }),
      errorCode: int16(),
      generationId: int32({ default: -1 }),
      protocolType: string({ versions: '7+', nullable: '7+', default: null, ignorable: true }),
      protocolName: string({ nullable: '7+' }),
      leader: string(),
      skipAssignment: bool({ versions: '9+', default: false }),
      memberId: string(),
      members: array({
        memberId: string(),
        groupInstanceId: string({ versions: '5+', nullable: '5+', default: null, ignorable: true }),
        metadata: bytes(),
      }),
    },
  ),
})

export type JoinGroupRequest = Message<typeof joinGroup.request>
export type JoinGroupResponse = Message<typeof joinGroup.response>
export type JoinGroupRequestInput = MessageInput<typeof joinGroup.request>
export type JoinGroupResponseInput = MessageInput<typeof joinGroup.response>
