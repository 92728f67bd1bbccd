import {
  type DecodedCoordinatorRecord,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  type GroupMetadataValueInput,
  groupMetadataRecord,
  type groupRecords,
  offsetCommitRecord,
} from '@streambus/protocol'
import type { TopicId } from '@streambus/storage'
import type { CoordinatorRecord } from '../coordinator/coordinator-log.ts'
import type { CommittedOffset } from './offsets/committed-offset.ts'

/** A record of `__consumer_offsets`, told apart by `kind`; the value is null in a tombstone. */
export type GroupRecord = DecodedCoordinatorRecord<(typeof groupRecords.formats)[number]>

/** As Kafka writes them. An offset with an expiry of its own needs version 1, the only one that has it. */
const OFFSET_VERSION = 4
const OFFSET_VERSION_WITH_EXPIRY = 1
const GROUP_METADATA_VERSION = 3

/** A topic that exists: an offset is forgotten when the topic with this id is gone. */
export interface TopicName {
  readonly name: string
  readonly id: TopicId
}

export function offsetRecord(
  group: string,
  { name, id }: TopicName,
  partition: number,
  offset: CommittedOffset,
): CoordinatorRecord {
  const expires = offset.expireTimestampMs !== -1
  return {
    key: encodeCoordinatorKey(offsetCommitRecord, { group, topic: name, partition }),
    value: encodeCoordinatorValue(offsetCommitRecord, expires ? OFFSET_VERSION_WITH_EXPIRY : OFFSET_VERSION, {
      offset: BigInt(offset.offset),
      leaderEpoch: offset.leaderEpoch,
      metadata: offset.metadata,
      commitTimestamp: BigInt(offset.commitTimestampMs),
      expireTimestamp: BigInt(offset.expireTimestampMs),
      topicId: id,
    }),
  }
}

export function offsetTombstone(group: string, topic: string, partition: number): CoordinatorRecord {
  return { key: encodeCoordinatorKey(offsetCommitRecord, { group, topic, partition }), value: null }
}

export function groupMetadata(group: string, value: GroupMetadataValueInput): CoordinatorRecord {
  return {
    key: encodeCoordinatorKey(groupMetadataRecord, { group }),
    value: encodeCoordinatorValue(groupMetadataRecord, GROUP_METADATA_VERSION, value),
  }
}

export function groupMetadataTombstone(group: string): CoordinatorRecord {
  return { key: encodeCoordinatorKey(groupMetadataRecord, { group }), value: null }
}
