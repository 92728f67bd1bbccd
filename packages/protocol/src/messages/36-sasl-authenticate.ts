import { api, bytes, int16, int64, type Message, type MessageInput, message, string } from '../schema.ts'

/** One step of a SASL exchange (KIP-152). From v1 the answer says how long the session lasts (KIP-368). */
export const saslAuthenticate = api(36, 'SaslAuthenticate', {
  request: message({ versions: '0-2', flexible: '2+' }, { authBytes: bytes() }),
  response: message(
    { versions: '0-2', flexible: '2+' },
    {
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
      authBytes: bytes(),
      sessionLifetimeMs: int64({ versions: '1+', default: 0n, ignorable: true }),
    },
  ),
})

export type SaslAuthenticateRequest = Message<typeof saslAuthenticate.request>
export type SaslAuthenticateResponse = Message<typeof saslAuthenticate.response>
export type SaslAuthenticateRequestInput = MessageInput<typeof saslAuthenticate.request>
export type SaslAuthenticateResponseInput = MessageInput<typeof saslAuthenticate.response>
