import { randomBytes } from 'node:crypto'
import { batchHeader } from '@streambus/protocol'
import { hasTimestamp } from '../batch-timestamp.ts'
import { loadCodecOf } from '../compaction/checked-batch.ts'
import { compactBatch } from '../compaction/compact-batch.ts'
import { deleteHorizonMsOf } from '../compaction/delete-horizon.ts'
import { fillKeyOffsets } from '../compaction/fill-key-offsets.ts'
import { KEY_HASH_SEED_BYTES } from '../compaction/key-hash.ts'
import { KeyOffsets, MAX_KEY_BYTES } from '../compaction/key-offsets.ts'
import { emptyBatch, extendTo } from '../compaction/offset-range.ts'
import type { LogHead } from '../log-head.ts'
import { type CompactionPolicy, type Offset, StorageError } from '../log-store.ts'
import type { CompactionWait } from '../maintenance-metrics.ts'
import { endOffsetOf, indexOfOffset, type StoredBatch, storedBatch } from './stored-batch.ts'

/**
 * Compaction in the in-memory engine: of one log in passes, of a pass in steps. A pass fills a map with the keys
 * from where the last one ended to where the log may be compacted; then it goes over all batches from the front
 * and puts in the place of each what is left of it. Between two steps the log is whole: records may be appended,
 * read and deleted. What a reader was given before stays what it is.
 *
 * Offsets whose records are gone are covered by no batch, except at the end of a pass; a reader that asks for one
 * gets the next batch. The newest batch of a log is never touched, so there always is one.
 */

/** What was compacted of a log. */
export interface CompactedState {
  /** Where the last pass ended: it knew all keys below. */
  readonly knownUpTo: Offset
  /** When the first of the tombstones that are left below may go. */
  readonly nextHorizonMs: number
  readonly atMs: number
}

/** What of a log a pass is to look at for keys that are new. */
export interface DirtyRange {
  readonly fromOffset: Offset
  readonly endOffset: Offset
  readonly dirtyBytes: number
  /** Their share of the bytes below its end. */
  readonly dirtyRatio: number
  readonly isDue: boolean
}

/**
 * Null where no pass is worth it now. Whether a batch is too young, or overdue, is told by the timestamps of its
 * records, as in Kafka.
 */
export function dirtyRange(...of: Parameters<typeof rangeToLookAt>): DirtyRange | null {
  const range = rangeToLookAt(...of)
  return range?.isDue === true ? range : null
}

/** What the next pass waits for. */
export function compactionWait(
  log: LogHead,
  batches: readonly StoredBatch[],
  compacted: CompactedState | undefined,
  policy: CompactionPolicy,
  nowMs: number,
): CompactionWait {
  const range = rangeToLookAt(log, batches, compacted, policy, nowMs)
  if (range === null || batches.at(-1)!.baseOffset <= range.fromOffset) return 'records'
  if (range.isDue) return 'turn'
  if (range.dirtyBytes > 0) return 'ratio'
  const withoutLag = rangeToLookAt(log, batches, compacted, { ...policy, minLagMs: 0 }, nowMs)
  return withoutLag!.dirtyBytes > 0 ? 'lag' : 'transaction'
}

/** Null for an empty log. */
export function rangeToLookAt(
  log: LogHead,
  batches: readonly StoredBatch[],
  compacted: CompactedState | undefined,
  policy: CompactionPolicy,
  nowMs: number,
): DirtyRange | null {
  const newest = batches.at(-1)
  if (newest === undefined) return null
  const limit = Math.min(log.lastStableOffset, newest.baseOffset)
  // Without a lag a timestamp in the future is no reason to wait.
  const youngMs = policy.minLagMs > 0 ? nowMs - policy.minLagMs : Number.POSITIVE_INFINITY
  const fromOffset = Math.max(compacted?.knownUpTo ?? 0, log.startOffset)
  let endOffset = fromOffset
  let cleanBytes = 0
  let dirtyBytes = 0
  let oldestMs = Number.POSITIVE_INFINITY
  for (const batch of batches) {
    const { byteLength } = batch.bytes
    const batchEnd = endOffsetOf(batch)
    const maxTimestampMs = batchHeader.maxTimestamp(batch.bytes, 0)
    if (batchEnd <= fromOffset) cleanBytes += byteLength
    else if (batchEnd > limit || maxTimestampMs > youngMs) break
    else {
      dirtyBytes += byteLength
      endOffset = batchEnd
      if (hasTimestamp(maxTimestampMs) && maxTimestampMs < oldestMs) oldestMs = maxTimestampMs
    }
  }
  const dirtyRatio = dirtyBytes === 0 ? 0 : dirtyBytes / (cleanBytes + dirtyBytes)
  const isDue =
    (dirtyBytes > 0 && (dirtyRatio >= policy.minDirtyRatio || oldestMs < nowMs - policy.maxLagMs)) ||
    (compacted !== undefined && compacted.nextHorizonMs <= nowMs)
  return { fromOffset, endOffset, dirtyBytes, dirtyRatio, isDue }
}

interface StepDone {
  /** Gone over and written. */
  readonly bytes: number
  readonly writtenBytes: number
  readonly freedBytes: number
}

export class MemoryCompactionPass {
  readonly log: LogHead
  readonly #batches: StoredBatch[]
  readonly #fromOffset: Offset
  readonly #deleteRetentionMs: number
  readonly #clock: () => number
  readonly #map: KeyOffsets
  #isFilled = false
  /** Where the next step begins. */
  #offset: Offset
  #knownUpTo: Offset
  #nextHorizonMs = Number.POSITIVE_INFINITY

  /** @param batches of the log; they are changed in place */
  constructor(
    log: LogHead,
    batches: StoredBatch[],
    { fromOffset, endOffset }: DirtyRange,
    { deleteRetentionMs }: CompactionPolicy,
    clock: () => number,
  ) {
    this.log = log
    this.#batches = batches
    this.#fromOffset = fromOffset
    this.#deleteRetentionMs = deleteRetentionMs
    this.#clock = clock
    this.#offset = fromOffset
    this.#knownUpTo = endOffset
    let records = 0
    for (const { bytes } of this.#next(Number.POSITIVE_INFINITY)) records += batchHeader.recordCount(bytes, 0)
    this.#map = new KeyOffsets(
      Math.min(KeyOffsets.bytesFor(records), MAX_KEY_BYTES),
      randomBytes(KEY_HASH_SEED_BYTES),
    )
  }

  /** Null until the pass is at its end. */
  get outcome(): CompactedState | null {
    if (!this.#isFilled || this.#offset < this.#knownUpTo) return null
    return { knownUpTo: this.#knownUpTo, nextHorizonMs: this.#nextHorizonMs, atMs: this.#clock() }
  }

  /** Goes over the next batches, of about `maxBytes` and at least one, if the log is still there. */
  async step(maxBytes: number): Promise<StepDone> {
    const next = this.#next(Math.max(maxBytes, 1))
    for (const { bytes } of next) await loadCodecOf(bytes)
    if (this.log.deleted) return { bytes: 0, writtenBytes: 0, freedBytes: 0 }
    // Other batches may have come meanwhile, and those below the start are gone.
    const there = next.filter((batch) => endOffsetOf(batch) > this.log.startOffset)
    const last = next.at(-1)
    this.#offset = last === undefined ? this.#knownUpTo : endOffsetOf(last)
    const bytes = bytesOf(there)
    if (this.#isFilled) {
      const leftBytes = this.#compact(there)
      return { bytes: bytes + leftBytes, writtenBytes: leftBytes, freedBytes: bytes - leftBytes }
    }
    this.#fill(there)
    return { bytes, writtenBytes: 0, freedBytes: 0 }
  }

  #next(maxBytes: number): StoredBatch[] {
    const next: StoredBatch[] = []
    let bytes = 0
    for (let index = indexOfOffset(this.#batches, this.#offset); bytes < maxBytes; index++) {
      const batch = this.#batches[index]
      if (batch === undefined || batch.baseOffset >= this.#knownUpTo) break
      next.push(batch)
      bytes += batch.bytes.byteLength
    }
    return next
  }

  #fill(batches: readonly StoredBatch[]): void {
    for (const batch of batches) {
      const { bytes } = batch
      const fate = this.log.fateOf(bytes, 0)
      const known = unlessCorrupt(() => fillKeyOffsets(this.#map, bytes, fate, this.#fromOffset))
      if (known === undefined || known >= endOffsetOf(batch)) continue
      this.#knownUpTo = known
      break
    }
    if (this.#offset < this.#knownUpTo) return
    this.#isFilled = true
    this.#offset = 0
  }

  /** Returns the bytes that are left of the batches. */
  #compact(batches: readonly StoredBatch[]): number {
    const pass = {
      map: this.#map,
      knownUpTo: this.#knownUpTo,
      startOffset: this.log.startOffset,
      nowMs: this.#clock(),
      deleteRetentionMs: this.#deleteRetentionMs,
    }
    const left: StoredBatch[] = []
    for (const batch of batches) {
      const compacted = unlessCorrupt(() => compactBatch(batch.bytes, this.log.fateOf(batch.bytes, 0), pass))
      if (compacted === null) continue
      const isChanged = compacted !== undefined && compacted !== batch.bytes
      left.push(isChanged ? storedBatch(Uint8Array.from(compacted)) : batch)
      this.#noteHorizon(batch.bytes, left.at(-1)!.bytes, pass.nowMs)
    }
    const first = batches[0]
    if (first !== undefined) {
      this.#batches.splice(indexOfOffset(this.#batches, first.baseOffset), batches.length, ...left)
    }
    const leftBytes = bytesOf(left) + (this.#offset < this.#knownUpTo ? 0 : this.#coverEnd())
    this.log.compacted(this.#offset, bytesOf(batches) - leftBytes)
    return leftBytes
  }

  /**
   * The last offset below the end of the pass stays covered. Else a reader of what is committed could come to a
   * gap that reaches to the last stable offset: told that there is more, and given nothing. Returns the bytes this
   * takes.
   */
  #coverEnd(): number {
    const endOffset = this.#offset
    const index = indexOfOffset(this.#batches, endOffset - 1)
    const next = this.#batches[index]
    if (endOffset <= this.log.startOffset || (next !== undefined && next.baseOffset < endOffset)) return 0
    const last = this.#batches[index - 1]
    if (last !== undefined) {
      const bytes = Uint8Array.from(last.bytes)
      if (extendTo(bytes, endOffset)) {
        this.#batches[index - 1] = storedBatch(bytes)
        return 0
      }
    }
    const empty = storedBatch(emptyBatch(endOffset - 1, endOffset, this.log.leaderEpoch))
    this.#batches.splice(index, 0, empty)
    return empty.bytes.byteLength
  }

  /** A horizon that had come before this pass has nothing more to do. */
  #noteHorizon(before: Uint8Array, after: Uint8Array, nowMs: number): void {
    const horizonMs = deleteHorizonMsOf(after)
    if (horizonMs === null || (horizonMs <= nowMs && deleteHorizonMsOf(before) !== null)) return
    this.#nextHorizonMs = Math.min(this.#nextHorizonMs, horizonMs)
  }
}

function bytesOf(batches: readonly StoredBatch[]): number {
  return batches.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
}

/**
 * Undefined for a batch that cannot be read, which stays as it is and makes no other record go. Memory is not
 * damaged; it is one that a producer wrote so, compressed, before the topic was to be compacted.
 */
function unlessCorrupt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof StorageError && error.code === 'CORRUPT_BATCH') return undefined
    throw error
  }
}
