import {
  api,
  array,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
  struct,
  uuid,
} from '../schema.ts'

/**
 * Joins, keeps and leaves a consumer group, and carries the assignment (KIP-848). v1 subscribes by regular
 * expression and lets the member choose its id (KIP-1082).
 */
export const consumerGroupHeartbeat = api(68, 'ConsumerGroupHeartbeat', {
  request: message(
    { versions: '0-1', flexible: '0+' },
    {
      groupId: string(),
      memberId: string(),
      memberEpoch: int32(),
      instanceId: string({ nullable: '0+', default: null }),
      rackId: string({ nullable: '0+', default: null }),
      rebalanceTimeoutMs: int32({ default: -1 }),
      subscribedTopicNames: array(string(), { nullable: '0+', default: null }),
      subscribedTopicRegex: string({ versions: '1+', nullable: '1+', default: null }),
      serverAssignor: string({ nullable: '0+', default: null }),
      topicPartitions: array(
        {
          topicId: uuid(),
          partitions: array(int32()),
        },
        { nullable: '0+', default: null },
      ),
    },
  ),
  response: message(
    { versions: '0-1', flexible: '0+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: '0+', default: null }),
      memberId: string({ nullable: '0+', default: null }),
      memberEpoch: int32(),
      heartbeatIntervalMs: int32(),
      assignment: struct(
        {
          topicPartitions: array({
            topicId: uuid(),
            partitions: array(int32()),
          }),
        },
        { nullable: '0+', default: null },
      ),
    },
  ),
})

export type ConsumerGroupHeartbeatRequest = Message<typeof consumerGroupHeartbeat.request>
export type ConsumerGroupHeartbeatResponse = Message<typeof consumerGroupHeartbeat.response>
export type ConsumerGroupHeartbeatRequestInput = MessageInput<typeof consumerGroupHeartbeat.request>
export type ConsumerGroupHeartbeatResponseInput = MessageInput<typeof consumerGroupHeartbeat.response>
