import { setImmediate as nextTurn } from 'node:timers/promises'
import { setBaseOffset, setLogAppendTime, setPartitionLeaderEpoch } from '@streambus/protocol'
import { NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import { ExpiredPrefix } from '../expired-prefix.ts'
import { newKafkaId } from '../kafka-id.ts'
import type { LogHead } from '../log-head.ts'
import {
  type AppendBatch,
  type AppendResult,
  type CompactionPolicy,
  type KeepingPolicy,
  type LogId,
  type MaintenanceBudget,
  type MaintenanceProgress,
  type Offset,
  type OffsetAndTimestamp,
  type ReadLimits,
  type ReadRequest,
  type ReadResult,
  type RecordBytes,
  type RetentionLimits,
  StorageError,
  type Topic,
} from '../log-store.ts'
import type { LogCompaction, LogStorage, MaintenanceMetrics } from '../maintenance-metrics.ts'
import { findRecordByTime } from '../record-by-time.ts'
import { StoreBase } from '../store-base.ts'
import { type StoreEvent, StoreState } from '../store-state.ts'
import {
  type CompactedState,
  compactionWait,
  type DirtyRange,
  dirtyRange,
  MemoryCompactionPass,
  rangeToLookAt,
} from './memory-compaction.ts'
import { endOffsetOf, indexOfOffset, type StoredBatch, storedBatch } from './stored-batch.ts'

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

const DEFAULT_MAX_BYTES = 1024 ** 3
const MAX_BATCH_BYTES = 16 * 1024 ** 2
/** Some milliseconds of work. */
const COMPACTION_STEP_BYTES = 1024 ** 2

export class MemoryLogStore extends StoreBase {
  readonly clusterId: string
  readonly durability = 'memory'
  readonly location = 'memory'
  readonly maxBatchBytes = MAX_BATCH_BYTES
  readonly #batches = new Map<LogId, StoredBatch[]>()
  readonly #maxBytes: number
  readonly #compacted = new Map<LogId, CompactedState>()
  #pass: MemoryCompactionPass | null = null
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
    const known = this.#batches.get(log.id)
    if (known === undefined) this.#batches.set(log.id, [storedBatch(bytes)])
    else known.push(storedBatch(bytes))
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

  async expiredUpTo(id: LogId, limits: RetentionLimits): Promise<Offset> {
    this.assertOpen()
    const log = this.log(id)
    const prefix = new ExpiredPrefix(log, limits)
    const batches = this.#batches.get(id) ?? []
    for (let index = indexOfOffset(batches, log.startOffset); index < batches.length; index++) {
      const batch = batches[index]!
      if (!prefix.takes(batch.bytes.byteLength, batch.maxTimestampMs, endOffsetOf(batch))) break
    }
    return prefix.end
  }

  /**
   * Compacts, a step in each turn of the event loop. What is gone otherwise has given its memory back at once.
   */
  async maintain(
    { maxBytes }: MaintenanceBudget,
    policyOf?: (topic: Topic) => KeepingPolicy,
  ): Promise<MaintenanceProgress> {
    this.assertOpen()
    let bytes = 0
    for (;;) {
      const pass = this.#nextPass(policyOf)
      if (pass === null) return { bytes, isMore: false }
      if (bytes > 0) {
        if (bytes >= maxBytes) return { bytes, isMore: true }
        await nextTurn()
        if (this.#closed) return { bytes, isMore: false }
      }
      const done = await pass.step(Math.min(maxBytes - bytes, COMPACTION_STEP_BYTES))
      bytes += done.bytes
      this.#usedBytes -= done.freedBytes
      this.counters.compactionWrittenBytes += done.writtenBytes
      if (pass.outcome === null) continue
      this.counters.compactionPasses++
      this.#compacted.set(pass.log.id, pass.outcome)
      this.#pass = null
    }
  }

  /** The pass under way, or one over the log of which most is not compacted; null where none is worth it. */
  #nextPass(policyOf: ((topic: Topic) => KeepingPolicy) | undefined): MemoryCompactionPass | null {
    const { log: current } = this.#pass ?? {}
    const topic = current === undefined || current.deleted ? undefined : this.topics.byId(current.topicId)
    if (policyOf === undefined || topic === undefined || policyOf(topic).compaction === null)
      this.#pass = null
    if (this.#pass !== null || policyOf === undefined) return this.#pass
    let logsToCompact = 0
    let bytesToCompact = 0
    let dirtiest: { log: LogHead; range: DirtyRange; policy: CompactionPolicy } | null = null
    for (const topic of this.topics.all()) {
      const policy = policyOf(topic).compaction
      if (policy === null) continue
      for (const id of topic.logs) {
        const log = this.log(id)
        const batches = this.#batches.get(id) ?? []
        const range = dirtyRange(log, batches, this.#compacted.get(id), policy, this.clock())
        if (range === null) continue
        logsToCompact++
        bytesToCompact += range.dirtyBytes
        if (range.dirtyRatio < (dirtiest?.range.dirtyRatio ?? 0)) continue
        dirtiest = { log, range, policy }
      }
    }
    this.counters.backlog = { logsToCompact, bytesToCompact, filesToMerge: 0, bytesToMerge: 0 }
    if (dirtiest !== null) {
      const { log, range, policy } = dirtiest
      this.#pass = new MemoryCompactionPass(log, this.#batches.get(log.id)!, range, policy, this.clock)
    }
    return this.#pass
  }

  maintenanceMetrics(): MaintenanceMetrics {
    return this.counters.snapshot({ logFiles: 0, segments: 0, fileBytes: 0, liveBytes: this.liveBytes })
  }

  async storageOf(id: LogId, policy: CompactionPolicy | null): Promise<LogStorage> {
    this.assertOpen()
    const log = this.log(id)
    const compaction = policy === null ? null : await this.#compactionOf(log, policy)
    return { files: 0, segments: 0, heldBytes: log.sizeBytes, compaction }
  }

  async #compactionOf(log: LogHead, policy: CompactionPolicy): Promise<LogCompaction> {
    const { id } = log
    const batches = this.#batches.get(id) ?? []
    const compacted = this.#compacted.get(id)
    const nowMs = this.clock()
    return {
      dirtyBytes: log.sizeBytes - (await this.bytesBefore(log, compacted?.knownUpTo ?? 0)),
      dirtyRatio: rangeToLookAt(log, batches, compacted, policy, nowMs)?.dirtyRatio ?? 0,
      lastPassAtMs: compacted?.atMs ?? null,
      waitsFor: compactionWait(log, batches, compacted, policy, nowMs),
    }
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
      this.#compacted.delete(id)
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
      const batch = batches[index]!
      if (endOffsetOf(batch) > to) break
      byteLength += batch.bytes.byteLength
    }
    return byteLength
  }

  protected assertOpen(): void {
    if (this.#closed) throw new StorageError('CLOSED', 'the store is closed')
  }
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
