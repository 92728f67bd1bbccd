import { batchHeader, crc32c } from '@streambus/protocol'
import type { LogHead } from '../log-head.ts'
import { type LogId, type Offset, StorageError } from '../log-store.ts'
import { alignedMemory } from './aligned-memory.ts'
import { BatchGathering } from './batch-gathering.ts'
import { BATCH_FIELDS } from './index-file.ts'
import type { LogFileFactory } from './log-files.ts'
import type { OffsetIndex, SealedRange } from './offset-index.ts'
import type { ReadSlots } from './read-slots.ts'
import type { WrittenSegment } from './segment-file.ts'

const WINDOW_BYTES = 8 * 1024 ** 2
const TRANSFER_BYTES = 1024 ** 2

/** What those who rewrite files into segments need of the store. */
export interface Rewriting {
  readonly files: LogFileFactory
  readonly index: OffsetIndex
  readonly slots: ReadSlots
  readonly buffers: RewritingBuffers
  /** Milliseconds since the epoch. */
  readonly clock: () => number
  /** Undefined for a log that is deleted. */
  logOf(logId: LogId): LogHead | undefined
  nextSegmentNumber(): number
  /**
   * Makes the segment count in the place of what it covers, durably. `compaction` says whose log it holds, and up to
   * where a later record of the same key has replaced those that are gone.
   */
  addSegment(
    segment: WrittenSegment,
    compaction: { readonly logId: LogId; readonly cleanedTo: Offset } | null,
  ): Promise<void>
}

/** The memory of those who rewrite: one job at a time has it, and it is made for the first one. */
export class RewritingBuffers {
  readonly #windowBytes: number
  #window: Uint8Array | null = null
  #read: Uint8Array | null = null
  #write: Uint8Array | null = null

  constructor(maxBatchBytes: number) {
    this.#windowBytes = Math.max(WINDOW_BYTES, maxBatchBytes)
  }

  /** Batches that were read, in the order they are wanted in. Takes the largest. */
  get window(): Uint8Array {
    this.#window ??= new Uint8Array(this.#windowBytes)
    return this.#window
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

/** Yields the bytes of I/O that each step took; between steps others have their turn. */
export type RewritingSteps = AsyncGenerator<number, void>

/** Of a record batch: what its CRC covers goes from here to its end. */
const CRC_START = 21
/** Bytes looked at between two turns of those who read and write: about a quarter of a millisecond. */
const CHECK_BYTES = 256 * 1024

/** A batch as it was read, intact. `bytes` is overwritten by the next window. */
export interface GatheredBatch {
  readonly logId: LogId
  readonly baseOffset: Offset
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
 * of I/O of each step. What ends at or before the start of its log is left out. Throws READ_FAILED at the first batch
 * that does not match its index or its checksum: what is damaged is not copied to where nobody would look for it.
 */
export async function* gather(
  ranges: Iterable<SealedRange>,
  { index, slots, buffers, logOf }: Rewriting,
): AsyncGenerator<number | readonly GatheredBatch[]> {
  const gathering = new BatchGathering(slots, buffers.read)
  const memory = buffers.window
  let places: Place[] = []
  let filled = 0
  async function* window(): AsyncGenerator<number | readonly GatheredBatch[]> {
    yield* gathering.collect(
      places.map(({ range: { file }, position, byteLength, target }) => ({
        file,
        position,
        byteLength,
        target,
      })),
      memory,
    )
    const batches: GatheredBatch[] = []
    let checked = 0
    for (const { range, baseOffset, position, byteLength, target } of places) {
      const bytes = memory.subarray(target, target + byteLength)
      assertIntact(bytes, range, position, baseOffset)
      batches.push({ logId: range.directory.logId, baseOffset, bytes })
      checked += byteLength
      if (checked >= CHECK_BYTES) {
        yield 0
        checked = 0
      }
    }
    places = []
    filled = 0
    yield batches
  }
  for (const range of ranges) {
    const { logId, endOffset } = range.directory
    if (logOf(logId) === undefined) continue
    const fields = await index.batchesOf(range)
    for (let at = 0; at < fields.length; at += BATCH_FIELDS) {
      const startOffset = logOf(logId)?.startOffset ?? Number.POSITIVE_INFINITY
      if ((fields[at + BATCH_FIELDS] ?? endOffset) <= startOffset) continue
      const byteLength = fields[at + 2]!
      if (byteLength === 0) continue
      if (filled + byteLength > memory.byteLength) yield* window()
      places.push({ range, baseOffset: fields[at]!, position: fields[at + 1]!, byteLength, target: filled })
      filled += byteLength
    }
  }
  if (places.length > 0) yield* window()
}

function assertIntact(batch: Uint8Array, range: SealedRange, position: number, baseOffset: Offset): void {
  const isIntact =
    batchHeader.baseOffset(batch, 0) === baseOffset &&
    batchHeader.byteLength(batch, 0) === batch.byteLength &&
    batchHeader.crc(batch, 0) === crc32c(batch.subarray(CRC_START))
  if (isIntact) return
  throw new StorageError(
    'READ_FAILED',
    `${range.file.path} is damaged at byte ${position}: the batch at offset ${baseOffset} of log ${range.directory.logId} does not match its checksum, and is not copied`,
  )
}
