import { batchHeader, decodeRecords, loadCodec, ProtocolError } from '@streambus/protocol'
import { type Offset, type OffsetAndTimestamp, StorageError } from './log-store.ts'

/**
 * Finds a record inside one batch by its timestamp: the first at or after `timestampMs`, or the latest with
 * `'max'`. Records before the log start do not count. The batch's offsets must have been assigned. Throws
 * StorageError CORRUPT_BATCH: nobody has decompressed a batch when it is appended, and it may hold anything.
 */
export async function findRecordByTime(
  batch: Uint8Array,
  timestampMs: number | 'max',
  leaderEpoch: number,
  logStartOffset: Offset,
): Promise<OffsetAndTimestamp | null> {
  try {
    await loadCodec(batchHeader.codec(batch, 0))
    return findRecord(batch, timestampMs, leaderEpoch, logStartOffset)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const message = `the batch at offset ${batchHeader.baseOffset(batch, 0)} cannot be read: ${error.message}`
    throw new StorageError('CORRUPT_BATCH', message, { cause: error })
  }
}

function findRecord(
  batch: Uint8Array,
  timestampMs: number | 'max',
  leaderEpoch: number,
  logStartOffset: Offset,
): OffsetAndTimestamp | null {
  let best: OffsetAndTimestamp | null = null
  for (const record of decodeRecords(batch)) {
    if (record.offset < logStartOffset) continue
    const recordTimestampMs = Number(record.timestamp)
    if (timestampMs === 'max') {
      if (best === null || recordTimestampMs > best.timestampMs) {
        best = { offset: Number(record.offset), timestampMs: recordTimestampMs, leaderEpoch }
      }
    } else if (recordTimestampMs >= timestampMs) {
      return { offset: Number(record.offset), timestampMs: recordTimestampMs, leaderEpoch }
    }
  }
  return best
}
