import {
  array,
  int8,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'
import { recordFormat } from './record-format.ts'

/**
 * The state of a transactional id (KIP-98). Value v1 has tagged fields: the producer ids before and after,
 * and the version of the protocol the client uses (KIP-890).
 */
export const transactionLogRecord = recordFormat(0, 'TransactionLog', {
  key: message(
    { versions: '0', flexible: 'none' },
    {
      transactionalId: string(),
    },
  ),
  value: message(
    { versions: '0-1', flexible: '1+' },
    {
      producerId: int64(),
      previousProducerId: int64({ versions: '1+', tag: 0, default: -1n }),
      nextProducerId: int64({ versions: '1+', tag: 1, default: -1n }),
      producerEpoch: int16(),
      nextProducerEpoch: int16({ versions: '1+', tag: 3, default: -1 }),
      transactionTimeoutMs: int32(),
      transactionStatus: int8(),
      transactionPartitions: array(
        {
          topic: string(),
          partitionIds: array(int32()),
        },
        { nullable: '0+' },
      ),
      transactionLastUpdateTimestampMs: int64(),
      transactionStartTimestampMs: int64(),
      clientTransactionVersion: int16({ versions: '1+', tag: 2, default: 0 }),
    },
  ),
})

export type TransactionLogKey = Message<typeof transactionLogRecord.key>
export type TransactionLogValue = Message<typeof transactionLogRecord.value>
export type TransactionLogKeyInput = MessageInput<typeof transactionLogRecord.key>
export type TransactionLogValueInput = MessageInput<typeof transactionLogRecord.value>
