/**
 * What waits to be written to one partition, in order, and the order's guardian.
 *
 * Batches leave in the order they were filled, several in flight at once. When one must be sent again, nothing
 * leaves until the answers to all others are in; then all that are not acknowledged go again, in their order
 * and under their old sequence numbers. The broker recognises those it has (it remembers the last five
 * batches, and no more than five are ever in flight) and answers with their first offset.
 */
import type { StreamBusError } from '../errors.ts'
import type { SentMessage } from '../message.ts'
import type { Delivery } from './delivery.ts'

export interface QueuedRecord {
  key: Uint8Array | null
  /** A string is written as UTF-8 where it goes, without a copy in between. */
  value: Uint8Array | string | null
  headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
  timestamp: number
  /** The call it belongs to, and which of its messages it is; undefined where the call waits for the batch. */
  delivery: Delivery | undefined
  slot: number
}

/** A batch's place in the sequence of an idempotent producer (KIP-98). */
export interface SequencedBy {
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** Room for the lengths, deltas and attributes around key and value of a record, in bytes. */
const recordOverheadBytes = 14
const headerOverheadBytes = 6

export function recordBytes({ key, value, headers }: QueuedRecord): number {
  let bytes = recordOverheadBytes + (key?.byteLength ?? 0)
  if (value !== null) bytes += typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
  for (const header of headers) {
    bytes += headerOverheadBytes + 3 * header.key.length + (header.value?.byteLength ?? 0)
  }
  return bytes
}

interface Acknowledgement {
  readonly topic: string
  readonly partition: number
  /** -1 where the broker does not tell. */
  readonly baseOffset: number
  /** Milliseconds since the Unix epoch; -1 where the messages keep their own time. */
  readonly logAppendTimeMs: number
}

export class Batch {
  readonly records: QueuedRecord[] = []
  bytes = 0
  readonly createdAtMs: number
  /** Time by which it is delivered or given up, by the clock of `performance.now()`. */
  readonly deadlineMs: number
  inFlight = false
  sequencedBy: SequencedBy | undefined
  /** The batch as it goes over the wire; undefined until it is first sent, and when its numbers changed. */
  encoded: Uint8Array | undefined
  #settled: Promise<void> | undefined
  #resolve: (() => void) | undefined
  #outcome: Acknowledgement | StreamBusError | undefined
  /** What became of it, where it was too large: their outcomes are its own. */
  #halves: readonly [Batch, Batch] | undefined
  #next = 0
  readonly #nextSent = (): SentMessage => {
    while (this.records[this.#next]!.delivery !== undefined) this.#next++
    return this.#sentAt(this.#next++)
  }

  constructor(createdAtMs: number, deadlineMs: number) {
    this.createdAtMs = createdAtMs
    this.deadlineMs = deadlineMs
  }

  add(record: QueuedRecord, bytes: number): void {
    this.records.push(record)
    this.bytes += bytes
  }

  /**
   * What the call waits for that sent the record added last, alone and without a `delivery`. It is a reaction to one
   * promise of the batch, not a promise with functions of its own: half of the memory of a message in flight. That each
   * gets its own answer rests on reactions running in the order they were added, which is that of the records.
   */
  sent(): Promise<SentMessage> {
    return this.settled.then(this.#nextSent)
  }

  /** Resolves when the batch is acknowledged or has failed. */
  get settled(): Promise<void> {
    this.#settled ??= new Promise((resolve) => {
      this.#resolve = resolve
    })
    return this.#settled
  }

  settle(topic: string, partition: number, baseOffset: number, logAppendTimeMs: number): void {
    this.#outcome = { topic, partition, baseOffset, logAppendTimeMs }
    for (let index = 0; index < this.records.length; index++) {
      const { delivery, slot } = this.records[index] as QueuedRecord
      delivery?.settle(slot, this.#sentAt(index))
    }
    this.#resolve?.()
  }

  fail(error: StreamBusError): void {
    this.#outcome = error
    for (const { delivery } of this.records) delivery?.fail(error)
    this.#resolve?.()
  }

  #sentAt(index: number): SentMessage {
    if (this.#halves !== undefined) {
      const [first, second] = this.#halves
      const middle = first.records.length
      return index < middle ? first.#sentAt(index) : second.#sentAt(index - middle)
    }
    if (this.#outcome instanceof Error) throw this.#outcome
    const { topic, partition, baseOffset, logAppendTimeMs } = this.#outcome as Acknowledgement
    return {
      topic,
      partition,
      offset: baseOffset < 0 ? -1 : baseOffset + index,
      timestamp: logAppendTimeMs >= 0 ? logAppendTimeMs : this.records[index]!.timestamp,
    }
  }

  /**
   * Two batches with half of the records each. Sequences are numbers of records, so the halves together take
   * exactly the sequence numbers of the whole.
   */
  split(): [Batch, Batch] {
    const middle = this.records.length >> 1
    const halves: [Batch, Batch] = [
      new Batch(this.createdAtMs, this.deadlineMs),
      new Batch(this.createdAtMs, this.deadlineMs),
    ]
    for (const [index, record] of this.records.entries()) {
      halves[index < middle ? 0 : 1].add(record, recordBytes(record))
    }
    if (this.sequencedBy !== undefined) {
      const { baseSequence } = this.sequencedBy
      halves[0].sequencedBy = this.sequencedBy
      halves[1].sequencedBy = { ...this.sequencedBy, baseSequence: sequenceAfter(baseSequence, middle) }
    }
    this.#halves = halves
    void Promise.all(halves.map(({ settled }) => settled)).then(() => this.#resolve?.())
    return halves
  }
}

/** Sequence numbers are 31 bits wide and start again at 0. */
export function sequenceAfter(sequence: number, records: number): number {
  return (sequence + records) & 0x7fffffff
}

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

export interface QueueLimits {
  readonly maxBatchBytes: number
  readonly lingerMs: number
  readonly deliveryTimeoutMs: number
}

export class PartitionQueue {
  readonly topic: string
  readonly partition: number
  readonly #limits: QueueLimits
  /** Every batch without an acknowledgement, oldest first. */
  readonly pending: Batch[] = []
  /** The last one of `pending`, while it takes more records. */
  #open: Batch | undefined
  inFlight = 0
  /** Nothing is sent before this time: the pause after a failure. */
  resumeAtMs = 0
  failedAttempts = 0
  lastFailure: StreamBusError | undefined
  identity: ProducerIdentity | undefined
  /** True between the end of one sequence and the start of the next. */
  sequenceEnded = false
  #nextSequence = 0

  constructor(topic: string, partition: number, limits: QueueLimits) {
    this.topic = topic
    this.partition = partition
    this.#limits = limits
  }

  /** Whether the open batch, if there is one, takes a record of this size. */
  hasRoomFor(bytes: number): boolean {
    return this.#open !== undefined && this.#open.bytes + bytes <= this.#limits.maxBatchBytes
  }

  /** The open batch takes no more. */
  close(): void {
    this.#open = undefined
  }

  isOpen(batch: Batch): boolean {
    return batch === this.#open
  }

  /** The batch that the record is in. */
  append(record: QueuedRecord, bytes: number): Batch {
    let batch = this.hasRoomFor(bytes) ? this.#open : undefined
    if (batch === undefined) {
      const nowMs = performance.now()
      batch = new Batch(nowMs, nowMs + this.#limits.deliveryTimeoutMs)
      this.pending.push(batch)
      this.#open = batch
    }
    batch.add(record, bytes)
    if (batch.bytes >= this.#limits.maxBatchBytes) this.#open = undefined
    return batch
  }

  /**
   * The batch to send next; or the time at which there will be one, if only time has to pass; or undefined when
   * something else has to happen first.
   */
  next(nowMs: number, maxInFlight: number, lingering: boolean): Batch | number | undefined {
    if (this.inFlight >= maxInFlight) return undefined
    for (let index = 0; index < this.inFlight; index++) {
      if (!this.pending[index]!.inFlight) return undefined
    }
    const batch = this.pending[this.inFlight]
    if (batch === undefined) return undefined
    if (nowMs < this.resumeAtMs) return this.resumeAtMs
    if (lingering && batch === this.#open) {
      const fullAtMs = batch.createdAtMs + this.#limits.lingerMs
      if (nowMs < fullAtMs) return fullAtMs
    }
    return batch
  }

  /** Numbers the batch if it has no numbers yet, and closes it. */
  take(batch: Batch): void {
    if (batch === this.#open) this.#open = undefined
    batch.inFlight = true
    this.inFlight++
    if (this.identity !== undefined && batch.sequencedBy === undefined) {
      batch.sequencedBy = { ...this.identity, baseSequence: this.#nextSequence }
      this.#nextSequence = sequenceAfter(this.#nextSequence, batch.records.length)
    }
  }

  /** The answer to a batch in flight is in; it stays pending until `remove`. */
  land(batch: Batch): void {
    batch.inFlight = false
    this.inFlight--
  }

  remove(batch: Batch): void {
    const index = this.pending.indexOf(batch)
    if (index >= 0) this.pending.splice(index, 1)
    if (batch === this.#open) this.#open = undefined
  }

  replace(batch: Batch, replacements: readonly Batch[]): void {
    this.pending.splice(this.pending.indexOf(batch), 1, ...replacements)
  }

  /** True when a batch before this one is not acknowledged: a gap in the sequence is then to be expected. */
  waitsForEarlier(batch: Batch): boolean {
    return this.pending[0] !== batch
  }

  /**
   * Called when the broker refused the oldest pending batch as out of order: a batch before it is missing for
   * good. Neither it nor anything after it was written, so that all of them can be numbered afresh, under a new
   * producer id, without any being written twice.
   */
  endSequence(): void {
    this.identity = undefined
    this.sequenceEnded = true
  }

  startSequence(identity: ProducerIdentity): void {
    this.identity = identity
    this.sequenceEnded = false
    this.#nextSequence = 0
    for (const batch of this.pending) {
      batch.sequencedBy = undefined
      batch.encoded = undefined
    }
  }
}
