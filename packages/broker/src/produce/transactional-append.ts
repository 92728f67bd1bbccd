import { batchHeader, ErrorCode } from '@streambus/protocol'
import type { AppendBatch, AppendResult, LogStore } from '@streambus/storage'
import type { Producer, TopicPartition } from '../transactions/transaction.ts'
import type { TransactionCoordinator } from '../transactions/transaction-coordinator.ts'
import { produceCode } from '../transactions/wire-codes.ts'
import type { BatchRefusal } from './batch-check.ts'

/**
 * Appends a request's batches of which some belong to a transaction. Each of those is checked against what the
 * coordinator knows, at the moment of its append: a producer that was fenced, or a partition that is not in the
 * transaction, would leave something that no marker ever ends.
 *
 * From Produce 12 on the producer adds no partitions itself (KIP-890): those that are missing are added here,
 * durable before the append. Requests of one producer that wait for that keep their order.
 */
const ADDS_PARTITIONS_SINCE = 12

export interface TransactionalRequest {
  readonly version: number
  readonly transactionalId: string | null
  readonly batches: readonly AppendBatch[]
  /** For each batch, whether it belongs to a transaction. One of them does. */
  readonly isTransactional: readonly boolean[]
  /** Where each batch goes. */
  readonly partitions: readonly TopicPartition[]
}

/** For each batch, as in the request: what became of its append, or why there was none. */
export type TransactionalResult = AppendResult | { readonly error: BatchRefusal }

interface Services {
  readonly store: LogStore
  readonly transactions: TransactionCoordinator
}

/** What the log is told of transactional batches that came in a request of this version. */
export function transactionVersionOf(produceVersion: number): number {
  return produceVersion >= ADDS_PARTITIONS_SINCE ? 2 : 0
}

export function appendTransactional(
  { store, transactions }: Services,
  request: TransactionalRequest,
): Promise<TransactionalResult[]> {
  const { transactionalId, batches, isTransactional, partitions, version } = request
  if (transactionalId === null) {
    return appendOthers(store, request, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  }
  const producer = onlyProducerOf(request)
  if (producer === undefined) return appendOthers(store, request, ErrorCode.INVALID_PRODUCER_ID_MAPPING)
  const addsPartitions = version >= ADDS_PARTITIONS_SINCE
  if (!addsPartitions || !transactions.hasWaitingWrites(transactionalId)) {
    const { producerId, producerEpoch } = producer
    const verdicts = partitions.map(({ topic, partition }, at) =>
      isTransactional[at]
        ? transactions.verify(transactionalId, producerId, producerEpoch, topic, partition)
        : ErrorCode.NONE,
    )
    // Nothing here holds on to the batches while the disk writes them: they are copied when `append` returns.
    if (verdicts.every((errorCode) => errorCode === ErrorCode.NONE)) return store.append(batches)
    if (!addsPartitions) return appendAllowed(store, batches, verdicts, version)
  }
  return appendWhenAdded(store, transactions, transactionalId, producer, request)
}

function appendWhenAdded(
  store: LogStore,
  transactions: TransactionCoordinator,
  transactionalId: string,
  producer: Producer,
  request: TransactionalRequest,
): Promise<TransactionalResult[]> {
  const { batches, isTransactional, partitions } = request
  return new Promise((resolve, reject) => {
    const added = partitions.filter((_, at) => isTransactional[at])
    transactions
      .addPartitionsAndWrite(transactionalId, producer, added, (errorCode) => {
        // Here nothing may wait: the order of the calls is the order of the producer's sequence numbers.
        resolve(
          errorCode === ErrorCode.NONE ? store.append(batches) : appendOthers(store, request, errorCode),
        )
      })
      .catch(reject)
  })
}

/** Undefined where the transactional batches are not of one producer. */
function onlyProducerOf({ batches, isTransactional }: TransactionalRequest): Producer | undefined {
  let producer: Producer | undefined
  for (let at = 0; at < batches.length; at++) {
    if (!isTransactional[at]) continue
    const { bytes } = batches[at]!
    const producerId = batchHeader.producerId(bytes, 0)
    const producerEpoch = batchHeader.producerEpoch(bytes, 0)
    producer ??= { producerId, producerEpoch }
    if (producer.producerId !== producerId || producer.producerEpoch !== producerEpoch) return undefined
  }
  return producer
}

/** Refuses what is transactional, and appends the rest. */
function appendOthers(
  store: LogStore,
  { batches, isTransactional, version }: TransactionalRequest,
  errorCode: number,
): Promise<TransactionalResult[]> {
  return appendAllowed(
    store,
    batches,
    isTransactional.map((is) => (is ? errorCode : ErrorCode.NONE)),
    version,
  )
}

/** Appends the batches whose verdict is NONE. */
async function appendAllowed(
  store: LogStore,
  batches: readonly AppendBatch[],
  verdicts: readonly number[],
  version: number,
): Promise<TransactionalResult[]> {
  const allowed = batches.filter((_, at) => verdicts[at] === ErrorCode.NONE)
  const results = allowed.length === 0 ? [] : await store.append(allowed)
  const next = results[Symbol.iterator]()
  return verdicts.map((errorCode) =>
    errorCode === ErrorCode.NONE ? next.next().value! : { error: refusal(errorCode, version) },
  )
}

function refusal(errorCode: number, version: number): BatchRefusal {
  return { errorCode: produceCode(errorCode, version), errorMessage: reasonOf(errorCode) }
}

function reasonOf(errorCode: number): string {
  switch (errorCode) {
    case ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return 'A transactional batch needs a transactional id in its request.'
    case ErrorCode.INVALID_PRODUCER_ID_MAPPING:
      return 'The transactional id is not known with this producer id.'
    case ErrorCode.INVALID_PRODUCER_EPOCH:
    case ErrorCode.PRODUCER_FENCED:
      return 'Another producer has taken the transactional id over, or the transaction took too long.'
    case ErrorCode.TRANSACTION_ABORTABLE:
      return 'The partition was not added to the transaction.'
    case ErrorCode.CONCURRENT_TRANSACTIONS:
      return 'The transaction is being ended.'
    case ErrorCode.POLICY_VIOLATION:
      return 'The transaction has too many partitions.'
    default:
      return 'The transaction coordinator cannot be asked now.'
  }
}
