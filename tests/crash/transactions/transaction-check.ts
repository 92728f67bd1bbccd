/**
 * Compares what a consumer of committed records is shown with the transactions there were: each one whole or
 * not at all, its offset included; those whose commit was acknowledged are there, once and in order; aborted
 * ones are not.
 */
import { identify } from '../content.ts'
import type { ToldOffset } from '../groups/committed-offsets.ts'
import { metadataOf } from '../groups/committed-offsets.ts'
import {
  SERIALS_PER_TRANSACTION,
  type Transaction,
  type TransactionalHistory,
} from './transactional-history.ts'

/** What was read after everything had ended. */
export interface LedgerContent {
  /** Values by partition, as a consumer of committed records is shown them. */
  readonly partitions: readonly (readonly (Uint8Array | null)[])[]
  /** The committed offset of each producer's group, in the order of the producers; null when none is told. */
  readonly offsets: readonly (ToldOffset | null)[]
}

/** What is wrong after this many faults is wrong everywhere. */
const MAX_FAULTS = 10

/** Decides what was unknown by what is there: from then on that may not change any more. */
export function checkTransactions(
  histories: readonly TransactionalHistory[],
  { partitions, offsets }: LedgerContent,
): string[] {
  const faults: string[] = []
  /** Serials shown, by writer and partition. */
  const shown = new Map<number, number[][]>(histories.map(({ writer }) => [writer, partitions.map(() => [])]))
  partitions.forEach((values, partition) => {
    values.forEach((value, index) => {
      const identity = identify(value)
      const serials = identity === null ? undefined : shown.get(identity.writer)?.[partition]
      if (serials === undefined) {
        faults.push(`committed record ${index} of partition ${partition} is not what was written`)
        return
      }
      serials.push(identity!.serial)
    })
  })
  histories.forEach((history, index) => {
    faults.push(...checkHistory(history, shown.get(history.writer)!, offsets[index]!))
  })
  return faults.slice(0, MAX_FAULTS)
}

function checkHistory(
  history: TransactionalHistory,
  shown: readonly (readonly number[])[],
  told: ToldOffset | null,
): string[] {
  const faults: string[] = []
  const byTransaction = new Map<number, Map<number, number[]>>()
  shown.forEach((serials, partition) => {
    serials.forEach((serial, index) => {
      if (index > 0 && serials[index - 1]! > serial) {
        faults.push(`${history.transactionalId}: record ${serial} comes late in partition ${partition}`)
      }
      const number = Math.floor(serial / SERIALS_PER_TRANSACTION)
      const parts = byTransaction.get(number) ?? new Map<number, number[]>()
      parts.set(partition, [...(parts.get(partition) ?? []), serial])
      byTransaction.set(number, parts)
    })
  })
  for (const transaction of history.transactions) {
    const parts = byTransaction.get(transaction.number) ?? new Map<number, number[]>()
    const fault = checkTransaction(transaction, parts)
    if (fault !== null) faults.push(`${history.transactionalId}, transaction ${transaction.number}: ${fault}`)
    byTransaction.delete(transaction.number)
  }
  for (const number of byTransaction.keys()) {
    faults.push(`${history.transactionalId}: transaction ${number} never was`)
  }
  const { expectedOffset } = history
  if ((told?.offset ?? -1) !== expectedOffset) {
    faults.push(
      `${history.transactionalId}: the offset of its group is ${told?.offset ?? 'missing'}, not ${expectedOffset}`,
    )
  } else if (expectedOffset >= 0 && told?.metadata !== metadataOf(expectedOffset)) {
    faults.push(`${history.transactionalId}: the metadata of its offset is ${told?.metadata}`)
  }
  return faults
}

function checkTransaction(
  transaction: Transaction,
  parts: ReadonlyMap<number, readonly number[]>,
): string | null {
  if (parts.size === 0) {
    if (transaction.outcome === 'committed') return 'its commit was acknowledged and it is not there'
    if (transaction.outcome === 'unknown') transaction.outcome = 'aborted'
    return transaction.outcome === 'open' ? 'it is still open' : null
  }
  if (transaction.outcome === 'aborted') return 'it was aborted and is shown'
  for (const [partition, serials] of transaction.records) {
    const found = parts.get(partition) ?? []
    if (new Set(found).size < found.length) return `partition ${partition} shows records of it twice`
    if (found.length !== serials.length || found.some((serial, index) => serial !== serials[index])) {
      return `partition ${partition} shows ${found.length} of ${serials.length} records`
    }
  }
  for (const partition of parts.keys()) {
    if (!transaction.records.has(partition))
      return `partition ${partition} shows records that were not written there`
  }
  if (transaction.outcome === 'unknown') transaction.outcome = 'committed'
  return transaction.outcome === 'open' ? 'it is shown and did not end' : null
}
