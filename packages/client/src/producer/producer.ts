import type { WritableStream } from 'node:stream/web'
import { type CompressionName, compressionNames, loadCodec } from '@streambus/protocol'
import { type Cluster, closedError } from '../cluster.ts'
import { StreamBusError, sentenceOf } from '../errors.ts'
import { checkList, checkTopicName, kindOf } from '../known-options.ts'
import { unknownPartition } from '../list-offsets.ts'
import {
  headerList,
  keyBytes,
  type OutgoingMessage,
  type Sendable,
  type SendOptions,
  type SentMessage,
  timestampOf,
  valueContent,
} from '../message.ts'
import { channels } from '../observability/channels.ts'
import { positive } from '../options.ts'
import { type Delivery, GroupDelivery, SingleDelivery } from './delivery.ts'
import { messageSink } from './message-sink.ts'
import { partitionOfKey } from './murmur2.ts'
import { type Batch, PartitionQueue, type QueuedRecord, recordBytes } from './partition-queue.ts'
import { ProduceSender, type TransactionalSending } from './produce-sender.ts'

export interface ProducerOptions {
  /** `all`: every in-sync replica has it (default); 1: the leader has it; 0: it was handed to the network. */
  acks?: 'all' | 1 | 0
  /**
   * Whether the broker drops what a retry sends twice (KIP-98). Default: true with acks `all`, where the broker
   * can do it; saying true makes it an error where it cannot.
   */
  idempotent?: boolean
  /** Of batches: `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default `none`. */
  compression?: CompressionName
  /** How long a batch waits for more messages. Default 0: it leaves as soon as a request can take it. */
  lingerMs?: number
  /** Size at which a batch is full, before compression. Default 256 KiB. */
  maxBatchBytes?: number
  /** Bytes held until they are acknowledged; `send` waits beyond. Default 32 MiB. */
  maxBufferedBytes?: number
  /** A message that is not acknowledged by then fails with DELIVERY_TIMEOUT. Default 120,000. */
  deliveryTimeoutMs?: number
}

export interface ProducerSettings {
  readonly acks: -1 | 1 | 0
  readonly idempotent: boolean
  readonly idempotenceRequired: boolean
  compression: CompressionName
  readonly lingerMs: number
  readonly maxBatchBytes: number
  readonly maxBufferedBytes: number
  readonly deliveryTimeoutMs: number
}

const viewCheckIntervalMs = 1_000

/** A call that waits for its topic to be looked up or for room in the buffer. */
interface Admission {
  readonly records: readonly QueuedRecord[]
  readonly partitions: readonly (number | undefined)[]
  readonly delivery: Delivery
  readonly deadlineMs: number
  /** Index of the first record that is not in a queue yet. */
  next: number
}

interface TopicQueues {
  readonly name: string
  /** Index = partition; empty until the topic has been looked up. */
  queues: PartitionQueue[]
  readonly waiting: Admission[]
  looking: boolean
  /** Where messages without a key go until the batch there is closed. */
  sticky: number
  /** When the number of partitions was last compared with the view of the cluster. */
  checkedAtMs: number
}

/**
 * Sends messages. Calls made at the same time share batches; each resolves when its message is acknowledged.
 * The order of calls is the order in the partition, across retries too. Key and value bytes must not change
 * until then.
 */
export class Producer {
  readonly #cluster: Cluster
  readonly #settings: ProducerSettings
  readonly #sender: ProduceSender
  readonly #topics = new Map<string, TopicQueues>()
  /** Topics with calls that wait. */
  readonly #waiting = new Set<TopicQueues>()
  readonly #roomWaiters: { resolve: () => void; reject: (error: StreamBusError) => void }[] = []
  readonly #unsubscribe: () => void
  #codec: Promise<unknown> | undefined
  #codecLoaded: boolean
  #bufferedBytes = 0
  #bufferedMessages = 0
  #watch: NodeJS.Timeout | undefined
  #closed = false

  // With `transactional`, every message is part of a transaction.
  constructor(cluster: Cluster, options: ProducerOptions = {}, transactional?: TransactionalSending) {
    this.#cluster = cluster
    this.#settings = producerSettings(options)
    this.#codecLoaded = this.#settings.compression === 'none'
    const onSettled = (batch: Batch) => this.#release(batch)
    cluster.metrics.buffers.add(this)
    this.#sender = new ProduceSender(cluster, this.#settings, onSettled, transactional)
    this.#unsubscribe = cluster.onClose(() => this.#abandon())
  }

  /** Bytes of messages that are not acknowledged, those that still wait for room not counted. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  get bufferedMessages(): number {
    return this.#bufferedMessages
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /**
   * Sends one message. Rejects with UNKNOWN_TOPIC, MESSAGE_TOO_LARGE, DELIVERY_TIMEOUT, INVALID_ARGUMENT,
   * CLOSED, or what the broker refused it with.
   */
  send(topic: string, value: Sendable, options: SendOptions = {}): Promise<SentMessage> {
    try {
      if (!isObject(options)) throw notAnObject('The options of a message', 'key, headers', options)
      const record = queuedRecord(value, options, undefined, 0)
      if (!channels.send.hasSubscribers) return this.#sendOne(topic, record, options.partition)
      const trace = { client: this.#cluster.metrics.client, topic, messages: [record] }
      return channels.send.tracePromise(async () => this.#sendOne(topic, record, options.partition), trace)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends several messages; resolves with where each went when all are acknowledged. Where some fail, it rejects
   * with the first failure; the others may have been written.
   */
  async sendBatch(topic: string, messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    checkList('The messages to send', messages)
    if (messages.length === 0) return []
    const records = new Array<QueuedRecord>(messages.length)
    const partitions = new Array<number | undefined>(messages.length)
    const delivery = new GroupDelivery(messages.length)
    const now = timestampOf(undefined)
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index] as OutgoingMessage
      if (!isObject(message)) throw notAnObject('A message', 'value, key, headers', message)
      records[index] = queuedRecord(message.value, message, delivery, index, now)
      partitions[index] = message.partition
    }
    if (!channels.send.hasSubscribers) return await this.#sendAll(topic, records, partitions, delivery)
    const trace = { client: this.#cluster.metrics.client, topic, messages: records }
    return await channels.send.tracePromise(() => this.#sendAll(topic, records, partitions, delivery), trace)
  }

  /**
   * Resolves when there is room for more. A caller that does not await every `send` awaits this one between
   * them, so that what it holds itself stays bounded.
   */
  waitForRoom(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError())
    if (this.#hasRoomFor(1) && this.#waiting.size === 0) return Promise.resolve()
    return new Promise((resolve, reject) => this.#roomWaiters.push({ resolve, reject }))
  }

  /**
   * Sends what is written to the stream: `source.pipeTo(producer.writable('orders'))`. Back-pressure is that of
   * `waitForRoom`; closing the stream resolves when all is acknowledged, and leaves the producer open. The first message
   * that fails fails the stream, with what `send` rejects with.
   */
  writable(topic: string): WritableStream<OutgoingMessage> {
    return messageSink(this, topic)
  }

  /** Resolves when everything sent before this call is acknowledged or has failed. */
  async flush(): Promise<void> {
    const outstanding = new Set<Promise<unknown>>(this.#sender.outstanding())
    for (const { waiting } of this.#waiting)
      for (const { delivery } of waiting) outstanding.add(delivery.promise)
    const settled = Promise.allSettled(outstanding)
    const release = this.#sender.hurry()
    try {
      await settled
    } finally {
      release()
    }
  }

  /**
   * For a transaction that is aborted: gives up what is not on its way, and resolves when the answers to what is
   * are in.
   *
   * @internal
   */
  async discard(error: StreamBusError): Promise<void> {
    for (const topic of this.#waiting) {
      for (const { delivery } of topic.waiting.splice(0)) delivery.fail(error)
    }
    this.#waiting.clear()
    await this.#sender.discard(error)
  }

  /** Flushes, then lets go of the connections. Further calls fail with CLOSED. */
  async close(): Promise<void> {
    if (this.#closed) return
    await this.flush()
    this.#abandon()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Compresses batches that are not encoded yet, and those to come, by another codec.
   *
   * @internal
   */
  async compressBy(compression: CompressionName): Promise<void> {
    if (compression === this.#settings.compression) return
    await loadCodec(compression)
    this.#settings.compression = compression
  }

  #sendOne(topic: string, record: QueuedRecord, partition: number | undefined): Promise<SentMessage> {
    const queues = this.#topics.get(topic)
    const bytes = recordBytes(record)
    // Most calls find their topic known and room in the buffer, and need not stand in line.
    if (queues !== undefined && this.#takesAtOnce(queues, bytes)) {
      const sticky = queues.queues[queues.sticky]!
      const queue = this.#queueFor(queues, record, bytes, partition)
      if (queue === undefined) throw unknownPartition(topic, partition as number, queues.queues.length)
      const batch = this.#enqueue(queue, record, bytes)
      const sent = batch.sent()
      if (batch.records.length === 1) {
        this.#sender.sendFull(sticky)
        if (queue !== sticky) this.#sender.sendFull(queue)
      }
      return sent
    }
    const delivery = new SingleDelivery()
    record.delivery = delivery
    this.#admit(topic, [record], [partition], delivery)
    return delivery.promise
  }

  async #sendAll(
    topic: string,
    records: readonly QueuedRecord[],
    partitions: readonly (number | undefined)[],
    delivery: GroupDelivery,
  ): Promise<SentMessage[]> {
    this.#admit(topic, records, partitions, delivery)
    return await delivery.promise
  }

  /** Throws CLOSED or MESSAGE_TOO_LARGE where nothing of the call can be taken. */
  #admit(
    topic: string,
    records: readonly QueuedRecord[],
    partitions: readonly (number | undefined)[],
    delivery: Delivery,
  ): void {
    if (this.#closed) throw new StreamBusError('CLOSED', 'The producer was closed.')
    const { maxBufferedBytes } = this.#settings
    for (const record of records) {
      const bytes = recordBytes(record)
      if (bytes <= maxBufferedBytes) continue
      const message = `A message of ${bytes} bytes does not fit the buffer of ${maxBufferedBytes} bytes (maxBufferedBytes).`
      throw new StreamBusError('MESSAGE_TOO_LARGE', message)
    }
    const queues = this.#topicQueues(topic)
    const deadlineMs = performance.now() + this.#settings.deliveryTimeoutMs
    queues.waiting.push({ records, partitions, delivery, deadlineMs, next: 0 })
    this.#waiting.add(queues)
    if (queues.queues.length === 0 || !this.#codecLoaded) this.#lookUp(queues)
    else if (queues.waiting.length === 1) this.#fill(queues)
    if (this.#waiting.size > 0) this.#watch ??= setInterval(() => this.#giveUpLate(), 500)
  }

  #takesAtOnce(topic: TopicQueues, bytes: number): boolean {
    return (
      topic.queues.length > 0 &&
      topic.waiting.length === 0 &&
      this.#bufferedBytes + bytes <= this.#settings.maxBufferedBytes &&
      this.#codecLoaded &&
      !this.#closed
    )
  }

  #topicQueues(name: string): TopicQueues {
    let queues = this.#topics.get(name)
    if (queues === undefined) {
      checkTopicName(name)
      queues = { name, queues: [], waiting: [], looking: false, sticky: 0, checkedAtMs: 0 }
      this.#topics.set(name, queues)
    }
    return queues
  }

  #lookUp(topic: TopicQueues): void {
    if (topic.looking) return
    topic.looking = true
    this.#codec ??= loadCodec(this.#settings.compression).then(() => {
      this.#codecLoaded = true
    })
    Promise.all([
      this.#cluster.topic(topic.name, { create: true, timeoutMs: this.#settings.deliveryTimeoutMs }),
      this.#codec,
    ]).then(
      ([{ partitions }]) => {
        topic.looking = false
        this.#resize(topic, partitions.length)
        this.#fill(topic)
      },
      (error: unknown) => {
        topic.looking = false
        const failure =
          error instanceof StreamBusError
            ? error
            : new StreamBusError('INVALID_ARGUMENT', sentenceOf(error), { cause: error })
        this.#waiting.delete(topic)
        for (const { delivery } of topic.waiting.splice(0)) delivery.fail(failure)
      },
    )
  }

  /** A topic that was deleted and made anew may have fewer; what waits for the others meets its deadline. */
  #resize(topic: TopicQueues, partitions: number): void {
    if (topic.queues.length > partitions) {
      topic.queues.length = partitions
      topic.sticky = 0
    }
    for (let partition = topic.queues.length; partition < partitions; partition++) {
      topic.queues.push(new PartitionQueue(topic.name, partition, this.#settings))
    }
  }

  /** Moves what waits into the partitions' queues, in order, while there is room. */
  #fill(topic: TopicQueues): void {
    let admitted = 0
    for (const admission of topic.waiting) {
      if (!this.#take(topic, admission)) break
      admitted++
    }
    // A call that is half in stays, with what is left of it.
    topic.waiting.splice(0, admitted)
    if (topic.waiting.length === 0) this.#waiting.delete(topic)
  }

  /** False when the buffer was full before the last record was in. */
  #take(topic: TopicQueues, admission: Admission): boolean {
    const { records, partitions } = admission
    for (; admission.next < records.length; admission.next++) {
      const record = records[admission.next] as QueuedRecord
      const bytes = recordBytes(record)
      if (!this.#hasRoomFor(bytes)) return false
      const partition = partitions[admission.next]
      const queue = this.#queueFor(topic, record, bytes, partition)
      if (queue !== undefined) this.#enqueue(queue, record, bytes)
      else admission.delivery.fail(unknownPartition(topic.name, partition as number, topic.queues.length))
    }
    return true
  }

  #enqueue(queue: PartitionQueue, record: QueuedRecord, bytes: number): Batch {
    const batch = queue.append(record, bytes)
    this.#bufferedBytes += bytes
    this.#bufferedMessages++
    this.#sender.notify(queue)
    return batch
  }

  #queueFor(
    topic: TopicQueues,
    record: QueuedRecord,
    bytes: number,
    partition: number | undefined,
  ): PartitionQueue | undefined {
    const queue = this.#chosenQueue(topic, record, bytes, partition)
    // The time is asked for with each batch, not with each message.
    if (queue?.hasRoomFor(bytes) || !this.#renewOldView(topic)) return queue
    return this.#chosenQueue(topic, record, bytes, partition)
  }

  /**
   * Once in a while, and then true: partitions that were added since are used from now on; a view that is too old
   * is renewed meanwhile.
   */
  #renewOldView(topic: TopicQueues): boolean {
    const nowMs = performance.now()
    if (nowMs - topic.checkedAtMs <= viewCheckIntervalMs) return false
    topic.checkedAtMs = nowMs
    const current = this.#cluster.cachedTopic(topic.name)
    if (current !== undefined) this.#resize(topic, current.partitions.length)
    else
      this.#cluster
        .refresh([topic.name])
        .catch((error) => this.#cluster.settings.logger.debug(sentenceOf(error)))
    return true
  }

  #chosenQueue(
    topic: TopicQueues,
    { key }: QueuedRecord,
    bytes: number,
    partition: number | undefined,
  ): PartitionQueue | undefined {
    if (partition !== undefined) return topic.queues[partition]
    if (key !== null) return topic.queues[partitionOfKey(key, topic.queues.length)]
    const sticky = topic.queues[topic.sticky]!
    if (!sticky.hasRoomFor(bytes)) {
      sticky.close()
      topic.sticky = this.#nextSticky(topic)
    }
    return topic.queues[topic.sticky]
  }

  /** Any partition that has a leader; any at all where none has. */
  #nextSticky(topic: TopicQueues): number {
    const count = topic.queues.length
    const start = Math.floor(Math.random() * count)
    for (let step = 0; step < count; step++) {
      const partition = (start + step) % count
      if (this.#cluster.leaderOf(topic.name, partition) >= 0) return partition
    }
    return start
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#bufferedBytes === 0 || this.#bufferedBytes + bytes <= this.#settings.maxBufferedBytes
  }

  #release({ bytes, records }: Batch): void {
    this.#bufferedBytes -= bytes
    this.#bufferedMessages -= records.length
    for (const topic of this.#waiting) {
      if (topic.queues.length > 0 && this.#codecLoaded) this.#fill(topic)
    }
    while (this.#roomWaiters.length > 0 && this.#hasRoomFor(1) && this.#waiting.size === 0) {
      this.#roomWaiters.shift()!.resolve()
    }
  }

  #giveUpLate(): void {
    const nowMs = performance.now()
    for (const topic of this.#waiting) {
      while (topic.waiting[0] !== undefined && nowMs >= topic.waiting[0].deadlineMs) {
        const message = `No room in the buffer within ${this.#settings.deliveryTimeoutMs} ms: earlier messages are not acknowledged.`
        topic.waiting.shift()!.delivery.fail(new StreamBusError('DELIVERY_TIMEOUT', message))
      }
      if (topic.waiting.length === 0) this.#waiting.delete(topic)
    }
    if (this.#waiting.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
  }

  #abandon(): void {
    if (this.#closed) return
    this.#closed = true
    this.#cluster.metrics.buffers.delete(this)
    this.#unsubscribe()
    clearInterval(this.#watch)
    const error = new StreamBusError('CLOSED', 'The producer was closed before the broker acknowledged.')
    for (const { waiting } of this.#topics.values()) {
      for (const { delivery } of waiting.splice(0)) delivery.fail(error)
    }
    this.#sender.close()
    for (const { reject } of this.#roomWaiters.splice(0)) reject(error)
  }
}

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null
}

function notAnObject(what: string, properties: string, given: unknown): StreamBusError {
  const sentence = `${what} must be an object ({ ${properties}, … }), not ${kindOf(given)}.`
  return new StreamBusError('INVALID_ARGUMENT', sentence)
}

function queuedRecord(
  value: Sendable,
  options: SendOptions,
  delivery: Delivery | undefined,
  slot: number,
  now?: number,
): QueuedRecord {
  const { key, headers, timestamp, partition } = options
  if (partition !== undefined && (!Number.isInteger(partition) || partition < 0)) {
    throw new StreamBusError('INVALID_ARGUMENT', `${String(partition)} is not a partition number.`)
  }
  return {
    key: keyBytes(key),
    value: valueContent(value),
    headers: headerList(headers),
    timestamp: timestamp === undefined && now !== undefined ? now : timestampOf(timestamp),
    delivery,
    slot,
  }
}

function producerSettings(options: ProducerOptions): ProducerSettings {
  const acks = options.acks ?? 'all'
  if (acks !== 'all' && acks !== 1 && acks !== 0) {
    throw new StreamBusError('INVALID_ARGUMENT', `acks must be 'all', 1 or 0, not ${String(acks)}.`)
  }
  if (options.idempotent === true && acks !== 'all') {
    throw new StreamBusError('INVALID_ARGUMENT', `An idempotent producer needs acks 'all', not ${acks}.`)
  }
  const compression = options.compression ?? 'none'
  if (!compressionNames.includes(compression)) {
    const known = compressionNames.join(', ')
    throw new StreamBusError('INVALID_ARGUMENT', `'${compression}' is not a compression; there are ${known}.`)
  }
  const lingerMs = options.lingerMs ?? 0
  if (!(lingerMs >= 0)) {
    throw new StreamBusError('INVALID_ARGUMENT', `lingerMs must not be negative, and is ${lingerMs}.`)
  }
  return {
    acks: acks === 'all' ? -1 : acks,
    idempotent: options.idempotent ?? acks === 'all',
    idempotenceRequired: options.idempotent === true,
    compression,
    lingerMs,
    maxBatchBytes: positive('maxBatchBytes', options.maxBatchBytes ?? 256 * 1024),
    maxBufferedBytes: positive('maxBufferedBytes', options.maxBufferedBytes ?? 32 * 1024 * 1024),
    deliveryTimeoutMs: positive('deliveryTimeoutMs', options.deliveryTimeoutMs ?? 120_000),
  }
}
