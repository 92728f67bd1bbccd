/**
 * Takes batches from the partition queues to the brokers that lead them, and the answers back.
 *
 * One request carries at most one batch per partition and at most `maxRequestBytes`; up to five requests per
 * broker are on their way at once. With linger 0 a batch closes when a request can take it: under light load
 * that is at the end of the same turn of the event loop, under heavy load batches fill while requests are out.
 */
import { encodeRecordBatch, type ProduceResponse, produce } from '@streambus/protocol'
import { backoffMs, busyBackoff } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { exactOffset } from '../list-offsets.ts'
import type { Batch, PartitionQueue, ProducerIdentity } from './partition-queue.ts'
import type { ProducerSettings } from './producer.ts'
import { allocateProducerId } from './producer-ids.ts'

/** The broker recognises repeats among the last five batches of a producer and partition (KIP-98). */
const maxInFlightRequests = 5
const maxRequestBytes = 8 * 1024 * 1024
/** The transaction whose messages are sent at the moment. */
export interface SendingTransaction {
  /** Another object for each epoch: sequence numbers begin anew with it. */
  readonly identity: ProducerIdentity
  /** Highest version of Produce to use: from 12 on it adds partitions to the transaction by itself (KIP-890). */
  readonly maxProduceVersion: number
  /** Why the transaction can only be aborted; then nothing more is sent or tried again. */
  readonly failure: StreamBusError | undefined
  /** Whether messages may go to the partition; if not yet, `onAdmitted` is called when they may. */
  admits(topic: string, partition: number, onAdmitted: () => void): boolean
}

/** What makes the batches of a producer transactional. */
export interface TransactionalSending {
  readonly transactionalId: string
  /** Undefined while no transaction is open: there is nothing to send then. */
  readonly current: SendingTransaction | undefined
}

/** Produce by topic name; from version 13 on topics are named by id. */
const maxProduceVersion = 12

const OUT_OF_ORDER_SEQUENCE_NUMBER = 45
const DUPLICATE_SEQUENCE_NUMBER = 46
const UNKNOWN_PRODUCER_ID = 59
const MESSAGE_TOO_LARGE = 10

interface Node {
  connection: Connection | undefined
  connecting: boolean
  inFlight: number
  failedAttempts: number
  resumeAtMs: number
}

interface Shipment {
  readonly queue: PartitionQueue
  readonly batch: Batch
}

let lanes = 0

export class ProduceSender {
  readonly #cluster: Cluster
  readonly #settings: ProducerSettings
  readonly #lane = `produce ${++lanes}`
  readonly #nodes = new Map<number, Node>()
  /** Partitions that may have something to send. */
  readonly #ready = new Set<PartitionQueue>()
  /** Partitions with batches that are not acknowledged; their deadlines are watched. */
  readonly #busy = new Set<PartitionQueue>()
  /** Partitions whose producer id is being allocated. */
  readonly #numbering = new Set<PartitionQueue>()
  readonly #onSettled: (batch: Batch) => void
  readonly #transactional: TransactionalSending | undefined
  readonly #onAdmitted = () => this.#schedule()
  readonly #idleWaiters: (() => void)[] = []
  #scheduled = false
  #wake: NodeJS.Timeout | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY
  #watch: NodeJS.Timeout | undefined
  #flushing = 0
  #idempotent: boolean
  #sharedIdentity: ReturnType<typeof allocateProducerId> | undefined
  #closed = false

  /** @param onSettled called for every batch that was acknowledged or given up, so that its bytes are freed */
  constructor(
    cluster: Cluster,
    settings: ProducerSettings,
    onSettled: (batch: Batch) => void,
    transactional?: TransactionalSending,
  ) {
    this.#transactional = transactional
    this.#cluster = cluster
    this.#settings = settings
    this.#idempotent = settings.idempotent
    this.#onSettled = onSettled
  }

  /** Tells the sender that a partition has something to send. */
  notify(queue: PartitionQueue): void {
    if (this.#scheduled && this.#ready.has(queue)) return
    this.#ready.add(queue)
    if (!this.#busy.has(queue)) {
      this.#busy.add(queue)
      this.#watch ??= setInterval(
        () => this.#giveUpLate(),
        Math.min(500, this.#settings.deliveryTimeoutMs / 2),
      )
    }
    this.#schedule()
  }

  /** What settles when what is not acknowledged yet is acknowledged or has failed. */
  *outstanding(): Generator<Promise<unknown>> {
    for (const queue of this.#busy) {
      for (const batch of queue.pending) {
        yield batch.settled
        for (const { delivery } of batch.records) if (delivery !== undefined) yield delivery.promise
      }
    }
  }

  /**
   * Sends the oldest batch of a partition now if it is full and a request can take it: the broker then works while the
   * caller is still at its loop of `send`s.
   */
  sendFull(queue: PartitionQueue): void {
    if (this.#closed || this.#transactional !== undefined) return
    const nowMs = performance.now()
    const batch = queue.next(nowMs, this.#maxInFlight, false)
    if (batch === undefined || typeof batch === 'number' || queue.isOpen(batch)) return
    const node = this.#readyNodeFor(queue, nowMs)
    if (node !== undefined) this.#send(node, [{ queue, batch }])
  }

  /** Until the returned function is called, open batches leave without waiting for more. */
  hurry(): () => void {
    this.#flushing++
    for (const queue of this.#busy) this.#ready.add(queue)
    this.#schedule()
    return () => {
      this.#flushing--
    }
  }

  /**
   * Gives up everything that is not on its way; resolves when the answers to what is are in, so that nothing of a
   * transaction arrives behind its end. What fails meanwhile must not be tried again: see `failure`.
   */
  discard(error: StreamBusError): Promise<void> {
    for (const queue of [...this.#busy]) {
      for (const batch of [...queue.pending]) if (!batch.inFlight) this.#finish(queue, batch, error)
    }
    if (this.#busy.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idleWaiters.push(resolve))
  }

  /** Gives up everything that is not acknowledged, with CLOSED. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#watch)
    clearTimeout(this.#wake)
    this.#cluster.closeLane(this.#lane)
    const error = new StreamBusError('CLOSED', 'The producer was closed before the broker acknowledged.')
    for (const queue of this.#busy) {
      for (const batch of [...queue.pending]) {
        if (batch.inFlight) queue.land(batch)
        this.#finish(queue, batch, error)
      }
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.#closed) this.#drain()
    })
  }

  #scheduleAt(atMs: number): void {
    if (atMs >= this.#wakeAtMs) return
    clearTimeout(this.#wake)
    this.#wakeAtMs = atMs
    this.#wake = setTimeout(
      () => {
        this.#wakeAtMs = Number.POSITIVE_INFINITY
        this.#schedule()
      },
      Math.max(0, Math.ceil(atMs - performance.now())),
    )
  }

  /** One pass collects a request per broker; passes repeat while brokers take more. */
  #drain(): void {
    const maxInFlight = this.#maxInFlight
    const lingering = this.#settings.lingerMs > 0 && this.#flushing === 0
    for (let sent = true; sent; ) {
      sent = false
      const nowMs = performance.now()
      const requests = new Map<Node, { shipments: Shipment[]; bytes: number }>()
      for (const queue of [...this.#ready]) {
        const batch = queue.next(nowMs, maxInFlight, lingering)
        if (batch === undefined) {
          this.#ready.delete(queue)
          continue
        }
        if (typeof batch === 'number') {
          this.#scheduleAt(batch)
          continue
        }
        const node = this.#readyNodeFor(queue, nowMs)
        if (node === undefined) continue
        const request = requests.get(node) ?? { shipments: [], bytes: 0 }
        if (request.shipments.length > 0 && request.bytes + batch.bytes > maxRequestBytes) continue
        request.shipments.push({ queue, batch })
        request.bytes += batch.bytes
        requests.set(node, request)
        // Goes to the end, so that where a request is full the others come first the next time.
        this.#ready.delete(queue)
        this.#ready.add(queue)
      }
      for (const [node, { shipments }] of requests) {
        this.#send(node, shipments)
        sent = true
      }
    }
  }

  get #maxInFlight(): number {
    return this.#idempotent ? maxInFlightRequests : 1
  }

  /** The leader if a batch of this partition can go to it now. */
  #readyNodeFor(queue: PartitionQueue, nowMs: number): Node | undefined {
    if (this.#transactional !== undefined) {
      if (!this.#isAdmitted(queue, this.#transactional.current)) return undefined
    } else if (this.#idempotent && !this.#hasIdentity(queue)) return undefined
    const node = this.#nodeFor(queue, nowMs)
    return node === undefined || node.inFlight >= maxInFlightRequests ? undefined : node
  }

  /** The leader's connection if it can take requests now; otherwise sees to it that there will be one. */
  #nodeFor(queue: PartitionQueue, nowMs: number): Node | undefined {
    const leader = this.#cluster.leaderOf(queue.topic, queue.partition)
    if (leader < 0) {
      queue.lastFailure = new StreamBusError(
        'LEADER_UNAVAILABLE',
        `Partition ${queue.partition} of topic '${queue.topic}' has no leader.`,
      )
      this.#delay(queue)
      this.#refresh(queue)
      return undefined
    }
    let node = this.#nodes.get(leader)
    if (node === undefined) {
      node = { connection: undefined, connecting: false, inFlight: 0, failedAttempts: 0, resumeAtMs: 0 }
      this.#nodes.set(leader, node)
    }
    if (node.connection?.isOpen) return node
    if (nowMs < node.resumeAtMs) {
      this.#scheduleAt(node.resumeAtMs)
    } else if (!node.connecting) {
      this.#connect(leader, node, queue)
    }
    return undefined
  }

  #connect(leader: number, node: Node, queue: PartitionQueue): void {
    node.connecting = true
    this.#cluster.connectionTo(leader, this.#lane).then(
      (connection) => {
        node.connecting = false
        node.connection = connection
        node.failedAttempts = 0
        this.#schedule()
      },
      (error: StreamBusError) => {
        node.connecting = false
        node.resumeAtMs = performance.now() + backoffMs(node.failedAttempts++, this.#cluster.settings.backoff)
        for (const waiting of this.#ready) {
          if (this.#cluster.leaderOf(waiting.topic, waiting.partition) === leader) waiting.lastFailure = error
        }
        // The broker may be gone for good and another lead by now.
        this.#refresh(queue)
        this.#scheduleAt(node.resumeAtMs)
      },
    )
  }

  /** Batches of a transaction leave under its identity, and once the coordinator knows of their partition. */
  #isAdmitted(queue: PartitionQueue, transaction: SendingTransaction | undefined): boolean {
    if (transaction === undefined) return false
    if (queue.identity !== transaction.identity) queue.startSequence(transaction.identity)
    return transaction.admits(queue.topic, queue.partition, this.#onAdmitted)
  }

  /** All partitions share one producer id, except those that had to start a new sequence. */
  #hasIdentity(queue: PartitionQueue): boolean {
    if (queue.identity !== undefined) return true
    if (this.#numbering.has(queue) || queue.inFlight > 0) return false
    this.#numbering.add(queue)
    const timeoutMs = this.#settings.deliveryTimeoutMs
    if (!queue.sequenceEnded) this.#sharedIdentity ??= allocateProducerId(this.#cluster, timeoutMs)
    const allocation = queue.sequenceEnded
      ? allocateProducerId(this.#cluster, timeoutMs)
      : this.#sharedIdentity!
    allocation
      .then(
        (identity) => this.#onIdentity(queue, identity),
        (error: StreamBusError) => {
          this.#sharedIdentity = undefined
          for (const batch of [...queue.pending]) this.#finish(queue, batch, error)
        },
      )
      .finally(() => {
        this.#numbering.delete(queue)
        this.#schedule()
      })
    return false
  }

  #onIdentity(queue: PartitionQueue, identity: ProducerIdentity | undefined): void {
    if (identity !== undefined) {
      queue.startSequence(identity)
    } else if (this.#settings.idempotenceRequired) {
      const message = 'The broker does not offer idempotent producers (InitProducerId).'
      const error = new StreamBusError('UNSUPPORTED_API', message)
      for (const batch of [...queue.pending]) this.#finish(queue, batch, error)
    } else {
      this.#idempotent = false
    }
  }

  #send(node: Node, shipments: readonly Shipment[]): void {
    const connection = node.connection as Connection
    const byTopic = new Map<string, { index: number; records: Uint8Array }[]>()
    const shipped: Shipment[] = []
    for (const shipment of shipments) {
      const { queue, batch } = shipment
      queue.take(batch)
      try {
        batch.encoded ??= this.#encode(batch)
      } catch (error) {
        queue.land(batch)
        const message = `A batch for ${queue.topic}/${queue.partition} cannot be encoded: ${sentenceOf(error)}`
        this.#finish(queue, batch, new StreamBusError('INVALID_ARGUMENT', message, { cause: error }))
        continue
      }
      shipped.push(shipment)
      const partitions = byTopic.get(queue.topic)
      const part = { index: queue.partition, records: batch.encoded }
      if (partitions === undefined) byTopic.set(queue.topic, [part])
      else partitions.push(part)
    }
    if (shipped.length === 0) return
    node.inFlight++
    const transactional = this.#transactional
    const maxVersion = transactional?.current?.maxProduceVersion ?? maxProduceVersion
    const body = {
      ...(transactional === undefined ? {} : { transactionalId: transactional.transactionalId }),
      acks: this.#settings.acks,
      timeoutMs: this.#cluster.settings.requestTimeoutMs,
      topicData: [...byTopic].map(([name, partitionData]) => ({ name, partitionData })),
    }
    const landed =
      this.#settings.acks === 0
        ? connection.post(produce, body, { maxVersion }).then(() => {
            for (const { queue, batch } of shipped) {
              queue.land(batch)
              this.#acknowledge(queue, batch, -1, -1)
            }
          })
        : connection.request(produce, body, { maxVersion }).then((answer) => this.#onAnswer(shipped, answer))
    landed
      .catch((error: unknown) => {
        const failure = isStreamBusError(error)
          ? error
          : new StreamBusError('PROTOCOL_ERROR', `Unexpected answer: ${sentenceOf(error)}`, { cause: error })
        for (const { queue, batch } of shipped) if (batch.inFlight) this.#onFailure(queue, batch, failure)
      })
      .finally(() => {
        node.inFlight--
        this.#schedule()
      })
  }

  #encode(batch: Batch): Uint8Array {
    const { sequencedBy } = batch
    return encodeRecordBatch(batch.records, {
      compression: this.#settings.compression,
      transactional: this.#transactional !== undefined,
      ...(sequencedBy === undefined
        ? {}
        : {
            producerId: sequencedBy.producerId,
            producerEpoch: sequencedBy.producerEpoch,
            baseSequence: sequencedBy.baseSequence,
          }),
    })
  }

  #onAnswer(shipments: readonly Shipment[], answer: ProduceResponse): void {
    const results = new Map<string, ProduceResponse['responses'][number]['partitionResponses'][number]>()
    for (const { name, partitionResponses } of answer.responses) {
      for (const result of partitionResponses) results.set(`${name}/${result.index}`, result)
    }
    for (const { queue, batch } of shipments) {
      // The producer may have been closed, or the batch given up, while its answer was on the way.
      if (!batch.inFlight) continue
      const result = results.get(`${queue.topic}/${queue.partition}`)
      if (result === undefined) {
        const message = `The broker said nothing of ${queue.topic}/${queue.partition}.`
        this.#onFailure(queue, batch, new StreamBusError('PROTOCOL_ERROR', message))
        continue
      }
      const { errorCode, baseOffset, logAppendTimeMs, errorMessage } = result
      if (errorCode === 0 || errorCode === DUPLICATE_SEQUENCE_NUMBER) {
        queue.land(batch)
        const first = baseOffset < 0n ? -1 : exactOffset(baseOffset, queue.topic, queue.partition)
        this.#acknowledge(queue, batch, first, Number(logAppendTimeMs))
      } else if (errorCode === MESSAGE_TOO_LARGE && batch.records.length > 1 && !this.#isFailed) {
        queue.land(batch)
        queue.replace(batch, batch.split())
        this.#ready.add(queue)
      } else {
        const doing = `Cannot write to ${queue.topic}/${queue.partition}`
        const error = brokerError(errorCode, doing, errorMessage)
        const outOfOrder = errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === UNKNOWN_PRODUCER_ID
        this.#onFailure(queue, batch, error, outOfOrder && batch.sequencedBy !== undefined)
      }
    }
  }

  #onFailure(queue: PartitionQueue, batch: Batch, error: StreamBusError, outOfOrder = false): void {
    queue.land(batch)
    queue.lastFailure = error
    const given = this.#transactional?.current?.failure
    if (given !== undefined) {
      this.#finish(queue, batch, given)
      return
    }
    // A sequence of a transaction cannot be begun anew: what was written of it is under the old numbers.
    const isLost = outOfOrder && this.#transactional !== undefined && !queue.waitsForEarlier(batch)
    if (this.#closed || isLost || (!error.retriable && !outOfOrder)) {
      this.#finish(queue, batch, error)
      return
    }
    if (performance.now() >= batch.deadlineMs) {
      this.#finish(queue, batch, this.#late(queue))
      return
    }
    if (error.code === 'TRANSACTION_BUSY') {
      this.#delay(queue, busyBackoff)
      return
    }
    this.#delay(queue)
    if (outOfOrder) {
      if (!queue.waitsForEarlier(batch)) queue.endSequence()
    } else {
      this.#refresh(queue)
    }
  }

  get #isFailed(): boolean {
    return this.#transactional?.current?.failure !== undefined
  }

  #delay(queue: PartitionQueue, backoff = this.#cluster.settings.backoff): void {
    const delayMs = backoffMs(queue.failedAttempts++, backoff)
    const { topic, partition, lastFailure: error } = queue
    if (error !== undefined)
      this.#cluster.noteRetry({ operation: 'produce', error, delayMs, topic, partition })
    queue.resumeAtMs = performance.now() + delayMs
    this.#ready.add(queue)
    this.#scheduleAt(queue.resumeAtMs)
  }

  #refresh(queue: PartitionQueue): void {
    this.#cluster.refresh([queue.topic]).then(
      (answers) => {
        const answer = answers.get(queue.topic)
        if (answer instanceof StreamBusError) queue.lastFailure = answer
        this.#schedule()
      },
      (error: StreamBusError) => {
        queue.lastFailure = error
      },
    )
  }

  #acknowledge(queue: PartitionQueue, batch: Batch, baseOffset: number, logAppendTimeMs: number): void {
    queue.failedAttempts = 0
    queue.resumeAtMs = 0
    queue.remove(batch)
    const counters = this.#cluster.metrics.topic(queue.topic)
    counters.sentMessages += batch.records.length
    counters.sentBatches++
    counters.sentBytes += batch.encoded?.byteLength ?? 0
    if (queue.pending.length === 0) this.#rest(queue)
    else this.#ready.add(queue)
    batch.settle(queue.topic, queue.partition, baseOffset, logAppendTimeMs)
    this.#onSettled(batch)
  }

  #finish(queue: PartitionQueue, batch: Batch, error: StreamBusError): void {
    queue.remove(batch)
    this.#cluster.metrics.topic(queue.topic).failedMessages += batch.records.length
    if (queue.pending.length === 0) this.#rest(queue)
    else this.#ready.add(queue)
    batch.fail(error)
    this.#onSettled(batch)
  }

  #rest(queue: PartitionQueue): void {
    this.#busy.delete(queue)
    this.#ready.delete(queue)
    if (this.#busy.size > 0) return
    clearInterval(this.#watch)
    this.#watch = undefined
    for (const resolve of this.#idleWaiters.splice(0)) resolve()
  }

  /** Batches on the wire are left to the request's own timeout: their answer may be there any moment. */
  #giveUpLate(): void {
    const nowMs = performance.now()
    for (const queue of this.#busy) {
      for (const batch of [...queue.pending]) {
        if (batch.inFlight) continue
        if (nowMs < batch.deadlineMs) break
        this.#finish(queue, batch, this.#late(queue))
      }
    }
  }

  #late(queue: PartitionQueue): StreamBusError {
    const cause = queue.lastFailure
    return new StreamBusError(
      'DELIVERY_TIMEOUT',
      `Not acknowledged within ${this.#settings.deliveryTimeoutMs} ms: ${cause?.message ?? `the broker of ${queue.topic}/${queue.partition} is too slow.`}`,
      { cause },
    )
  }
}
