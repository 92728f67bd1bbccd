import { batchHeader, setBaseOffset, setLogAppendTime, setPartitionLeaderEpoch } from '@streambus/protocol'
import { lookupTimestampOf, NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import { newKafkaId } from '../kafka-id.ts'
import type { LogHead } from '../log-head.ts'
import {
  type AppendBatch,
  type AppendResult,
  type LogId,
  type MaintenanceProgress,
  type Offset,
  type OffsetAndTimestamp,
  type ReadLimits,
  type ReadRequest,
  type ReadResult,
  type RecordBytes,
  StorageError,
} from '../log-store.ts'
import { findRecordByTime } from '../record-by-time.ts'
import { StoreBase } from '../store-base.ts'
import { type StoreEvent, StoreState } from '../store-state.ts'

/**
 * The in-memory engine: the same semantics as the local one, for tests and for state that may go with the
 * process. Batches are kept as they arrived; memory is bounded by `maxBytes`, beyond which appends are
 * answered DISK_FULL as a full disk would.
 */
export interface MemoryLogStoreOptions {
  /** Bytes of record batches the store holds at most. Default 1 GiB. */
  maxBytes?: number
  /** Milliseconds since the epoch; only remembered with producer state. Default Date.now. */
  clock?: () => number
  /** Makes cluster and topic ids. Default: random. */
  newId?: () => string
}

interface StoredBatch {
  readonly baseOffset: Offset
  readonly maxTimestampMs: number
  readonly bytes: Uint8Array
}

const DEFAULT_MAX_BYTES = 1024 ** 3
const MAX_BATCH_BYTES = 16 * 1024 ** 2

export class MemoryLogStore extends StoreBase {
  readonly clusterId: string
  readonly durability = 'memory'
  readonly location = 'memory'
  readonly maxBatchBytes = MAX_BATCH_BYTES
  readonly #batches = new Map<LogId, StoredBatch[]>()
  readonly #maxBytes: number
  #usedBytes = 0
  #closed = false

  private constructor(options: MemoryLogStoreOptions) {
    const newId = options.newId ?? newKafkaId
    super(new StoreState(), options.clock ?? Date.now, newId)
    this.clusterId = newId()
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  }

  static async open(options: MemoryLogStoreOptions = {}): Promise<MemoryLogStore> {
    return new MemoryLogStore(options)
  }

  append(batches: readonly AppendBatch[]): Promise<AppendResult[]> {
    return Promise.resolve(batches.map((batch) => this.#appendOne(batch)))
  }

  #appendOne(batch: AppendBatch): AppendResult {
    const log = this.storeState.logs.get(batch.logId)
    if (this.#closed) return { error: new StorageError('CLOSED', 'the store is closed') }
    if (log === undefined) {
      return { error: new StorageError('UNKNOWN_LOG', `log ${batch.logId} does not exist`) }
    }
    const { byteLength } = batch.bytes
    if (byteLength > this.maxBatchBytes) {
      return { error: new StorageError('BATCH_TOO_LARGE', `a batch has at most ${this.maxBatchBytes} bytes`) }
    }
    if (this.#usedBytes + byteLength > this.#maxBytes) {
      return {
        error: new StorageError('DISK_FULL', `the in-memory store holds at most ${this.#maxBytes} bytes`),
      }
    }
    const nowMs = this.clock()
    const admission = log.admit(batch, nowMs)
    if (admission.kind === 'refused') return { error: admission.error }
    const { baseOffset } = admission
    if (admission.kind === 'duplicate') {
      return { error: null, baseOffset, logStartOffset: log.startOffset, duplicate: true }
    }
    const bytes = Uint8Array.from(batch.bytes)
    setBaseOffset(bytes, 0, baseOffset)
    setPartitionLeaderEpoch(bytes, 0, log.leaderEpoch)
    if (batch.logAppendTimeMs !== undefined) setLogAppendTime(bytes, 0, batch.logAppendTimeMs)
    const stored = { baseOffset, maxTimestampMs: lookupTimestampOf(bytes, 0), bytes }
    const known = this.#batches.get(log.id)
    if (known === undefined) this.#batches.set(log.id, [stored])
    else known.push(stored)
    this.#usedBytes += byteLength
    log.commit(log.nextOffset, byteLength, admission.transaction)
    this.waiters.wake(log.id, log)
    this.expiry.step(nowMs)
    return { error: null, baseOffset, logStartOffset: log.startOffset, duplicate: false }
  }

  async read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]> {
    let remainingBytes = limits.maxBytes
    let nothingYet = true
    return requests.map((request): ReadResult => {
      const log = this.storeState.logs.get(request.logId)
      if (this.#closed) {
        const error = new StorageError('CLOSED', 'the store is closed')
        return { error, logStartOffset: -1, highWatermark: -1 }
      }
      if (log === undefined) {
        const error = new StorageError('UNKNOWN_LOG', `log ${request.logId} does not exist`)
        return { error, logStartOffset: -1, highWatermark: -1 }
      }
      if (request.offset < log.startOffset || request.offset > log.highWatermark) {
        const error = new StorageError(
          'OFFSET_OUT_OF_RANGE',
          `offset ${request.offset} is outside ${log.startOffset}–${log.highWatermark}`,
        )
        return { error, logStartOffset: log.startOffset, highWatermark: log.highWatermark }
      }
      const { offset, readCommitted = false } = request
      const { lastStableOffset } = log
      const taken: Uint8Array[] = []
      let budgetBytes = Math.min(request.maxBytes, remainingBytes)
      let endOffset = readCommitted ? lastStableOffset : log.highWatermark
      if (offset < endOffset) {
        const batches = this.#batches.get(log.id) ?? []
        for (let index = indexOfOffset(batches, offset); index < batches.length; index++) {
          const { baseOffset, bytes } = batches[index]!
          if (baseOffset >= endOffset) break
          if (bytes.byteLength > budgetBytes && !nothingYet) {
            endOffset = baseOffset
            break
          }
          taken.push(bytes)
          budgetBytes -= bytes.byteLength
          remainingBytes -= bytes.byteLength
          nothingYet = false
        }
      }
      return {
        error: null,
        highWatermark: log.highWatermark,
        lastStableOffset,
        logStartOffset: log.startOffset,
        abortedTransactions: readCommitted ? log.abortedWithin(offset, endOffset) : null,
        records: new MemoryRecordBytes(taken),
      }
    })
  }

  async offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null> {
    this.assertOpen()
    const log = this.log(id)
    const live = (this.#batches.get(id) ?? []).slice(
      indexOfOffset(this.#batches.get(id) ?? [], log.startOffset),
    )
    let best: OffsetAndTimestamp | null = null
    for (const batch of live) {
      if (batch.maxTimestampMs === NO_TIMESTAMP_MS) continue
      const least = timestampMs === 'max' ? (best?.timestampMs ?? Number.NEGATIVE_INFINITY) : timestampMs
      if (batch.maxTimestampMs < least) continue
      const found = await findRecordByTime(batch.bytes, timestampMs, log.leaderEpoch, log.startOffset)
      if (found === null) continue
      if (timestampMs !== 'max') return found
      if (best === null || found.timestampMs > best.timestampMs) best = found
    }
    return best
  }

  /** There is nothing to do: what is gone has given its memory back at once. */
  async maintain(): Promise<MaintenanceProgress> {
    return { bytes: 0, isMore: false }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.waiters.close()
  }

  protected async commitEvent(event: StoreEvent): Promise<void> {
    this.storeState.apply(event)
  }

  protected logsDeleted(ids: readonly LogId[]): void {
    for (const id of ids) {
      for (const batch of this.#batches.get(id) ?? []) this.#usedBytes -= batch.bytes.byteLength
      this.#batches.delete(id)
    }
  }

  protected startAdvanced({ id, startOffset }: LogHead): void {
    const batches = this.#batches.get(id)
    if (batches === undefined) return
    const gone = batches.splice(0, indexOfOffset(batches, startOffset))
    for (const { bytes } of gone) this.#usedBytes -= bytes.byteLength
  }

  protected async bytesBefore(log: LogHead, to: Offset): Promise<number> {
    const batches = this.#batches.get(log.id) ?? []
    let byteLength = 0
    for (let index = indexOfOffset(batches, log.startOffset); index < batches.length; index++) {
      const { baseOffset, bytes } = batches[index]!
      if (baseOffset + batchHeader.lastOffsetDelta(bytes, 0) >= to) break
      byteLength += bytes.byteLength
    }
    return byteLength
  }

  protected assertOpen(): void {
    if (this.#closed) throw new StorageError('CLOSED', 'the store is closed')
  }
}

/** Index of the batch that contains `offset`, or the first after it; the length when there is none. */
function indexOfOffset(batches: readonly StoredBatch[], offset: Offset): number {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (batches[middle]!.baseOffset <= offset) low = middle + 1
    else high = middle
  }
  const containing = low - 1
  if (containing < 0) return 0
  const { baseOffset, bytes } = batches[containing]!
  return offset <= baseOffset + batchHeader.lastOffsetDelta(bytes, 0) ? containing : low
}

class MemoryRecordBytes implements RecordBytes {
  readonly byteLength: number
  readonly #batches: readonly Uint8Array[]
  #index = 0
  #position = 0

  constructor(batches: readonly Uint8Array[]) {
    this.#batches = batches
    this.byteLength = batches.reduce((sum, batch) => sum + batch.byteLength, 0)
  }

  readInto(target: Uint8Array): number {
    let filled = 0
    while (filled < target.byteLength && this.#index < this.#batches.length) {
      const batch = this.#batches[this.#index]!
      const size = Math.min(batch.byteLength - this.#position, target.byteLength - filled)
      target.set(batch.subarray(this.#position, this.#position + size), filled)
      filled += size
      this.#position += size
      if (this.#position === batch.byteLength) {
        this.#index++
        this.#position = 0
      }
    }
    return filled
  }

  close(): void {
    this.#index = this.#batches.length
  }
}
