import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  batchHeader,
  changeBatchHeader,
  writeBatchHeader,
} from '@streambus/protocol'
import type { Offset } from '../log-store.ts'

/** Offsets one batch can cover: the last one is given from the first in 32 bits. */
export const MAX_COVERED_OFFSETS = 2 ** 31

/**
 * Makes a batch cover the offsets to before `endOffset`, because the batches that followed it are gone; it never
 * covers less than before. Changes `batch` in place, so what others hold has to be copied before. False: it
 * would cover more than `MAX_COVERED_OFFSETS`, and is left as it is; an empty batch can follow it.
 *
 * A reader goes on behind a batch's last offset, whether there is a record or not. (Java's consumer does so in
 * `CompletedFetch`, for logs that Kafka's own cleaner left behind.) One that does not is kafkajs: where an
 * answer holds nothing but one batch, and no record at or above the offset that was asked for, it asks for the
 * next offset, then the next, to the end of the batch. So where an engine can do with offsets that no batch
 * covers, as Kafka does, that is better. Except below the end of what was compacted: a gap there may reach to the
 * last stable offset, and a reader of what is committed is told that there is more and given nothing.
 */
export function extendTo(batch: Uint8Array, endOffset: Offset): boolean {
  const lastOffsetDelta = endOffset - 1 - batchHeader.baseOffset(batch, 0)
  if (lastOffsetDelta <= batchHeader.lastOffsetDelta(batch, 0)) return true
  if (lastOffsetDelta >= MAX_COVERED_OFFSETS) return false
  changeBatchHeader(batch, 0, { lastOffsetDelta })
  return true
}

/**
 * A batch without records that covers the offsets from `baseOffset` to before `endOffset`, where nothing is left
 * that could be extended. Kafka's cleaner writes such batches too (`DefaultRecordBatch.writeEmptyHeader`), and
 * Java's consumer goes on behind them; but kafkajs asks for the same offset for ever where an answer holds
 * nothing else. So they are the last resort. Throws RangeError for an empty range, or one of more than
 * `MAX_COVERED_OFFSETS`.
 */
export function emptyBatch(baseOffset: Offset, endOffset: Offset, partitionLeaderEpoch: number): Uint8Array {
  const lastOffsetDelta = endOffset - 1 - baseOffset
  if (lastOffsetDelta < 0 || lastOffsetDelta >= MAX_COVERED_OFFSETS) {
    throw new RangeError(`no batch covers the offsets from ${baseOffset} to before ${endOffset}`)
  }
  const batch = new Uint8Array(BATCH_HEADER_BYTES)
  writeBatchHeader(batch, 0, {
    baseOffset,
    batchLength: BATCH_HEADER_BYTES - BATCH_LENGTH_OVERHEAD,
    partitionLeaderEpoch,
    codec: 0,
    logAppendTime: false,
    transactional: false,
    control: false,
    deleteHorizon: false,
    lastOffsetDelta,
    baseTimestamp: -1,
    maxTimestamp: -1,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    recordCount: 0,
  })
  return batch
}
