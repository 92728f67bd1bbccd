import { type RecordBytes, StorageError } from '../log-store.ts'
import type { DiskReader, Extent } from './disk-reader.ts'
import type { LogFile } from './log-files.ts'
import type { TailRing } from './tail-ring.ts'

/** The batches of one read: copied from the ring where they still are, else read from their files. */
export class LocalRecordBytes implements RecordBytes {
  readonly byteLength: number
  readonly #extents: Extent[]
  readonly #held: LogFile[] = []
  readonly #ring: TailRing
  readonly #reader: DiskReader
  #next = 0

  constructor(extents: Extent[], ring: TailRing, reader: DiskReader) {
    this.#extents = extents
    this.#ring = ring
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
    let filled = 0
    while (filled < target.byteLength && this.#next < this.#extents.length) {
      const extent = this.#extents[this.#next]!
      const wanted = Math.min(extent.byteLength, target.byteLength - filled)
      const recent = this.#ring.recall(extent.file.number, extent.position, wanted)
      if (recent === null) return filled > 0 ? filled : this.#readFromDisk(target)
      target.set(recent, filled)
      filled += recent.byteLength
      extent.position += recent.byteLength
      extent.byteLength -= recent.byteLength
      if (extent.byteLength === 0) this.#next++
    }
    return filled
  }

  close(): void {
    this.#next = this.#extents.length
    for (const file of this.#held.splice(0)) file.release()
  }

  async #readFromDisk(target: Uint8Array): Promise<number> {
    const extents = this.#extents.slice(this.#next, this.#next + MAX_EXTENTS_AT_ONCE)
    try {
      const copied = await this.#reader.read(extents, target)
      while (this.#extents[this.#next]?.byteLength === 0) this.#next++
      return copied
    } catch (error) {
      throw readFailed(extents[0]!.file.path, error)
    }
  }
}

const MAX_EXTENTS_AT_ONCE = 64

/** A failure of the disk or the filesystem as an error of the store. */
export function readFailed(path: string, cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('READ_FAILED', `reading ${path} failed: ${reason}`, { cause })
}
