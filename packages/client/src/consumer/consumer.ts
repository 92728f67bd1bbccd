import type { Cluster } from '../cluster.ts'
import { abortedError, StreamBusError } from '../errors.ts'
import { checkDeadLetterTopic } from '../handling/dead-letters.ts'
import { type HandleOptions, type Handler, handleSettings } from '../handling/handle-options.ts'
import { HandlerRuns } from '../handling/handler-runs.ts'
import { checkList } from '../known-options.ts'
import { type TopicPartition, unknownPartition } from '../list-offsets.ts'
import type { Message, MessageBatch } from '../message.ts'
import { positive, wholeNumber } from '../options.ts'
import { iterateBatches } from './batch-iteration.ts'
import { BatchReader } from './batch-reader.ts'
import { ObservableConsumer } from './consumer-events.ts'
import { type FetchOptions, type FetchSettings, fetchSettings } from './fetch-settings.ts'
import { Fetcher } from './fetcher.ts'
import type { PartitionLag } from './lag.ts'
import { type Position, Positions } from './positions.ts'
import { ReadingControl } from './reading-control.ts'
import type { SeekTarget } from './seek.ts'
import { checkStartPosition, type ReadingRange, readingRanges, type StartPosition } from './start-position.ts'

export interface ConsumerOptions extends FetchOptions {
  /** Default: all partitions the topics have when reading begins. */
  partitions?: readonly number[]
  /** Default `earliest`. Applies to each partition. */
  from?: StartPosition
  /** `end`: stop at what was the end of each partition when reading began. Default: go on for ever. */
  until?: 'end'
  /** Stop after this many messages. */
  limit?: number
  /** Whether checksums of batches are verified. Default true. */
  verifyChecksums?: boolean
  /** Ends the reading, which then throws ABORTED. */
  signal?: AbortSignal
}

let lanes = 0

/**
 * Reads partitions by offset, without a group. Iterate it once, by message or by batch, or give it a handler
 * (`consume`):
 *
 *     for await (const message of bus.consumer('orders', { from: 'earliest', until: 'end' })) { … }
 *
 * Messages are delivered as soon as they are in the log, those of a transaction when it is committed
 * (`isolation`). The order within a partition is the order of the log; partitions are interleaved. The iteration throws
 * OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, UNKNOWN_PARTITION, CORRUPT_DATA, NO_PROGRESS, or the last error of a
 * broker that could not be reached within `retryTimeoutMs`. Leaving the loop closes the consumer.
 */
export class Consumer extends ObservableConsumer implements AsyncIterable<Message> {
  readonly #cluster: Cluster
  readonly #topics: readonly string[]
  readonly #options: ConsumerOptions
  readonly #settings: FetchSettings
  readonly #lane = `fetch ${++lanes}`
  readonly #offsetsLane = `${this.#lane} offsets`
  readonly #positions = new Positions()
  readonly #reader: BatchReader
  readonly #reading: ReadingControl
  readonly #unsubscribe: () => void
  /** Whose message or batch the caller holds. */
  #hand: Position | undefined
  /** The rest of the batch in hand is not given out: its partition was paused or sought in. */
  #handCut = false
  #runs: HandlerRuns | undefined
  #remaining: number
  #opened = false
  #failure: StreamBusError | undefined
  #started = false
  #closing: Promise<void> | undefined

  constructor(cluster: Cluster, topics: string | readonly string[], options: ConsumerOptions = {}) {
    super(cluster, null)
    checkStartPosition(options.from ?? 'earliest')
    if (options.until !== undefined && options.until !== 'end') {
      throw new StreamBusError('INVALID_ARGUMENT', `until can only be 'end', not ${String(options.until)}.`)
    }
    if (options.partitions !== undefined) {
      checkList('partitions', options.partitions)
      for (const partition of options.partitions) wholeNumber('A partition', partition)
    }
    this.#cluster = cluster
    this.#topics = typeof topics === 'string' ? [topics] : topics
    this.#options = options
    this.#remaining =
      options.limit === undefined ? Number.POSITIVE_INFINITY : positive('limit', options.limit)
    this.#settings = fetchSettings(options)
    this.#reader = new BatchReader(this.#fetcher(), options.verifyChecksums ?? true)
    this.#reading = new ReadingControl(
      cluster,
      this.#offsetsLane,
      this.#positions,
      this.#reader,
      this.events,
      this.#settings.isolation,
      options.until === 'end',
      {
        name: 'This consumer',
        runs: () => this.#runs,
        isClosing: () => this.#closing !== undefined,
        givenTo: (position) => position.next,
        cutHand: (position) => {
          if (position === this.#hand) this.#handCut = true
        },
        dropHand: (position) => {
          if (position === this.#hand) this.#hand = undefined
        },
        moved: () => {},
      },
    )
    this.#unsubscribe = this.#cluster.onClose(() => {
      this.#fail(new StreamBusError('CLOSED', 'The client was closed while the consumer was reading.'))
    })
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** By message. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message> {
    this.#start()
    let messages: readonly Message[] = []
    let index = 0
    let behindBatch = 0
    const open = (batch: MessageBatch) => {
      messages = batch.messages
      index = 0
      const hand = this.#hand as Position
      behindBatch = hand.next
      hand.next = batch.messages[0]!.offset
    }
    const take = (): Message => {
      const message = messages[index++] as Message
      this.#hand!.next = index === messages.length ? behindBatch : message.offset + 1
      return message
    }
    const iterator: AsyncIterableIterator<Message> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => {
        if (index < messages.length && this.#mayGoOn()) return Promise.resolve({ value: take(), done: false })
        // What is left of the batch was paused or sought away from, and does not count.
        this.#remaining += messages.length - index
        index = messages.length
        // Whoever asked may pause or seek before it gets the first of them.
        return this.#nextBatch(open).then((batch) =>
          batch === undefined ? { value: undefined, done: true } : iterator.next(),
        )
      },
      return: () => this.#leave<Message>(),
    }
    return iterator
  }

  /** By batch, as they lie in the log: less work per message. */
  batches(): AsyncIterableIterator<MessageBatch> {
    this.#start()
    return iterateBatches(
      () => this.#nextBatch(),
      () => this.#leave<MessageBatch>(),
    )
  }

  /**
   * Gives each message to a handler: so many at once, in the order of their partition or key, with retries and dead
   * letters as the options say. Resolves when the reading ends: by `limit`, `until: 'end'` or `close()`. Rejects with
   * the error that stopped it: HANDLER_FAILED (its cause is what the handler threw), DEAD_LETTER_FAILED, or what
   * iterating throws.
   */
  async consume(handler: Handler, options: HandleOptions = {}): Promise<void> {
    const settings = handleSettings(options)
    checkDeadLetterTopic(settings.deadLetter?.topic, this.#topics)
    if (settings.delayTopics !== undefined) {
      const message = 'Delay topics belong to a group: read as a member of one, or retry in place.'
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
    const runs = new HandlerRuns(handler, settings, {
      cluster: this.#cluster,
      events: this.events,
      group: null,
      fetchSettings: this.#settings,
      verifyChecksums: this.#options.verifyChecksums ?? true,
      limit: this.#remaining,
      hold: (range, isHeld) => this.#reader.fetcher.hold(range, isHeld),
      advanced: (range, next) => this.#advanced(range, next),
      full: () => this.#reader.fetcher.interrupt(),
      fail: (error) => this.#fail(error),
    })
    this.#start()
    this.#runs = runs
    try {
      await this.#handOut(runs)
    } catch (error) {
      if (this.#closing === undefined) {
        await this.close()
        throw error
      }
    }
    await this.close()
    // A handler may have failed in the same moment as somebody else closed the consumer.
    if (this.#failure !== undefined) throw this.#failure
  }

  /** The partitions it reads; none before reading has begun (`assigned`). */
  get assignment(): readonly TopicPartition[] {
    return this.#positions.all.map(({ topic, partition }) => ({ topic, partition }))
  }

  /**
   * Gives out nothing more of these partitions, or of all it reads, until they are resumed. Throws INVALID_ARGUMENT
   * for a partition it does not read, or does not read yet.
   */
  pause(partitions: readonly TopicPartition[] = this.assignment): void {
    this.#reading.pause(partitions)
  }

  /** Goes on with what was paused. Throws INVALID_ARGUMENT for a partition it does not read. */
  resume(partitions: readonly TopicPartition[] = this.assignment): void {
    this.#reading.resume(partitions)
  }

  /**
   * Goes on at another place in a partition it reads. Nothing from before is given out once this is called; what is
   * with a handler ends, and is not tried again. Resolves when the place is known. Rejects with INVALID_ARGUMENT for a
   * partition it does not read; where the place cannot be looked up, with the error of that, and reading goes on where
   * it was.
   */
  seek(target: SeekTarget): Promise<void> {
    return this.#reading.seek(target)
  }

  /** How far this consumer is behind, for each partition it reads. */
  lag(): Promise<PartitionLag[]> {
    return this.#reading.lag()
  }

  /**
   * Ends the iteration. Handlers that run are told by their signal, and waited for up to `closeTimeoutMs`. With
   * `order: 'key'`, messages before one that was started are handled in that time, too.
   */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  readonly #onAbort = () => this.#fail(abortedError(this.#options.signal as AbortSignal))

  #fail(error: StreamBusError): void {
    this.#failure ??= error
    this.#reader.fetcher.fail(error)
    this.#runs?.wake()
  }

  async #shutDown(): Promise<void> {
    this.#unsubscribe()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#reader.fetcher.close()
    this.#cluster.closeLane(this.#offsetsLane)
    const reason = this.#failure ?? new StreamBusError('CLOSED', 'The consumer was closed.')
    await this.#runs?.stop(reason, this.#failure === undefined)
  }

  /** Resolves when everything that was asked for is handled. */
  async #handOut(runs: HandlerRuns): Promise<void> {
    await this.#open()
    while (this.#closing === undefined) {
      if (this.#failure !== undefined) throw this.#failure
      if (runs.isFull || this.#isAtEnd) {
        if (runs.isDrained) return
        await runs.change()
      } else if (!runs.hasRoom) await runs.change()
      else {
        const fetched = await this.#reader.fetcher.next()
        if (fetched !== undefined && this.#closing === undefined && this.#reading.mayGiveOut(fetched.range)) {
          runs.add(fetched)
        }
      }
    }
  }

  #advanced(range: ReadingRange, next: number): void {
    const position = this.#positions.get(range)
    if (position?.range !== range) return
    position.next = next
    if (next >= range.end) this.#reader.fetcher.interrupt()
  }

  get #isAtEnd(): boolean {
    return (this.#options.until === 'end' || this.#positions.isEmpty) && this.#positions.atEnd
  }

  /** True when the rest of the batch in hand can be given out. */
  #mayGoOn(): boolean {
    return this.#hand !== undefined && !this.#handCut && this.#closing === undefined
  }

  #start(): void {
    if (this.#started) {
      throw new StreamBusError('INVALID_ARGUMENT', 'A consumer can be iterated once; make another one.')
    }
    if (this.#closing !== undefined) throw new StreamBusError('CLOSED', 'The consumer was closed.')
    this.#started = true
  }

  async #leave<T>(): Promise<IteratorResult<T>> {
    await this.close()
    return { value: undefined, done: true }
  }

  /** @param onOpen called with the batch in the turn in which it becomes the one in hand */
  async #nextBatch(onOpen?: (batch: MessageBatch) => void): Promise<MessageBatch | undefined> {
    this.#hand = undefined
    try {
      await this.#open()
      while (this.#closing === undefined && this.#remaining > 0 && !this.#isAtEnd) {
        const read = await this.#reader.next(this.#remaining)
        if (read === undefined || this.#closing !== undefined || !this.#reading.mayGiveOut(read.range))
          continue
        const { topic, partition, messages, highWatermark, nextOffset } = read
        const position = this.#positions.get(read) as Position
        position.next = nextOffset
        if (messages.length === 0) continue
        this.#remaining -= messages.length
        this.#hand = position
        this.#handCut = false
        const batch = { topic, partition, messages, highWatermark }
        this.events.received(batch)
        onOpen?.(batch)
        return batch
      }
    } catch (error) {
      // A consumer that is closed while it opens fails for that reason only, which the caller knows.
      if (this.#closing === undefined) {
        await this.close()
        throw error
      }
    }
    await this.close()
    return undefined
  }

  #fetcher(): Fetcher {
    return new Fetcher(this.#cluster, this.#lane, this.#settings, [], {
      staysOpen: true,
      onStalled: ({ topic, partition }, error) => {
        this.events.stalled(`${topic}/${partition}`, { cause: 'partition', topic, partition, error })
      },
      onRecovered: ({ topic, partition }) => this.events.recovered(`${topic}/${partition}`),
    })
  }

  /** Finds out what to read, and begins. */
  async #open(): Promise<void> {
    const { from = 'earliest', until, partitions, signal } = this.#options
    if (signal?.aborted) throw abortedError(signal)
    if (this.#opened) return
    this.#opened = true
    const onRetry = (error: StreamBusError) => this.events.slowStart(error)
    const retry = { signal, onRetry }
    const assigned: TopicPartition[] = []
    for (const name of this.#topics) {
      const topic = await this.#cluster.topic(name, retry)
      for (const partition of partitions ?? topic.partitions.keys()) {
        if (topic.partitions[partition] === undefined) {
          throw unknownPartition(name, partition, topic.partitions.length)
        }
        assigned.push({ topic: name, partition })
      }
    }
    const { isolation } = this.#settings
    const lane = this.#offsetsLane
    const ranges = await readingRanges(this.#cluster, lane, assigned, from, until === 'end', isolation, retry)
    this.events.started()
    if (signal?.aborted) throw abortedError(signal)
    if (this.#closing !== undefined) return
    this.#positions.add(assigned).forEach((position, index) => {
      position.range = ranges[index]
      position.next = ranges[index]!.start
    })
    this.events.emit('assigned', { partitions: assigned })
    // Whoever was told may have paused some, or sought another place.
    this.#reader.fetcher.add(ranges.filter((range) => this.#reading.mayGiveOut(range)))
  }
}
