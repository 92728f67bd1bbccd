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
  uuid,
} from '../schema.ts'

/**
 * Commits the offsets a group has consumed to. v0 knows no members and v1 sends the time of the commit with
 * each offset (both gone since Kafka 4.0), v2–v4 a retention time, v6 leader epochs (KIP-320), v7 static
 * members (KIP-345); v9 is the first that members of the consumer protocol may use (KIP-848), v10 names
 * topics by id.
 */
export const offsetCommit = api(8, 'OffsetCommit', {
  request: message(
    { versions: '0-10', flexible: '8+' },
    {
      groupId: string(),
      generationIdOrMemberEpoch: int32({ versions: '1+', default: -1, ignorable: true }),
      memberId: string({ versions: '1+', ignorable: true }),
      groupInstanceId: string({ versions: '7+', nullable: '7+', default: null }),
      retentionTimeMs: int64({ versions: '2-4', default: -1n, ignorable: true }),
      topics: array({
        name: string({ versions: '0-9', ignorable: true }),
        topicId: uuid({ versions: '10+', ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          committedOffset: int64(),
          committedLeaderEpoch: int32({ versions: '6+', default: -1, ignorable: true }),
          commitTimestamp: int64({ versions: '1', default: -1n }),
          committedMetadata: string({ nullable: '0+' }),
        }),
      }),
    },
  ),
  response: message(
    { versions: '0-10', flexible: '8+' },
    {
      throttleTimeMs: int32({ versions: '3+', ignorable: true }),
      topics: array({
        name: string({ versions: '0-9', ignorable: true }),
        topicId: uuid({ versions: '10+', ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
        }),
      }),
    },
  ),
})

export type OffsetCommitRequest = Message<typeof offsetCommit.request>
export type OffsetCommitResponse = Message<typeof offsetCommit.response>
export type OffsetCommitRequestInput = MessageInput<typeof offsetCommit.request>
export type OffsetCommitResponseInput = MessageInput<typeof offsetCommit.response>
