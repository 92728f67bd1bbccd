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
 * Commits the offsets of a group as a part of a transaction (KIP-98). v2 has leader epochs (KIP-320), v3
 * checks the member (KIP-447), v5 adds the offsets to the transaction implicitly (KIP-890).
 */
export const txnOffsetCommit = api(28, 'TxnOffsetCommit', {
  request: message(
    { versions: '0-5', flexible: '3+' },
    {
      transactionalId: string(),
      groupId: string(),
      producerId: int64(),
      producerEpoch: int16(),
      generationIdOrMemberEpoch: int32({ versions: '3+', default: -1 }),
      memberId: string({ versions: '3+', default: '' }),
      groupInstanceId: string({ versions: '3+', nullable: '3+', default: null }),
      topics: array({
        name: string({ ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          committedOffset: int64(),
          committedLeaderEpoch: int32({ versions: '2+', default: -1, ignorable: true }),
          committedMetadata: string({ nullable: '0+' }),
        }),
      }),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '3+' },
    {
      throttleTimeMs: int32(),
      topics: array({
        name: string({ ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
        }),
      }),
    },
  ),
})

export type TxnOffsetCommitRequest = Message<typeof txnOffsetCommit.request>
export type TxnOffsetCommitResponse = Message<typeof txnOffsetCommit.response>
export type TxnOffsetCommitRequestInput = MessageInput<typeof txnOffsetCommit.request>
export type TxnOffsetCommitResponseInput = MessageInput<typeof txnOffsetCommit.response>
