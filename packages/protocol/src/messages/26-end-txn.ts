import {
  api,
  bool,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Commits or aborts a transaction (KIP-98). v5 gives the producer its next epoch (KIP-890). */
export const endTxn = api(26, 'EndTxn', {
  request: message(
    { versions: '0-5', flexible: '3+' },
    {
      transactionalId: string(),
      producerId: int64(),
      producerEpoch: int16(),
      committed: bool(),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '3+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      producerId: int64({ versions: '5+', default: -1n, ignorable: true }),
      producerEpoch: int16({ versions: '5+', default: -1, ignorable: true }),
    },
  ),
})

export type EndTxnRequest = Message<typeof endTxn.request>
export type EndTxnResponse = Message<typeof endTxn.response>
export type EndTxnRequestInput = MessageInput<typeof endTxn.request>
export type EndTxnResponseInput = MessageInput<typeof endTxn.response>
