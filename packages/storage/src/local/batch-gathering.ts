import { StorageError } from '../log-store.ts'
import type { DiskAccess } from './disk-access.ts'
import type { LogFile } from './log-files.ts'
import { BLOCK_BYTES } from './log-format.ts'

/** Bytes wanted from a file, and where they go in a block of memory. */
export interface Piece {
  readonly file: LogFile
  readonly position: number
  readonly byteLength: number
  readonly target: number
}

/** Pieces at most this far apart are read together: reading past a gap costs less than another read. */
const MAX_GAP_BYTES = 64 * 1024

/**
 * Collects batches that are scattered over files. It reads in the order of the files, not in that of the pieces, so
 * that a file is passed over once however the batches are mixed, and a step at a time, so that those who read or
 * write meanwhile wait for one read at most.
 */
export class BatchGathering {
  readonly #disk: DiskAccess
  readonly #buffer: Uint8Array

  /** @param buffer aligned memory for one read */
  constructor(disk: DiskAccess, buffer: Uint8Array) {
    this.#disk = disk
    this.#buffer = buffer
  }

  /** Copies the pieces to their places in `memory`. Returns the bytes read. Holds no file. */
  async collect(pieces: readonly Piece[], memory: Uint8Array): Promise<number> {
    let readBytes = 0
    const sorted = [...pieces].sort((a, b) =>
      a.file === b.file ? a.position - b.position : a.file.path < b.file.path ? -1 : 1,
    )
    // How much of the piece at `next` was copied by earlier reads.
    let copied = 0
    for (let next = 0; next < sorted.length; ) {
      const { file, position } = sorted[next]!
      const start = Math.floor((position + copied) / BLOCK_BYTES) * BLOCK_BYTES
      let end = position + copied
      for (let at = next; at < sorted.length; at++) {
        const piece = sorted[at]!
        if (piece.file !== file || piece.position - end > MAX_GAP_BYTES) break
        end = Math.min(piece.position + piece.byteLength, start + this.#buffer.byteLength)
        if (end === start + this.#buffer.byteLength) break
      }
      const wanted = Math.ceil((end - start) / BLOCK_BYTES) * BLOCK_BYTES
      const block = this.#buffer.subarray(0, wanted)
      const read = await this.#disk.background(() => file.readBlocks(block, start))
      if (start + read < end) {
        throw new StorageError(
          'READ_FAILED',
          `${file.path} ends at byte ${start + read}, but records lie up to byte ${end}`,
        )
      }
      for (; next < sorted.length; next++) {
        const piece = sorted[next]!
        const from = piece.position + copied
        if (piece.file !== file || from >= end || from < start) break
        const size = Math.min(piece.byteLength - copied, end - from)
        memory.set(this.#buffer.subarray(from - start, from - start + size), piece.target + copied)
        copied += size
        if (copied < piece.byteLength) break
        copied = 0
      }
      readBytes += wanted
    }
    return readBytes
  }
}
