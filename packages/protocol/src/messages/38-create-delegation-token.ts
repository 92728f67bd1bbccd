import {
  api,
  array,
  bytes,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Makes a token that stands for a user (KIP-48). v3 makes it for another user (KIP-373). */
export const createDelegationToken = api(38, 'CreateDelegationToken', {
  request: message(
    { versions: '1-3', flexible: '2+' },
    {
      ownerPrincipalType: string({ versions: '3+', nullable: '3+' }),
      ownerPrincipalName: string({ versions: '3+', nullable: '3+' }),
      renewers: array({
        principalType: string(),
        principalName: string(),
      }),
      maxLifetimeMs: int64(),
    },
  ),
  response: message(
    { versions: '1-3', flexible: '2+' },
    {
      errorCode: int16(),
      principalType: string(),
      principalName: string(),
      tokenRequesterPrincipalType: string({ versions: '3+' }),
      tokenRequesterPrincipalName: string({ versions: '3+' }),
      issueTimestampMs: int64(),
      expiryTimestampMs: int64(),
      maxTimestampMs: int64(),
      tokenId: string(),
      hmac: bytes(),
      throttleTimeMs: int32(),
    },
  ),
})

export type CreateDelegationTokenRequest = Message<typeof createDelegationToken.request>
export type CreateDelegationTokenResponse = Message<typeof createDelegationToken.response>
export type CreateDelegationTokenRequestInput = MessageInput<typeof createDelegationToken.request>
export type CreateDelegationTokenResponseInput = MessageInput<typeof createDelegationToken.response>
