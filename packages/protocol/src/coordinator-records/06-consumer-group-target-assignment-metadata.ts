import { int32, int64, type Message, type MessageInput, message, string } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/** The group epoch for which the target assignment of a consumer group was computed (KIP-848). */
export const consumerGroupTargetAssignmentMetadataRecord = recordFormat(
  6,
  'ConsumerGroupTargetAssignmentMetadata',
  {
    key: message(
      { versions: '0', flexible: 'none' },
      {
        groupId: string(),
      },
    ),
    value: message(
      { versions: '0', flexible: '0+' },
      {
        assignmentEpoch: int32(),
        assignmentTimestamp: int64({ tag: 0, default: 0n, ignorable: true }),
      },
    ),
  },
)

export type ConsumerGroupTargetAssignmentMetadataKey = Message<
  typeof consumerGroupTargetAssignmentMetadataRecord.key
>
export type ConsumerGroupTargetAssignmentMetadataValue = Message<
  typeof consumerGroupTargetAssignmentMetadataRecord.value
>
export type ConsumerGroupTargetAssignmentMetadataKeyInput = MessageInput<
  typeof consumerGroupTargetAssignmentMetadataRecord.key
>
export type ConsumerGroupTargetAssignmentMetadataValueInput = MessageInput<
  typeof consumerGroupTargetAssignmentMetadataRecord.value
>
