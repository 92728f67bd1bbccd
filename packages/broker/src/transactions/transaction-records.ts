import {
  decodeCoordinatorRecord,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  ProtocolError,
  transactionLogRecord,
  transactionRecords,
} from '@streambus/protocol'
import type { CoordinatorRecord } from '../coordinator/coordinator-log.ts'
import { PartitionSet, TRANSACTION_STATES, type Transaction, type TransactionState } from './transaction.ts'

/**
 * Transactions as records of `__transaction_state`, in Kafka's formats TransactionLogKey and
 * TransactionLogValue: one key per transactional id, the whole state in each value, so that the last record
 * of an id says everything. `previousProducerId` is narrower than Kafka's: -1 where the former holder of the id
 * is fenced, so that a repeated request is still told from a fenced one after a restart.
 */
const VALUE_VERSION = 1
const KNOWN_STATES: ReadonlySet<string> = new Set<TransactionState>([
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
])

export function recordOf(transaction: Transaction): CoordinatorRecord {
  const { transactionalId, state, partitions } = transaction
  return {
    key: encodeCoordinatorKey(transactionLogRecord, { transactionalId }),
    value: encodeCoordinatorValue(transactionLogRecord, VALUE_VERSION, {
      producerId: BigInt(transaction.producerId),
      previousProducerId: BigInt(transaction.previousProducerId),
      nextProducerId: BigInt(transaction.nextProducerId),
      producerEpoch: transaction.producerEpoch,
      transactionTimeoutMs: transaction.timeoutMs,
      transactionStatus: TRANSACTION_STATES.indexOf(state),
      transactionPartitions:
        state === 'Empty'
          ? null
          : Array.from(partitions.byTopic(), ([topic, ids]) => ({ topic, partitionIds: [...ids] })),
      transactionLastUpdateTimestampMs: BigInt(transaction.updatedMs),
      transactionStartTimestampMs: BigInt(transaction.startMs),
      clientTransactionVersion: transaction.clientVersion,
    }),
  }
}

/** The record after which a transactional id is unknown. */
export function tombstoneOf(transactionalId: string): CoordinatorRecord {
  return { key: encodeCoordinatorKey(transactionLogRecord, { transactionalId }), value: null }
}

/**
 * The transactional id and its state; a state of null where the id was forgotten. Null for a kind of record
 * that is not known here. Throws ProtocolError on what no coordinator wrote.
 */
export function readRecord({
  key,
  value,
}: CoordinatorRecord): { transactionalId: string; transaction: Transaction | null } | null {
  const record = decodeCoordinatorRecord(transactionRecords, key, value)
  if (record === null) return null
  const { transactionalId } = record.key
  if (record.value === null) return { transactionalId, transaction: null }
  const fields = record.value
  const state = TRANSACTION_STATES[fields.transactionStatus]
  if (state === undefined || !isKnown(state)) {
    throw new ProtocolError('INVALID_VALUE', `transaction state ${fields.transactionStatus}`)
  }
  const partitions = PartitionSet.EMPTY.with(
    (fields.transactionPartitions ?? []).flatMap(({ topic, partitionIds }) =>
      partitionIds.map((partition) => ({ topic, partition })),
    ),
  )
  return {
    transactionalId,
    transaction: {
      transactionalId,
      state,
      producerId: Number(fields.producerId),
      producerEpoch: fields.producerEpoch,
      previousProducerId: Number(fields.previousProducerId),
      nextProducerId: Number(fields.nextProducerId),
      timeoutMs: fields.transactionTimeoutMs,
      partitions,
      startMs: Number(fields.transactionStartTimestampMs),
      updatedMs: Number(fields.transactionLastUpdateTimestampMs),
      clientVersion: fields.clientTransactionVersion,
    },
  }
}

function isKnown(state: (typeof TRANSACTION_STATES)[number]): state is TransactionState {
  return KNOWN_STATES.has(state)
}
