import { array, int8, int32, type Message, type MessageInput, message, string, uuid } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/** The partitions a member of a consumer group has, and those it still has to give up (KIP-848). */
export const consumerGroupCurrentMemberAssignmentRecord = recordFormat(
  8,
  'ConsumerGroupCurrentMemberAssignment',
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
        memberEpoch: int32(),
        previousMemberEpoch: int32(),
        state: int8(),
        assignedPartitions: array({
          topicId: uuid(),
          partitions: array(int32()),
          assignmentEpochs: array(int32(), { nullable: '0+', tag: 0, default: null }),
        }),
        partitionsPendingRevocation: array({
          topicId: uuid(),
          partitions: array(int32()),
          assignmentEpochs: array(int32(), { nullable: '0+', tag: 0, default: null }),
        }),
      },
    ),
  },
)

export type ConsumerGroupCurrentMemberAssignmentKey = Message<
  typeof consumerGroupCurrentMemberAssignmentRecord.key
>
export type ConsumerGroupCurrentMemberAssignmentValue = Message<
  typeof consumerGroupCurrentMemberAssignmentRecord.value
>
export type ConsumerGroupCurrentMemberAssignmentKeyInput = MessageInput<
  typeof consumerGroupCurrentMemberAssignmentRecord.key
>
export type ConsumerGroupCurrentMemberAssignmentValueInput = MessageInput<
  typeof consumerGroupCurrentMemberAssignmentRecord.value
>
