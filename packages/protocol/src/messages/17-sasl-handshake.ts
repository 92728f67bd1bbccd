import { api, array, int16, type Message, type MessageInput, message, string } from '../schema.ts'

/** Names the SASL mechanism a client is about to use (KIP-43); after v1 SaslAuthenticate requests follow (KIP-152). */
export const saslHandshake = api(17, 'SaslHandshake', {
  request: message({ versions: '0-1', flexible: 'none' }, { mechanism: string() }),
  response: message(
    { versions: '0-1', flexible: 'none' },
    { errorCode: int16(), mechanisms: array(string()) },
  ),
})

export type SaslHandshakeRequest = Message<typeof saslHandshake.request>
export type SaslHandshakeResponse = Message<typeof saslHandshake.response>
export type SaslHandshakeRequestInput = MessageInput<typeof saslHandshake.request>
export type SaslHandshakeResponseInput = MessageInput<typeof saslHandshake.response>
