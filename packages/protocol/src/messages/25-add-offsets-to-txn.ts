import { api, int16, int32, int64, type Message, type MessageInput, message, string } from '../schema.ts'

/**
 * Adds the committed offsets of a group to a transaction (KIP-98). v4 may answer TRANSACTION_ABORTABLE
 * (KIP-890).
 */
export const addOffsetsToTxn = api(25, 'AddOffsetsToTxn', {
  request: message(
    { versions: '0-4', flexible: '3+' },
    {
      transactionalId: string(),
      producerId: int64(),
      producerEpoch: int16(),
      groupId: string(),
    },
  ),
  response: message(
    { versions: '0-4', flexible: '3+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
    },
  ),
})

export type AddOffsetsToTxnRequest = Message<typeof addOffsetsToTxn.request>
export type AddOffsetsToTxnResponse = Message<typeof addOffsetsToTxn.response>
export type AddOffsetsToTxnRequestInput = MessageInput<typeof addOffsetsToTxn.request>
export type AddOffsetsToTxnResponseInput = MessageInput<typeof addOffsetsToTxn.response>
