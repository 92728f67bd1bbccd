import { StorageError } from '../log-store.ts'
import type { DiskAccess } from './disk-access.ts'
import type { LogFile } from './log-files.ts'
import { BLOCK_BYTES } from './log-format.ts'
import type { WorkShare } from './work-share.ts'

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
 * Where the turns of the event loop are long, and pieces small and far apart, up to eight are read at once: else each
 * would take a turn.
 */
const READS_PER_FACTOR = 1 / 2

/** One read, of whole blocks. */
interface Read {
  readonly file: LogFile
  readonly start: number
  /** Behind the last byte that is wanted. */
  readonly end: number
  readonly block: Uint8Array
  /** What of it goes where. */
  readonly parts: { readonly from: number; readonly byteLength: number; readonly target: number }[]
}

/**
 * Collects batches that are scattered over files. It reads in the order of the files, not in that of the pieces, so
 * that a file is passed over once however the batches are mixed, and as much as the buffer holds at a time, so that
 * those who read or write meanwhile wait for that at most.
 */
export class BatchGathering {
  readonly #disk: DiskAccess
  readonly #buffer: Uint8Array
  readonly #share: WorkShare

  /** @param buffer aligned memory for what is read at once */
  constructor(disk: DiskAccess, buffer: Uint8Array, share: WorkShare) {
    this.#disk = disk
    this.#buffer = buffer
    this.#share = share
  }

  /** Copies the pieces to their places in `memory`. Returns the bytes read. Holds no file. */
  async collect(pieces: readonly Piece[], memory: Uint8Array): Promise<number> {
    let readBytes = 0
    const plan = new ReadPlanner(pieces)
    for (;;) {
      const reads: Read[] = []
      const most = Math.max(1, this.#share.factor * READS_PER_FACTOR)
      for (let filled = 0; reads.length < most; ) {
        const read = plan.next(this.#buffer.subarray(filled), reads.length === 0)
        if (read === null) break
        reads.push(read)
        filled += read.block.byteLength
      }
      if (reads.length === 0) return readBytes
      const results = await this.#disk.background(() =>
        Promise.allSettled(reads.map(({ file, block, start }) => file.readBlocks(block, start))),
      )
      for (const [index, { file, start, end, block, parts }] of reads.entries()) {
        const result = results[index]!
        if (result.status === 'rejected') throw result.reason
        if (start + result.value < end) {
          throw new StorageError(
            'READ_FAILED',
            `${file.path} ends at byte ${start + result.value}, but records lie up to byte ${end}`,
          )
        }
        for (const { from, byteLength, target } of parts) {
          memory.set(block.subarray(from, from + byteLength), target)
        }
        readBytes += block.byteLength
      }
    }
  }
}

/** Which reads bring the pieces, in the order of the files. */
class ReadPlanner {
  readonly #pieces: readonly Piece[]
  #next = 0
  /** How much of the piece at `next` earlier reads bring. */
  #brought = 0

  constructor(pieces: readonly Piece[]) {
    this.#pieces = [...pieces].sort((a, b) =>
      a.file === b.file ? a.position - b.position : a.file.path < b.file.path ? -1 : 1,
    )
  }

  /**
   * The next read, into the beginning of `room`; null where nothing is left, or where what comes next does not fit in
   * whole. If it `mustFit`, it is a part then.
   */
  next(room: Uint8Array, mustFit: boolean): Read | null {
    const first = this.#pieces[this.#next]
    if (first === undefined) return null
    const { file } = first
    const position = first.position + this.#brought
    const start = Math.floor(position / BLOCK_BYTES) * BLOCK_BYTES
    const limit = start + room.byteLength
    if (!mustFit && first.position + first.byteLength > limit) return null
    let end = position
    for (let at = this.#next; at < this.#pieces.length; at++) {
      const piece = this.#pieces[at]!
      if (piece.file !== file || piece.position - end > MAX_GAP_BYTES) break
      end = Math.min(piece.position + piece.byteLength, limit)
      if (end === limit) break
    }
    const parts: Read['parts'] = []
    for (; this.#next < this.#pieces.length; this.#next++) {
      const piece = this.#pieces[this.#next]!
      const from = piece.position + this.#brought
      if (piece.file !== file || from >= end || from < start) break
      const byteLength = Math.min(piece.byteLength - this.#brought, end - from)
      parts.push({ from: from - start, byteLength, target: piece.target + this.#brought })
      this.#brought += byteLength
      if (this.#brought < piece.byteLength) break
      this.#brought = 0
    }
    const wanted = Math.ceil((end - start) / BLOCK_BYTES) * BLOCK_BYTES
    return { file, start, end, block: room.subarray(0, wanted), parts }
  }
}
