import { batchHeader } from '@streambus/protocol'
import type { RecordBytes } from '@streambus/storage'

const ZSTD = 4
/** As much of a batch's header as holds its length and its codec. */
const NEEDED_HEADER_BYTES = 23
const SCAN_BYTES = 64 * 1024

/**
 * Whether one of the batches is compressed with zstd. Reads them all, in pieces, and closes them. Only
 * consumers of before zstd (Fetch below version 10) cost this.
 */
export async function containsZstd(records: RecordBytes): Promise<boolean> {
  const piece = Buffer.allocUnsafe(Math.min(SCAN_BYTES, Math.max(records.byteLength, NEEDED_HEADER_BYTES)))
  /** Bytes at the start of the piece that were left of the one before. */
  let kept = 0
  /** Bytes from the start of the piece to the next batch. */
  let nextBatch = 0
  try {
    for (;;) {
      const read = await records.readInto(piece.subarray(kept))
      if (read === 0) return false
      const end = kept + read
      while (nextBatch + NEEDED_HEADER_BYTES <= end) {
        if (batchHeader.codec(piece, nextBatch) === ZSTD) return true
        nextBatch += batchHeader.byteLength(piece, nextBatch)
      }
      kept = Math.max(0, end - nextBatch)
      if (kept > 0) piece.copyWithin(0, nextBatch, end)
      nextBatch = Math.max(0, nextBatch - end)
    }
  } finally {
    records.close()
  }
}
