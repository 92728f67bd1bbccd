import { hasTimestamp, NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import { ExpiredPrefix } from '../expired-prefix.ts'
import type { LogHead } from '../log-head.ts'
import type { LogId, Offset, RetentionLimits } from '../log-store.ts'
import { FileIndex } from './file-index.ts'
import {
  BATCH_FIELDS,
  type DirectoryEntry,
  directoryEntries,
  directoryLength,
  encodeIndex,
  type IndexedLog,
} from './index-file.ts'
import type { IndexParts } from './index-parts.ts'
import type { LogFile } from './log-files.ts'
import { LogRanges, NO_FILE } from './log-ranges.ts'

/**
 * Where each log's batches lie: for every log a list of ranges, one per file that has records of it, each of which
 * continues the one before. The ranges of the file being written are lists in memory; of those of full files and
 * segments only where they end and in which file they are. The rest is read from the indexes when it is needed, so
 * that memory is bounded however long the logs are.
 */

/** The batches of one log in one full file or segment. */
export interface SealedRange {
  readonly file: LogFile
  readonly index: FileIndex
  readonly directory: DirectoryEntry
}

/** What is known of one without reading. */
interface Stretch {
  readonly index: FileIndex
  readonly firstOffset: Offset
  readonly endOffset: Offset
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

export class OffsetIndex {
  readonly #sealed = new Map<LogId, LogRanges>()
  /** Those that have a live range, by the numbers that `LogRanges` knows them by. */
  readonly #indexes: (FileIndex | null)[] = [null]
  readonly #numbers = new Map<LogFile, number>()
  readonly #freeNumbers: number[] = []
  readonly #parts: IndexParts
  #active = new Map<LogId, ActiveRange>()
  #activeFile: LogFile

  constructor(activeFile: LogFile, parts: IndexParts) {
    this.#activeFile = activeFile
    this.#parts = parts
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
   * The file being written is full: gives its index, and the next one begins. The index stays in memory until
   * `persisted`. A log whose start has passed all it has in the file needs none.
   */
  seal(next: LogFile, headOf: (logId: LogId) => LogHead): Uint8Array {
    const logs: IndexedLog[] = []
    for (const [logId, range] of this.#active) {
      logs.push({
        logId,
        firstOffset: range.fields[0]!,
        endOffset: headOf(logId).highWatermark,
        maxTimestampMs: range.maxTimestampMs,
        sizeBytes: range.sizeBytes,
        batches: range.fields,
      })
    }
    logs.sort((a, b) => a.logId - b.logId)
    const file = this.#activeFile
    const bytes = encodeIndex(file.number, logs)
    this.#activeFile = next
    this.#active = new Map()
    const isLive = ({ logId, endOffset }: DirectoryEntry) => endOffset > headOf(logId).startOffset
    this.addFile(file, bytes.subarray(0, directoryLength(bytes)!), isLive, bytes)
    return bytes
  }

  /** A full file's index is on disk: what is needed of it is read from there. */
  persisted(file: LogFile): void {
    this.#indexOf(file)?.persisted()
  }

  /**
   * A full file, or a segment, which takes the place of the ranges it covers. Logs that are gone, or whose start has
   * passed all of it, have no part in it.
   *
   * @param directory header and directory of its index, intact
   * @param bytes all of the index, if it is not on disk yet: it stays in memory until `persisted`
   */
  addFile(
    file: LogFile,
    directory: Uint8Array,
    isLive: (entry: DirectoryEntry) => boolean,
    bytes: Uint8Array | null = null,
  ): void {
    let number = NO_FILE
    for (const entry of directoryEntries(directory)) {
      if (!isLive(entry)) continue
      if (number === NO_FILE) {
        number = this.#freeNumbers.pop() ?? this.#indexes.length
        this.#indexes[number] = new FileIndex(file, directory, bytes, this.#parts)
        this.#numbers.set(file, number)
      }
      let ranges = this.#sealed.get(entry.logId)
      if (ranges === undefined) {
        ranges = new LogRanges()
        this.#sealed.set(entry.logId, ranges)
      }
      file.liveLogs++
      for (const replaced of ranges.replace(entry.firstOffset, entry.endOffset, number)) this.#drop(replaced)
    }
  }

  /** What a log has in full files and segments, in the order of its offsets. Throws READ_FAILED. */
  async *rangesOf(logId: LogId): AsyncGenerator<SealedRange> {
    for (let next = 0; ; ) {
      const stretch = this.#stretchAfter(logId, next)
      if (stretch === undefined) return
      const { index } = stretch
      const directory = await this.#unlessDropped(logId, stretch, index.entryOf(logId))
      if (directory === null) continue
      yield { file: index.file, index, directory }
      next = stretch.endOffset
    }
  }

  /** What a full file or a segment has of live logs, in the order of their ids, some at a time. Throws READ_FAILED. */
  async *rangesIn(file: LogFile): AsyncGenerator<readonly SealedRange[]> {
    const index = this.#indexOf(file)
    if (index === undefined) return
    try {
      for await (const entries of index.entries()) {
        yield entries.map((directory) => ({ file, index, directory })).filter((range) => this.counts(range))
      }
    } catch (error) {
      // Nothing in it counts any more, and it may be gone.
      if (this.#indexOf(file) === index) throw error
    }
  }

  /** Whether every log of a full file or a segment has a live range in it. */
  isWhole(file: LogFile): boolean {
    return this.#indexOf(file)?.logCount === file.liveLogs
  }

  /** Whether a range is still the one that counts for its offsets. */
  counts({ index, directory: { logId, endOffset } }: SealedRange): boolean {
    return this.#isIn(logId, index, endOffset)
  }

  /** What the file being written has of a log: bytes of batches, and the time of the first; null where it has none. */
  activeOf(logId: LogId): { readonly sizeBytes: number; readonly sinceMs: number } | null {
    const active = this.#active.get(logId)
    return active === undefined ? null : { sizeBytes: active.sizeBytes, sinceMs: active.fields[3]! }
  }

  /** Base offset of a log's last batch; -1 where it has none. */
  async newestBatchOffset(logId: LogId): Promise<Offset> {
    for (;;) {
      const active = this.#active.get(logId)
      if (active !== undefined) return active.fields.at(-BATCH_FIELDS)!
      const ranges = this.#sealed.get(logId)
      if (ranges === undefined) return -1
      const stretch = this.#stretchAfter(logId, ranges.startOf(ranges.count - 1))!
      const batches = await this.#unlessDropped(logId, stretch, batchesIn(stretch, logId))
      if (batches !== null) return batches.at(-BATCH_FIELDS)!
    }
  }

  /** The batches of a range: four numbers for each, as in `BatchSlice`. Throws READ_FAILED. */
  batchesOf({ index, directory }: SealedRange): Promise<Float64Array> {
    return index.batchesOf(directory)
  }

  /** Forgets logs. */
  remove(ids: readonly LogId[]): void {
    for (const logId of ids) {
      this.#active.delete(logId)
      const ranges = this.#sealed.get(logId)
      this.#sealed.delete(logId)
      for (let index = 0; index < (ranges?.count ?? 0); index++) this.#drop(ranges!.fileOf(index))
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
      const stretch = this.#stretchAfter(logId, next)
      if (stretch === undefined) break
      const { index, firstOffset, endOffset } = stretch
      if (isContinued && firstOffset > next) return
      // Should the log go meanwhile, its file stays open for who takes the slice.
      index.file.hold()
      try {
        const entry = await this.#unlessDropped(logId, stretch, index.entryOf(logId))
        if (entry === null) continue
        if (entry.maxTimestampMs >= minTimestampMs) {
          const fields = await this.#unlessDropped(logId, stretch, index.batchesOf(entry))
          if (fields === null) continue
          let first = indexOfOffset(fields, next)
          // What ended at `next` in the old files may lie in a larger batch of the segment: it was given already.
          if (isContinued && fields[first * BATCH_FIELDS]! < next) first++
          yield { file: index.file, fields, first }
        }
      } finally {
        index.file.release()
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
    if (ranges === undefined) return
    while (ranges.count > 0 && ranges.endOf(0) <= startOffset) this.#drop(ranges.shift())
    if (ranges.count === 0) this.#sealed.delete(logId)
  }

  /** Bytes of a log's batches from its start that end at or before `to`. */
  async bytesBefore(log: LogHead, to: Offset): Promise<number> {
    let byteLength = 0
    // While a range is loaded the file being written may become full.
    let next = log.startOffset
    for (;;) {
      const stretch = this.#stretchAfter(log.id, next)
      if (stretch === undefined) break
      const { index, firstOffset, endOffset } = stretch
      if (firstOffset >= to) return byteLength
      const entry = await this.#unlessDropped(log.id, stretch, index.entryOf(log.id))
      if (entry === null) continue
      if (firstOffset >= log.startOffset && endOffset <= to) byteLength += entry.sizeBytes
      else {
        const fields = await this.#unlessDropped(log.id, stretch, index.batchesOf(entry))
        if (fields === null) continue
        byteLength += bytesWithin(fields, log.startOffset, to, endOffset)
      }
      next = endOffset
    }
    const active = this.#active.get(log.id)
    if (active === undefined) return byteLength
    return byteLength + bytesWithin(active.fields, log.startOffset, to, log.highWatermark)
  }

  /** See `LogStore.expiredUpTo`. Reads nothing where it is known that the first batch stays. */
  async expiredUpTo(log: LogHead, limits: RetentionLimits): Promise<Offset> {
    const prefix = new ExpiredPrefix(log, limits)
    let next = log.startOffset
    /** Of the batch that stays, if there is one. */
    let stayingMs = NO_TIMESTAMP_MS
    const takesAll = (fields: ArrayLike<number>, endOffset: Offset): boolean => {
      const first = indexOfOffset(fields, next) * BATCH_FIELDS
      for (let at = first; at < fields.length; at += BATCH_FIELDS) {
        if (!prefix.takes(fields[at + 2]!, fields[at + 3]!, fields[at + BATCH_FIELDS] ?? endOffset)) {
          stayingMs = fields[at + 3]!
          return false
        }
      }
      return true
    }
    const known = this.#sealed.get(log.id)
    if (known?.timestampOffset === next && prefix.endsBefore(known.timestampMs)) return next
    for (;;) {
      const stretch = this.#stretchAfter(log.id, next)
      if (stretch === undefined) break
      const { index, firstOffset, endOffset } = stretch
      const entry = await this.#unlessDropped(log.id, stretch, index.entryOf(log.id))
      if (entry === null) continue
      const { sizeBytes, maxTimestampMs } = entry
      const isTaken =
        firstOffset >= log.startOffset &&
        hasTimestamp(maxTimestampMs) &&
        prefix.takes(sizeBytes, maxTimestampMs, endOffset)
      if (!isTaken) {
        const fields = await this.#unlessDropped(log.id, stretch, index.batchesOf(entry))
        if (fields === null) continue
        if (!takesAll(fields, endOffset)) {
          this.#noteStaying(log.id, stretch, prefix.end, stayingMs)
          return prefix.end
        }
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
    const ranges = this.#sealed.get(logId)
    for (let index = 0; index < (ranges?.count ?? 0); index++) {
      if (ranges!.startOf(index) > expected) return expected
      if (ranges!.fileOf(index) !== NO_FILE) expected = Math.max(expected, ranges!.endOf(index))
    }
    const active = this.#active.get(logId)
    const activeEnd = active === undefined || active.fields[0]! > expected ? expected : endOffset
    return activeEnd < endOffset ? expected : null
  }

  #indexOf(file: LogFile): FileIndex | undefined {
    return this.#indexes[this.#numbers.get(file) ?? NO_FILE] ?? undefined
  }

  /** The first with something at or after `offset`. */
  #stretchAfter(logId: LogId, offset: Offset): Stretch | undefined {
    const ranges = this.#sealed.get(logId)
    if (ranges === undefined) return undefined
    let at = ranges.after(offset)
    while (at < ranges.count && ranges.fileOf(at) === NO_FILE) at++
    if (at === ranges.count) return undefined
    const index = this.#indexes[ranges.fileOf(at)]!
    return { index, firstOffset: ranges.startOf(at), endOffset: ranges.endOf(at) }
  }

  #isIn(logId: LogId, index: FileIndex, endOffset: Offset): boolean {
    const ranges = this.#sealed.get(logId)
    if (ranges === undefined) return false
    const at = ranges.after(endOffset - 1)
    return at < ranges.count && this.#indexes[ranges.fileOf(at)] === index
  }

  /** Null where the range does not count any more: its file may be gone before its index was read. */
  async #unlessDropped<T>(logId: LogId, { index, endOffset }: Stretch, read: Promise<T>): Promise<T | null> {
    try {
      return await read
    } catch (error) {
      if (!this.#isIn(logId, index, endOffset)) return null
      throw error
    }
  }

  /** The first batch that ends after `offset` has this timestamp: most checks need to know nothing else. */
  #noteStaying(logId: LogId, { index, endOffset }: Stretch, offset: Offset, timestampMs: number): void {
    const ranges = this.#sealed.get(logId)
    if (ranges === undefined || !this.#isIn(logId, index, endOffset)) return
    ranges.timestampOffset = offset
    ranges.timestampMs = timestampMs
  }

  /** A log has no range in a file any more. */
  #drop(number: number): void {
    if (number === NO_FILE) return
    const { file } = this.#indexes[number]!
    file.liveLogs--
    if (file.liveLogs > 0) return
    this.#indexes[number] = null
    this.#numbers.delete(file)
    this.#freeNumbers.push(number)
    this.#parts.forget(file)
  }
}

async function batchesIn({ index }: Stretch, logId: LogId): Promise<Float64Array> {
  return await index.batchesOf(await index.entryOf(logId))
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
