import { batchesIn, batchHeader, decodeRecords, loadCodec } from '@streambus/protocol'
import type { Cluster } from '../cluster.ts'
import { abortedError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { type TopicPartition, unknownPartition } from '../list-offsets.ts'
import { Message, type MessageBatch } from '../message.ts'
import { positive } from '../options.ts'
import { type FetchedRecords, Fetcher, type FetchSettings } from './fetcher.ts'
import { checkStartPosition, readingRanges, type StartPosition } from './start-position.ts'

export interface ConsumerOptions {
  /** Default: all partitions the topics have when reading begins. */
  partitions?: readonly number[]
  /** Default `earliest`. Applies to each partition. */
  from?: StartPosition
  /** `end`: stop at what was the end of each partition when reading began. Default: go on for ever. */
  until?: 'end'
  /** Stop after this many messages. */
  limit?: number
  /** How long the broker waits for new messages before it answers with none. Default 500. */
  maxWaitMs?: number
  /** Bytes the broker waits for, as long as `maxWaitMs`. Default 1. */
  minBytes?: number
  /** Bytes of one answer, at least one batch. Default 4 MiB; per partition 1 MiB. */
  maxBytes?: number
  maxPartitionBytes?: number
  /** Bytes read ahead. Default 8 MiB. */
  prefetchBytes?: number
  /** Whether checksums of batches are verified. Default true. */
  verifyChecksums?: boolean
  signal?: AbortSignal
}

let lanes = 0

/**
 * Reads partitions by offset, without a group. Iterate it once, by message or by batch:
 *
 *     for await (const message of bus.consumer('orders', { from: 'earliest', until: 'end' })) { … }
 *
 * Messages are delivered as soon as they are in the log, also those of transactions that are not committed.
 * The order within a partition is the order of the log; partitions are interleaved. The iteration throws
 * OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, UNKNOWN_PARTITION, CORRUPT_DATA, NO_PROGRESS, or the last error of a
 * broker that could not be reached within `retryTimeoutMs`. Leaving the loop closes the consumer.
 */
export class Consumer implements AsyncIterable<Message> {
  readonly #cluster: Cluster
  readonly #topics: readonly string[]
  readonly #options: ConsumerOptions
  readonly #settings: FetchSettings
  readonly #lane = `fetch ${++lanes}`
  readonly #unsubscribe: () => void
  #fetcher: Fetcher | undefined
  #remaining: number
  #records:
    | { fetched: FetchedRecords; batches: Iterator<{ position: number; byteLength: number }> }
    | undefined
  #started = false
  #closed = false

  constructor(cluster: Cluster, topics: string | readonly string[], options: ConsumerOptions = {}) {
    checkStartPosition(options.from ?? 'earliest')
    if (options.until !== undefined && options.until !== 'end') {
      throw new StreamBusError('INVALID_ARGUMENT', `until can only be 'end', not ${String(options.until)}.`)
    }
    this.#cluster = cluster
    this.#topics = typeof topics === 'string' ? [topics] : topics
    this.#options = options
    this.#remaining =
      options.limit === undefined ? Number.POSITIVE_INFINITY : positive('limit', options.limit)
    this.#settings = {
      maxWaitMs: positive('maxWaitMs', options.maxWaitMs ?? 500),
      minBytes: positive('minBytes', options.minBytes ?? 1),
      maxBytes: positive('maxBytes', options.maxBytes ?? 4 * 1024 * 1024),
      maxPartitionBytes: positive('maxPartitionBytes', options.maxPartitionBytes ?? 1024 * 1024),
      prefetchBytes: positive('prefetchBytes', options.prefetchBytes ?? 8 * 1024 * 1024),
    }
    this.#unsubscribe = this.#cluster.onClose(() => {
      const message = 'The client was closed while the consumer was reading.'
      this.#fetcher?.fail(new StreamBusError('CLOSED', message))
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
        if (message !== undefined && !this.#closed) {
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
    const iterator: AsyncIterableIterator<MessageBatch> = {
      [Symbol.asyncIterator]: () => iterator,
      next: async () => {
        const batch = await this.#nextBatch()
        return batch === undefined ? { value: undefined, done: true } : { value: batch, done: false }
      },
      return: () => this.#leave<MessageBatch>(),
    }
    return iterator
  }

  /** Ends the iteration. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#unsubscribe()
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#fetcher?.close()
    this.#cluster.closeLane(this.#lane)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  readonly #onAbort = () => {
    this.#fetcher?.fail(abortedError(this.#options.signal as AbortSignal))
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
      while (!this.#closed && this.#remaining > 0) {
        this.#fetcher ??= await this.#open()
        const batch = await this.#decodeNext()
        if (batch === 'empty') continue
        if (batch === undefined) break
        this.#remaining -= batch.messages.length
        return batch
      }
    } catch (error) {
      // A consumer that is closed while it opens fails for that reason only, which the caller knows.
      if (!this.#closed) {
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
    const ranges = await readingRanges(this.#cluster, this.#lane, assigned, from, until === 'end')
    const fetcher = new Fetcher(this.#cluster, this.#lane, this.#settings, ranges)
    if (this.#closed) fetcher.close()
    if (signal?.aborted) throw abortedError(signal)
    return fetcher
  }

  /** The next batch's messages; `empty` for a batch without any (control records, compaction). */
  async #decodeNext(): Promise<MessageBatch | 'empty' | undefined> {
    if (this.#records === undefined) {
      const fetched = await (this.#fetcher as Fetcher).next()
      if (fetched === undefined) return undefined
      this.#records = { fetched, batches: batchesIn(fetched.bytes) }
    }
    const { fetched, batches } = this.#records
    const next = batches.next()
    if (next.done) {
      this.#records = undefined
      return 'empty'
    }
    const { position, byteLength } = next.value
    const { topic, partition, highWatermark } = fetched
    try {
      const codec = batchHeader.codec(fetched.bytes, position)
      if (codec !== 0) await loadCodec(codec)
      const messages = this.#decode(fetched, position, byteLength)
      return messages.length === 0 ? 'empty' : { topic, partition, messages, highWatermark }
    } catch (error) {
      if (isStreamBusError(error)) throw error
      const offset = batchHeader.baseOffset(fetched.bytes, position)
      throw new StreamBusError(
        'CORRUPT_DATA',
        `The batch at offset ${offset} of ${topic}/${partition} cannot be read: ${sentenceOf(error)}.`,
        { cause: error },
      )
    }
  }

  #decode(
    { topic, partition, bytes, from, end }: FetchedRecords,
    position: number,
    length: number,
  ): Message[] {
    const messages: Message[] = []
    if (batchHeader.isControl(bytes, position)) return messages
    const records = decodeRecords(bytes.subarray(position, position + length), {
      verifyCrc: this.#options.verifyChecksums ?? true,
    })
    for (const record of records) {
      const offset = Number(record.offset)
      if (offset < from) continue
      if (offset >= end || messages.length >= this.#remaining) break
      messages.push(new Message(topic, partition, offset, record))
    }
    return messages
  }
}
