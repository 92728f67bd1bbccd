import { batchHeader } from '@streambus/protocol'
import type { LogHead } from '../log-head.ts'
import { type LogId, type Offset, StorageError } from '../log-store.ts'
import type { Compacted } from '../store-state.ts'
import { alignedMemory } from './aligned-memory.ts'
import { BatchGathering } from './batch-gathering.ts'
import type { DiskAccess } from './disk-access.ts'
import { BATCH_FIELDS } from './index-file.ts'
import type { LogFileFactory } from './log-files.ts'
import type { OffsetIndex, SealedRange } from './offset-index.ts'
import type { SegmentWriter, WrittenSegment } from './segment-file.ts'
import type { WorkShare } from './work-share.ts'

const WINDOW_BYTES = 8 * 1024 ** 2
/** Short enough that who comes to the disk while it is under way does not wait long. */
const TRANSFER_BYTES = 256 * 1024

/** What those who rewrite files into segments need of the store. */
export interface Rewriting {
  readonly files: LogFileFactory
  readonly index: OffsetIndex
  readonly disk: DiskAccess
  readonly buffers: RewritingBuffers
  readonly share: WorkShare
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Undefined for a log that is deleted. */
  logOf(logId: LogId): LogHead | undefined
  nextSegmentNumber(): number
  /**
   * Makes the segment count in the place of what it covers, durably. `compaction` says whose log it holds, and what
   * was done with it.
   */
  addSegment(segment: WrittenSegment, compaction: Omit<Compacted, 'freedBytes'> | null): Promise<void>
}

/** The memory of those who rewrite: one job at a time has it, and it is made for the first one. */
export class RewritingBuffers {
  readonly windowBytes: number
  #windows: readonly [Uint8Array, Uint8Array] | null = null
  #read: Uint8Array | null = null
  #write: Uint8Array | null = null

  constructor(maxBatchBytes: number) {
    this.windowBytes = Math.max(WINDOW_BYTES, maxBatchBytes)
  }

  /** Batches that were read, in the order they are wanted in; each takes the largest. */
  get windows(): readonly [Uint8Array, Uint8Array] {
    this.#windows ??= [new Uint8Array(this.windowBytes), new Uint8Array(this.windowBytes)]
    return this.#windows
  }

  /** Blocks as they come from a file; aligned. */
  get read(): Uint8Array {
    this.#read ??= alignedMemory(TRANSFER_BYTES)
    return this.#read
  }

  /** Blocks on their way to a segment; aligned. */
  get write(): Uint8Array {
    this.#write ??= alignedMemory(TRANSFER_BYTES)
    return this.#write
  }
}

/** Yields the bytes that each step read, looked at or wrote; between steps others have their turn. */
export type RewritingSteps = AsyncGenerator<number, void>

/** Finishes a segment and makes it count; where that fails, the file is its writer's to discard. */
export async function addFinished(
  writer: SegmentWriter,
  compaction: Parameters<Rewriting['addSegment']>[1],
  { addSegment }: Rewriting,
): Promise<void> {
  const segment = await writer.finish()
  try {
    await addSegment(segment, compaction)
    writer.keep()
  } catch (error) {
    // Whether the segment counts is for the next start to find out.
    if (error instanceof StorageError && error.inDoubt) writer.keep()
    throw error
  }
}

/** A batch as it was read: the one the index has there. `bytes` is overwritten by the next window. */
export interface GatheredBatch {
  readonly logId: LogId
  readonly range: SealedRange
  /** In the file. */
  readonly position: number
  readonly bytes: Uint8Array
}

interface Place {
  readonly range: SealedRange
  readonly baseOffset: Offset
  readonly position: number
  readonly byteLength: number
  readonly target: number
}

/**
 * The batches of ranges, in the order of the ranges, a window of some megabytes at a time; between windows the bytes
 * of I/O. The next window is read while the caller works on one. What ends at or before the start of its log is left
 * out. Throws READ_FAILED at the first batch that does not match its index. Its checksum is for those who take it to
 * compare, see `damagedAt`: what is damaged is not copied to where nobody would look for it.
 */
export async function* gather(
  ranges: Iterable<SealedRange> | AsyncIterable<SealedRange>,
  rewriting: Rewriting,
): AsyncGenerator<number | readonly GatheredBatch[]> {
  const { disk, buffers, share } = rewriting
  const gathering = new BatchGathering(disk, buffers.read, share)
  const windows = planned(ranges, rewriting)
  const load = async (memory: Uint8Array) => {
    const { value: places } = await windows.next()
    if (places === undefined) return null
    const pieces = places.map(({ range: { file }, position, byteLength, target }) => ({
      file,
      position,
      byteLength,
      target,
    }))
    const readBytes = await gathering.collect(pieces, memory)
    return { places, memory, readBytes }
  }
  let loading = load(buffers.windows[0])
  try {
    for (let number = 1; ; number++) {
      const window = await loading
      if (window === null) return
      const { places, memory, readBytes } = window
      yield readBytes
      loading = load(buffers.windows[number % 2]!)
      // Whoever asks for the next window is told.
      loading.catch(() => undefined)
      yield places.map((place) => batchAt(place, memory))
    }
  } finally {
    // Nothing is read any more when the caller lets go of the files.
    await loading.catch(() => undefined)
  }
}

/** Which batches make up each window, and where they go in it. */
async function* planned(
  ranges: Iterable<SealedRange> | AsyncIterable<SealedRange>,
  { index, buffers, logOf }: Rewriting,
): AsyncGenerator<readonly Place[], undefined> {
  let places: Place[] = []
  let filled = 0
  for await (const range of ranges) {
    const { logId, endOffset } = range.directory
    if (logOf(logId) === undefined) continue
    const fields = await index.batchesOf(range).catch((error: unknown) => {
      // Of a log that was deleted or cut meanwhile the file may be gone.
      if (index.counts(range)) throw error
      return []
    })
    for (let at = 0; at < fields.length; at += BATCH_FIELDS) {
      const startOffset = logOf(logId)?.startOffset ?? Number.POSITIVE_INFINITY
      const byteLength = fields[at + 2]!
      if (byteLength === 0 || (fields[at + BATCH_FIELDS] ?? endOffset) <= startOffset) continue
      if (filled + byteLength > buffers.windowBytes) {
        yield places
        places = []
        filled = 0
      }
      places.push({ range, baseOffset: fields[at]!, position: fields[at + 1]!, byteLength, target: filled })
      filled += byteLength
    }
  }
  if (places.length > 0) yield places
}

function batchAt(
  { range, baseOffset, position, byteLength, target }: Place,
  memory: Uint8Array,
): GatheredBatch {
  const bytes = memory.subarray(target, target + byteLength)
  const isThere =
    batchHeader.baseOffset(bytes, 0) === baseOffset && batchHeader.byteLength(bytes, 0) === byteLength
  if (!isThere) throw damagedAt(range, position, 'no batch begins there as its index says')
  return { logId: range.directory.logId, range, position, bytes }
}

/** The error for a batch that cannot be copied. */
export function damagedAt({ file }: SealedRange, position: number, fault: string): StorageError {
  return new StorageError(
    'READ_FAILED',
    `${file.path} is damaged at byte ${position}: ${fault}. It stays where it is, and is not copied`,
  )
}
