import type { LocalLogStore } from '../local/local-log-store.ts'
import type { AbortedTransaction, LogId, Offset } from '../log-store.ts'
import { batchOf, bytesOf, type FoundRecord, markerOf, recordsIn } from './batches.ts'
import { check } from './crash-failure.ts'
import type { SentBatch } from './crash-model.ts'
import { readCommitted } from './read-committed.ts'
import type { SeededRandom } from './seeded-random.ts'

/**
 * Transactions in the crash simulation: what their producers and coordinators send, and what a log must say of
 * them. The latter follows from the batches and markers in the log and nothing else, so it is found by going
 * over all of them again. Those before the log's start, which nobody can read any more, are remembered from
 * when they were acknowledged.
 */

/** One transaction as its producer sees it. */
export interface ModelTransaction {
  commitSent: boolean
}

export interface TransactionPart {
  readonly producerId: number
  readonly kind: 'records' | 'abort' | 'commit'
  readonly transaction: ModelTransaction
}

export interface TransactionalProducer {
  readonly producerId: number
  epoch: number
  nextSequence: number
  transaction: ModelTransaction | null
  /** Has sent what is not answered yet. */
  isBusy: boolean
  /** Something it sent was refused or never answered: then the transaction is aborted with a new epoch. */
  isBroken: boolean
}

/** Where a record stands: the label of its batch, and its number in it. Markers are told by their coordinator epoch. */
export function placeOf({ value, marker }: FoundRecord): { label: string; index: number } {
  if (marker !== null) return { label: `m${marker.coordinatorEpoch}`, index: 0 }
  const [label, index] = value.split('/') as [string, string]
  return { label, index: Number(index) }
}

interface NewBatches {
  newBatch(part: TransactionPart): { batch: SentBatch; values: string[] }
  newMarker(part: TransactionPart, coordinatorEpoch: number): SentBatch
  /** Above all before. */
  newCoordinatorEpoch(): number
}

/** What a producer and its coordinator send next, in order. */
export function planTransaction(
  producer: TransactionalProducer,
  random: SeededRandom,
  { newBatch, newMarker, newCoordinatorEpoch }: NewBatches,
): { batch: SentBatch; bytes: Uint8Array }[] {
  const { producerId } = producer
  const sendings: { batch: SentBatch; bytes: Uint8Array }[] = []
  const transaction = producer.transaction ?? { commitSent: false }
  const end = (kind: 'abort' | 'commit', raisesEpoch: boolean) => {
    if (raisesEpoch) {
      producer.epoch++
      producer.nextSequence = 0
    }
    if (kind === 'commit') transaction.commitSent = true
    producer.transaction = null
    const coordinatorEpoch = newCoordinatorEpoch()
    const batch = newMarker({ producerId, kind, transaction }, coordinatorEpoch)
    const bytes = markerOf(kind, { producerId, producerEpoch: producer.epoch }, { coordinatorEpoch })
    sendings.push({ batch, bytes })
  }
  if (producer.isBroken) {
    producer.isBroken = false
    end('abort', true)
    return sendings
  }
  for (let count = random.between(0, 3); count > 0; count--) {
    producer.transaction = transaction
    const { epoch: producerEpoch, nextSequence: baseSequence } = producer
    const { batch, values } = newBatch({ producerId, kind: 'records', transaction })
    const options = { producerId, producerEpoch, baseSequence, transactional: true }
    sendings.push({ batch, bytes: batchOf(values, options) })
    producer.nextSequence += values.length
  }
  // Also where nothing was written, and sometimes twice, as coordinators do after a restart.
  while (random.chance(0.5)) end(random.pick(['abort', 'commit']), random.chance(0.3))
  return sendings
}

export class ModelTransactions {
  readonly producers: readonly TransactionalProducer[]
  readonly #logId: LogId
  /** Transactional batches and markers by offset, as far as they are known to be in the log. */
  #parts = new Map<Offset, TransactionPart>()
  /** What the last comparison met. */
  summary = ''

  constructor(logId: LogId) {
    this.#logId = logId
    this.producers = [1, 2, 3].map((number) => ({
      producerId: 10_000_000 + 10 * logId + number,
      epoch: 0,
      nextSequence: 0,
      transaction: null,
      isBusy: false,
      isBroken: false,
    }))
  }

  remember(offset: Offset, part: TransactionPart): void {
    this.#parts.set(offset, part)
  }

  /** After a crash nobody knows what became of what was not answered. */
  settleUnknown(): void {
    for (const producer of this.producers) {
      producer.isBroken ||= producer.isBusy
      producer.isBusy = false
    }
  }

  /** The log may have lost what was acknowledged; it has a state from before all the same. */
  goBack(): void {
    for (const producer of this.producers) producer.isBroken = true
  }

  /** Compares the store, which is at rest, with what its `records`, all from `start` on, say. */
  async compare(
    store: LocalLogStore,
    records: readonly FoundRecord[],
    start: Offset,
    end: Offset,
  ): Promise<void> {
    this.#takeOver(records, start)
    const { open, aborted } = this.#replay()
    const stable = Math.max(start, Math.min(end, ...open.values()))
    await this.#compareState(store, open, stable)
    const isAborted = ({ offset, producerId, isTransactional }: FoundRecord) =>
      isTransactional &&
      aborted.some(
        (range) =>
          range.producerId === producerId && range.firstOffset <= offset && offset <= range.lastOffset,
      )
    const expected = records.filter(
      (record) => record.offset < stable && record.marker === null && !isAborted(record),
    )
    for (const maxBytes of [0, 5000, 1e9]) {
      const { records: committed } = await readCommitted(store, this.#logId, start, maxBytes)
      check(
        JSON.stringify(committed) === JSON.stringify(expected),
        () =>
          `log ${this.#logId} shows ${offsetsOf(committed)} as committed instead of ${offsetsOf(expected)}`,
      )
    }
    for (let offset = start; offset < stable; offset += 1 + Math.floor((stable - start) / 5)) {
      for (const maxBytes of [0, 5000, 1e9]) await this.#compareAborted(store, offset, maxBytes, aborted)
    }
    this.summary = `logs with ${aborted.length > 0 ? '' : 'no '}aborted and ${open.size > 0 ? '' : 'no '}open transactions`
  }

  /** What can be read counts; what precedes it is what it was. */
  #takeOver(records: readonly FoundRecord[], start: Offset): void {
    const parts = new Map([...this.#parts].filter(([offset]) => offset < start))
    for (const record of records) {
      const { offset, producerId, isTransactional, marker } = record
      if (!isTransactional) continue
      parts.set(offset - placeOf(record).index, {
        producerId,
        kind: marker === null ? 'records' : marker.type,
        transaction: { commitSent: false },
      })
    }
    this.#parts = new Map([...parts].sort(([one], [other]) => one - other))
  }

  #replay(): { open: Map<number, Offset>; aborted: (AbortedTransaction & { lastOffset: Offset })[] } {
    const open = new Map<number, Offset>()
    const aborted: (AbortedTransaction & { lastOffset: Offset })[] = []
    for (const [offset, { producerId, kind }] of this.#parts) {
      const firstOffset = open.get(producerId)
      if (kind === 'records') open.set(producerId, firstOffset ?? offset)
      else if (firstOffset !== undefined) {
        open.delete(producerId)
        if (kind === 'abort') aborted.push({ producerId, firstOffset, lastOffset: offset })
      }
    }
    return { open, aborted }
  }

  async #compareState(
    store: LocalLogStore,
    open: ReadonlyMap<number, Offset>,
    stable: Offset,
  ): Promise<void> {
    const [state] = await store.state([this.#logId])
    check(
      state!.lastStableOffset === stable,
      () => `log ${this.#logId} is stable up to ${state!.lastStableOffset} instead of ${stable}`,
    )
    const known = new Map<number, Offset>()
    for (const { producerId, currentTransactionFirstOffset } of await store.producers(this.#logId)) {
      if (currentTransactionFirstOffset !== null) known.set(producerId, currentTransactionFirstOffset)
    }
    const sorted = (transactions: ReadonlyMap<number, Offset>) =>
      JSON.stringify([...transactions].sort(([one], [other]) => one - other))
    check(
      sorted(known) === sorted(open),
      () => `log ${this.#logId} has the transactions ${sorted(known)} open instead of ${sorted(open)}`,
    )
  }

  async #compareAborted(
    store: LocalLogStore,
    offset: Offset,
    maxBytes: number,
    aborted: readonly (AbortedTransaction & { lastOffset: Offset })[],
  ): Promise<void> {
    const requests = [{ logId: this.#logId, offset, maxBytes, readCommitted: true }]
    const [result] = await store.read(requests, { maxBytes })
    if (result!.error !== null) throw result!.error
    const found = recordsIn(await bytesOf(result!.records))
    const last = found.at(-1)!.offset
    const expected = aborted
      .filter(({ firstOffset, lastOffset }) => firstOffset <= last && lastOffset >= offset)
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
    const listed = JSON.stringify(result!.abortedTransactions)
    check(
      listed === JSON.stringify(expected),
      () => `log ${this.#logId} lists ${listed} for ${offset}–${last} instead of ${JSON.stringify(expected)}`,
    )
  }
}

function offsetsOf(records: readonly FoundRecord[]): string {
  return JSON.stringify(records.map(({ offset }) => offset))
}
