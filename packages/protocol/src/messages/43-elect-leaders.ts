import {
  api,
  array,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/** Elects leaders of partitions: the preferred ones, or from v1 any that there is (KIP-183, KIP-460). */
export const electLeaders = api(43, 'ElectLeaders', {
  request: message(
    { versions: '0-2', flexible: '2+' },
    {
      electionType: int8({ versions: '1+' }),
      topicPartitions: array(
        {
          topic: string(),
          partitions: array(int32()),
        },
        { nullable: '0+' },
      ),
      timeoutMs: int32({ default: 60000 }),
    },
  ),
  response: message(
    { versions: '0-2', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16({ versions: '1+' }),
      replicaElectionResults: array({
        topic: string(),
        partitionResult: array({
          partitionId: int32(),
          errorCode: int16(),
          errorMessage: string({ nullable: '0+' }),
        }),
      }),
    },
  ),
})

export type ElectLeadersRequest = Message<typeof electLeaders.request>
export type ElectLeadersResponse = Message<typeof electLeaders.response>
export type ElectLeadersRequestInput = MessageInput<typeof electLeaders.request>
export type ElectLeadersResponseInput = MessageInput<typeof electLeaders.response>
