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

/** The delegation tokens of users (KIP-48). v3 tells who asked for them (KIP-373). */
export const describeDelegationToken = api(41, 'DescribeDelegationToken', {
  request: message(
    { versions: '1-3', flexible: '2+' },
    {
      owners: array(
        {
          principalType: string(),
          principalName: string(),
        },
        { nullable: '0+' },
      ),
    },
  ),
  response: message(
    { versions: '1-3', flexible: '2+' },
    {
      errorCode: int16(),
      tokens: array({
        principalType: string(),
        principalName: string(),
        tokenRequesterPrincipalType: string({ versions: '3+' }),
        tokenRequesterPrincipalName: string({ versions: '3+' }),
        issueTimestamp: int64(),
        expiryTimestamp: int64(),
        maxTimestamp: int64(),
        tokenId: string(),
        hmac: bytes(),
        renewers: array({
          principalType: string(),
          principalName: string(),
        }),
      }),
      throttleTimeMs: int32(),
    },
  ),
})

export type DescribeDelegationTokenRequest = Message<typeof describeDelegationToken.request>
export type DescribeDelegationTokenResponse = Message<typeof describeDelegationToken.response>
export type DescribeDelegationTokenRequestInput = MessageInput<typeof describeDelegationToken.request>
export type DescribeDelegationTokenResponseInput = MessageInput<typeof describeDelegationToken.response>
