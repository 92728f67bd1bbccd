import {
  api,
  array,
  int8,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Finds offsets by timestamp. v0 lists segment bounds, v1 gives one offset, v4 checks the leader epoch
 * (KIP-320), v7 knows the largest timestamp (KIP-734), v8–v11 the borders of tiered storage (KIP-405,
 * KIP-1005, KIP-1023).
 */
export const listOffsets = api(2, 'ListOffsets', {
  request: message(
    { versions: '0-11', flexible: '6+' },
    {
      replicaId: int32(),
      isolationLevel: int8({ versions: '2+' }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          currentLeaderEpoch: int32({ versions: '4+', default: -1, ignorable: true }),
          timestamp: int64(),
          maxNumOffsets: int32({ versions: '0', default: 1 }),
        }),
      }),
      timeoutMs: int32({ versions: '10+', ignorable: true }),
    },
  ),
  response: message(
    { versions: '0-11', flexible: '6+' },
    {
      throttleTimeMs: int32({ versions: '2+', ignorable: true }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          oldStyleOffsets: array(int64(), { versions: '0' }),
          timestamp: int64({ versions: '1+', default: -1n }),
          offset: int64({ versions: '1+', default: -1n }),
          leaderEpoch: int32({ versions: '4+', default: -1 }),
        }),
      }),
    },
  ),
})

export type ListOffsetsRequest = Message<typeof listOffsets.request>
export type ListOffsetsResponse = Message<typeof listOffsets.response>
export type ListOffsetsRequestInput = MessageInput<typeof listOffsets.request>
export type ListOffsetsResponseInput = MessageInput<typeof listOffsets.response>
