import {
  api,
  array,
  bool,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Raises the number of partitions of topics (KIP-195). */
export const createPartitions = api(37, 'CreatePartitions', {
  request: message(
    { versions: '0-3', flexible: '2+' },
    {
      topics: array({
        name: string(),
        count: int32(),
        assignments: array(
          {
            brokerIds: array(int32()),
          },
          { nullable: '0+' },
        ),
      }),
      timeoutMs: int32(),
      validateOnly: bool(),
    },
  ),
  response: message(
    { versions: '0-3', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      results: array({
        name: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: '0+', default: null }),
      }),
    },
  ),
})

export type CreatePartitionsRequest = Message<typeof createPartitions.request>
export type CreatePartitionsResponse = Message<typeof createPartitions.response>
export type CreatePartitionsRequestInput = MessageInput<typeof createPartitions.request>
export type CreatePartitionsResponseInput = MessageInput<typeof createPartitions.response>
