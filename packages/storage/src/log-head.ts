import { batchHeader } from '@streambus/protocol'
import type { BatchFate } from './compaction/checked-batch.ts'
import {
  type AbortedTransaction,
  type AppendBatch,
  type LogId,
  type LogState,
  type Offset,
  StorageError,
  type TopicId,
} from './log-store.ts'
import { type ProducerBatch, producerBatchIn } from './producer-batch.ts'
import {
  entryAfter,
  entryWithoutFirst,
  judge,
  PRODUCER_EXPIRY_MS,
  ProducerBudget,
  type ProducerEntry,
  ProducerTable,
  type ProducerVerdict,
} from './producer-table.ts'
import type { Compacted } from './store-state.ts'
import { type TransactionChange, TransactionTable } from './transaction-table.ts'

const NO_PRODUCER_ID = -1
const NONE: readonly AbortedTransaction[] = []

/** What `admit` decided about a batch. */
export type Admission =
  | {
      readonly kind: 'accepted'
      readonly baseOffset: Offset
      /** Set for idempotent producers: what `withdraw` puts back. */
      readonly producerId: number
      readonly previousProducer: ProducerEntry | undefined
      /** For `commit`: the transaction that begins or ends with the batch; null for most. */
      readonly transaction: TransactionChange | null
    }
  | { readonly kind: 'duplicate'; readonly baseOffset: Offset }
  | { readonly kind: 'refused'; readonly error: StorageError }

/**
 * The head of one log: where it starts and ends, who may append, and which offset comes next.
 *
 * There are two views of it. That of admission runs ahead: a batch gets its offset (`nextOffset`) and changes
 * the state of its producer when it is admitted, so that the next one is judged by it. That of readers
 * (`highWatermark`, the last stable offset, the aborted transactions) changes when the batch is durable. When
 * a write fails, everything admitted but not durable is withdrawn in reverse order, so that the offsets are
 * given again and none is skipped; readers never saw any of it.
 */
export class LogHead {
  readonly id: LogId
  readonly topicId: TopicId
  startOffset: Offset = 0
  /** Offset of the next batch to be admitted. */
  nextOffset: Offset = 0
  /** End of what is durable. */
  highWatermark: Offset = 0
  sizeBytes = 0
  /** Below it no compaction has anything left to do but to let tombstones go. */
  cleanedTo: Offset = 0
  ownerEpoch = 0
  readonly leaderEpoch = 0
  deleted = false
  readonly producers: ProducerTable
  /** Null until the log's first transaction. */
  #transactions: TransactionTable | null = null

  /** @param budget shared by the logs of a store */
  constructor(id: LogId, topicId: TopicId, budget = new ProducerBudget()) {
    this.id = id
    this.topicId = topicId
    this.producers = new ProducerTable(budget)
  }

  /** Where the earliest open transaction begins, but not below the start; the high watermark without one. */
  get lastStableOffset(): Offset {
    const first = this.#transactions === null ? null : this.#transactions.firstOpenOffset
    return first === null ? this.highWatermark : Math.max(first, this.startOffset)
  }

  /** Null for logs that never had a transaction. */
  get transactions(): TransactionTable | null {
    return this.#transactions
  }

  /** Judges a batch and, when it is accepted, gives it the next offsets. */
  admit(batch: AppendBatch, nowMs: number): Admission {
    const { bytes } = batch
    if (batch.ownerEpoch !== undefined && batch.ownerEpoch < this.ownerEpoch) {
      return {
        kind: 'refused',
        error: new StorageError(
          'FENCED_OWNER',
          `log ${this.id} was taken over: owner epoch ${batch.ownerEpoch} is older than ${this.ownerEpoch}`,
        ),
      }
    }
    const baseOffset = this.nextOffset
    const lastOffset = baseOffset + batchHeader.lastOffsetDelta(bytes, 0)
    const produced = producerBatchIn(bytes, 0, lastOffset - baseOffset)
    let previousProducer: ProducerEntry | undefined
    let transaction: TransactionChange | null = null
    if (produced !== null) {
      previousProducer = this.producers.get(produced.producerId)
      const verdict = judge(previousProducer, produced, batch.transactionVersion ?? 0)
      if (verdict.kind === 'duplicate') return { kind: 'duplicate', baseOffset: verdict.baseOffset }
      if (verdict.kind !== 'accept') return { kind: 'refused', error: refusal(produced, verdict) }
      transaction = this.#advance(produced, previousProducer, baseOffset, lastOffset, nowMs)
    }
    this.nextOffset = lastOffset + 1
    const producerId = produced === null ? NO_PRODUCER_ID : produced.producerId
    return { kind: 'accepted', baseOffset, producerId, previousProducer, transaction }
  }

  /** Takes back the latest admission that is not durable. Callers withdraw in reverse order. */
  withdraw(baseOffset: Offset, producerId: number, previousProducer: ProducerEntry | undefined): void {
    this.nextOffset = baseOffset
    if (producerId === NO_PRODUCER_ID) return
    const first = previousProducer === undefined ? this.producers.get(producerId) : undefined
    this.producers.set(producerId, first === undefined ? previousProducer : entryWithoutFirst(first))
  }

  /** Replays a batch that is durable already: the same changes as `admit` and `commit`, without judging. */
  replay(bytes: Uint8Array, position: number, baseOffset: Offset, byteLength: number, nowMs: number): void {
    const lastOffset = baseOffset + batchHeader.lastOffsetDelta(bytes, position)
    const produced = producerBatchIn(bytes, position, lastOffset - baseOffset)
    const transaction =
      produced === null
        ? null
        : this.#advance(produced, this.producers.get(produced.producerId), baseOffset, lastOffset, nowMs)
    this.nextOffset = lastOffset + 1
    this.commit(this.nextOffset, byteLength, transaction)
  }

  /** Everything below `endOffset` is durable and may be seen. */
  commit(endOffset: Offset, byteLength: number, transaction: TransactionChange | null): void {
    this.highWatermark = endOffset
    this.sizeBytes += byteLength
    if (transaction !== null) this.#changedTransactions().apply(transaction)
  }

  /** Moves the start forward; `freedBytes` is what ends at or before it. */
  advanceStart(to: Offset, freedBytes: number): void {
    this.startOffset = to
    this.sizeBytes -= freedBytes
    this.#transactions?.trim(to)
  }

  /** What became of a batch that lies below the last stable offset, for compaction. */
  fateOf(bytes: Uint8Array, position: number): BatchFate {
    if (batchHeader.isControl(bytes, position)) return 'marker'
    if (!batchHeader.isTransactional(bytes, position)) return 'plain'
    const producerId = batchHeader.producerId(bytes, position)
    const aborted = this.#transactions?.wasAborted(producerId, batchHeader.baseOffset(bytes, position))
    return aborted === true ? 'aborted' : 'committed'
  }

  /** A compacted segment counts from now on. */
  segmentCompacted({ decidedTo, cleanedTo, freedBytes }: Compacted): void {
    this.cleanedTo = Math.max(this.cleanedTo, cleanedTo)
    this.compacted(decidedTo, freedBytes)
  }

  /**
   * Everything below `endOffset` is compacted: `freedBytes` are gone, and so are the aborted transactions that
   * ended there. A reader that was told of one would look for its marker, which is gone, and leave out what that
   * producer wrote in later transactions.
   */
  compacted(endOffset: Offset, freedBytes: number): void {
    this.sizeBytes -= freedBytes
    this.#transactions?.trim(endOffset)
  }

  /** Takes over what a checkpoint holds of the log: all of it is durable. */
  restore(
    range: {
      startOffset: Offset
      endOffset: Offset
      sizeBytes: number
      ownerEpoch: number
      cleanedTo: Offset
    },
    producers: readonly (readonly [number, ProducerEntry])[],
    abortedFields: readonly number[],
  ): void {
    this.startOffset = range.startOffset
    this.nextOffset = range.endOffset
    this.highWatermark = range.endOffset
    this.sizeBytes = range.sizeBytes
    this.ownerEpoch = range.ownerEpoch
    this.cleanedTo = range.cleanedTo
    if (abortedFields.length > 0) this.#changedTransactions().restoreAborted(abortedFields)
    const open: { producerId: number; firstOffset: Offset }[] = []
    for (const [producerId, entry] of producers) {
      this.producers.set(producerId, entry)
      const { transactionFirstOffset: firstOffset } = entry
      if (firstOffset !== null) open.push({ producerId, firstOffset })
    }
    open.sort((a, b) => a.firstOffset - b.firstOffset)
    for (const transaction of open) this.#changedTransactions().apply({ kind: 'begun', ...transaction })
  }

  /** The aborted transactions of which something lies from `from` to before `end`. */
  abortedWithin(from: Offset, end: Offset): readonly AbortedTransaction[] {
    return this.#transactions === null || from >= end ? NONE : this.#transactions.abortedWithin(from, end)
  }

  /** Whether the producer may be forgotten: it wrote nothing for long, and no transaction of it is open. */
  producerIsExpired(producerId: number, entry: ProducerEntry, nowMs: number): boolean {
    return entry.lastTimestampMs < nowMs - PRODUCER_EXPIRY_MS && !this.#hasTransaction(producerId, entry)
  }

  #hasTransaction(producerId: number, entry: ProducerEntry): boolean {
    return (
      entry.transactionFirstOffset !== null ||
      // Its end may be on its way to disk. Should that fail, or the next start replay it, the producer's state
      // says where the transaction began.
      this.#transactions?.isOpen(producerId) === true
    )
  }

  expireProducers(nowMs: number): void {
    for (const [producerId, entry] of this.producers.entries()) {
      if (this.producerIsExpired(producerId, entry, nowMs)) this.producers.set(producerId, undefined)
    }
  }

  state(): LogState {
    return {
      logId: this.id,
      logStartOffset: this.startOffset,
      highWatermark: this.highWatermark,
      lastStableOffset: this.lastStableOffset,
      leaderEpoch: this.leaderEpoch,
      sizeBytes: this.sizeBytes,
    }
  }
  /**
   * What an accepted batch changes of its producer, the same when it is admitted and when it is replayed. Gives
   * what it changes of the log's transactions when it is durable.
   */
  #advance(
    produced: ProducerBatch,
    known: ProducerEntry | undefined,
    baseOffset: Offset,
    lastOffset: Offset,
    nowMs: number,
  ): TransactionChange | null {
    const { producerId, marker } = produced
    const openSince = known === undefined ? null : known.transactionFirstOffset
    this.producers.set(producerId, entryAfter(known, produced, baseOffset, lastOffset, nowMs))
    if (known === undefined) {
      this.producers.makeRoom((other, entry) => other !== producerId && !this.#hasTransaction(other, entry))
    }
    if (marker !== null) {
      // A marker that a coordinator wrote again after a restart: it takes an offset, and that is all.
      if (openSince === null) return null
      const aborted = marker.type === 'abort'
      return { kind: 'ended', producerId, aborted, firstOffset: openSince, lastOffset }
    }
    return produced.isTransactional && openSince === null
      ? { kind: 'begun', producerId, firstOffset: baseOffset }
      : null
  }

  #changedTransactions(): TransactionTable {
    this.#transactions ??= new TransactionTable()
    return this.#transactions
  }
}

function refusal(
  { producerId, epoch, firstSequence }: ProducerBatch,
  verdict: Exclude<ProducerVerdict, { kind: 'accept' | 'duplicate' }>,
): StorageError {
  switch (verdict.kind) {
    case 'stale-epoch':
      return new StorageError(
        'INVALID_PRODUCER_EPOCH',
        `producer ${producerId} wrote with epoch ${epoch}, but epoch ${verdict.currentEpoch} has written since`,
      )
    case 'out-of-order':
      return new StorageError(
        'OUT_OF_ORDER_SEQUENCE',
        `producer ${producerId} sent sequence ${firstSequence} where ${verdict.expectedSequence} comes next`,
      )
    case 'outside-transaction':
      return new StorageError(
        'INVALID_TXN_STATE',
        `producer ${producerId} wrote outside of its transaction, which is open since offset ${verdict.firstOffset}`,
      )
    case 'stale-coordinator':
      return new StorageError(
        'TRANSACTION_COORDINATOR_FENCED',
        `a coordinator of epoch ${verdict.currentEpoch} has ended a transaction of producer ${producerId} since this one was in charge`,
      )
  }
}
