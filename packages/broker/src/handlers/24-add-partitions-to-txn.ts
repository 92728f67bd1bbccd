import {
  type AddPartitionsToTxnRequest,
  type AddPartitionsToTxnResponseInput,
  addPartitionsToTxn,
  ErrorCode,
} from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import type { TopicPartition } from '../transactions/transaction.ts'
import { fencedCode } from '../transactions/wire-codes.ts'

/**
 * AddPartitionsToTxn (key 24), versions 0–3: partitions join the producer's transaction, which begins with the
 * first ones. All or none: where one partition does not exist, the others are answered OPERATION_NOT_ATTEMPTED.
 * Clients of KIP-890 do not send it, because their Produce does it.
 *
 * Left out: versions 4 and 5, which brokers send each other.
 */
const FENCED_SINCE = 2

export function addPartitionsToTxnHandler({
  store,
  options,
  transactions,
}: BrokerServices): Handler<AddPartitionsToTxnRequest, AddPartitionsToTxnResponseInput> {
  return {
    api: addPartitionsToTxn,
    minVersion: 0,
    maxVersion: 3,
    async handle(request, { version }) {
      const { v3AndBelowTransactionalId: transactionalId, v3AndBelowTopics: topics } = request
      const answer = (codeOf: (topic: string, partition: number) => number) => ({
        throttleTimeMs: 0,
        resultsByTopicV3AndBelow: topics.map(({ name, partitions }) => ({
          name,
          resultsByPartition: partitions.map((partitionIndex) => ({
            partitionIndex,
            partitionErrorCode: codeOf(name, partitionIndex),
          })),
        })),
      })
      if (transactionalId === '') return answer(() => ErrorCode.INVALID_REQUEST)
      const count = topics.reduce((sum, { partitions }) => sum + partitions.length, 0)
      if (count > options.transactions.maxPartitions) return answer(() => ErrorCode.POLICY_VIOLATION)
      const wanted = topics.flatMap(({ name, partitions }) =>
        partitions.map((partition): TopicPartition => ({ topic: name, partition })),
      )
      if (wanted.some(({ topic, partition }) => refusal(store, topic, partition) !== ErrorCode.NONE)) {
        return answer((topic, partition) => {
          const errorCode = refusal(store, topic, partition)
          return errorCode === ErrorCode.NONE ? ErrorCode.OPERATION_NOT_ATTEMPTED : errorCode
        })
      }
      const producer = {
        producerId: Number(request.v3AndBelowProducerId),
        producerEpoch: request.v3AndBelowProducerEpoch,
      }
      const errorCode = await transactions.addPartitions(transactionalId, producer, wanted, 0)
      return answer(() => (version >= FENCED_SINCE ? errorCode : fencedCode(errorCode)))
    },
  }
}

function refusal(store: LogStore, topic: string, partition: number): number {
  // What the broker keeps for itself is nobody's to write to.
  if (isInternalTopic(topic)) return ErrorCode.TOPIC_AUTHORIZATION_FAILED
  const exists = store.topics.byName(topic)?.logs[partition] !== undefined
  return exists ? ErrorCode.NONE : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
}
