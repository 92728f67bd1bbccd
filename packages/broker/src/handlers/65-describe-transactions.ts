import {
  type DescribeTransactionsRequest,
  type DescribeTransactionsResponseInput,
  describeTransactions,
  ErrorCode,
} from '@streambus/protocol'
import type { BrokerServices, Handler } from '../handler.ts'

/** DescribeTransactions (key 65), version 0: state, producer and partitions by transactional id. */
export function describeTransactionsHandler({
  transactions,
}: BrokerServices): Handler<DescribeTransactionsRequest, DescribeTransactionsResponseInput> {
  return {
    api: describeTransactions,
    minVersion: 0,
    maxVersion: 0,
    handle({ transactionalIds }) {
      // Each once: an id is short, and its transaction may have many partitions.
      const transactionStates = Array.from(new Set(transactionalIds), (transactionalId) => {
        const found = transactions.describe(transactionalId)
        if (typeof found === 'number') {
          return {
            errorCode: found,
            transactionalId,
            transactionState: '',
            transactionTimeoutMs: 0,
            transactionStartTimeMs: 0n,
            producerId: 0n,
            producerEpoch: 0,
            topics: [],
          }
        }
        return {
          errorCode: ErrorCode.NONE,
          transactionalId,
          transactionState: found.state,
          transactionTimeoutMs: found.timeoutMs,
          transactionStartTimeMs: BigInt(found.startMs),
          producerId: BigInt(found.producerId),
          producerEpoch: found.producerEpoch,
          topics: Array.from(found.partitions.byTopic(), ([topic, partitions]) => ({
            topic,
            partitions: [...partitions],
          })),
        }
      })
      return { throttleTimeMs: 0, transactionStates }
    },
  }
}
