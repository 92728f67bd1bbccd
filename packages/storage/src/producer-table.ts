import type { Offset, ProducerState } from './log-store.ts'
import { type ProducerBatch, sequenceAfter } from './producer-batch.ts'

/**
 * What one log remembers of its idempotent producers (KIP-98), so that a retried batch is recognised and a
 * transaction is one producer's alone.
 *
 * The last five batches of each producer are kept, because a producer may have five requests in flight. The
 * table is part of the log: it changes with every append, is undone with an append that failed, is saved in
 * the checkpoint and rebuilt from the batches after it. Entries are immutable, so undoing is putting the
 * previous one back.
 */

/** Batches a producer may have in flight, and so the number a broker must recognise. */
const WINDOW_BATCHES = 5
/** A producer that wrote nothing for a day is forgotten (Kafka's producer.id.expiration.ms). */
export const PRODUCER_EXPIRY_MS = 24 * 3600 * 1000

/**
 * Producers that the logs of one store remember together, each some 400 to 900 bytes. Any number may come in a
 * day: a batch names its producer itself, and a request holds many.
 */
const MAX_PRODUCERS = 200_000

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
  /** Of the last end marker; -1 where there was none. */
  readonly coordinatorEpoch: number
  /** Where the transaction begins to which the next batch belongs; null where none is open. */
  readonly transactionFirstOffset: Offset | null
}

export type ProducerVerdict =
  | { readonly kind: 'accept' }
  | { readonly kind: 'duplicate'; readonly baseOffset: Offset }
  | { readonly kind: 'stale-epoch'; readonly currentEpoch: number }
  | { readonly kind: 'out-of-order'; readonly expectedSequence: number }
  | { readonly kind: 'outside-transaction'; readonly firstOffset: Offset }
  | { readonly kind: 'stale-coordinator'; readonly currentEpoch: number }

const LOOKED_AT_FOR_ROOM = 8
const ACCEPT: ProducerVerdict = { kind: 'accept' }
const NO_BATCHES: readonly ProducedBatch[] = []

/** May a batch follow what is known of its producer? */
export function judge(
  known: ProducerEntry | undefined,
  batch: ProducerBatch,
  transactionVersion: number,
): ProducerVerdict {
  // A producer this log has never seen, or has forgotten, may start anywhere: its earlier batches may
  // have been written before its state expired. Not so with an epoch for each transaction: there it must be
  // the second batch of a producer whose first one was not taken, and is about to be sent again.
  if (known === undefined) {
    const isEarly = transactionVersion >= 2 && batch.marker === null && batch.firstSequence > 0
    return isEarly ? { kind: 'out-of-order', expectedSequence: 0 } : ACCEPT
  }
  if (batch.epoch < known.epoch) return { kind: 'stale-epoch', currentEpoch: known.epoch }
  if (batch.marker !== null) {
    return judgeMarker(known, batch.epoch, batch.marker.coordinatorEpoch, transactionVersion)
  }
  const { firstSequence, lastSequence } = batch
  if (firstSequence >= 0) {
    const window = batch.epoch === known.epoch ? known.window : NO_BATCHES
    for (const produced of window) {
      if (produced.firstSequence === firstSequence && produced.lastSequence === lastSequence) {
        return { kind: 'duplicate', baseOffset: produced.baseOffset }
      }
    }
    const last = window.at(-1)
    const expectedSequence = last === undefined ? 0 : sequenceAfter(last.lastSequence, 1)
    if (firstSequence !== expectedSequence) return { kind: 'out-of-order', expectedSequence }
  }
  const firstOffset = known.transactionFirstOffset
  return firstOffset === null || batch.isTransactional ? ACCEPT : { kind: 'outside-transaction', firstOffset }
}

/**
 * Before transactions of version 2 a marker has the epoch of its transaction; since then a higher one, so that
 * the same epoch can only be a marker written again. That one may be written as long as there is nothing it
 * could end.
 */
function judgeMarker(
  known: ProducerEntry,
  epoch: number,
  coordinatorEpoch: number,
  transactionVersion: number,
): ProducerVerdict {
  if (transactionVersion >= 2 && epoch === known.epoch && known.transactionFirstOffset !== null) {
    return { kind: 'stale-epoch', currentEpoch: known.epoch }
  }
  if (coordinatorEpoch < known.coordinatorEpoch) {
    return { kind: 'stale-coordinator', currentEpoch: known.coordinatorEpoch }
  }
  return ACCEPT
}

/** The entry of a producer after a batch that was accepted, or that is replayed. */
export function entryAfter(
  known: ProducerEntry | undefined,
  batch: ProducerBatch,
  baseOffset: Offset,
  lastOffset: Offset,
  lastTimestampMs: number,
): ProducerEntry {
  const { epoch, firstSequence, lastSequence, marker } = batch
  const earlier = known === undefined || known.epoch !== epoch ? NO_BATCHES : known.window
  if (marker !== null) {
    const { coordinatorEpoch } = marker
    return { epoch, window: earlier, lastTimestampMs, coordinatorEpoch, transactionFirstOffset: null }
  }
  const produced = { firstSequence, lastSequence, baseOffset, lastOffset }
  const openSince = known === undefined ? null : known.transactionFirstOffset
  return {
    epoch,
    window: firstSequence < 0 ? earlier : windowWith(earlier, produced),
    lastTimestampMs,
    coordinatorEpoch: known === undefined ? -1 : known.coordinatorEpoch,
    transactionFirstOffset: openSince === null && batch.isTransactional ? baseOffset : openSince,
  }
}

/**
 * What is left of a producer whose first batch here is taken back: undefined, unless it was the first of its
 * epoch. Then there is nothing before it, and a later one that is small enough for what room is left, or comes
 * when there is room again, must not take its place: the log goes on waiting for it.
 */
export function entryWithoutFirst(entry: ProducerEntry): ProducerEntry | undefined {
  if (entry.window[0]?.firstSequence !== 0) return undefined
  return { ...entry, window: NO_BATCHES, transactionFirstOffset: null }
}

/** Written out, because it is done for every batch: a literal is built several times faster than a slice. */
function windowWith(earlier: readonly ProducedBatch[], produced: ProducedBatch): readonly ProducedBatch[] {
  if (earlier.length < WINDOW_BATCHES) return [...earlier, produced]
  return [earlier[1]!, earlier[2]!, earlier[3]!, earlier[4]!, produced]
}

/** How many producers the logs of a store remember, and may. */
export class ProducerBudget {
  readonly maxProducers: number
  producers = 0

  constructor(maxProducers = MAX_PRODUCERS) {
    this.maxProducers = maxProducers
  }
}

export class ProducerTable {
  /** Who was looked at when room was made comes last, else who came last. */
  readonly #entries = new Map<number, ProducerEntry>()
  #budget: ProducerBudget

  constructor(budget: ProducerBudget) {
    this.#budget = budget
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.#entries.get(producerId)
  }

  entries(): IterableIterator<[number, ProducerEntry]> {
    return this.#entries.entries()
  }

  /** Undefined forgets the producer. */
  set(producerId: number, entry: ProducerEntry | undefined): void {
    const before = this.#entries.size
    if (entry === undefined) this.#entries.delete(producerId)
    else this.#entries.set(producerId, entry)
    this.#budget.producers += this.#entries.size - before
  }

  /**
   * Where the store remembers too many producers, forgets one of this log: of a few, the one that has been
   * silent for longest. Those of whom `mayForget` is false are kept.
   */
  makeRoom(mayForget: (producerId: number, entry: ProducerEntry) => boolean): void {
    if (this.#budget.producers <= this.#budget.maxProducers) return
    const looked: [number, ProducerEntry][] = []
    for (const entry of this.#entries) {
      looked.push(entry)
      if (looked.length === LOOKED_AT_FOR_ROOM) break
    }
    let silent: number | null = null
    let sinceMs = Number.POSITIVE_INFINITY
    for (const [producerId, entry] of looked) {
      if (entry.lastTimestampMs >= sinceMs || !mayForget(producerId, entry)) continue
      silent = producerId
      sinceMs = entry.lastTimestampMs
    }
    for (const [producerId, entry] of looked) {
      this.#entries.delete(producerId)
      if (producerId === silent) this.#budget.producers--
      else this.#entries.set(producerId, entry)
    }
  }

  /** The log is gone: what is still undone in it counts no more. */
  forgetAll(): void {
    this.#budget.producers -= this.#entries.size
    this.#entries.clear()
    this.#budget = new ProducerBudget()
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
        coordinatorEpoch: entry.coordinatorEpoch,
        currentTransactionFirstOffset: entry.transactionFirstOffset,
      })
    }
    return states
  }
}
