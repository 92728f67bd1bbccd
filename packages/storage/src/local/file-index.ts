import { crc32c } from '@streambus/protocol'
import { type LogId, StorageError } from '../log-store.ts'
import {
  BATCH_BYTES,
  batchesAreIntact,
  DIRECTORY_ENTRY_BYTES,
  type DirectoryEntry,
  decodeBatches,
  decodeEntry,
  directoryLength,
  INDEX_HEADER_BYTES,
} from './index-file.ts'
import type { IndexParts } from './index-parts.ts'
import type { LogFile } from './log-files.ts'

/** Entries of a directory that are read at once: 16 KB. */
const BLOCK_ENTRIES = 340
/** Batches that are read at once where a log has fewer: its neighbours may be wanted next. */
const BATCHES_PART_BYTES = 16 * 1024

/**
 * The index of one full file or segment, of which only this is in memory: for each block of its directory the first
 * log in it, so that an entry is found with one read, and the block's checksum, which the index itself has only for
 * the whole directory.
 */
export class FileIndex {
  readonly file: LogFile
  readonly logCount: number
  readonly #parts: IndexParts
  readonly #batchesStart: number
  readonly #firstLogIds: Uint32Array
  readonly #checksums: Uint32Array
  /** All of it, until it is on disk. */
  #bytes: Uint8Array | null

  /**
   * @param directory header and directory, intact
   * @param bytes all of the index, if it is not on disk yet
   */
  constructor(file: LogFile, directory: Uint8Array, bytes: Uint8Array | null, parts: IndexParts) {
    this.file = file
    this.#parts = parts
    this.#bytes = bytes
    this.#batchesStart = directoryLength(directory)!
    this.logCount = (this.#batchesStart - INDEX_HEADER_BYTES) / DIRECTORY_ENTRY_BYTES
    const blocks = Math.ceil(this.logCount / BLOCK_ENTRIES)
    this.#firstLogIds = new Uint32Array(blocks)
    this.#checksums = new Uint32Array(blocks)
    for (let block = 0; block < blocks; block++) {
      const { position, byteLength } = this.#placeOf(block)
      const bytes = directory.subarray(position, position + byteLength)
      this.#firstLogIds[block] = logIdAt(bytes, 0)
      this.#checksums[block] = crc32c(bytes)
    }
  }

  /** From now on what is needed of it is read. */
  persisted(): void {
    this.#bytes = null
  }

  /** What the directory says of a log that the file has. Throws READ_FAILED. */
  async entryOf(logId: LogId): Promise<DirectoryEntry> {
    const block = Math.max(
      0,
      numberUpTo(this.#firstLogIds.length, (at) => this.#firstLogIds[at]!, logId),
    )
    const bytes = await this.#block(block)
    const at = numberUpTo(bytes.byteLength / DIRECTORY_ENTRY_BYTES, (entry) => logIdAt(bytes, entry), logId)
    if (at < 0 || logIdAt(bytes, at) !== logId) throw this.#damaged(this.#placeOf(block).position)
    return decodeEntry(bytes, at * DIRECTORY_ENTRY_BYTES, this.#batchesStart)
  }

  /** All entries of the directory, some hundred at a time, in the order of the logs' ids. Throws READ_FAILED. */
  async *entries(): AsyncGenerator<readonly DirectoryEntry[]> {
    for (let block = 0; block < this.#checksums.length; block++) {
      const bytes = await this.#block(block)
      const entries: DirectoryEntry[] = []
      for (let at = 0; at < bytes.byteLength; at += DIRECTORY_ENTRY_BYTES) {
        entries.push(decodeEntry(bytes, at, this.#batchesStart))
      }
      yield entries
    }
  }

  /** The batches of a log: base offset, position, length, max timestamp; base offset, … Throws READ_FAILED. */
  async batchesOf(entry: DirectoryEntry): Promise<Float64Array> {
    const { position, batchCount } = entry
    const byteLength = batchCount * BATCH_BYTES
    if (this.#bytes !== null) return asBatches(this.#bytes.subarray(position, position + byteLength))
    if (byteLength > BATCHES_PART_BYTES) {
      const bytes = await this.#parts.read(this.file, position, byteLength, (read) => {
        if (!batchesAreIntact(read, entry)) throw this.#damaged(position)
      })
      return asBatches(bytes)
    }
    const batches = decodeBatches(await this.#few(position, byteLength), entry)
    if (batches === null) throw this.#damaged(position)
    return batches
  }

  /** Bytes from one part or two. */
  async #few(position: number, byteLength: number): Promise<Uint8Array> {
    const within = (position - this.#batchesStart) % BATCHES_PART_BYTES
    const start = position - within
    const first = await this.#parts.read(this.file, start, BATCHES_PART_BYTES)
    const bytes = first.subarray(within, within + byteLength)
    if (within + byteLength <= BATCHES_PART_BYTES) return bytes
    const second = await this.#parts.read(this.file, start + BATCHES_PART_BYTES, BATCHES_PART_BYTES)
    return Buffer.concat([bytes, second.subarray(0, byteLength - bytes.byteLength)])
  }

  #placeOf(block: number): { position: number; byteLength: number } {
    const position = INDEX_HEADER_BYTES + block * BLOCK_ENTRIES * DIRECTORY_ENTRY_BYTES
    const end = Math.min(position + BLOCK_ENTRIES * DIRECTORY_ENTRY_BYTES, this.#batchesStart)
    return { position, byteLength: end - position }
  }

  #block(block: number): Uint8Array | Promise<Uint8Array> {
    const { position, byteLength } = this.#placeOf(block)
    if (this.#bytes !== null) return this.#bytes.subarray(position, position + byteLength)
    return this.#parts.read(this.file, position, byteLength, (bytes) => {
      const isIntact = bytes.byteLength === byteLength && crc32c(bytes) === this.#checksums[block]
      if (!isIntact) throw this.#damaged(position)
    })
  }

  #damaged(position: number): StorageError {
    const { isSegment, indexPath, indexPosition } = this.file
    const wayOut = isSegment
      ? 'restore the data folder from a backup'
      : 'delete it and restart, and it is built again from the log file'
    return new StorageError(
      'READ_FAILED',
      `${indexPath} is damaged at byte ${(indexPosition ?? 0) + position}: ${wayOut}`,
    )
  }
}

function logIdAt(entries: Uint8Array, entry: number): LogId {
  return new DataView(entries.buffer, entries.byteOffset).getUint32(entry * DIRECTORY_ENTRY_BYTES, true)
}

/** The last number below `count` whose value is not above `value`; -1 when all are. Values ascend. */
function numberUpTo(count: number, numberAt: (at: number) => number, value: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (numberAt(middle) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

function asBatches(bytes: Uint8Array): Float64Array {
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)
}
