import {
  type ConsumerGroupCurrentMemberAssignmentValue,
  type ConsumerGroupMemberMetadataValue,
  consumerGroupCurrentMemberAssignmentRecord,
  consumerGroupMemberMetadataRecord,
  consumerGroupMetadataRecord,
  consumerGroupRegularExpressionRecord,
  consumerGroupTargetAssignmentMemberRecord,
  consumerGroupTargetAssignmentMetadataRecord,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  type RecordFormat,
} from '@streambus/protocol'
import type { TopicId } from '@streambus/storage'
import type { CoordinatorRecord } from '../../coordinator/coordinator-log.ts'
import type { GroupRecord } from '../group-records.ts'
import type { ConsumerGroupRecord } from './consumer-group-records.ts'
import { type CurrentAssignment, type MemberMetadata, MemberState } from './member.ts'
import type { AssignedPartitions } from './partitions.ts'

/** The only version so far of every value here. */
const VALUE_VERSION = 0

/** A record of a consumer group in Kafka's format. */
export function encodeConsumerGroupRecord(groupId: string, record: ConsumerGroupRecord): CoordinatorRecord {
  switch (record.kind) {
    case 'group':
      return encode(consumerGroupMetadataRecord, { groupId }, record.value)
    case 'member':
      return encode(
        consumerGroupMemberMetadataRecord,
        { groupId, memberId: record.memberId },
        record.value === null ? null : memberValue(record.value),
      )
    case 'targetEpoch':
      return encode(consumerGroupTargetAssignmentMetadataRecord, { groupId }, record.value)
    case 'target':
      return encode(
        consumerGroupTargetAssignmentMemberRecord,
        { groupId, memberId: record.memberId },
        record.value === null
          ? null
          : {
              topicPartitions: Array.from(record.value, ([topicId, partitions]) => ({ topicId, partitions })),
            },
      )
    case 'current':
      return encode(
        consumerGroupCurrentMemberAssignmentRecord,
        { groupId, memberId: record.memberId },
        record.value === null ? null : currentValue(record.value),
      )
    case 'regex':
      return encode(
        consumerGroupRegularExpressionRecord,
        { groupId, regularExpression: record.regex },
        record.value === null
          ? null
          : {
              topics: record.value.topics,
              version: BigInt(record.value.version),
              timestamp: BigInt(record.value.resolvedAtMs),
            },
      )
  }
}

/** The group that a decoded record is about and what it says; null where it is not of a consumer group. */
export function consumerGroupRecordOf(
  record: GroupRecord,
): { readonly groupId: string; readonly record: ConsumerGroupRecord } | null {
  switch (record.kind) {
    case 'ConsumerGroupMetadata':
      return { groupId: record.key.groupId, record: { kind: 'group', value: record.value } }
    case 'ConsumerGroupMemberMetadata': {
      const { groupId, memberId } = record.key
      const value = record.value === null ? null : memberMetadata(record.value)
      return { groupId, record: { kind: 'member', memberId, value } }
    }
    case 'ConsumerGroupTargetAssignmentMetadata':
      return { groupId: record.key.groupId, record: { kind: 'targetEpoch', value: record.value } }
    case 'ConsumerGroupTargetAssignmentMember': {
      const { groupId, memberId } = record.key
      const value =
        record.value === null
          ? null
          : new Map(record.value.topicPartitions.map(({ topicId, partitions }) => [topicId, partitions]))
      return { groupId, record: { kind: 'target', memberId, value } }
    }
    case 'ConsumerGroupCurrentMemberAssignment': {
      const { groupId, memberId } = record.key
      const value = record.value === null ? null : currentAssignment(record.value)
      return { groupId, record: { kind: 'current', memberId, value } }
    }
    case 'ConsumerGroupRegularExpression': {
      const { groupId, regularExpression: regex } = record.key
      const value =
        record.value === null
          ? null
          : {
              topics: [...record.value.topics].sort(),
              version: Number(record.value.version),
              resolvedAtMs: Number(record.value.timestamp),
            }
      return { groupId, record: { kind: 'regex', regex, value } }
    }
    default:
      return null
  }
}

function encode<KeyInput, ValueInput>(
  // biome-ignore lint/suspicious/noExplicitAny: what is decoded plays no part here.
  format: RecordFormat<string, any, any, KeyInput, ValueInput>,
  key: KeyInput,
  value: ValueInput | null,
): CoordinatorRecord {
  return {
    key: encodeCoordinatorKey(format, key),
    value: value === null ? null : encodeCoordinatorValue(format, VALUE_VERSION, value),
  }
}

function memberValue(member: MemberMetadata) {
  const { instanceId, rackId, clientId, clientHost, subscribedTopicNames } = member
  const { subscribedTopicRegex, rebalanceTimeoutMs, serverAssignor, classic } = member
  return {
    instanceId,
    rackId,
    clientId,
    clientHost,
    subscribedTopicNames,
    subscribedTopicRegex: subscribedTopicRegex === '' ? null : subscribedTopicRegex,
    rebalanceTimeoutMs,
    serverAssignor,
    classicMemberMetadata: classic,
  }
}

function memberMetadata(value: ConsumerGroupMemberMetadataValue): MemberMetadata {
  const { classicMemberMetadata, subscribedTopicNames, subscribedTopicRegex, ...rest } = value
  return {
    ...rest,
    subscribedTopicNames: [...subscribedTopicNames].sort(),
    subscribedTopicRegex: subscribedTopicRegex ?? '',
    classic:
      classicMemberMetadata === null
        ? null
        : {
            sessionTimeoutMs: classicMemberMetadata.sessionTimeoutMs,
            // The bytes are the log reader's memory, which is used again.
            supportedProtocols: classicMemberMetadata.supportedProtocols.map(({ name, metadata }) => ({
              name,
              metadata: Uint8Array.from(metadata),
            })),
          },
  }
}

function currentValue(current: CurrentAssignment) {
  const { memberEpoch, previousMemberEpoch, state, assigned, pendingRevocation } = current
  return {
    memberEpoch,
    previousMemberEpoch,
    state,
    assignedPartitions: listWithEpochs(assigned),
    partitionsPendingRevocation: listWithEpochs(pendingRevocation),
  }
}

function currentAssignment(value: ConsumerGroupCurrentMemberAssignmentValue): CurrentAssignment {
  const { memberEpoch, previousMemberEpoch } = value
  return {
    memberEpoch,
    previousMemberEpoch,
    state: Object.values(MemberState).find((state) => state === value.state) ?? MemberState.UNKNOWN,
    assigned: readWithEpochs(value.assignedPartitions, memberEpoch),
    pendingRevocation: readWithEpochs(value.partitionsPendingRevocation, memberEpoch),
  }
}

function listWithEpochs(partitions: AssignedPartitions) {
  return Array.from(partitions, ([topicId, epochs]) => ({
    topicId,
    partitions: [...epochs.keys()],
    assignmentEpochs: [...epochs.values()],
  }))
}

/** Before KIP-1251 records had no epochs per partition: the member's own is the latest that it may be. */
function readWithEpochs(
  topics: readonly {
    topicId: TopicId
    partitions: readonly number[]
    assignmentEpochs: readonly number[] | null
  }[],
  memberEpoch: number,
): AssignedPartitions {
  return new Map(
    topics.map(({ topicId, partitions, assignmentEpochs }) => [
      topicId,
      new Map(partitions.map((partition, index) => [partition, assignmentEpochs?.[index] ?? memberEpoch])),
    ]),
  )
}
