import { type RecordBytes, StorageError } from '../log-store.ts'
import { BLOCK_BYTES, type BlockCache } from './block-cache.ts'
import type { DiskReader, Extent } from './disk-reader.ts'
import type { LogFile } from './log-files.ts'
import type { TailRing } from './tail-ring.ts'

/** The batches of one read: copied from memory where they still are, else read from their files. */
export class LocalRecordBytes implements RecordBytes {
  readonly byteLength: number
  readonly #extents: Extent[]
  readonly #held: LogFile[] = []
  readonly #ring: TailRing
  readonly #blocks: BlockCache
  readonly #reader: DiskReader
  #next = 0

  constructor(extents: Extent[], { ring, blocks, reader }: RecordSources) {
    this.#extents = extents
    this.#ring = ring
    this.#blocks = blocks
    this.#reader = reader
    let byteLength = 0
    for (const extent of extents) {
      byteLength += extent.byteLength
      if (this.#held.at(-1) === extent.file) continue
      extent.file.hold()
      this.#held.push(extent.file)
    }
    this.byteLength = byteLength
  }

  readInto(target: Uint8Array): number | Promise<number> {
    const filled = this.#copy(target)
    return filled > 0 || this.#next === this.#extents.length ? filled : this.#readFromDisk(target)
  }

  /** Copies what is in memory, up to the first byte that is not. */
  #copy(target: Uint8Array): number {
    let filled = 0
    while (filled < target.byteLength && this.#next < this.#extents.length) {
      const extent = this.#extents[this.#next]!
      const { file, position } = extent
      const wanted = Math.min(extent.byteLength, target.byteLength - filled)
      const recent = file.isSegment ? null : this.#ring.recall(file.number, position, wanted)
      const found = recent ?? this.#blocks.recall(file, position, wanted)
      if (found === null) break
      target.set(found, filled)
      filled += found.byteLength
      extent.position += found.byteLength
      extent.byteLength -= found.byteLength
      if (extent.byteLength === 0) this.#next++
    }
    return filled
  }

  close(): void {
    this.#next = this.#extents.length
    for (const file of this.#held.splice(0)) file.release()
  }

  async #readFromDisk(target: Uint8Array): Promise<number> {
    const { file, position } = this.#extents[this.#next]!
    try {
      if (!this.#isDense()) {
        const extents = this.#extents.slice(this.#next, this.#next + MAX_EXTENTS_AT_ONCE)
        const copied = await this.#reader.read(extents, target)
        while (this.#extents[this.#next]?.byteLength === 0) this.#next++
        return copied
      }
      await this.#blocks.load(file, position)
      const copied = this.#copy(target)
      if (copied > 0 || this.#next === this.#extents.length) return copied
      throw new StorageError(
        'READ_FAILED',
        `${file.path} has no records at byte ${position}, where they should be`,
      )
    } catch (error) {
      throw readFailed(file.path, error)
    }
  }

  /** Whether enough is wanted of the next block of the file to load all of it. */
  #isDense(): boolean {
    const { file, position } = this.#extents[this.#next]!
    const blockEnd = (Math.floor(position / BLOCK_BYTES) + 1) * BLOCK_BYTES
    let wantedBytes = 0
    for (let index = this.#next; index < this.#extents.length; index++) {
      const extent = this.#extents[index]!
      if (extent.file !== file || extent.position >= blockEnd) break
      wantedBytes += extent.byteLength
      if (wantedBytes >= (file.isSegment ? DENSE_BYTES_OF_SEGMENT : DENSE_BYTES)) return true
    }
    return false
  }
}

/** Where records are looked for, in this order. */
export interface RecordSources {
  readonly ring: TailRing
  readonly blocks: BlockCache
  readonly reader: DiskReader
}

/** Wanted bytes of a block from which on loading it whole is cheaper than reading what is wanted. */
const DENSE_BYTES = BLOCK_BYTES / 16
/** In a segment nobody else wants what lies around. */
const DENSE_BYTES_OF_SEGMENT = BLOCK_BYTES / 2
const MAX_EXTENTS_AT_ONCE = 64

/** A failure of the disk or the filesystem as an error of the store. */
export function readFailed(path: string, cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('READ_FAILED', `reading ${path} failed: ${reason}`, { cause })
}
