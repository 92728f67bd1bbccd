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
  /** Where each batch goes. */
  readonly partitions: readonly TopicPartition[]
}

/** For each batch, as in the request: what became of its append, or why there was none. */
export type TransactionalResult = AppendResult | { readonly error: BatchRefusal }

interface Services {
  readonly store: LogStore
  readonly transactions: TransactionCoordinator
}

export function appendTransactional(
  { store, transactions }: Services,
  request: TransactionalRequest,
): Promise<TransactionalResult[]> {
  const { transactionalId, partitions, version } = request
  const isTransactional = request.batches.map(({ bytes }) => batchHeader.isTransactional(bytes, 0))
  const addsPartitions = version >= ADDS_PARTITIONS_SINCE
  const batches = addsPartitions
    ? request.batches.map((batch, at) => (isTransactional[at] ? { ...batch, transactionVersion: 2 } : batch))
    : request.batches
  const refuseAll = (errorCode: number): Promise<TransactionalResult[]> =>
    appendAllowed(
      store,
      batches,
      isTransactional.map((is) => (is ? errorCode : ErrorCode.NONE)),
      version,
    )
  if (transactionalId === null) return refuseAll(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  const producer = producerOf(batches[isTransactional.indexOf(true)]!)
  const { producerId, producerEpoch } = producer
  const isMixed = batches.some((batch, at) => {
    if (!isTransactional[at]) return false
    const other = producerOf(batch)
    return other.producerId !== producerId || other.producerEpoch !== producerEpoch
  })
  if (isMixed) return refuseAll(ErrorCode.INVALID_PRODUCER_ID_MAPPING)

  const verify = (): number[] =>
    partitions.map(({ topic, partition }, at) =>
      isTransactional[at]
        ? transactions.verify(transactionalId, producerId, producerEpoch, topic, partition)
        : ErrorCode.NONE,
    )
  if (!addsPartitions || !transactions.hasWaitingWrites(transactionalId)) {
    const verdicts = verify()
    // Nothing here holds on to the batches while the disk writes them: they are copied when `append` returns.
    if (verdicts.every((errorCode) => errorCode === ErrorCode.NONE)) return store.append(batches)
    if (!addsPartitions) return appendAllowed(store, batches, verdicts, version)
  }
  return new Promise((resolve, reject) => {
    const added = partitions.filter((_, at) => isTransactional[at])
    transactions
      .addPartitionsAndWrite(transactionalId, producer, added, (errorCode) => {
        // Here nothing may wait: the order of the calls is the order of the producer's sequence numbers.
        resolve(errorCode === ErrorCode.NONE ? store.append(batches) : refuseAll(errorCode))
      })
      .catch(reject)
  })
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

function producerOf({ bytes }: AppendBatch): Producer {
  return { producerId: batchHeader.producerId(bytes, 0), producerEpoch: batchHeader.producerEpoch(bytes, 0) }
}
