import { FetchedBatches } from '../consumer/batch-reader.ts'
import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import type { Message } from '../message.ts'

/** The messages of one fetch, or what is left of them. */
export interface LaneBatch {
  readonly topic: string
  readonly partition: number
  readonly messages: readonly Message[]
  /** Behind the last record. */
  readonly nextOffset: number
  readonly highWatermark: number
}

/** One partition on its way through a program: what has arrived, and how far it is resolved. */
export class BatchLane {
  /** What was asked for, by identity; another one after a pause. */
  range: ReadingRange
  /** Bytes that are not decoded. */
  bytes = 0
  isRunning = false
  isInLine = false
  isPaused = false
  /** Nothing more is asked for while it holds as many bytes as it may. */
  isFull = false
  /** Nothing more is started; what runs may end and count. */
  isLeaving = false
  /** What still runs does not count any more: another place was sought, or the partition is lost. */
  isGone = false
  /** It belongs to another member. */
  isLost = false
  /** How often it has failed since the last progress. */
  failures = 0
  /** Set while it waits for the next attempt. */
  retryTimer: NodeJS.Timeout | undefined
  committed: number
  readonly #verifyChecksums: boolean
  /** What runs since before a seek: it ends before this one starts. */
  readonly #predecessor: BatchLane | undefined
  #fetched: FetchedRecords[] = []
  #batch: LaneBatch | undefined
  #readTo: number
  #resolved: number

  constructor(range: ReadingRange, verifyChecksums: boolean, before: BatchLane | undefined) {
    this.range = range
    this.#verifyChecksums = verifyChecksums
    this.#predecessor = before === undefined || before.isRunning ? before : before.#predecessor
    this.#readTo = range.start
    this.#resolved = range.start
    this.committed = range.start
  }

  /** The offset to go on with. */
  get resolved(): number {
    return this.#resolved
  }

  /** Where reading goes on when what is not decoded is dropped. */
  get readTo(): number {
    return this.#readTo
  }

  /** True while something runs, also from before a seek. */
  get isBusy(): boolean {
    return this.isRunning || (this.#predecessor?.isRunning ?? false)
  }

  /** Nothing of it is to be processed any more. */
  get isStale(): boolean {
    return this.isLeaving || this.isGone
  }

  get isEmpty(): boolean {
    return this.#batch === undefined && this.#fetched.length === 0
  }

  get mayStart(): boolean {
    const waits = this.isPaused || this.isStale || this.isBusy || this.retryTimer !== undefined
    return !waits && !this.isEmpty
  }

  add(records: FetchedRecords): void {
    this.#fetched.push(records)
    this.bytes += records.bytes.byteLength
  }

  /** Forgets what is not decoded. */
  dropFetched(): void {
    this.#fetched = []
    this.bytes = 0
  }

  /** Starts nothing more. */
  leave(): void {
    this.isLeaving = true
    this.dropFetched()
    clearTimeout(this.retryTimer)
    this.retryTimer = undefined
  }

  resolve(next: number): void {
    if (next > this.#resolved) this.failures = 0
    this.#resolved = next
  }

  /** What is not resolved of the batch that was taken last, else the next one; undefined where there is none. */
  async take(): Promise<LaneBatch | undefined> {
    this.#batch = this.#rest() ?? (await this.#decodeNext())
    return this.#batch
  }

  /** The batch that was taken is done with, as far as it is resolved. */
  putBack(): void {
    this.#batch = this.#rest()
  }

  #rest(): LaneBatch | undefined {
    const batch = this.#batch
    if (batch === undefined || this.#resolved >= batch.nextOffset) return undefined
    return { ...batch, messages: batch.messages.filter(({ offset }) => offset >= this.#resolved) }
  }

  async #decodeNext(): Promise<LaneBatch | undefined> {
    const records = this.#fetched.shift()
    if (records === undefined) return undefined
    this.bytes -= records.bytes.byteLength
    const { topic, partition, highWatermark } = records
    const batches = new FetchedBatches(records, this.#verifyChecksums)
    const messages: Message[] = []
    for (let next = batches.next(Number.POSITIVE_INFINITY); next !== undefined; ) {
      for (const message of (await next).messages) messages.push(message)
      next = batches.next(Number.POSITIVE_INFINITY)
    }
    this.#readTo = batches.readTo
    return { topic, partition, messages, nextOffset: batches.readTo, highWatermark }
  }
}
