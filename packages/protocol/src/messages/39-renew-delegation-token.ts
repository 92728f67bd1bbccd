import { api, bytes, int16, int32, int64, type Message, type MessageInput, message } from '../schema.ts'

/** Lets a delegation token be good for longer (KIP-48). */
export const renewDelegationToken = api(39, 'RenewDelegationToken', {
  request: message(
    { versions: '1-2', flexible: '2+' },
    {
      hmac: bytes(),
      renewPeriodMs: int64(),
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

export type RenewDelegationTokenRequest = Message<typeof renewDelegationToken.request>
export type RenewDelegationTokenResponse = Message<typeof renewDelegationToken.response>
export type RenewDelegationTokenRequestInput = MessageInput<typeof renewDelegationToken.request>
export type RenewDelegationTokenResponseInput = MessageInput<typeof renewDelegationToken.response>
