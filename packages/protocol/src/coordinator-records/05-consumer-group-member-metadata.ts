import { array, bytes, int32, type Message, type MessageInput, message, string, struct } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/**
 * What a member of a consumer group has told about itself (KIP-848). The classic part is there while the
 * member uses the classic protocol.
 */
export const consumerGroupMemberMetadataRecord = recordFormat(5, 'ConsumerGroupMemberMetadata', {
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
      instanceId: string({ nullable: '0+' }),
      rackId: string({ nullable: '0+' }),
      clientId: string(),
      clientHost: string(),
      subscribedTopicNames: array(string()),
      subscribedTopicRegex: string({ nullable: '0+' }),
      rebalanceTimeoutMs: int32({ default: -1 }),
      serverAssignor: string({ nullable: '0+' }),
      classicMemberMetadata: struct(
        {
          sessionTimeoutMs: int32(),
          supportedProtocols: array({
            name: string(),
            metadata: bytes(),
          }),
        },
        { nullable: '0+', tag: 0, default: null },
      ),
    },
  ),
})

export type ConsumerGroupMemberMetadataKey = Message<typeof consumerGroupMemberMetadataRecord.key>
export type ConsumerGroupMemberMetadataValue = Message<typeof consumerGroupMemberMetadataRecord.value>
export type ConsumerGroupMemberMetadataKeyInput = MessageInput<typeof consumerGroupMemberMetadataRecord.key>
export type ConsumerGroupMemberMetadataValueInput = MessageInput<
  typeof consumerGroupMemberMetadataRecord.value
>
