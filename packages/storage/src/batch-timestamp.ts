import { batchHeader } from '@streambus/protocol'

/** In place of the largest timestamp of a batch that no lookup by time may find. */
export const NO_TIMESTAMP_MS = Number.NEGATIVE_INFINITY

/**
 * Largest timestamp of a batch as an index for lookups by time needs it. Markers of transactions are no
 * records: consumers never see them, and none of them is the answer to a lookup.
 */
export function lookupTimestampOf(bytes: Uint8Array, position: number): number {
  return batchHeader.isControl(bytes, position) ? NO_TIMESTAMP_MS : batchHeader.maxTimestamp(bytes, position)
}

/**
 * Whether a batch with this largest timestamp has a time at all: markers have none here, and Kafka's -1 is none, which
 * a producer may send.
 */
export function hasTimestamp(maxTimestampMs: number): boolean {
  return maxTimestampMs >= 0
}
