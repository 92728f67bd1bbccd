/**
 * Exactly once, from topics to topics (KIP-98, KIP-447): a member of a group reads what is committed, and what its
 * handler makes of the messages is sent in the same transaction that commits their offsets.
 *
 *     message → handler → send … message → handler → send → offsets → commit
 *
 * Whatever happens before the commit, nothing of it counts: the messages are read again from the offsets that the
 * group has on record. A transaction ends before its partitions are given up. A member that lost them without
 * noticing cannot commit, as the coordinator of the group refuses its generation; and the member that has them by
 * then waits for the offsets of transactions that are still open.
 */
import { backoffMs, pause } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import { ConsumerEventEmitter } from '../consumer/consumer-events.ts'
import { isStreamBusError, StreamBusError, type StreamBusErrorCode, sentenceOf } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import { GroupConsumer } from '../groups/group-consumer.ts'
import { checkDeadLetterTopic, deadLetterFailed, deadLetterFor } from '../handling/dead-letters.ts'
import type { DeadLetterOptions } from '../handling/handle-options.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message } from '../message.ts'
import { handled } from '../observability/channels.ts'
import { AttemptTransaction } from './attempt-transaction.ts'
import { BatchTransaction } from './batch-transaction.ts'
import { type FailingMessage, FailingMessages } from './failing-messages.ts'
import {
  type ProcessedMessage,
  type ProcessHandler,
  type ProcessOptions,
  type ProcessResult,
  type ProcessSettings,
  processSettings,
} from './process-options.ts'
import type { Transaction } from './transaction.ts'
import { TransactionalProducer } from './transactional-producer.ts'

/** Failures after which the same messages may succeed, besides those that are retriable. */
const passing: ReadonlySet<StreamBusErrorCode> = new Set<StreamBusErrorCode>([
  'BROKER_ERROR',
  'DELIVERY_TIMEOUT',
  'PARTITIONS_LOST',
  'TRANSACTION_ABORTED',
  'TRANSACTION_IN_DOUBT',
])

/** A message that is given to the handler again after a pause. */
interface Again {
  readonly message: Message
  readonly delayMs: number
  /** Whether the transaction was aborted, so that everything in it comes again. */
  readonly isAborted: boolean
}

/** Failures in a row that are tried again even where each of them took long. */
const minAttempts = 3

export class Processor {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #options: ProcessOptions
  readonly #settings: ProcessSettings
  readonly #handler: ProcessHandler
  readonly #events: ConsumerEventEmitter
  readonly #failing = new FailingMessages()
  /** Partitions whose failing message waits for its next attempt. */
  readonly #pauses = new Map<string, NodeJS.Timeout>()
  #again: Again | undefined
  readonly #stopping = new AbortController()
  readonly #finished: Promise<void>
  #producer: TransactionalProducer
  #consumer: GroupConsumer
  #messages: AsyncIterator<Message>
  /** Asked for, and not taken yet. */
  #next: Promise<IteratorResult<Message>> | undefined
  #batch: BatchTransaction | undefined
  /** True when the last transaction took longer than it may, so that the coordinator has fenced its producer. */
  #wasOverdue = false
  /** What ends the worker for good, by whoever met it. */
  #failure: { readonly error: unknown } | undefined
  #isWatched = false
  #processed = 0
  #committed = 0
  #aborted = 0
  #closing: Promise<void> | undefined

  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    options: ProcessOptions,
    handler: ProcessHandler,
    onClosed: () => void,
  ) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#options = options
    this.#handler = handler
    this.#settings = processSettings(options)
    checkDeadLetterTopic(this.#settings.deadLetter?.topic, [options.from].flat())
    this.#events = new ConsumerEventEmitter(cluster, options.group)
    this.#producer = this.#newProducer()
    try {
      this.#consumer = this.#newConsumer()
    } catch (error) {
      void this.#producer.close()
      throw error
    }
    this.#messages = this.#consumer[Symbol.asyncIterator]()
    this.#finished = this.#work().finally(onClosed)
    this.#finished.catch((error) => cluster.settings.logger.error(sentenceOf(error)))
  }

  /**
   * Resolves when the worker was closed, or has come to the end with `until: 'end'`. Rejects with the error that
   * stopped it: what its handler threw; PRODUCER_FENCED where another worker took its transactional id; or what went
   * on failing for longer than `retryTimeoutMs`.
   */
  get finished(): Promise<void> {
    this.#isWatched = true
    return this.#finished
  }

  /** Messages whose transactions are committed. */
  get processed(): number {
    return this.#processed
  }

  get transactionsCommitted(): number {
    return this.#committed
  }

  /** Those whose end is not known are in neither of the two. */
  get transactionsAborted(): number {
    return this.#aborted
  }

  /** The partitions the group has given to this worker. */
  get assignment(): readonly TopicPartition[] {
    return this.#consumer.assignment
  }

  /**
   * Commits what is being processed and leaves the group. A handler that takes longer than `transactionTimeoutMs` is
   * not waited for: its transaction is aborted. Rejects with the error that stopped the worker before, where nobody
   * has asked for `finished`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #shutDown(): Promise<void> {
    this.#stopping.abort(new StreamBusError('CLOSED', 'The worker was closed.'))
    const timer = setTimeout(() => void this.#producer.close(), this.#settings.transactionTimeoutMs)
    // It waits for the transaction to end, and ends the iteration; what becomes of it is told by `finished`.
    this.#consumer.close().catch(() => {})
    await this.#finished.catch(() => {})
    clearTimeout(timer)
    if (!this.#isWatched) await this.#finished
  }

  async #work(): Promise<void> {
    try {
      await this.#run()
    } catch (error) {
      const isStop = this.#stopping.signal.aborted && isStreamBusError(error) && error.code === 'CLOSED'
      if (!isStop) throw error
    } finally {
      for (const timer of this.#pauses.values()) clearTimeout(timer)
      await this.#producer.close()
      await this.#consumer
        .close()
        .catch((error: unknown) => this.#cluster.settings.logger.warn(sentenceOf(error)))
    }
  }

  async #run(): Promise<void> {
    let failures = 0
    let failingSinceMs: number | undefined
    let hasJoinedAgain = false
    let error: unknown
    for (;;) {
      try {
        if (failures > 0) await this.#startOver(error, failures)
        if (this.#again !== undefined) await this.#holdBack(this.#again)
        const first = await this.#take()
        if (this.#stopping.signal.aborted) return
        if (first === undefined) {
          if (failures === 0 || hasJoinedAgain) return
          await this.#joinAgain()
          hasJoinedAgain = true
          continue
        }
        await this.#transact(first)
        failures = 0
        failingSinceMs = undefined
      } catch (failure) {
        hasJoinedAgain = false
        // It was aborted on purpose: for the message to be tried again.
        if (this.#again?.isAborted && this.#failure === undefined) continue
        error = failure
        failingSinceMs ??= performance.now()
        failures++
        const failedForMs = performance.now() - failingSinceMs
        const isTooLong = failures > minAttempts && failedForMs > this.#cluster.settings.retryTimeoutMs
        if (this.#failure !== undefined) throw this.#failure.error
        if (isTooLong || !this.#isPassing(failure)) throw failure
        // Others process the messages: nothing is lost.
        if (this.#stopping.signal.aborted) return
        this.#cluster.settings.logger.warn(`${sentenceOf(failure)} Its messages are processed again.`)
      }
    }
  }

  #isPassing(error: unknown): boolean {
    if (!isStreamBusError(error)) return false
    if (error.code === 'PRODUCER_FENCED') return this.#wasOverdue
    return error.retriable || passing.has(error.code)
  }

  /** Goes back to what is committed, after what is not known of the last transaction was found out. */
  async #startOver(error: unknown, failures: number): Promise<void> {
    await pause(backoffMs(failures - 1, this.#cluster.settings.backoff), this.#stopping.signal)
    if (isStreamBusError(error) && error.code === 'PRODUCER_FENCED') {
      await this.#producer.close()
      this.#producer = this.#newProducer()
    }
    await this.#producer.ready()
    await this.#consumer.rewind()
  }

  /** Has the message given out again after its pause, with all that is behind it in its partition. */
  async #holdBack({ message, delayMs, isAborted }: Again): Promise<void> {
    this.#again = undefined
    const { topic, partition, offset } = message
    if (isAborted) {
      await this.#producer.ready()
      await this.#consumer.rewind()
    } else if (!this.#consumer.isInHand(message)) return
    const isHere = () => this.assignment.some((one) => one.topic === topic && one.partition === partition)
    // Others have the partition, and the message with it.
    if (!isHere()) return
    this.#consumer.pause([{ topic, partition }])
    const place = `${topic}/${partition}`
    clearTimeout(this.#pauses.get(place))
    const resume = () => {
      this.#pauses.delete(place)
      if (isHere()) this.#consumer.resume([{ topic, partition }])
    }
    this.#pauses.set(place, setTimeout(resume, delayMs))
    if (!isAborted) await this.#consumer.seek({ topic, partition, offset })
  }

  /** It had come to its end, and left, when its last transaction was aborted: those messages are still to be read. */
  async #joinAgain(): Promise<void> {
    await this.#consumer.close()
    this.#consumer = this.#newConsumer()
    this.#messages = this.#consumer[Symbol.asyncIterator]()
  }

  /** One transaction: this message, and those that come while it is open. */
  async #transact(first: Message): Promise<void> {
    const batch = new BatchTransaction(this.#settings.maxTransactionMs)
    batch.add(first)
    this.#batch = batch
    try {
      await this.#producer.transaction((tx) => this.#fill(batch, first, tx))
      if (batch.messages > 0) this.#committed++
      this.#processed += batch.messages
      for (const { message, attempts, error, sent } of batch.setAside) {
        this.#cluster.metrics.topic(message.topic).deadLetteredMessages++
        this.#events.emit('deadLettered', { message, attempts, error, deadLetter: await sent })
      }
    } catch (error) {
      const inDoubt = isStreamBusError(error) && error.code === 'TRANSACTION_IN_DOUBT'
      if (!inDoubt) this.#aborted++
      this.#wasOverdue = performance.now() - batch.startedAtMs > this.#settings.transactionTimeoutMs
      throw error
    } finally {
      this.#batch = undefined
      batch.finish()
    }
  }

  async #fill(batch: BatchTransaction, first: Message, tx: Transaction): Promise<void> {
    let message: Message | undefined = first
    while (message !== undefined) {
      const isDone = await this.#handle(batch, message, tx)
      if (tx.failure !== undefined) throw tx.failure
      if (!isDone) {
        batch.withdraw()
        break
      }
      await tx.waitForRoom()
      if (batch.isEnding || batch.messages >= this.#settings.maxTransactionMessages) break
      message = await this.#take(batch.ending)
      if (message !== undefined) batch.add(message)
    }
    // No turn of the event loop lies between this look and the generation that goes with the offsets.
    if (batch.isLost) {
      const message = `Group '${this.#options.group}' gave partitions to another member while their messages were processed.`
      throw new StreamBusError('PARTITIONS_LOST', message)
    }
    const { generation } = this.#consumer.member
    try {
      await tx.sendOffsets(this.#consumer, batch.offsets)
    } catch (error) {
      this.#consumer.commitRefused(generation, error as StreamBusError)
      throw error
    }
  }

  /** False where the message is tried again. Throws where the transaction has to be aborted. */
  async #handle(batch: BatchTransaction, message: Message, tx: Transaction): Promise<boolean> {
    const before = this.#failing.of(message)
    if (before?.isOver) {
      this.#setAside(batch, message, before, tx)
      return true
    }
    const { client } = this.#cluster.metrics
    const counters = this.#cluster.metrics.topic(message.topic)
    const attempt = (before?.attempts ?? 0) + 1
    const attempting = new AttemptTransaction(tx)
    const startedAtMs = performance.now()
    try {
      await handled(client, this.#options.group, message, attempt, async () => {
        const result = await this.#handler(message, attempting)
        if (tx.failure === undefined) this.#send(attempting, result)
      })
      counters.handledMessages++
      return true
    } catch (error) {
      attempting.end()
      counters.failedAttempts++
      // Where the transaction has failed before, that is why the handler did.
      if (tx.failure !== undefined) throw error
      return this.#afterFailure(batch, message, attempt, error, attempting.isUsed, tx)
    } finally {
      counters.handlerDurations.add(performance.now() - startedAtMs)
    }
  }

  #afterFailure(
    batch: BatchTransaction,
    message: Message,
    attempts: number,
    error: unknown,
    isAborted: boolean,
    tx: Transaction,
  ): boolean {
    const { backoff, deadLetter } = this.#settings
    const isOver = attempts >= this.#settings.attempts || !this.#isWorthRetrying(error)
    if (isOver && deadLetter === undefined) {
      this.#failure = { error }
      throw error
    }
    const failing = { offset: message.offset, attempts, error, isOver }
    this.#failing.note(message, failing)
    if (isOver && !isAborted) {
      this.#setAside(batch, message, failing, tx)
      return true
    }
    const delayMs = isOver ? 0 : backoffMs(attempts - 1, backoff)
    if (!isOver) this.#events.emit('retrying', { message, attempt: attempts, error, delayMs })
    this.#again = { message, delayMs, isAborted }
    if (isAborted) throw error
    return false
  }

  #isWorthRetrying(error: unknown): boolean {
    try {
      return this.#settings.retryIf(error)
    } catch (failure) {
      this.#failure = { error: failure }
      throw failure
    }
  }

  /** Part of the transaction, as everything the handler sends: it is there when the offset is committed, and not before. */
  #setAside(batch: BatchTransaction, message: Message, failing: FailingMessage, tx: Transaction): void {
    const { topic, maxStackBytes } = this.#settings.deadLetter as Required<DeadLetterOptions>
    const { attempts, error } = failing
    const outgoing = deadLetterFor(message, { error, attempts, group: this.#options.group }, maxStackBytes)
    const sent = tx.send(topic, outgoing.value, outgoing)
    batch.setAside.push({ message, attempts, error, sent })
    sent.catch((failure: unknown) => {
      if (!this.#isPassing(failure)) {
        this.#failure ??= { error: deadLetterFailed(message, error, topic, failure) }
      }
    })
  }

  /** Not awaited one by one: the commit waits for all of them. */
  #send(tx: Transaction, result: ProcessResult): void {
    if (result === undefined || result === null) return
    const isList = (value: ProcessResult): value is readonly ProcessedMessage[] => Array.isArray(value)
    for (const { topic = this.#options.to, value, ...options } of isList(result) ? result : [result]) {
      if (topic === undefined) {
        const message = "A handler returned a message without a topic, and there is no topic in 'to'."
        throw new StreamBusError('INVALID_ARGUMENT', message)
      }
      void tx.send(topic, value, options)
    }
  }

  /** The next message; undefined at the end, or when the time for it is over: then it stays the next. */
  async #take(over?: Promise<undefined>): Promise<Message | undefined> {
    for (;;) {
      if (this.#next === undefined) {
        this.#next = this.#messages.next()
        this.#next.catch((error: unknown) => {
          this.#failure ??= { error }
        })
      }
      const next = await (over === undefined ? this.#next : Promise.race([this.#next, over]))
      if (next === undefined) return undefined
      this.#next = undefined
      if (next.done) return undefined
      // One that came when its partition was taken away, or before the messages were gone back to, does not count.
      if (this.#consumer.isInHand(next.value)) return next.value
    }
  }

  async #endBatch(): Promise<void> {
    const batch = this.#batch
    batch?.end()
    await batch?.over
  }

  #newProducer(): TransactionalProducer {
    const { transactionalId, transactionTimeoutMs } = this.#settings
    return new TransactionalProducer(this.#cluster, this.#coordinators, {
      ...this.#options.producer,
      transactionalId,
      transactionTimeoutMs,
    })
  }

  #newConsumer(): GroupConsumer {
    const {
      from,
      to,
      startFrom,
      transactionalId,
      transactionTimeoutMs,
      producer,
      retry,
      deadLetter,
      ...consuming
    } = this.#options
    return new GroupConsumer(
      this.#cluster,
      this.#coordinators,
      from,
      {
        ...consuming,
        ...(startFrom === undefined ? {} : { from: startFrom }),
        isolation: 'read_committed',
        autoCommit: false,
        onRevoked: (partitions, lost) => {
          this.#batch?.lose(partitions)
          this.#options.onRevoked?.(partitions, lost)
        },
      },
      () => {},
      () => this.#endBatch(),
    )
  }
}
