import { api, int16, int32, int64, type Message, type MessageInput, message, string } from '../schema.ts'

/**
 * Gives an idempotent or transactional producer its id and epoch (KIP-98). From v3 the producer may resume
 * with the ones it has (KIP-360).
 */
export const initProducerId = api(22, 'InitProducerId', {
  request: message(
    { versions: '0-5', flexible: '2+' },
    {
      transactionalId: string({ nullable: '0+' }),
      transactionTimeoutMs: int32(),
      producerId: int64({ versions: '3+', default: -1n }),
      producerEpoch: int16({ versions: '3+', default: -1 }),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '2+' },
    {
      throttleTimeMs: int32({ ignorable: true }),
      errorCode: int16(),
      producerId: int64({ default: -1n }),
      producerEpoch: int16(),
    },
  ),
})

export type InitProducerIdRequest = Message<typeof initProducerId.request>
export type InitProducerIdResponse = Message<typeof initProducerId.response>
export type InitProducerIdRequestInput = MessageInput<typeof initProducerId.request>
export type InitProducerIdResponseInput = MessageInput<typeof initProducerId.response>
