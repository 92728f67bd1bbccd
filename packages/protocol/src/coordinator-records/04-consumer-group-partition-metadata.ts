import { array, int32, type Message, type MessageInput, message, string, uuid } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/**
 * Topics of a consumer group and how many partitions they have. Kafka before 4.1 wrote it; the hash in the
 * record of the group has taken its place.
 */
export const consumerGroupPartitionMetadataRecord = recordFormat(4, 'ConsumerGroupPartitionMetadata', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      groupId: string(),
    },
  ),
  value: message(
    { versions: '0', flexible: '0+' },
    {
      topics: array({
        topicId: uuid(),
        topicName: string(),
        numPartitions: int32(),
        partitionMetadata: array({
          partition: int32(),
          racks: array(string()),
        }),
      }),
    },
  ),
})

export type ConsumerGroupPartitionMetadataKey = Message<typeof consumerGroupPartitionMetadataRecord.key>
export type ConsumerGroupPartitionMetadataValue = Message<typeof consumerGroupPartitionMetadataRecord.value>
export type ConsumerGroupPartitionMetadataKeyInput = MessageInput<
  typeof consumerGroupPartitionMetadataRecord.key
>
export type ConsumerGroupPartitionMetadataValueInput = MessageInput<
  typeof consumerGroupPartitionMetadataRecord.value
>
