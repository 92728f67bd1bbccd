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

/** State and partitions of transactions by transactional id (KIP-664). */
export const describeTransactions = api(65, 'DescribeTransactions', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      transactionalIds: array(string()),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      transactionStates: array({
        errorCode: int16(),
        transactionalId: string(),
        transactionState: string(),
        transactionTimeoutMs: int32(),
        transactionStartTimeMs: int64(),
        producerId: int64(),
        producerEpoch: int16(),
        topics: array({
          topic: string(),
          partitions: array(int32()),
        }),
      }),
    },
  ),
})

export type DescribeTransactionsRequest = Message<typeof describeTransactions.request>
export type DescribeTransactionsResponse = Message<typeof describeTransactions.response>
export type DescribeTransactionsRequestInput = MessageInput<typeof describeTransactions.request>
export type DescribeTransactionsResponseInput = MessageInput<typeof describeTransactions.response>
