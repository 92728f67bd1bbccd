import type { AbortedTransaction, Offset } from './log-store.ts'

/**
 * The transactions of one log as far as they are durable: which are open, and which were aborted. Readers see
 * only this; what the next batch of a producer is judged by runs ahead of it, in `ProducerEntry`.
 *
 * An aborted transaction costs 32 bytes of memory and some 40 in the checkpoint, from its marker until the
 * start of the log, or compaction, has passed it.
 */

/** What a batch changes once it is durable. Most batches change nothing and have none. */
export type TransactionChange =
  | { readonly kind: 'begun'; readonly producerId: number; readonly firstOffset: Offset }
  | {
      readonly kind: 'ended'
      readonly producerId: number
      readonly aborted: boolean
      readonly firstOffset: Offset
      /** Of the marker. */
      readonly lastOffset: Offset
    }

/**
 * Numbers for each aborted transaction: producer id, first offset, last offset, and the last stable offset
 * when it had ended. Whatever ended later was open at that time or began later, so none of it lies below that.
 */
const FIELDS = 4

export class TransactionTable {
  /** First offset by producer, in the order of the first offsets: transactions become durable in that order. */
  readonly #open = new Map<number, Offset>()
  #firstOpenOffset: Offset | null = null
  /** `FIELDS` numbers for each, in the order of the last offsets. */
  readonly #aborted: number[] = []

  /** Where the earliest open transaction begins. */
  get firstOpenOffset(): Offset | null {
    return this.#firstOpenOffset
  }

  isOpen(producerId: number): boolean {
    return this.#open.has(producerId)
  }

  /** Changes come in the order of the log. */
  apply(change: TransactionChange): void {
    const { producerId, firstOffset } = change
    if (change.kind === 'begun') {
      this.#open.set(producerId, firstOffset)
      this.#firstOpenOffset ??= firstOffset
      return
    }
    this.#open.delete(producerId)
    if (this.#firstOpenOffset === firstOffset) {
      this.#firstOpenOffset = this.#open.values().next().value ?? null
    }
    if (!change.aborted) return
    const { lastOffset } = change
    this.#aborted.push(producerId, firstOffset, lastOffset, this.#firstOpenOffset ?? lastOffset + 1)
  }

  /** The aborted transactions of which something lies from `from` to before `end`. */
  abortedWithin(from: Offset, end: Offset): AbortedTransaction[] {
    const found: AbortedTransaction[] = []
    for (let at = this.#firstEndingAt(from); at < this.#aborted.length; at += FIELDS) {
      const firstOffset = this.#aborted[at + 1]!
      if (firstOffset < end) found.push({ producerId: this.#aborted[at]!, firstOffset })
      if (this.#aborted[at + 3]! >= end) break
    }
    return found
  }

  /** Whether what a producer wrote at `offset`, below the last stable offset, in a transaction was aborted. */
  wasAborted(producerId: number, offset: Offset): boolean {
    for (let at = this.#firstEndingAt(offset); at < this.#aborted.length; at += FIELDS) {
      if (this.#aborted[at] === producerId && this.#aborted[at + 1]! <= offset) return true
      if (this.#aborted[at + 3]! > offset) return false
    }
    return false
  }

  /** Forgets the aborted transactions of which nothing lies at or above `offset`. */
  trim(offset: Offset): void {
    this.#aborted.splice(0, this.#firstEndingAt(offset))
  }

  /** The aborted transactions as numbers, for a checkpoint. */
  abortedFields(): number[] {
    return [...this.#aborted]
  }

  restoreAborted(fields: readonly number[]): void {
    for (const field of fields) this.#aborted.push(field)
  }

  /** Where the first aborted transaction stands whose last offset is not below `offset`. */
  #firstEndingAt(offset: Offset): number {
    let low = 0
    let high = this.#aborted.length / FIELDS
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#aborted[middle * FIELDS + 2]! < offset) low = middle + 1
      else high = middle
    }
    return low * FIELDS
  }
}
