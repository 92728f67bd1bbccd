import { hasTimestamp, NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import { ExpiredPrefix } from '../expired-prefix.ts'
import type { LogHead } from '../log-head.ts'
import type { LogId, Offset, RetentionLimits } from '../log-store.ts'
import { BATCH_BYTES, BATCH_FIELDS, type DirectoryEntry, type IndexedLog } from './index-file.ts'
import type { LogFile } from './log-files.ts'

/**
 * Where each log's batches lie: for every log a list of ranges, one per file that has records of it, each of which
 * continues the one before. The ranges of the file being written are lists in memory; those of full files and
 * segments are loaded from their indexes when a reader needs them and forgotten again, least recently used first,
 * so that memory is bounded however long the logs are.
 */

/** The batches of one log in one full file or segment. */
export interface SealedRange {
  readonly file: LogFile
  directory: DirectoryEntry
  /** base offset, position, length, max timestamp; … Null when not loaded. */
  batches: Float64Array | null
  /** Of its first batch; known once it was loaded. */
  firstTimestampMs?: number
}

interface ActiveRange {
  readonly fields: number[]
  maxTimestampMs: number
  sizeBytes: number
}

/**
 * Batches of one log in one file, in order of their offsets: `fields` holds four numbers for each (base
 * offset, position, length, max timestamp), and `first` is the number of the batch to begin with.
 */
export interface BatchSlice {
  readonly file: LogFile
  readonly fields: ArrayLike<number>
  readonly first: number
}

/** Loads the batches of a range from its index file, or rebuilds them. */
export type LoadBatches = (range: SealedRange) => Promise<Float64Array>

export class OffsetIndex {
  readonly #sealed = new Map<LogId, SealedRange[]>()
  #active = new Map<LogId, ActiveRange>()
  #activeFile: LogFile
  readonly #load: LoadBatches
  readonly #maxLoadedBytes: number
  /** In the order of last use; only ranges that an index file holds too. */
  readonly #loaded = new Set<SealedRange>()
  #loadedBytes = 0

  constructor(activeFile: LogFile, maxLoadedBytes: number, load: LoadBatches) {
    this.#activeFile = activeFile
    this.#maxLoadedBytes = maxLoadedBytes
    this.#load = load
  }

  /** The file being written, when it had to be created first. */
  beginFile(file: LogFile): void {
    this.#activeFile = file
  }

  /** Adds a batch of the file being written; offsets of a log only grow. */
  add(logId: LogId, baseOffset: Offset, position: number, byteLength: number, maxTimestampMs: number): void {
    let range = this.#active.get(logId)
    if (range === undefined) {
      range = { fields: [], maxTimestampMs, sizeBytes: 0 }
      this.#active.set(logId, range)
    }
    range.fields.push(baseOffset, position, byteLength, maxTimestampMs)
    range.sizeBytes += byteLength
    if (maxTimestampMs > range.maxTimestampMs) range.maxTimestampMs = maxTimestampMs
  }

  /**
   * The file being written is full: its batches by log, for its index file, and the next one begins. The
   * ranges stay in memory until `persisted`. A log whose start has passed all it has in the file needs none.
   */
  seal(next: LogFile, headOf: (logId: LogId) => LogHead): IndexedLog[] {
    const logs: IndexedLog[] = []
    for (const [logId, range] of this.#active) {
      logs.push({
        logId,
        firstOffset: range.fields[0]!,
        endOffset: headOf(logId).highWatermark,
        maxTimestampMs: range.maxTimestampMs,
        sizeBytes: range.sizeBytes,
        batches: Float64Array.from(range.fields),
      })
    }
    logs.sort((a, b) => a.logId - b.logId)
    for (const log of logs) {
      if (log.endOffset <= headOf(log.logId).startOffset) continue
      this.#addSealed(log.logId, { file: this.#activeFile, directory: pending(log), batches: log.batches })
    }
    this.#activeFile = next
    this.#active = new Map()
    return logs
  }

  /** A full file's index is on disk: its ranges may be forgotten and loaded again. */
  persisted(file: LogFile, directory: readonly DirectoryEntry[]): void {
    for (const entry of directory) {
      const range = this.#sealed.get(entry.logId)?.find((candidate) => candidate.file === file)
      if (range === undefined) continue
      range.directory = entry
      if (range.batches !== null) this.#keep(range)
    }
  }

  /**
   * Registers a full file found at start. Files come in order. Batches that no index file holds yet stay in memory
   * until `persisted`.
   */
  addFile(
    file: LogFile,
    directory: readonly DirectoryEntry[],
    isLive: (entry: DirectoryEntry) => boolean,
    batchesOf: (entry: DirectoryEntry) => Float64Array | null,
  ): void {
    for (const entry of directory) {
      if (!isLive(entry)) continue
      this.#addSealed(entry.logId, { file, directory: entry, batches: batchesOf(entry) })
    }
  }

  /**
   * A segment takes the place of the ranges it covers. Logs that are gone, or whose start has passed all of it, have
   * no part in it.
   */
  addSegment(
    file: LogFile,
    directory: readonly DirectoryEntry[],
    isLive: (entry: DirectoryEntry) => boolean,
  ): void {
    for (const entry of directory) {
      if (!isLive(entry)) continue
      const ranges = this.#sealed.get(entry.logId) ?? []
      this.#sealed.set(entry.logId, ranges)
      const from = indexOfRangeAfter(ranges, entry.firstOffset)
      let to = from
      while (to < ranges.length && ranges[to]!.directory.endOffset <= entry.endOffset) to++
      file.liveLogs++
      for (const range of ranges.splice(from, to - from, { file, directory: entry, batches: null })) {
        this.#drop(range)
      }
    }
  }

  /** The full files and segments that hold a log, in the order of its offsets. */
  rangesOf(logId: LogId): readonly SealedRange[] {
    return this.#sealed.get(logId) ?? []
  }

  /** Logs with ranges in full files or segments. */
  sealedLogs(): Iterable<LogId> {
    return this.#sealed.keys()
  }

  /** What the file being written has of a log: bytes of batches, and the time of the first; null where it has none. */
  activeOf(logId: LogId): { readonly sizeBytes: number; readonly sinceMs: number } | null {
    const active = this.#active.get(logId)
    return active === undefined ? null : { sizeBytes: active.sizeBytes, sinceMs: active.fields[3]! }
  }

  /** Base offset of a log's last batch; -1 where it has none. */
  async newestBatchOffset(logId: LogId): Promise<Offset> {
    const active = this.#active.get(logId)
    if (active !== undefined) return active.fields.at(-BATCH_FIELDS)!
    const range = this.#sealed.get(logId)?.at(-1)
    return range === undefined ? -1 : (await this.#batchesOf(range)).at(-BATCH_FIELDS)!
  }

  /** The batches of a range: four numbers for each, as in `BatchSlice`. */
  batchesOf(range: SealedRange): Promise<Float64Array> {
    return this.#batchesOf(range)
  }

  /** Forgets logs. */
  remove(ids: readonly LogId[]): void {
    for (const logId of ids) {
      this.#active.delete(logId)
      for (const range of this.#sealed.get(logId) ?? []) this.#drop(range)
      this.#sealed.delete(logId)
    }
  }

  /**
   * The batches of a log, file after file, from the one that contains `offset` on. Files in which no
   * timestamp reaches `minTimestampMs` are passed over.
   */
  async *slices(
    logId: LogId,
    offset: Offset,
    minTimestampMs = Number.NEGATIVE_INFINITY,
  ): AsyncGenerator<BatchSlice> {
    // While a range is loaded the file being written may become full, old files may go, and segments take their place.
    let next = offset
    // What follows must continue what was given, or what lay between is gone: then the slices end before it.
    let isContinued = false
    for (;;) {
      const range = rangeAfter(this.#sealed.get(logId), next)
      if (range === undefined) break
      const { firstOffset, endOffset, maxTimestampMs } = range.directory
      if (isContinued && firstOffset > next) return
      if (maxTimestampMs >= minTimestampMs) {
        // Should the log go meanwhile, its file stays open for who takes the slice.
        range.file.hold()
        try {
          const fields = await this.#tryBatchesOf(logId, range)
          if (fields === null) continue
          let first = indexOfOffset(fields, next)
          // What ended at `next` in the old files may lie in a larger batch of the segment: it was given already.
          if (isContinued && fields[first * BATCH_FIELDS]! < next) first++
          yield { file: range.file, fields, first }
        } finally {
          range.file.release()
        }
      }
      next = endOffset
      isContinued = true
    }
    const active = this.#active.get(logId)
    if (active === undefined || (isContinued && active.fields[0]! > next)) return
    if (active.maxTimestampMs >= minTimestampMs) {
      yield { file: this.#activeFile, fields: active.fields, first: indexOfOffset(active.fields, next) }
    }
  }

  /** The same for an offset in the file being written, without waiting; null when it lies before. */
  tail(logId: LogId, offset: Offset): BatchSlice | null {
    const active = this.#active.get(logId)
    if (active === undefined || active.fields[0]! > offset) return null
    return { file: this.#activeFile, fields: active.fields, first: indexOfOffset(active.fields, offset) }
  }

  /** Forgets the full files in which a log has nothing at or after `startOffset`. */
  trim(logId: LogId, startOffset: Offset): void {
    const ranges = this.#sealed.get(logId)
    while (ranges !== undefined && ranges.length > 0 && ranges[0]!.directory.endOffset <= startOffset) {
      this.#drop(ranges.shift()!)
    }
    if (ranges?.length === 0) this.#sealed.delete(logId)
  }

  /** Bytes of a log's batches from its start that end at or before `to`. */
  async bytesBefore(log: LogHead, to: Offset): Promise<number> {
    let byteLength = 0
    // While a range is loaded the file being written may become full.
    let next = log.startOffset
    for (;;) {
      const range = rangeAfter(this.#sealed.get(log.id), next)
      if (range === undefined) break
      const { firstOffset, endOffset, sizeBytes } = range.directory
      if (firstOffset >= to) return byteLength
      if (firstOffset >= log.startOffset && endOffset <= to) byteLength += sizeBytes
      else {
        const fields = await this.#tryBatchesOf(log.id, range)
        if (fields === null) continue
        byteLength += bytesWithin(fields, log.startOffset, to, endOffset)
      }
      next = endOffset
    }
    const active = this.#active.get(log.id)
    if (active === undefined) return byteLength
    return byteLength + bytesWithin(active.fields, log.startOffset, to, log.highWatermark)
  }

  /** See `LogStore.expiredUpTo`. Loads at most the ranges of which only a part is expired. */
  async expiredUpTo(log: LogHead, limits: RetentionLimits): Promise<Offset> {
    const prefix = new ExpiredPrefix(log, limits)
    let next = log.startOffset
    const takesAll = (fields: ArrayLike<number>, endOffset: Offset): boolean => {
      const first = indexOfOffset(fields, next) * BATCH_FIELDS
      for (let at = first; at < fields.length; at += BATCH_FIELDS) {
        if (!prefix.takes(fields[at + 2]!, fields[at + 3]!, fields[at + BATCH_FIELDS] ?? endOffset))
          return false
      }
      return true
    }
    for (;;) {
      const range = rangeAfter(this.#sealed.get(log.id), next)
      if (range === undefined) break
      const { firstOffset, endOffset, sizeBytes, maxTimestampMs } = range.directory
      const isWhole = firstOffset >= log.startOffset
      const isTaken =
        isWhole && hasTimestamp(maxTimestampMs) && prefix.takes(sizeBytes, maxTimestampMs, endOffset)
      if (!isTaken) {
        if (isWhole && prefix.endsBefore(range.firstTimestampMs ?? NO_TIMESTAMP_MS)) return prefix.end
        const fields = await this.#tryBatchesOf(log.id, range)
        if (fields === null) continue
        range.firstTimestampMs = fields[3]!
        if (!takesAll(fields, endOffset)) return prefix.end
      }
      next = endOffset
    }
    const active = this.#active.get(log.id)
    if (active !== undefined) takesAll(active.fields, log.highWatermark)
    return prefix.end
  }

  /** The first offset from `startOffset` to before `endOffset` that no file holds, or null. */
  missingOffset(logId: LogId, startOffset: Offset, endOffset: Offset): Offset | null {
    let expected = startOffset
    for (const { directory } of this.#sealed.get(logId) ?? []) {
      if (directory.firstOffset > expected) return expected
      expected = Math.max(expected, directory.endOffset)
    }
    const active = this.#active.get(logId)
    const activeEnd = active === undefined || active.fields[0]! > expected ? expected : endOffset
    return activeEnd < endOffset ? expected : null
  }

  #addSealed(logId: LogId, range: SealedRange): void {
    range.file.liveLogs++
    const ranges = this.#sealed.get(logId)
    if (ranges === undefined) this.#sealed.set(logId, [range])
    else ranges.push(range)
  }

  #drop(range: SealedRange): void {
    this.#forget(range)
    range.file.liveLogs--
  }

  /** Null where the range does not count any more: its file may be gone before its index was read. */
  async #tryBatchesOf(logId: LogId, range: SealedRange): Promise<Float64Array | null> {
    try {
      return await this.#batchesOf(range)
    } catch (error) {
      if (this.#sealed.get(logId)?.includes(range) === false) return null
      throw error
    }
  }

  async #batchesOf(range: SealedRange): Promise<Float64Array> {
    if (range.batches === null) {
      const batches = await this.#load(range)
      // Two readers may have loaded it at once: the first one's copy counts.
      range.batches ??= batches
      this.#keep(range)
    } else if (this.#loaded.delete(range)) {
      this.#loaded.add(range)
    }
    return range.batches!
  }

  #keep(range: SealedRange): void {
    if (this.#loaded.has(range)) return
    this.#loaded.add(range)
    this.#loadedBytes += range.directory.batchCount * BATCH_BYTES
    for (const oldest of this.#loaded) {
      if (this.#loadedBytes <= this.#maxLoadedBytes || oldest === range) break
      this.#forget(oldest)
    }
  }

  #forget(range: SealedRange): void {
    if (!this.#loaded.delete(range)) return
    this.#loadedBytes -= range.directory.batchCount * BATCH_BYTES
    range.batches = null
  }
}

/** Number of the first range with something at or after `offset`. */
function indexOfRangeAfter(ranges: readonly SealedRange[], offset: Offset): number {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]!.directory.endOffset <= offset) low = middle + 1
    else high = middle
  }
  return low
}

function rangeAfter(ranges: readonly SealedRange[] | undefined, offset: Offset): SealedRange | undefined {
  return ranges?.[indexOfRangeAfter(ranges, offset)]
}

/** A directory entry for batches that are not in an index file yet. */
function pending(log: IndexedLog): DirectoryEntry {
  return { ...log, batchCount: log.batches.length / BATCH_FIELDS, position: -1, crc: 0 }
}

/** Number of the batch that contains `offset`: the last whose base offset is not above it; 0 when all are. */
export function indexOfOffset(fields: ArrayLike<number>, offset: Offset): number {
  let low = 0
  let high = fields.length / BATCH_FIELDS
  while (low < high) {
    const middle = (low + high) >>> 1
    if (fields[middle * BATCH_FIELDS]! <= offset) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** Bytes of the batches from the one that contains `from` that end at or before `to`; the last ends at `endOffset`. */
export function bytesWithin(fields: ArrayLike<number>, from: Offset, to: Offset, endOffset: Offset): number {
  let byteLength = 0
  for (let at = indexOfOffset(fields, from) * BATCH_FIELDS; at < fields.length; at += BATCH_FIELDS) {
    const batchEnd = fields[at + BATCH_FIELDS] ?? endOffset
    if (batchEnd > to) break
    byteLength += fields[at + 2]!
  }
  return byteLength
}
