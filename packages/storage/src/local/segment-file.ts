import { batchEndOffset, batchHeader, crc32c } from '@streambus/protocol'
import { lookupTimestampOf, NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import type { LogId, Offset } from '../log-store.ts'
import type { DiskAccess } from './disk-access.ts'
import type { StorageFile } from './file-system.ts'
import { directoryLength, encodeIndex, type IndexedLog } from './index-file.ts'
import type { LogFile, LogFileFactory } from './log-files.ts'
import { BLOCK_BYTES, getU64, paddedLength, setU64 } from './log-format.ts'
import { releaseAll } from './release-all.ts'

/**
 * A segment: batches of one or more logs, sorted by log, then by offset, that take the place of what was scattered
 * over log files or older segments. All integers are little-endian.
 *
 * ```
 * segment = header, padded to 4 KiB · batches, back to back, padded to 4 KiB · index, padded to 4 KiB
 *
 * header
 *  0  u32  magic 'SBSG'
 *  4  u32  CRC-32C of 8–63
 *  8  u32  format version, 1
 * 12  u32  0
 * 16  u64  segment number
 * 24  16   store id
 * 40  u64  position of the index
 * 48  u64  length of the index
 * 56  u64  0
 * ```
 *
 * The index is laid out as that of a log file (`index-file.ts`), with the segment's number for the file's. First
 * and end offset of a log in it are what the segment covers. Where compaction left no batch, the index has an entry of
 * length 0 from the first missing offset on, so that whoever asks for one of these is not given the batch before.
 *
 * A segment is written whole, synced, and counts from the moment a `segment-added` event is durable in the log. It
 * never changes. One that no event speaks of is what a crash left, and is removed at start.
 */
export const SEGMENT_VERSION = 1
const MAGIC = 0x47534253
export const SEGMENT_HEADER_BYTES = BLOCK_BYTES

export interface SegmentHeader {
  readonly indexPosition: number
  readonly indexLength: number
}

export function encodeSegmentHeader(
  target: Uint8Array,
  segmentNumber: number,
  storeId: Uint8Array,
  { indexPosition, indexLength }: SegmentHeader,
): void {
  target.fill(0, 0, SEGMENT_HEADER_BYTES)
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength)
  view.setUint32(0, MAGIC, true)
  view.setUint32(8, SEGMENT_VERSION, true)
  setU64(view, 16, segmentNumber)
  target.set(storeId, 24)
  setU64(view, 40, indexPosition)
  setU64(view, 48, indexLength)
  view.setUint32(4, crc32c(target.subarray(8, 64)), true)
}

/** The header, or what is wrong with it. `newer`: written by a newer release. */
export function decodeSegmentHeader(
  bytes: Uint8Array,
  segmentNumber: number,
  storeId: Uint8Array,
): SegmentHeader | { readonly kind: 'damaged' | 'newer'; readonly fault: string } {
  const damaged = (fault: string) => ({ kind: 'damaged', fault }) as const
  if (bytes.byteLength < 64) return damaged('the header is cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== MAGIC) return damaged('this is not a StreamBus segment')
  if (view.getUint32(4, true) !== crc32c(bytes.subarray(8, 64))) return damaged('the header is damaged')
  const version = view.getUint32(8, true)
  if (version > SEGMENT_VERSION) return { kind: 'newer', fault: `format version ${version}` }
  const statedNumber = getU64(view, 16)
  if (statedNumber !== segmentNumber) return damaged(`it says it is segment ${statedNumber}`)
  if (!storeId.every((byte, index) => bytes[24 + index] === byte)) {
    return damaged('it belongs to another store')
  }
  return { indexPosition: getU64(view, 40), indexLength: getU64(view, 48) }
}

/** A segment that is complete and on disk. */
export interface Segment {
  readonly file: LogFile
  /** Header and directory of its index. */
  readonly directory: Uint8Array
}

/** A segment just written. */
export interface WrittenSegment extends Segment {
  readonly logs: readonly IndexedLog[]
}

interface OpenLog {
  readonly logId: LogId
  readonly firstOffset: Offset
  readonly fields: number[]
  maxTimestampMs: number
  sizeBytes: number
  /** Behind the last batch. */
  endOffset: Offset
}

export interface SegmentWriterOptions {
  readonly files: LogFileFactory
  readonly disk: DiskAccess
  /** Aligned memory that is the writer's until it has finished. */
  readonly buffers: { readonly write: Uint8Array }
  nextSegmentNumber(): number
}

/** Writes one segment front to back. Until `finish` nothing of it counts. */
export class SegmentWriter {
  readonly number: number
  readonly #files: LogFileFactory
  readonly #disk: DiskAccess
  readonly #handle: StorageFile
  readonly #buffer: Uint8Array
  /** Where the buffer goes in the file. */
  #bufferPosition = SEGMENT_HEADER_BYTES
  #buffered = 0
  #batchBytes = 0
  readonly #logs: IndexedLog[] = []
  #isOpen = true
  #isKept = false
  #log: OpenLog | null = null

  private constructor({ files, disk, buffers }: SegmentWriterOptions, number: number, handle: StorageFile) {
    this.#files = files
    this.#disk = disk
    this.#buffer = buffers.write
    this.number = number
    this.#handle = handle
  }

  static async create(options: SegmentWriterOptions): Promise<SegmentWriter> {
    const number = options.nextSegmentNumber()
    return new SegmentWriter(options, number, await options.files.createSegment(number))
  }

  /** Bytes of batches so far. */
  get sizeBytes(): number {
    return this.#bufferPosition + this.#buffered - SEGMENT_HEADER_BYTES
  }

  /** Logs come in the order of their ids. */
  beginLog(logId: LogId, firstOffset: Offset): void {
    this.#log = {
      logId,
      firstOffset,
      fields: [],
      maxTimestampMs: NO_TIMESTAMP_MS,
      sizeBytes: 0,
      endOffset: firstOffset,
    }
  }

  /** Adds a whole batch of the log. Resolves when there is room for the next one: at once where it returns nothing. */
  add(batch: Uint8Array): Promise<void> | undefined {
    const log = this.#log!
    const baseOffset = batchHeader.baseOffset(batch, 0)
    const maxTimestampMs = lookupTimestampOf(batch, 0)
    if (baseOffset > log.endOffset) this.#addGap(log)
    log.endOffset = batchEndOffset(batch, 0)
    log.fields.push(baseOffset, this.#bufferPosition + this.#buffered, batch.byteLength, maxTimestampMs)
    log.sizeBytes += batch.byteLength
    if (maxTimestampMs > log.maxTimestampMs) log.maxTimestampMs = maxTimestampMs
    if (this.#buffered + batch.byteLength >= this.#buffer.byteLength) return this.#addInParts(batch)
    this.#buffer.set(batch, this.#buffered)
    this.#buffered += batch.byteLength
    return undefined
  }

  /** The log is covered up to `endOffset`. */
  endLog(endOffset: Offset): void {
    const log = this.#log!
    if (log.endOffset < endOffset) this.#addGap(log)
    const { logId, firstOffset, maxTimestampMs, sizeBytes } = log
    const batches = Float64Array.from(log.fields)
    this.#batchBytes += sizeBytes
    this.#logs.push({ logId, firstOffset, endOffset, maxTimestampMs, sizeBytes, batches })
    this.#log = null
  }

  /** From here to the next batch the index says that there is nothing. */
  #addGap({ fields, endOffset }: OpenLog): void {
    fields.push(endOffset, this.#bufferPosition + this.#buffered, 0, NO_TIMESTAMP_MS)
  }

  /** Writes index and header, and makes all of it durable. */
  async finish(): Promise<WrittenSegment> {
    await this.#writePadded()
    const indexPosition = this.#bufferPosition
    const index = encodeIndex(this.number, this.#logs)
    for (let at = 0; at < index.byteLength; at += this.#buffer.byteLength) {
      const part = index.subarray(at, at + this.#buffer.byteLength)
      this.#buffer.set(part)
      this.#buffered = part.byteLength
      await this.#writePadded()
    }
    encodeSegmentHeader(this.#buffer, this.number, this.#files.storeId, {
      indexPosition,
      indexLength: index.byteLength,
    })
    await this.#write(this.#buffer.subarray(0, SEGMENT_HEADER_BYTES), 0)
    await this.#handle.sync()
    await this.#close()
    await this.#files.syncFolder()
    return {
      file: this.#files.segment(this.number, this.#bufferPosition, indexPosition, this.#batchBytes),
      directory: index.subarray(0, directoryLength(index)!),
      logs: this.#logs,
    }
  }

  /** The file stays, whatever becomes of the writer. */
  keep(): void {
    this.#isKept = true
  }

  /** Closes the file and removes it, unless it is kept. */
  async discard(): Promise<void> {
    await releaseAll([
      () => this.#close(),
      async () => {
        if (!this.#isKept) await this.#files.removeSegment(this.number)
      },
    ])
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#handle.close()
  }

  async #addInParts(batch: Uint8Array): Promise<void> {
    for (let at = 0; at < batch.byteLength; ) {
      const part = batch.subarray(at, at + this.#buffer.byteLength - this.#buffered)
      this.#buffer.set(part, this.#buffered)
      this.#buffered += part.byteLength
      at += part.byteLength
      if (this.#buffered === this.#buffer.byteLength) await this.#writePadded()
    }
  }

  async #writePadded(): Promise<void> {
    if (this.#buffered === 0) return
    const byteLength = paddedLength(this.#buffered)
    this.#buffer.fill(0, this.#buffered, byteLength)
    await this.#write(this.#buffer.subarray(0, byteLength), this.#bufferPosition)
    this.#bufferPosition += byteLength
    this.#buffered = 0
  }

  #write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#disk.background(() => this.#handle.write(bytes, position))
  }
}
