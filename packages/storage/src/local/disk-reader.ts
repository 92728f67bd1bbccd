import { StorageError } from '../log-store.ts'
import { alignedMemory } from './aligned-memory.ts'
import type { DiskAccess } from './disk-access.ts'
import type { LogFile } from './log-files.ts'
import { BLOCK_BYTES } from './log-format.ts'

/** A run of bytes wanted from a file. */
export interface Extent {
  readonly file: LogFile
  position: number
  byteLength: number
}

const BUFFER_BYTES = 1024 ** 2
/** Wanted runs at most this far apart are read together: reading past a gap costs less than another read. */
const MAX_GAP_BYTES = 64 * 1024
/** Reads log files past the page cache through a few pooled, aligned buffers. */
export class DiskReader {
  readonly #disk: DiskAccess
  /** No more than there are disk: who has one finds a buffer here or makes it. */
  readonly #buffers: Uint8Array[] = []

  constructor(disk: DiskAccess) {
    this.#disk = disk
  }

  /**
   * Copies extents, in order, to the start of `target`, as many as it and one read hold. Advances the extents
   * it takes from, and returns the bytes copied.
   */
  async read(extents: readonly Extent[], target: Uint8Array): Promise<number> {
    const first = extents[0]!
    // The caller may give up and let go of the file meanwhile.
    first.file.hold()
    await this.#disk.take()
    const buffer = this.#buffers.pop() ?? alignedMemory(BUFFER_BYTES)
    try {
      const start = Math.floor(first.position / BLOCK_BYTES) * BLOCK_BYTES
      const limit = start + buffer.byteLength
      let wanted = Math.min(first.byteLength, target.byteLength, limit - first.position)
      let end = first.position + wanted
      let count = 1
      for (const next of extents.slice(1)) {
        const gap = next.position - end
        if (next.file !== first.file || gap < 0 || gap > MAX_GAP_BYTES) break
        const size = Math.min(next.byteLength, target.byteLength - wanted, limit - next.position)
        if (size <= 0) break
        wanted += size
        end = next.position + size
        count++
      }
      const alignedEnd = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES
      const read = await first.file.readBlocks(buffer.subarray(0, alignedEnd - start), start)
      if (start + read < end) {
        throw new StorageError(
          'READ_FAILED',
          `${first.file.path} ends at byte ${start + read}, but records lie up to byte ${end}`,
        )
      }
      let copied = 0
      for (const extent of extents.slice(0, count)) {
        const size = Math.min(extent.byteLength, wanted - copied)
        const from = extent.position - start
        target.set(buffer.subarray(from, from + size), copied)
        copied += size
        extent.position += size
        extent.byteLength -= size
      }
      return copied
    } finally {
      first.file.release()
      this.#buffers.push(buffer)
      this.#disk.give()
    }
  }
}
