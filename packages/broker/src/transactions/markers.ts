import { type LogId, type LogStore, StorageError } from '@streambus/storage'
import { endMarker } from '../coordinator/end-marker.ts'
import { CONSUMER_OFFSETS } from '../coordinator/internal-topics.ts'
import type { Producer, Transaction } from './transaction.ts'

/** What transactions need of groups: their offsets are partitions of a transaction like any other. */
export interface TransactionalOffsets {
  /** Number of the partition of `__consumer_offsets` that keeps the group. */
  partitionOf(groupId: string): number
  /** Resolves when groups can be asked, after a start. */
  loaded(): Promise<void>
  /** Ends the producer's transaction in one partition: its offsets become visible, or are forgotten. */
  completeTransaction(
    partition: number,
    producer: Producer,
    committed: boolean,
    coordinatorEpoch: number,
  ): Promise<void>
}

export interface MarkersOptions {
  readonly store: LogStore
  readonly offsets: TransactionalOffsets
  readonly nowMs: () => number
}

/**
 * Writes the end of a transaction into each of its partitions, all in one append, and so in one durable write.
 *
 * A marker where the transaction is not open any more only takes an offset. So writing all of them again, after
 * some failed or after a restart, is safe. A partition that is gone needs none.
 *
 * Returns what failed, empty when every partition has its marker.
 */
export async function writeMarkers(
  transaction: Transaction,
  coordinatorEpoch: number,
  { store, offsets, nowMs }: MarkersOptions,
): Promise<unknown[]> {
  const { producerId, producerEpoch, clientVersion } = transaction
  const committed = transaction.state === 'PrepareCommit'
  const bytes = endMarker({ producerId, producerEpoch, committed, coordinatorEpoch, timestampMs: nowMs() })
  const batches = []
  const failures: unknown[] = []
  const failed = async (logId: LogId, error: unknown): Promise<void> => {
    if (!(await isNotMissed(store, logId, producerId, error))) failures.push(error)
  }
  const completions: Promise<void>[] = []
  for (const [name, partitions] of transaction.partitions.byTopic()) {
    const topic = store.topics.byName(name)
    for (const partition of partitions) {
      const logId = topic?.logs[partition]
      if (logId === undefined) continue
      if (name === CONSUMER_OFFSETS) {
        const producer = { producerId, producerEpoch }
        completions.push(
          offsets
            .completeTransaction(partition, producer, committed, coordinatorEpoch)
            .catch((error: unknown) => failed(logId, error)),
        )
      } else {
        batches.push({ logId, bytes, transactionVersion: clientVersion })
      }
    }
  }
  const [results] = await Promise.all([batches.length === 0 ? [] : store.append(batches), ...completions])
  for (const [at, { error }] of results.entries()) {
    if (error !== null) await failed(batches[at]!.logId, error)
  }
  return failures
}

/**
 * Whether a partition does without the marker that it did not take: it is gone, or it refuses the marker, and
 * nothing is open there. Then somebody else has ended the transaction in it.
 */
async function isNotMissed(
  store: LogStore,
  logId: LogId,
  producerId: number,
  error: unknown,
): Promise<boolean> {
  if (!(error instanceof StorageError)) return false
  switch (error.code) {
    case 'UNKNOWN_LOG':
      return true
    case 'INVALID_PRODUCER_EPOCH':
    case 'TRANSACTION_COORDINATOR_FENCED':
      return !(await hasOpenTransaction(store, logId, producerId))
    default:
      return false
  }
}

async function hasOpenTransaction(store: LogStore, logId: LogId, producerId: number): Promise<boolean> {
  try {
    const producers = await store.producers(logId)
    const producer = producers.find((known) => known.producerId === producerId)
    return producer !== undefined && producer.currentTransactionFirstOffset !== null
  } catch (error) {
    if (error instanceof StorageError) return error.code !== 'UNKNOWN_LOG'
    throw error
  }
}
