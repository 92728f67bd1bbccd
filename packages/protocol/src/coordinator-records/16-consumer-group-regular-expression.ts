import { array, int64, type Message, type MessageInput, message, string } from '../schema.ts'
import { recordFormat } from './record-format.ts'

/** The topics a regular expression of a consumer group stood for when it was last resolved (KIP-848). */
export const consumerGroupRegularExpressionRecord = recordFormat(16, 'ConsumerGroupRegularExpression', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      groupId: string(),
      regularExpression: string(),
    },
  ),
  value: message(
    { versions: '0', flexible: '0+' },
    {
      topics: array(string()),
      version: int64(),
      timestamp: int64(),
    },
  ),
})

export type ConsumerGroupRegularExpressionKey = Message<typeof consumerGroupRegularExpressionRecord.key>
export type ConsumerGroupRegularExpressionValue = Message<typeof consumerGroupRegularExpressionRecord.value>
export type ConsumerGroupRegularExpressionKeyInput = MessageInput<
  typeof consumerGroupRegularExpressionRecord.key
>
export type ConsumerGroupRegularExpressionValueInput = MessageInput<
  typeof consumerGroupRegularExpressionRecord.value
>
