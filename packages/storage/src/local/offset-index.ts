import type { LogHead } from '../log-head.ts'
import type { LogId, Offset } from '../log-store.ts'
import { BATCH_BYTES, BATCH_FIELDS, type DirectoryEntry, type IndexedLog } from './index-file.ts'
import type { LogFile } from './log-files.ts'

/**
 * Where each log's batches lie: for every log a list of ranges, one per log file that has records of it. The
 * ranges of the file being written are lists in memory; those of full files are loaded from index files when
 * a reader needs them and forgotten again, least recently used first, so that memory is bounded however long
 * the logs are.
 */

/** The batches of one log in one full file. */
export interface SealedRange {
  readonly file: LogFile
  directory: DirectoryEntry
  /** base offset, position, length, max timestamp; … Null when not loaded. */
  batches: Float64Array | null
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
    // While a range is loaded the file being written may become full, and old files may go.
    let after = -1
    // What follows must continue what was given, or what lay between is gone: then the slices end before it.
    let expected: Offset | null = null
    for (;;) {
      const range = this.#sealed.get(logId)?.find(({ file }) => file.number > after)
      if (range === undefined) break
      after = range.file.number
      const { firstOffset, endOffset, maxTimestampMs } = range.directory
      if (expected !== null && firstOffset !== expected) return
      expected = endOffset
      if (endOffset <= offset || maxTimestampMs < minTimestampMs) continue
      // Should the log go meanwhile, its file stays open for who takes the slice.
      range.file.hold()
      try {
        const fields = await this.#batchesOf(range)
        yield { file: range.file, fields, first: indexOfOffset(fields, offset) }
      } finally {
        range.file.release()
      }
    }
    const active = this.#active.get(logId)
    if (active === undefined || (expected !== null && active.fields[0] !== expected)) return
    if (active.maxTimestampMs >= minTimestampMs) {
      yield { file: this.#activeFile, fields: active.fields, first: indexOfOffset(active.fields, offset) }
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
  }

  /** Bytes of a log's batches from its start that end at or before `to`. */
  async bytesBefore(log: LogHead, to: Offset): Promise<number> {
    let byteLength = 0
    // While a range is loaded the file being written may become full.
    let after = -1
    for (;;) {
      const range = this.#sealed.get(log.id)?.find(({ file }) => file.number > after)
      if (range === undefined) break
      after = range.file.number
      const { firstOffset, endOffset, sizeBytes } = range.directory
      if (firstOffset >= to) return byteLength
      if (endOffset <= log.startOffset) continue
      byteLength +=
        firstOffset >= log.startOffset && endOffset <= to
          ? sizeBytes
          : bytesWithin(await this.#batchesOf(range), log.startOffset, to, endOffset)
    }
    const active = this.#active.get(log.id)
    if (active === undefined) return byteLength
    return byteLength + bytesWithin(active.fields, log.startOffset, to, log.highWatermark)
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
function bytesWithin(fields: ArrayLike<number>, from: Offset, to: Offset, endOffset: Offset): number {
  let byteLength = 0
  for (let at = indexOfOffset(fields, from) * BATCH_FIELDS; at < fields.length; at += BATCH_FIELDS) {
    const batchEnd = fields[at + BATCH_FIELDS] ?? endOffset
    if (batchEnd > to) break
    byteLength += fields[at + 2]!
  }
  return byteLength
}
