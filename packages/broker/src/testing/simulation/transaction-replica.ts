import {
  type BatchRecords,
  decodeCoordinatorRecord,
  type TransactionLogValue,
  transactionRecords,
} from '@streambus/protocol'
import type { Asked } from './asked.ts'
import { check } from './simulation-failure.ts'

/** TransactionState of Kafka, as it stands in the log. */
export const TransactionStatus = {
  EMPTY: 0,
  ONGOING: 1,
  PREPARE_COMMIT: 2,
  PREPARE_ABORT: 3,
  COMPLETE_COMMIT: 4,
  COMPLETE_ABORT: 5,
  DEAD: 6,
  PREPARE_EPOCH_FENCE: 7,
} as const

/** Which states may follow each one. Every state may be written again. */
const FOLLOWERS: Readonly<Record<number, readonly number[]>> = {
  // KIP-890 lets an abort follow a transaction that had nothing in it: there is nothing to prepare.
  [TransactionStatus.EMPTY]: [TransactionStatus.ONGOING, TransactionStatus.COMPLETE_ABORT],
  [TransactionStatus.ONGOING]: [
    TransactionStatus.PREPARE_COMMIT,
    TransactionStatus.PREPARE_ABORT,
    TransactionStatus.PREPARE_EPOCH_FENCE,
  ],
  [TransactionStatus.PREPARE_COMMIT]: [TransactionStatus.COMPLETE_COMMIT],
  [TransactionStatus.PREPARE_ABORT]: [TransactionStatus.COMPLETE_ABORT],
  [TransactionStatus.COMPLETE_COMMIT]: [
    TransactionStatus.EMPTY,
    TransactionStatus.ONGOING,
    TransactionStatus.COMPLETE_ABORT,
  ],
  [TransactionStatus.COMPLETE_ABORT]: [TransactionStatus.EMPTY, TransactionStatus.ONGOING],
  [TransactionStatus.DEAD]: [],
  [TransactionStatus.PREPARE_EPOCH_FENCE]: [TransactionStatus.PREPARE_ABORT],
}

function isOver(status: number): boolean {
  return (
    status === TransactionStatus.EMPTY ||
    status === TransactionStatus.COMPLETE_COMMIT ||
    status === TransactionStatus.COMPLETE_ABORT
  )
}

/**
 * What the records of `__transaction_state` say. Each is checked when it becomes durable: states follow each other
 * as Kafka's do, the epoch of a producer id grows, and a transaction is only committed while somebody asks for
 * it.
 */
export class TransactionReplica {
  readonly transactions = new Map<string, TransactionLogValue>()
  /** How the last transaction of each producer id was decided, or the one before the open one. */
  readonly decisions = new Map<number, boolean>()
  readonly #asked: Asked
  readonly #onComplete: (producerId: number) => void

  /** @param onComplete a transaction of this producer is complete: nothing of it may be open any more. */
  constructor(asked: Asked, onComplete: (producerId: number) => void) {
    this.#asked = asked
    this.#onComplete = onComplete
  }

  batch(records: BatchRecords): void {
    for (const record of records) {
      const decoded = decodeCoordinatorRecord(transactionRecords, record.key!, record.value)
      check(decoded !== null, () => 'a record of __transaction_state has an unknown key')
      this.#apply(decoded.key.transactionalId, decoded.value)
    }
  }

  #apply(id: string, value: TransactionLogValue | null): void {
    const before = this.transactions.get(id)
    if (value === null) {
      check(
        before === undefined || isOver(before.transactionStatus),
        () => `${id} was forgotten in state ${before?.transactionStatus}`,
      )
      this.transactions.delete(id)
      return
    }
    this.transactions.set(id, value)
    const status = value.transactionStatus
    if (before !== undefined) {
      const former = before.transactionStatus
      check(
        former === status || FOLLOWERS[former]!.includes(status),
        () => `transaction ${id} went from state ${former} to ${status}`,
      )
      if (value.producerId === before.producerId) {
        check(
          value.producerEpoch >= before.producerEpoch,
          () => `epoch of ${id} went from ${before.producerEpoch} to ${value.producerEpoch}`,
        )
      } else {
        check(
          value.producerId > before.producerId,
          () => `producer id of ${id} went from ${before.producerId} to ${value.producerId}`,
        )
      }
    }
    const producerId = Number(value.producerId)
    if (status === TransactionStatus.PREPARE_COMMIT) {
      check(
        before?.transactionStatus === status || this.#asked.isAsked(`commit transaction ${id}`),
        () => `a transaction of ${id} was committed, and nobody asked for it`,
      )
      this.decisions.set(producerId, true)
    } else if (
      status === TransactionStatus.PREPARE_ABORT ||
      status === TransactionStatus.PREPARE_EPOCH_FENCE
    ) {
      this.decisions.set(producerId, false)
    } else if (
      (status === TransactionStatus.COMPLETE_COMMIT || status === TransactionStatus.COMPLETE_ABORT) &&
      before?.transactionStatus !== status
    ) {
      this.#onComplete(Number((before ?? value).producerId))
    }
  }
}
