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

/** The producers a partition remembers, with the transactions they have open in it (KIP-664). */
export const describeProducers = api(61, 'DescribeProducers', {
  request: message(
    { versions: '0', flexible: '0+' },
    {
      topics: array({
        name: string(),
        partitionIndexes: array(int32()),
      }),
    },
  ),
  response: message(
    { versions: '0', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          errorMessage: string({ nullable: '0+', default: null }),
          activeProducers: array({
            producerId: int64(),
            producerEpoch: int32(),
            lastSequence: int32({ default: -1 }),
            lastTimestamp: int64({ default: -1n }),
            coordinatorEpoch: int32(),
            currentTxnStartOffset: int64({ default: -1n }),
          }),
        }),
      }),
    },
  ),
})

export type DescribeProducersRequest = Message<typeof describeProducers.request>
export type DescribeProducersResponse = Message<typeof describeProducers.response>
export type DescribeProducersRequestInput = MessageInput<typeof describeProducers.request>
export type DescribeProducersResponseInput = MessageInput<typeof describeProducers.response>
