import type { Offset, ProducerState } from './log-store.ts'

/**
 * What one log remembers of its idempotent producers (KIP-98), so that a retried batch is recognised.
 *
 * The last five batches of each producer are kept, because a producer may have five requests in flight. The
 * table is part of the log: it changes with every append, is undone with an append that failed, is saved in
 * the checkpoint and rebuilt from the batches after it. Entries are immutable, so undoing is putting the
 * previous one back.
 */

/** Batches a producer may have in flight, and so the number a broker must recognise. */
const WINDOW_BATCHES = 5
const SEQUENCE_MODULUS = 0x8000_0000

export interface ProducedBatch {
  readonly firstSequence: number
  readonly lastSequence: number
  readonly baseOffset: Offset
  readonly lastOffset: Offset
}

export interface ProducerEntry {
  readonly epoch: number
  /** Oldest first; at most five, all of this epoch. */
  readonly window: readonly ProducedBatch[]
  readonly lastTimestampMs: number
}

export type SequenceVerdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'duplicate'; readonly baseOffset: Offset }
  | { readonly kind: 'stale-epoch'; readonly currentEpoch: number }
  | { readonly kind: 'out-of-order'; readonly expectedSequence: number }

const ACCEPT: SequenceVerdict = { kind: 'accept' }

/** Last sequence of a batch of `lastOffsetDelta + 1` records; 2147483647 is followed by 0. */
export function lastSequenceOf(firstSequence: number, lastOffsetDelta: number): number {
  return (firstSequence + lastOffsetDelta) % SEQUENCE_MODULUS
}

export class ProducerTable {
  readonly #entries = new Map<number, ProducerEntry>()

  get size(): number {
    return this.#entries.size
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.#entries.get(producerId)
  }

  entries(): IterableIterator<[number, ProducerEntry]> {
    return this.#entries.entries()
  }

  judge(producerId: number, epoch: number, firstSequence: number, lastSequence: number): SequenceVerdict {
    const known = this.#entries.get(producerId)
    // A producer this log has never seen, or has forgotten, may start anywhere: its earlier batches may
    // have been written before its state expired.
    if (known === undefined) return ACCEPT
    if (epoch < known.epoch) return { kind: 'stale-epoch', currentEpoch: known.epoch }
    if (epoch > known.epoch) {
      return firstSequence === 0 ? ACCEPT : { kind: 'out-of-order', expectedSequence: 0 }
    }
    for (const batch of known.window) {
      if (batch.firstSequence === firstSequence && batch.lastSequence === lastSequence) {
        return { kind: 'duplicate', baseOffset: batch.baseOffset }
      }
    }
    const last = known.window.at(-1)
    const expectedSequence = last === undefined ? 0 : (last.lastSequence + 1) % SEQUENCE_MODULUS
    return firstSequence === expectedSequence ? ACCEPT : { kind: 'out-of-order', expectedSequence }
  }

  /** Remembers an accepted batch. Returns the entry it replaces, for `restore`. */
  record(
    producerId: number,
    epoch: number,
    batch: ProducedBatch,
    timestampMs: number,
  ): ProducerEntry | undefined {
    const previous = this.#entries.get(producerId)
    const window =
      previous === undefined || previous.epoch !== epoch
        ? [batch]
        : [...previous.window.slice(-(WINDOW_BATCHES - 1)), batch]
    this.#entries.set(producerId, { epoch, window, lastTimestampMs: timestampMs })
    return previous
  }

  /** Puts back what `record` returned, or what a checkpoint holds. Undefined forgets the producer. */
  restore(producerId: number, entry: ProducerEntry | undefined): void {
    if (entry === undefined) this.#entries.delete(producerId)
    else this.#entries.set(producerId, entry)
  }

  /** Forgets producers that wrote nothing since `beforeMs`. */
  expire(beforeMs: number): void {
    for (const [producerId, entry] of this.#entries) {
      if (entry.lastTimestampMs < beforeMs) this.#entries.delete(producerId)
    }
  }

  states(): ProducerState[] {
    const states: ProducerState[] = []
    for (const [producerId, entry] of this.#entries) {
      const last = entry.window.at(-1)
      states.push({
        producerId,
        producerEpoch: entry.epoch,
        lastSequence: last?.lastSequence ?? -1,
        lastOffset: last?.lastOffset ?? -1,
        lastTimestampMs: entry.lastTimestampMs,
      })
    }
    return states
  }
}
