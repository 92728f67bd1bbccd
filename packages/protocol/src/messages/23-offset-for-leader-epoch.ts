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

/** Where a leader epoch ended, so that a reader can detect lost records (KIP-101, KIP-320). */
export const offsetForLeaderEpoch = api(23, 'OffsetForLeaderEpoch', {
  request: message(
    { versions: '2-4', flexible: '4+' },
    {
      replicaId: int32({ versions: '3+', default: -2, ignorable: true }),
      topics: array({
        topic: string(),
        partitions: array({
          partition: int32(),
          currentLeaderEpoch: int32({ default: -1, ignorable: true }),
          leaderEpoch: int32(),
        }),
      }),
    },
  ),
  response: message(
    { versions: '2-4', flexible: '4+' },
    {
      throttleTimeMs: int32({ ignorable: true }),
      topics: array({
        topic: string(),
        partitions: array({
          errorCode: int16(),
          partition: int32(),
          leaderEpoch: int32({ default: -1, ignorable: true }),
          endOffset: int64({ default: -1n }),
        }),
      }),
    },
  ),
})

export type OffsetForLeaderEpochRequest = Message<typeof offsetForLeaderEpoch.request>
export type OffsetForLeaderEpochResponse = Message<typeof offsetForLeaderEpoch.response>
export type OffsetForLeaderEpochRequestInput = MessageInput<typeof offsetForLeaderEpoch.request>
export type OffsetForLeaderEpochResponseInput = MessageInput<typeof offsetForLeaderEpoch.response>
