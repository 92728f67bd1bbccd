import { api, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Keeps a member of a classic group alive and tells it of a rebalance. v3 has static members (KIP-345). */
export const heartbeat = api(12, 'Heartbeat', {
  request: message(
    { versions: '0-4', flexible: '4+' },
    {
      groupId: string(),
      generationId: int32(),
      memberId: string(),
      groupInstanceId: string({ versions: '3+', nullable: '3+', default: null }),
    },
  ),
  response: message(
    { versions: '0-4', flexible: '4+' },
    {
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      errorCode: int16(),
    },
  ),
})

export type HeartbeatRequest = Message<typeof heartbeat.request>
export type HeartbeatResponse = Message<typeof heartbeat.response>
export type HeartbeatRequestInput = MessageInput<typeof heartbeat.request>
export type HeartbeatResponseInput = MessageInput<typeof heartbeat.response>
