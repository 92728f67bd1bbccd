import { FetchedBatches, type ReadBatch } from '../consumer/batch-reader.ts'
import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import type { Message } from '../message.ts'

/** A message between being read and everything before it being handled. */
export interface LaneMessage {
  readonly message: Message
  /** Where the partition goes on behind it. */
  nextOffset: number
  readonly key: string | undefined
  isHandled: boolean
  /** Not to be started before this time, by the clock of `performance.now()`; undefined until that was asked for. */
  notBeforeMs: number | undefined
  /** The next in the order of the log. */
  following: LaneMessage | undefined
  /** The next that has to wait for this one. */
  waiting: LaneMessage | undefined
}

/**
 * The messages of one partition on their way through the handler. They are started in the order of their keys and
 * may end in any order; the lane tells how far everything before is handled, which is what may be committed.
 *
 * What was fetched stays as it arrived until it is wanted: few messages are objects at any time.
 */
export class PartitionLane {
  /** What was asked for, by identity; another one after a pause. */
  range: ReadingRange
  /** Bytes of record batches that are not decoded. */
  bytes = 0
  /** How many handlers run. */
  running = 0
  isPaused = false
  /** Nothing more is asked for while it holds as many bytes as it may. */
  isFull = false
  /** Nothing more is started; what runs may end and count. */
  isLeaving = false
  /** What still runs does not count any more. */
  isGone = false
  /** It belongs to another member. */
  isLost = false
  /** Whether the lane stands in the line of those that have something to start. */
  isInLine = false
  isFeeding = false
  /** Its messages wait until they are due. */
  readonly isDelayed: boolean
  readonly #order: 'partition' | 'key'
  /** What runs since before a seek: its handlers end before one of this lane starts. */
  readonly #predecessor: PartitionLane | undefined
  #alarm: NodeJS.Timeout | undefined
  #fetched: FetchedBatches[] = []
  #readTo: number
  #oldest: LaneMessage | undefined
  #newest: LaneMessage | undefined
  #held = 0
  #ready: LaneMessage[] = []
  /** The last message of each key that is not handled. */
  readonly #lastOfKey = new Map<string, LaneMessage>()

  /** @param before the lane this one takes the place of */
  constructor(
    range: ReadingRange,
    order: 'partition' | 'key',
    before: PartitionLane | undefined,
    isDelayed: boolean,
  ) {
    this.range = range
    this.isDelayed = isDelayed
    this.#order = order
    this.#predecessor = before === undefined || before.running > 0 ? before : before.#predecessor
    this.#readTo = range.start
  }

  /** Messages that are read, and not handled or behind one that is not. */
  get held(): number {
    return this.#held
  }

  /** Where reading goes on when nothing of the undecoded bytes is kept. */
  get readTo(): number {
    return this.#readTo
  }

  get hasReady(): boolean {
    return this.#ready.length > 0
  }

  /** True while handlers of the partition run, those from before a seek included. */
  get isBusy(): boolean {
    return this.running > 0 || (this.#predecessor?.running ?? 0) > 0
  }

  get mayStart(): boolean {
    return !this.isPaused && !this.isLeaving && (this.#predecessor?.running ?? 0) === 0
  }

  add(records: FetchedRecords, verifyChecksums: boolean): void {
    this.#fetched.push(new FetchedBatches(records, verifyChecksums))
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
    clearTimeout(this.#alarm)
    this.#ready = []
    this.dropFetched()
  }

  /** The next batch out of the bytes; undefined where there is none. */
  readNext(): Promise<ReadBatch> | undefined {
    for (let fetched = this.#fetched[0]; fetched !== undefined; fetched = this.#fetched[0]) {
      const batch = fetched.next(Number.POSITIVE_INFINITY)
      this.#readTo = fetched.readTo
      if (batch !== undefined) return batch
      this.#fetched.shift()
      this.bytes -= fetched.records.bytes.byteLength
    }
    return undefined
  }

  /** Takes the messages of a batch in. Returns the offset everything is handled before, where that changed. */
  append({ messages, nextOffset }: ReadBatch): number | undefined {
    for (const message of messages) this.#append(message)
    if (this.#newest === undefined) return nextOffset
    // Also where the batch held no message, or none at its end: those offsets are passed with what is before them.
    this.#newest.nextOffset = nextOffset
    return undefined
  }

  /** What `take` would give. */
  get upcoming(): LaneMessage | undefined {
    return this.#ready[0]
  }

  /** Calls back when the time is over, unless the lane starts nothing more by then, or waits anew. */
  wait(ms: number, then: () => void): void {
    clearTimeout(this.#alarm)
    this.#alarm = setTimeout(then, ms)
  }

  /** The next message whose turn it is; undefined while all of them wait for others. */
  take(): LaneMessage | undefined {
    return this.#ready.shift()
  }

  /** Returns the offset everything is handled before, where that changed. */
  complete(done: LaneMessage): number | undefined {
    done.isHandled = true
    if (done.key !== undefined) {
      if (done.waiting === undefined) this.#lastOfKey.delete(done.key)
      else if (!this.isLeaving) this.#ready.push(done.waiting)
    }
    let next: number | undefined
    while (this.#oldest?.isHandled) {
      next = this.#oldest.nextOffset
      this.#oldest = this.#oldest.following
      this.#held--
    }
    if (this.#oldest === undefined) this.#newest = undefined
    return next
  }

  #append(message: Message): void {
    const entry: LaneMessage = {
      message,
      nextOffset: message.offset + 1,
      key: this.#order === 'partition' ? '' : message.key?.toString('latin1'),
      isHandled: false,
      notBeforeMs: undefined,
      following: undefined,
      waiting: undefined,
    }
    if (this.#newest === undefined) this.#oldest = entry
    else this.#newest.following = entry
    this.#newest = entry
    this.#held++
    const last = entry.key === undefined ? undefined : this.#lastOfKey.get(entry.key)
    if (entry.key !== undefined) this.#lastOfKey.set(entry.key, entry)
    if (last === undefined) this.#ready.push(entry)
    else last.waiting = entry
  }
}
