import type { Cluster } from '../cluster.ts'
import { abortedError, StreamBusError } from '../errors.ts'
import { type HandleOptions, type Handler, handleSettings } from '../handling/handle-options.ts'
import { HandlerRuns } from '../handling/handler-runs.ts'
import { type TopicPartition, unknownPartition } from '../list-offsets.ts'
import type { Message, MessageBatch } from '../message.ts'
import { positive } from '../options.ts'
import { iterateBatches } from './batch-iteration.ts'
import { BatchReader } from './batch-reader.ts'
import { ObservableConsumer } from './consumer-events.ts'
import { type FetchOptions, type FetchSettings, fetchSettings } from './fetch-settings.ts'
import { Fetcher } from './fetcher.ts'
import { checkStartPosition, readingRanges, type StartPosition } from './start-position.ts'

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
  readonly #unsubscribe: () => void
  #reader: BatchReader | undefined
  #runs: HandlerRuns | undefined
  #remaining: number
  #failure: StreamBusError | undefined
  #started = false
  #closing: Promise<void> | undefined

  constructor(cluster: Cluster, topics: string | readonly string[], options: ConsumerOptions = {}) {
    super(cluster, null)
    checkStartPosition(options.from ?? 'earliest')
    if (options.until !== undefined && options.until !== 'end') {
      throw new StreamBusError('INVALID_ARGUMENT', `until can only be 'end', not ${String(options.until)}.`)
    }
    this.#cluster = cluster
    this.#topics = typeof topics === 'string' ? [topics] : topics
    this.#options = options
    this.#remaining =
      options.limit === undefined ? Number.POSITIVE_INFINITY : positive('limit', options.limit)
    this.#settings = fetchSettings(options)
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
    const iterator: AsyncIterableIterator<Message> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => {
        const message = messages[index]
        if (message !== undefined && this.#closing === undefined) {
          index++
          return Promise.resolve({ value: message, done: false })
        }
        return this.#nextBatch().then((batch) => {
          if (batch === undefined) return { value: undefined, done: true }
          messages = batch.messages
          index = 1
          return { value: messages[0] as Message, done: false }
        })
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
      hold: (range, isHeld) => this.#reader?.fetcher.hold(range, isHeld),
      advanced: () => {},
      full: () => this.#reader?.fetcher.interrupt(),
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

  /** Ends the iteration. Handlers that run are told by their signal, and waited for up to `closeTimeoutMs`. */
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
    this.#reader?.fetcher.fail(error)
    this.#runs?.wake()
  }

  async #shutDown(): Promise<void> {
    this.#unsubscribe()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#reader?.fetcher.close()
    this.#cluster.closeLane(this.#lane)
    await this.#runs?.stop(this.#failure ?? new StreamBusError('CLOSED', 'The consumer was closed.'))
  }

  /** Resolves when everything that was asked for is handled. */
  async #handOut(runs: HandlerRuns): Promise<void> {
    const { signal } = this.#options
    if (signal?.aborted) throw abortedError(signal)
    this.#reader = new BatchReader(await this.#open(), this.#options.verifyChecksums ?? true)
    const { fetcher } = this.#reader
    let isRead = false
    while (this.#closing === undefined) {
      if (this.#failure !== undefined) throw this.#failure
      if (runs.isFull || isRead) {
        if (runs.isDrained) return
        await runs.change()
      } else if (!runs.hasRoom) await runs.change()
      else {
        const fetched = await fetcher.next()
        if (fetched === undefined) isRead = true
        else if (this.#closing === undefined) runs.add(fetched)
      }
    }
  }

  #start(): void {
    if (this.#started) {
      throw new StreamBusError('INVALID_ARGUMENT', 'A consumer can be iterated once; make another one.')
    }
    this.#started = true
  }

  async #leave<T>(): Promise<IteratorResult<T>> {
    await this.close()
    return { value: undefined, done: true }
  }

  async #nextBatch(): Promise<MessageBatch | undefined> {
    try {
      const { signal } = this.#options
      if (signal?.aborted) throw abortedError(signal)
      while (this.#closing === undefined && this.#remaining > 0) {
        this.#reader ??= new BatchReader(await this.#open(), this.#options.verifyChecksums ?? true)
        const batch = await this.#reader.next(this.#remaining)
        if (batch === undefined) break
        const { topic, partition, messages, highWatermark } = batch
        if (messages.length === 0) continue
        this.#remaining -= messages.length
        const given = { topic, partition, messages, highWatermark }
        this.events.received(given)
        return given
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

  async #open(): Promise<Fetcher> {
    const { from = 'earliest', until, partitions, signal } = this.#options
    const assigned: TopicPartition[] = []
    for (const name of this.#topics) {
      const topic = await this.#cluster.topic(name, { signal })
      for (const partition of partitions ?? topic.partitions.keys()) {
        if (topic.partitions[partition] === undefined) {
          throw unknownPartition(name, partition, topic.partitions.length)
        }
        assigned.push({ topic: name, partition })
      }
    }
    const { isolation } = this.#settings
    const ranges = await readingRanges(this.#cluster, this.#lane, assigned, from, until === 'end', isolation)
    const fetcher = new Fetcher(this.#cluster, this.#lane, this.#settings, ranges, {
      onStalled: ({ topic, partition }, error) => {
        this.events.stalled(`${topic}/${partition}`, { cause: 'partition', topic, partition, error })
      },
      onRecovered: ({ topic, partition }) => this.events.recovered(`${topic}/${partition}`),
    })
    if (this.#closing !== undefined) fetcher.close()
    if (signal?.aborted) throw abortedError(signal)
    return fetcher
  }
}
