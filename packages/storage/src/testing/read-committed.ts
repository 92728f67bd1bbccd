import type { AbortedTransaction, LogId, LogStore, Offset } from '../log-store.ts'
import { bytesOf, type FoundRecord, recordsIn } from './batches.ts'

/** What a `read_committed` consumer gets, by the rules by which Kafka's clients sort out what was aborted. */
export interface CommittedView {
  readonly records: readonly FoundRecord[]
  readonly lastStableOffset: Offset
}

/** Everything from `offset` to the last stable offset, in answers of at most `maxBytes`. */
export async function readCommitted(
  store: LogStore,
  logId: LogId,
  offset: Offset,
  maxBytes = 1024 ** 2,
): Promise<CommittedView> {
  const records: FoundRecord[] = []
  for (let next = offset; ; ) {
    const [result] = await store.read([{ logId, offset: next, maxBytes, readCommitted: true }], { maxBytes })
    if (result === undefined) throw new Error('no result')
    if (result.error !== null) throw result.error
    const { lastStableOffset, abortedTransactions } = result
    const found = recordsIn(await bytesOf(result.records))
    if (found.length === 0) {
      if (next < lastStableOffset) throw new Error(`nothing at ${next}, stable up to ${lastStableOffset}`)
      if (abortedTransactions!.length > 0) throw new Error('aborted transactions and no records')
      return { records, lastStableOffset }
    }
    if (found.at(-1)!.offset >= lastStableOffset) {
      throw new Error(`offset ${found.at(-1)!.offset} is not below ${lastStableOffset}`)
    }
    records.push(...committedOf(found, abortedTransactions!).filter((record) => record.offset >= next))
    next = found.at(-1)!.offset + 1
  }
}

/**
 * A client begins to leave out a producer's transactional records where a transaction of the list begins, and
 * ends with its abort marker.
 */
function committedOf(
  found: readonly FoundRecord[],
  abortedTransactions: readonly AbortedTransaction[],
): FoundRecord[] {
  const waiting = [...abortedTransactions].sort((a, b) => a.firstOffset - b.firstOffset)
  const aborted = new Set<number>()
  const committed: FoundRecord[] = []
  for (const record of found) {
    while (waiting.length > 0 && waiting[0]!.firstOffset <= record.offset) {
      aborted.add(waiting.shift()!.producerId)
    }
    if (record.marker !== null) {
      if (record.marker.type === 'abort') aborted.delete(record.producerId)
    } else if (!record.isTransactional || !aborted.has(record.producerId)) committed.push(record)
  }
  return committed
}

export async function committedValuesOf(
  store: LogStore,
  logId: LogId,
  offset: Offset = 0,
  maxBytes?: number,
): Promise<string[]> {
  return (await readCommitted(store, logId, offset, maxBytes)).records.map(({ value }) => value)
}
