import { batchHeader, decodeRecords, loadCodec } from '@streambus/protocol'
import type { Offset, OffsetAndTimestamp } from './log-store.ts'

/**
 * Finds a record inside one batch by its timestamp: the first at or after `timestampMs`, or the latest with
 * `'max'`. Records before the log start do not count. The batch's offsets must have been assigned.
 */
export async function findRecordByTime(
  batch: Uint8Array,
  timestampMs: number | 'max',
  leaderEpoch: number,
  logStartOffset: Offset,
): Promise<OffsetAndTimestamp | null> {
  await loadCodec(batchHeader.attributes(batch, 0) & 7)
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
