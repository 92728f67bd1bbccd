import {
  api,
  array,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * The transactions this broker coordinates (KIP-664). v1 filters by age (KIP-994), v2 by a pattern of
 * transactional ids (KIP-1152).
 */
export const listTransactions = api(66, 'ListTransactions', {
  request: message(
    { versions: '0-2', flexible: '0+' },
    {
      stateFilters: array(string()),
      producerIdFilters: array(int64()),
      durationFilter: int64({ versions: '1+', default: -1n }),
      transactionalIdPattern: string({ versions: '2+', nullable: '2+', default: null }),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      unknownStateFilters: array(string()),
      transactionStates: array({
        transactionalId: string(),
        producerId: int64(),
        transactionState: string(),
      }),
    },
  ),
})

export type ListTransactionsRequest = Message<typeof listTransactions.request>
export type ListTransactionsResponse = Message<typeof listTransactions.response>
export type ListTransactionsRequestInput = MessageInput<typeof listTransactions.request>
export type ListTransactionsResponseInput = MessageInput<typeof listTransactions.response>
