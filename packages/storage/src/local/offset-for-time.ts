import { batchHeader } from '@streambus/protocol'
import { NO_TIMESTAMP_MS } from '../batch-timestamp.ts'
import type { LogHead } from '../log-head.ts'
import { type OffsetAndTimestamp, StorageError } from '../log-store.ts'
import { findRecordByTime } from '../record-by-time.ts'
import { BATCH_FIELDS } from './index-file.ts'
import { LocalRecordBytes, type RecordSources } from './local-record-bytes.ts'
import type { BatchSlice, OffsetIndex } from './offset-index.ts'

/**
 * The first record whose timestamp is at least `timestampMs`, or the one with the largest: the index says which batch,
 * and the batch is read for the record.
 */
export async function offsetForTime(
  log: LogHead,
  timestampMs: number | 'max',
  index: OffsetIndex,
  sources: RecordSources,
): Promise<OffsetAndTimestamp | null> {
  if (timestampMs === 'max') return await latestRecord(log, index, sources)
  for await (const slice of index.slices(log.id, log.startOffset, timestampMs)) {
    const { fields } = slice
    for (let at = slice.first * BATCH_FIELDS; at < fields.length; at += BATCH_FIELDS) {
      if (fields[at + 3]! < timestampMs) continue
      const found = await findInBatch(sources, log, slice, at, timestampMs)
      if (found !== null) return found
    }
  }
  return null
}

async function latestRecord(
  log: LogHead,
  index: OffsetIndex,
  sources: RecordSources,
): Promise<OffsetAndTimestamp | null> {
  let best: OffsetAndTimestamp | null = null
  for await (const slice of index.slices(log.id, log.startOffset)) {
    const { fields } = slice
    let latest = -1
    for (let at = slice.first * BATCH_FIELDS; at < fields.length; at += BATCH_FIELDS) {
      if (fields[at + 3]! === NO_TIMESTAMP_MS) continue
      if (fields[at]! < log.startOffset) {
        // Of the batch in which the log starts, the latest record may be one that is gone.
        best = await findInBatch(sources, log, slice, at, 'max')
      } else if (latest < 0 || fields[at + 3]! > fields[latest + 3]!) latest = at
    }
    if (latest < 0 || (best !== null && fields[latest + 3]! <= best.timestampMs)) continue
    best = await findInBatch(sources, log, slice, latest, 'max')
  }
  return best
}

async function findInBatch(
  sources: RecordSources,
  log: LogHead,
  { file, fields }: BatchSlice,
  at: number,
  timestampMs: number | 'max',
): Promise<OffsetAndTimestamp | null> {
  const batch = new Uint8Array(fields[at + 2]!)
  const extent = { file, position: fields[at + 1]!, byteLength: batch.byteLength }
  const records = new LocalRecordBytes([extent], sources)
  try {
    for (let filled = 0; filled < batch.byteLength; ) filled += await records.readInto(batch.subarray(filled))
  } finally {
    records.close()
  }
  if (batchHeader.baseOffset(batch, 0) !== fields[at]) {
    throw new StorageError('READ_FAILED', `${file.path} has no batch ${fields[at]} at byte ${fields[at + 1]}`)
  }
  return findRecordByTime(batch, timestampMs, log.leaderEpoch, log.startOffset)
}
