import { FetchedBatches, type ReadBatch } from '../consumer/batch-reader.ts'
import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import type { Message } from '../message.ts'

/** A message between being read and everything before it being handled. */
export interface LaneMessage {
  readonly message: Message
  /** Its place among the messages of the lane. */
  readonly index: number
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
  /** Nothing more is read, and nothing is started but what `leave` says; what runs may end and count. */
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
  readonly #maxAhead: number
  /** What runs since before a seek: its handlers end before one of this lane starts. */
  readonly #predecessor: PartitionLane | undefined
  #alarm: NodeJS.Timeout | undefined
  #fetched: FetchedBatches[] = []
  #readTo: number
  #oldest: LaneMessage | undefined
  #newest: LaneMessage | undefined
  #held = 0
  #appended = 0
  /** In the order of the log: what is nearest to the first that is not handled goes first. */
  #ready: LaneMessage[] = []
  /** Index behind the furthest that was started. */
  #startedTo = 0
  /** Index of the first that is not started any more. */
  #end = Number.POSITIVE_INFINITY
  /** The last message of each key that is not handled. */
  readonly #lastOfKey = new Map<string, LaneMessage>()

  /**
   * @param maxAhead how far behind the first message that is not handled one may lie and be started
   * @param before the lane this one takes the place of
   */
  constructor(
    range: ReadingRange,
    order: 'partition' | 'key',
    maxAhead: number,
    before: PartitionLane | undefined,
    isDelayed: boolean,
  ) {
    this.range = range
    this.isDelayed = isDelayed
    this.#order = order
    this.#maxAhead = maxAhead
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

  /** True when there is one whose turn it is, and not too far ahead. */
  get hasReady(): boolean {
    const first = this.#ready[0]
    return first !== undefined && first.index - (this.#oldest?.index ?? 0) <= this.#maxAhead
  }

  /** True while handlers of the partition run, those from before a seek included. */
  get isBusy(): boolean {
    return this.running > 0 || (this.#predecessor?.running ?? 0) > 0
  }

  get mayStart(): boolean {
    return !this.isPaused && (this.#predecessor?.running ?? 0) === 0
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

  /**
   * Starts nothing more; or only what lies before one that was started, so that whoever reads on has nothing to handle
   * again.
   */
  leave(fillsGaps = false): void {
    this.isLeaving = true
    clearTimeout(this.#alarm)
    this.#startOnlyBefore(fillsGaps && !this.isPaused ? this.#startedTo : 0)
    this.dropFetched()
  }

  /** The message is left to whoever reads the partition next, and so is all that lies behind it. */
  leaveBehind(entry: LaneMessage): void {
    this.#startOnlyBefore(entry.index)
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
    const entry = this.#ready.shift()
    if (entry !== undefined && entry.index >= this.#startedTo) this.#startedTo = entry.index + 1
    return entry
  }

  /** Returns the offset everything is handled before, where that changed. */
  complete(done: LaneMessage): number | undefined {
    done.isHandled = true
    if (done.key !== undefined) {
      if (done.waiting === undefined) this.#lastOfKey.delete(done.key)
      else this.#addReady(done.waiting)
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
      index: this.#appended++,
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
    if (last === undefined) this.#addReady(entry)
    else last.waiting = entry
  }

  #addReady(entry: LaneMessage): void {
    if (entry.index >= this.#end) return
    const ready = this.#ready
    let low = 0
    let high = ready.length
    // What was just read goes to the end; what has waited for its key goes further ahead.
    if (high === 0 || ready[high - 1]!.index < entry.index) {
      ready.push(entry)
      return
    }
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ready[middle]!.index < entry.index) low = middle + 1
      else high = middle
    }
    ready.splice(low, 0, entry)
  }

  #startOnlyBefore(index: number): void {
    if (index >= this.#end) return
    this.#end = index
    this.#ready = this.#ready.filter((entry) => entry.index < index)
  }
}
