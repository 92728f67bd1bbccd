import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
  struct,
  uuid,
} from '../schema.ts'

const assignment = {
  topicPartitions: array({
    topicId: uuid(),
    topicName: string(),
    partitions: array(int32()),
  }),
}

/**
 * State and members of consumer groups (KIP-848). v1 tells members of the classic protocol apart (KIP-1099).
 */
export const consumerGroupDescribe = api(69, 'ConsumerGroupDescribe', {
  request: message(
    { versions: '0-1', flexible: '0+' },
    {
      groupIds: array(string()),
      includeAuthorizedOperations: bool(),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      groups: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+', default: null }),
        groupId: string(),
        groupState: string(),
        groupEpoch: int32(),
        assignmentEpoch: int32(),
        assignorName: string(),
        members: array({
          memberId: string(),
          instanceId: string({ nullable: '0+', default: null }),
          rackId: string({ nullable: '0+', default: null }),
          memberEpoch: int32(),
          clientId: string(),
          clientHost: string(),
          subscribedTopicNames: array(string()),
          subscribedTopicRegex: string({ nullable: '0+', default: null }),
          assignment: struct(assignment),
          targetAssignment: struct(assignment),
          memberType: int8({ versions: '1+', default: -1, ignorable: true }),
        }),
        authorizedOperations: int32({ default: -2147483648 }),
      }),
    },
  ),
})

export type ConsumerGroupDescribeRequest = Message<typeof consumerGroupDescribe.request>
export type ConsumerGroupDescribeResponse = Message<typeof consumerGroupDescribe.response>
export type ConsumerGroupDescribeRequestInput = MessageInput<typeof consumerGroupDescribe.request>
export type ConsumerGroupDescribeResponseInput = MessageInput<typeof consumerGroupDescribe.response>
