import { int32, int64, type Message, type MessageInput, message, string, uuid } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/**
 * The offset a group has committed for a partition. Value v1 has a time at which it expires (KIP-211 took
 * that out again), v3 the leader epoch (KIP-320), v4 the id of the topic.
 */
export const offsetCommitRecord = recordFormat(1, 'OffsetCommit', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      group: string(),
      topic: string(),
      partition: int32(),
    },
  ),
  value: message(
    { versions: '0-4', flexible: '4+' },
    {
      offset: int64(),
      leaderEpoch: int32({ versions: '3+', default: -1, ignorable: true }),
      metadata: string(),
      commitTimestamp: int64(),
      expireTimestamp: int64({ versions: '1', default: -1n, ignorable: true }),
      topicId: uuid({ versions: '4+', tag: 0, ignorable: true }),
    },
  ),
})

export type OffsetCommitKey = Message<typeof offsetCommitRecord.key>
export type OffsetCommitValue = Message<typeof offsetCommitRecord.value>
export type OffsetCommitKeyInput = MessageInput<typeof offsetCommitRecord.key>
export type OffsetCommitValueInput = MessageInput<typeof offsetCommitRecord.value>
