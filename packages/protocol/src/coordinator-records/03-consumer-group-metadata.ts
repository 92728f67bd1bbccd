import { int32, int64, type Message, type MessageInput, message, string } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/** The epoch of a consumer group (KIP-848), and a hash of the topics it consumes (KIP-1101). */
export const consumerGroupMetadataRecord = recordFormat(3, 'ConsumerGroupMetadata', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      groupId: string(),
    },
  ),
  value: message(
    { versions: '0', flexible: '0+' },
    {
      epoch: int32(),
      metadataHash: int64({ tag: 0, default: 0n }),
    },
  ),
})

export type ConsumerGroupMetadataKey = Message<typeof consumerGroupMetadataRecord.key>
export type ConsumerGroupMetadataValue = Message<typeof consumerGroupMetadataRecord.value>
export type ConsumerGroupMetadataKeyInput = MessageInput<typeof consumerGroupMetadataRecord.key>
export type ConsumerGroupMetadataValueInput = MessageInput<typeof consumerGroupMetadataRecord.value>
