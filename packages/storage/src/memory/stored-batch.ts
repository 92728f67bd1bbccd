import { batchEndOffset, batchHeader } from '@streambus/protocol'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import type { Offset } from '../log-store.ts'

/** One batch in memory. It never changes: who reads it goes on with it when another has taken its place. */
export interface StoredBatch {
  readonly baseOffset: Offset
  readonly maxTimestampMs: number
  readonly bytes: Uint8Array
}

export function storedBatch(bytes: Uint8Array): StoredBatch {
  return {
    baseOffset: batchHeader.baseOffset(bytes, 0),
    maxTimestampMs: lookupTimestampOf(bytes, 0),
    bytes,
  }
}

/** Behind the last offset that the batch covers. */
export function endOffsetOf({ bytes }: StoredBatch): Offset {
  return batchEndOffset(bytes, 0)
}

/** Index of the batch that contains `offset`, or the first after it; the length when there is none. */
export function indexOfOffset(batches: readonly StoredBatch[], offset: Offset): number {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (batches[middle]!.baseOffset <= offset) low = middle + 1
    else high = middle
  }
  const containing = low - 1
  if (containing < 0) return 0
  return offset < endOffsetOf(batches[containing]!) ? containing : low
}
