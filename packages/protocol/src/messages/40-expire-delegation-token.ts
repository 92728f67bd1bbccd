import { api, bytes, int16, int32, int64, type Message, type MessageInput, message } from '../schema.ts'

/** Ends a delegation token, at once or at a time (KIP-48). */
export const expireDelegationToken = api(40, 'ExpireDelegationToken', {
  request: message(
    { versions: '1-2', flexible: '2+' },
    {
      hmac: bytes(),
      expiryTimePeriodMs: int64(),
    },
  ),
  response: message(
    { versions: '1-2', flexible: '2+' },
    {
      errorCode: int16(),
      expiryTimestampMs: int64(),
      throttleTimeMs: int32(),
    },
  ),
})

export type ExpireDelegationTokenRequest = Message<typeof expireDelegationToken.request>
export type ExpireDelegationTokenResponse = Message<typeof expireDelegationToken.response>
export type ExpireDelegationTokenRequestInput = MessageInput<typeof expireDelegationToken.request>
export type ExpireDelegationTokenResponseInput = MessageInput<typeof expireDelegationToken.response>
