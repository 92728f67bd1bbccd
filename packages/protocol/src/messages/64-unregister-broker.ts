import { api, int16, int32, type Message, type MessageInput, message, string } from '../schema.ts'

/** Removes a broker that is gone from the cluster (KIP-500). */
export const unregisterBroker = api(64, 'UnregisterBroker', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      brokerId: int32(),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+' }),
    },
  ),
})

export type UnregisterBrokerRequest = Message<typeof unregisterBroker.request>
export type UnregisterBrokerResponse = Message<typeof unregisterBroker.response>
export type UnregisterBrokerRequestInput = MessageInput<typeof unregisterBroker.request>
export type UnregisterBrokerResponseInput = MessageInput<typeof unregisterBroker.response>
