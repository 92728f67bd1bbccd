import { array, int32, type Message, type MessageInput, message, string, uuid } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/** The partitions a member of a consumer group shall have (KIP-848). */
export const consumerGroupTargetAssignmentMemberRecord = recordFormat(
  7,
  'ConsumerGroupTargetAssignmentMember',
  {
    key: message(
      { versions: '0', flexible: 'none' },
      {
        groupId: string(),
        memberId: string(),
      },
    ),
    value: message(
      { versions: '0', flexible: '0+' },
      {
        topicPartitions: array({
          topicId: uuid(),
          partitions: array(int32()),
        }),
      },
    ),
  },
)

export type ConsumerGroupTargetAssignmentMemberKey = Message<
  typeof consumerGroupTargetAssignmentMemberRecord.key
>
export type ConsumerGroupTargetAssignmentMemberValue = Message<
  typeof consumerGroupTargetAssignmentMemberRecord.value
>
export type ConsumerGroupTargetAssignmentMemberKeyInput = MessageInput<
  typeof consumerGroupTargetAssignmentMemberRecord.key
>
export type ConsumerGroupTargetAssignmentMemberValueInput = MessageInput<
  typeof consumerGroupTargetAssignmentMemberRecord.value
>
