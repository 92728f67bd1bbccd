/**
 * Which batches of a fetched partition belong to transactions that were aborted (KIP-98). A broker sends them all
 * the same, up to the last stable offset, and beside them a list of the aborted transactions: from the first
 * offset of each on, what its producer wrote is left out, up to the marker that says so.
 */
import { batchHeader, decodeRecords, readControlRecord } from '@streambus/protocol'

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export class AbortedTransactions {
  /** By first offset, those that begin last at the front. */
  readonly #ahead: AbortedTransaction[]
  readonly #open = new Set<number>()

  constructor(transactions: readonly AbortedTransaction[]) {
    this.#ahead = [...transactions].sort((a, b) => b.firstOffset - a.firstOffset)
  }

  /** Whether the batch at this position is to be left out. To be asked of each batch, in the order of the log. */
  hides(bytes: Uint8Array, position: number): boolean {
    if (this.#ahead.length === 0 && this.#open.size === 0) return false
    const lastOffset = batchHeader.baseOffset(bytes, position) + batchHeader.lastOffsetDelta(bytes, position)
    for (let next = this.#ahead.at(-1); next !== undefined && next.firstOffset <= lastOffset; ) {
      this.#open.add(next.producerId)
      this.#ahead.pop()
      next = this.#ahead.at(-1)
    }
    if (!batchHeader.isTransactional(bytes, position)) return false
    const producerId = batchHeader.producerId(bytes, position)
    if (!this.#open.has(producerId)) return false
    if (!batchHeader.isControl(bytes, position)) return true
    if (isAbortMarker(bytes, position)) this.#open.delete(producerId)
    return false
  }
}

function isAbortMarker(bytes: Uint8Array, position: number): boolean {
  const batch = bytes.subarray(position, position + batchHeader.byteLength(bytes, position))
  for (const record of decodeRecords(batch, { verifyCrc: false })) {
    return readControlRecord(record)?.type === 'abort'
  }
  return false
}
