import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
  uuid,
} from '../schema.ts'

/**
 * Creates topics. v4 lets -1 mean the broker's default counts (KIP-464), v5 returns the configuration
 * (KIP-525), v7 the topic id (KIP-516).
 */
export const createTopics = api(19, 'CreateTopics', {
  request: message(
    { versions: '0-7', flexible: '5+' },
    {
      topics: array({
        name: string(),
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: array({
          partitionIndex: int32(),
          brokerIds: array(int32()),
        }),
        configs: array({
          name: string(),
          value: string({ nullable: '0+' }),
        }),
      }),
      timeoutMs: int32({ default: 60000 }),
      validateOnly: bool({ versions: '1+', default: false }),
    },
  ),
  response: message(
    { versions: '0-7', flexible: '5+' },
    {
      throttleTimeMs: int32({ versions: '2+', ignorable: true }),
      topics: array({
        name: string(),
        topicId: uuid({ versions: '7+', ignorable: true }),
        errorCode: int16(),
        errorMessage: string({ versions: '1+', nullable: '1+', ignorable: true }),
        topicConfigErrorCode: int16({ versions: '5+', tag: 0, ignorable: true }),
        numPartitions: int32({ versions: '5+', default: -1, ignorable: true }),
        replicationFactor: int16({ versions: '5+', default: -1, ignorable: true }),
        configs: array(
          {
            name: string(),
            value: string({ nullable: '5+' }),
            readOnly: bool(),
            configSource: int8({ default: -1, ignorable: true }),
            isSensitive: bool(),
          },
          { versions: '5+', nullable: '5+', ignorable: true },
        ),
      }),
    },
  ),
})

export type CreateTopicsRequest = Message<typeof createTopics.request>
export type CreateTopicsResponse = Message<typeof createTopics.response>
export type CreateTopicsRequestInput = MessageInput<typeof createTopics.request>
export type CreateTopicsResponseInput = MessageInput<typeof createTopics.response>
