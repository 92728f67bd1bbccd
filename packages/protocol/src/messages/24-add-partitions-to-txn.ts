import {
  api,
  array,
  bool,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

const topic = {
  name: string(),
  partitions: array(int32()),
}

const topicResult = {
  name: string(),
  resultsByPartition: array({
    partitionIndex: int32(),
    partitionErrorCode: int16(),
  }),
}

/**
 * Adds partitions to a transaction (KIP-98). Clients use up to v3; v4 and v5 take several transactions, or
 * only verify one, and go from broker to broker (KIP-890).
 */
export const addPartitionsToTxn = api(24, 'AddPartitionsToTxn', {
  request: message(
    { versions: '0-5', flexible: '3+' },
    {
      transactions: array(
        {
          transactionalId: string(),
          producerId: int64(),
          producerEpoch: int16(),
          verifyOnly: bool({ default: false }),
          topics: array(topic),
        },
        { versions: '4+' },
      ),
      v3AndBelowTransactionalId: string({ versions: '0-3' }),
      v3AndBelowProducerId: int64({ versions: '0-3' }),
      v3AndBelowProducerEpoch: int16({ versions: '0-3' }),
      v3AndBelowTopics: array(topic, { versions: '0-3' }),
    },
  ),
  response: message(
    { versions: '0-5', flexible: '3+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16({ versions: '4+', ignorable: true }),
      resultsByTransaction: array(
        {
          transactionalId: string(),
          topicResults: array(topicResult),
        },
        { versions: '4+' },
      ),
      resultsByTopicV3AndBelow: array(topicResult, { versions: '0-3' }),
    },
  ),
})

export type AddPartitionsToTxnRequest = Message<typeof addPartitionsToTxn.request>
export type AddPartitionsToTxnResponse = Message<typeof addPartitionsToTxn.response>
export type AddPartitionsToTxnRequestInput = MessageInput<typeof addPartitionsToTxn.request>
export type AddPartitionsToTxnResponseInput = MessageInput<typeof addPartitionsToTxn.response>
