import { batchHeader, type ControlMarker, decodeRecords, readControlRecord } from '@streambus/protocol'

const NO_PRODUCER_ID = -1
const SEQUENCE_MODULUS = 0x8000_0000

/** What a batch says of its producer: all that the state of the producer depends on. */
export interface ProducerBatch {
  readonly producerId: number
  readonly epoch: number
  /** Negative: the batch has no sequence, as those that coordinators write. */
  readonly firstSequence: number
  readonly lastSequence: number
  readonly isTransactional: boolean
  /** Of a control batch; null for records. */
  readonly marker: ControlMarker | null
}

/** Null for batches without a producer, and for control batches that are no end markers. */
export function producerBatchIn(
  bytes: Uint8Array,
  position: number,
  lastOffsetDelta: number,
): ProducerBatch | null {
  const producerId = batchHeader.producerId(bytes, position)
  if (producerId === NO_PRODUCER_ID) return null
  const marker = batchHeader.isControl(bytes, position) ? markerIn(bytes, position) : null
  if (marker === undefined) return null
  const firstSequence = batchHeader.baseSequence(bytes, position)
  return {
    producerId,
    epoch: batchHeader.producerEpoch(bytes, position),
    firstSequence,
    lastSequence: sequenceAfter(firstSequence, lastOffsetDelta),
    isTransactional: batchHeader.isTransactional(bytes, position),
    marker,
  }
}

/** The sequence `count` records on; 2147483647 is followed by 0. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % SEQUENCE_MODULUS
}

function markerIn(bytes: Uint8Array, position: number): ControlMarker | undefined {
  for (const record of decodeRecords(bytes.subarray(position))) return readControlRecord(record) ?? undefined
  return undefined
}
