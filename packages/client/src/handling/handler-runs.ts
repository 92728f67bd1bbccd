/**
 * Gives messages to a handler: so many at once, in the order of their partition or key, again where that is wished
 * for, and to the dead letter topic in the end.
 *
 * What may be committed of a partition is what lies before the first message that is not handled, whatever else is
 * handled behind it: after a crash messages come again, and none is left out.
 *
 * Everything is bounded: what arrived and is not decoded, per partition and in all, decoded messages by
 * `maxAheadMessages` and one batch per partition, handlers by `concurrency`. A partition that is stuck holds up no
 * other: it has one of the handlers, and nothing more is asked for of it.
 */
import { backoffMs } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import type { ConsumerEventEmitter } from '../consumer/consumer-events.ts'
import type { FetchSettings } from '../consumer/fetch-settings.ts'
import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import { StreamBusError, sentenceOf } from '../errors.ts'
import { checkHandler } from '../known-options.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message } from '../message.ts'
import { channels, handled } from '../observability/channels.ts'
import { Producer } from '../producer/producer.ts'
import { deadLetterFailed, deadLetterFor } from './dead-letters.ts'
import { type DelayTopics, retryFailed } from './delay-topics.ts'
import type { Handler, HandleSettings } from './handle-options.ts'
import { MessageRun } from './message-run.ts'
import { type LaneMessage, PartitionLane } from './partition-lane.ts'
import type { PartitionRuns } from './partition-runs.ts'

/** The consumer whose messages these are. */
export interface RunsOwner {
  readonly cluster: Cluster
  readonly events: ConsumerEventEmitter
  /** Null where messages are read without one. */
  readonly group: string | null
  readonly fetchSettings: FetchSettings
  readonly verifyChecksums: boolean
  /** Where messages wait for their next attempt; undefined where that is in place. */
  readonly delayTopics?: DelayTopics | undefined
  /** How many messages are given to the handler; infinite where there is no limit. */
  readonly limit: number
  /** While it is held, nothing more of the range is asked for. */
  hold(range: ReadingRange, isHeld: boolean): void
  /** Every message of the range before the offset is handled. */
  advanced(range: ReadingRange, next: number): void
  /** The last message the limit allows was given to the handler. */
  full(): void
  fail(error: StreamBusError): void
}

/** Timers take no longer. */
const maxTimerMs = 2 ** 31 - 1

export class HandlerRuns implements PartitionRuns {
  readonly #handler: Handler
  readonly #settings: HandleSettings
  readonly #owner: RunsOwner
  readonly #lanes = new Map<string, PartitionLane>()
  /** Lanes that have something to start, each once: they take turns. */
  readonly #line: PartitionLane[] = []
  readonly #runs = new Set<MessageRun>()
  #waiters: (() => void)[] = []
  #remaining: number
  /** Of dead letters, and of messages that are tried again later. */
  #producer: Producer | undefined
  #watch: NodeJS.Timeout | undefined
  /** What still runs was given up. */
  #isOver = false

  constructor(handler: Handler, settings: HandleSettings, owner: RunsOwner) {
    checkHandler(handler)
    const { client } = owner.cluster.metrics
    this.#handler = (message, context) =>
      channels.handle.hasSubscribers
        ? handled(client, owner.group, message, context.attempt, () => handler(message, context))
        : handler(message, context)
    this.#settings = settings
    this.#owner = owner
    this.#remaining = owner.limit
  }

  /** True when the handler was given as many messages as the limit allows. */
  get isFull(): boolean {
    return this.#remaining <= 0
  }

  /** True when more may be added: each handler may be stuck with a lane that is full, and others go on. */
  get hasRoom(): boolean {
    let bytes = 0
    // What waits until it is due has room of its own: one answer for each partition.
    for (const lane of this.#lanes.values()) if (!lane.isDelayed) bytes += lane.bytes
    const { prefetchBytes } = this.#owner.fetchSettings
    return bytes < prefetchBytes + this.#settings.concurrency * 2 * this.#maxLaneBytes
  }

  /** True when nothing runs, and nothing that was added is still to be handled within the limit. */
  get isDrained(): boolean {
    if (this.#runs.size > 0) return false
    return this.isFull || [...this.#lanes.values()].every((lane) => !lane.isFeeding && lane.held === 0)
  }

  /** Resolves when something has changed: a handler has ended, a batch was decoded, or after `wake`. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Lets whoever waits look around. */
  wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  add(fetched: FetchedRecords): void {
    const key = keyOf(fetched)
    let lane = this.#lanes.get(key)
    if (lane === undefined || lane.isGone) {
      const isDelayed = this.#owner.delayTopics?.names.has(fetched.topic) ?? false
      const { order, maxAheadMessages } = this.#settings
      lane = new PartitionLane(fetched.range, order, maxAheadMessages, lane, isDelayed)
      this.#lanes.set(key, lane)
    }
    lane.add(fetched, this.#owner.verifyChecksums)
    this.#holdOrRelease(lane)
    void this.#feed(lane)
  }

  /** Starts nothing of these until they are resumed. What is not decoded is dropped. */
  pause(partitions: readonly TopicPartition[]): void {
    for (const lane of this.#lanesOf(partitions)) {
      lane.isPaused = true
      lane.isFull = false
      lane.dropFetched()
    }
    this.wake()
  }

  /** Where the reading of the partition goes on after a pause; undefined where none of it was read. */
  readTo(partition: TopicPartition): number | undefined {
    const lane = this.#lanes.get(keyOf(partition))
    return lane === undefined || lane.isGone ? undefined : lane.readTo
  }

  /** True when nothing of the partition is here. */
  isIdle(partition: TopicPartition): boolean {
    const lane = this.#lanes.get(keyOf(partition))
    return lane === undefined || (lane.held === 0 && lane.bytes === 0 && !lane.isFeeding)
  }

  /** @param range what is read from now on */
  resume(range: ReadingRange): void {
    const lane = this.#lanes.get(keyOf(range))
    if (lane === undefined || lane.isGone) return
    lane.range = range
    lane.isPaused = false
    this.#standInLine(lane)
    this.#startAll()
  }

  /** What is read of a partition counts no more, and what comes next is started when what runs has ended. */
  restart(partition: TopicPartition): void {
    const lane = this.#lanes.get(keyOf(partition))
    if (lane === undefined) return
    lane.leave()
    lane.isGone = true
    for (const run of this.#runs) if (run.lane === lane) run.end()
    this.wake()
  }

  /** Resolves when nothing runs of these any more, and nothing is left out before what was started. */
  async finish(partitions: readonly TopicPartition[]): Promise<void> {
    const lanes = this.#lanesOf(partitions)
    for (const run of this.#runs) if (lanes.includes(run.lane)) run.end()
    this.#fillGaps(lanes)
    this.wake()
    while (!this.#isOver && lanes.some((lane) => !lane.isLost && this.#isWorking(lane))) await this.change()
    this.#forget(lanes)
  }

  /** They belong to others: handlers are told, and what becomes of them does not count. */
  drop(partitions: readonly TopicPartition[], reason: StreamBusError): void {
    const keys = new Set(partitions.map(keyOf))
    for (const lane of this.#lanesOf(partitions)) {
      lane.leave()
      lane.isGone = true
      lane.isLost = true
      this.#lanes.delete(keyOf(lane.range))
    }
    for (const run of this.#runs) if (keys.has(keyOf(run.lane.range))) run.abort(reason)
    this.wake()
  }

  /** Tells the handlers that run, and waits for them for a time; then they are given up. */
  async stop(reason: StreamBusError, isClean: boolean): Promise<void> {
    const lanes = [...this.#lanes.values()]
    for (const run of this.#runs) run.abort(reason)
    if (isClean) this.#fillGaps(lanes)
    else for (const lane of lanes) lane.leave()
    const { closeTimeoutMs } = this.#settings
    const giveUp = () => {
      this.#isOver = true
      // What was started after the others were told.
      for (const run of this.#runs) run.abort(reason)
      this.wake()
    }
    const deadline = setTimeout(giveUp, Math.min(closeTimeoutMs, maxTimerMs))
    this.wake()
    while (this.#runs.size > 0 && !this.#isOver) await this.change()
    clearTimeout(deadline)
    clearTimeout(this.#watch)
    giveUp()
    const closed = this.#producer?.close()
    if (this.#runs.size === 0) {
      await closed
      return
    }
    const places = [...this.#runs].map(({ message }) => placeOf(message)).join(', ')
    this.#owner.cluster.settings.logger.warn(
      `Handlers were still running ${closeTimeoutMs} ms after the consumer was closed, and their messages do not count as handled: ${places}.`,
    )
  }

  #lanesOf(partitions: readonly TopicPartition[]): PartitionLane[] {
    return partitions.map((one) => this.#lanes.get(keyOf(one))).filter((one) => one !== undefined)
  }

  /** Starts what lies before messages that were started, and nothing else of these. */
  #fillGaps(lanes: readonly PartitionLane[]): void {
    for (const lane of lanes) {
      lane.leave(true)
      this.#standInLine(lane)
    }
    this.#startAll()
  }

  /** True when something of a lane that is being left runs, or is still to be started. */
  #isWorking(lane: PartitionLane): boolean {
    return lane.isBusy || (lane.hasReady && lane.mayStart && this.#remaining > 0)
  }

  #forget(lanes: readonly PartitionLane[]): void {
    for (const lane of lanes) {
      const key = keyOf(lane.range)
      if (this.#lanes.get(key) === lane) this.#lanes.delete(key)
    }
  }

  get #maxLaneBytes(): number {
    return 2 * this.#owner.fetchSettings.maxPartitionBytes
  }

  #holdOrRelease(lane: PartitionLane): void {
    const isFull = lane.bytes >= (lane.isDelayed ? 1 : this.#maxLaneBytes)
    if (isFull === lane.isFull) return
    lane.isFull = isFull
    this.#owner.hold(lane.range, isFull)
  }

  /** Decodes what is wanted next of a lane. Never rejects: what goes wrong fails the consumer. */
  async #feed(lane: PartitionLane): Promise<void> {
    if (lane.isFeeding || lane.isLeaving) return
    lane.isFeeding = true
    const wanted =
      this.#settings.order === 'partition' || lane.isDelayed ? 1 : this.#settings.maxAheadMessages + 1
    try {
      while (lane.held < wanted && !lane.isLeaving) {
        const reading = lane.readNext()
        this.#holdOrRelease(lane)
        if (reading === undefined) break
        const batch = await reading
        if (lane.isLeaving) break
        const next = lane.append(batch)
        if (next !== undefined) this.#owner.advanced(lane.range, next)
        this.#standInLine(lane)
        this.#startAll()
      }
    } catch (error) {
      this.#owner.fail(error as StreamBusError)
    }
    lane.isFeeding = false
    this.wake()
  }

  #standInLine(lane: PartitionLane): void {
    if (lane.isInLine || !lane.hasReady) return
    lane.isInLine = true
    this.#line.push(lane)
  }

  #startAll(): void {
    while (this.#runs.size < this.#settings.concurrency && this.#remaining > 0 && !this.#isOver) {
      const lane = this.#line.shift()
      if (lane === undefined) return
      lane.isInLine = false
      if (!lane.mayStart || this.#mustWait(lane)) continue
      const entry = lane.take()
      if (entry === undefined) continue
      this.#standInLine(lane)
      this.#remaining--
      void this.#run(lane, entry)
      if (this.#remaining <= 0) this.#owner.full()
    }
  }

  /** Whether the next message of the lane is not due; then the lane stands in line again when it is. */
  #mustWait(lane: PartitionLane): boolean {
    const { delayTopics } = this.#owner
    const { upcoming } = lane
    if (!lane.isDelayed || delayTopics === undefined || upcoming === undefined) return false
    const nowMs = performance.now()
    upcoming.notBeforeMs ??= nowMs + delayTopics.waitMs(upcoming.message)
    const waitMs = upcoming.notBeforeMs - nowMs
    if (waitMs <= 0) return false
    if (lane.isLeaving) {
      // Whoever reads on has the time.
      lane.leave()
      this.wake()
      return true
    }
    lane.wait(Math.min(Math.ceil(waitMs), maxTimerMs), () => {
      this.#standInLine(lane)
      this.#startAll()
    })
    return true
  }

  /** Never rejects: what goes wrong fails the consumer. */
  async #run(lane: PartitionLane, entry: LaneMessage): Promise<void> {
    const delayed = lane.isDelayed ? this.#owner.delayTopics?.read(entry.message) : undefined
    const run = new MessageRun(lane, entry, delayed)
    if (lane.isLeaving) run.end()
    this.#runs.add(run)
    lane.running++
    this.#armWatch()
    let isHandled = false
    try {
      isHandled = await this.#handle(run)
    } catch (error) {
      if (!this.#isOver && !lane.isGone) this.#owner.fail(error as StreamBusError)
    }
    this.#runs.delete(run)
    lane.running--
    if (this.#isOver) return
    if (isHandled) {
      const next = lane.complete(entry)
      if (next !== undefined && !lane.isGone) this.#owner.advanced(lane.range, next)
    } else lane.leaveBehind(entry)
    // The lane after a seek has waited for this one.
    const current = this.#lanes.get(keyOf(lane.range))
    if (current !== undefined) {
      this.#standInLine(current)
      void this.#feed(current)
    }
    this.#startAll()
    if (this.#waiters.length > 0) this.wake()
  }

  /** False where the message is left to whoever reads its partition next. */
  async #handle(run: MessageRun): Promise<boolean> {
    const { attempts, backoff, retryIf, deadLetter, handlerTimeoutMs } = this.#settings
    const { message } = run
    const counters = this.#owner.cluster.metrics.topic(message.topic)
    for (;;) {
      try {
        await run.tryOnce(this.#handler, handlerTimeoutMs < Number.POSITIVE_INFINITY)
        counters.handlerDurations.add(run.tookMs)
        counters.handledMessages++
        this.#owner.events.recovered(run)
        return true
      } catch (error) {
        counters.handlerDurations.add(run.tookMs)
        counters.failedAttempts++
        this.#owner.events.recovered(run)
        if (run.isEnding) return false
        if (run.attempt < attempts && this.#isWorthRetrying(run, error, retryIf)) {
          if (this.#owner.delayTopics !== undefined) {
            await this.#delay(run, error, this.#owner.delayTopics)
            return true
          }
          const delayMs = backoffMs(run.attempt - 1, backoff)
          this.#owner.events.emit('retrying', { message, attempt: run.attempt, error, delayMs })
          await run.pause(delayMs)
          if (run.isEnding) return false
          continue
        }
        if (deadLetter === undefined) throw handlerFailed(run, error)
        await this.#setAside(run, error, deadLetter)
        return true
      }
    }
  }

  #isWorthRetrying(run: MessageRun, error: unknown, retryIf: (error: unknown) => boolean): boolean {
    try {
      return retryIf(error)
    } catch (failure) {
      throw handlerFailed(run, failure)
    }
  }

  /** From here on the message is another one: when it is acknowledged, this one is handled. */
  async #delay({ message, attempt }: MessageRun, error: unknown, delayTopics: DelayTopics): Promise<void> {
    const { topic, message: outgoing, delayMs } = delayTopics.next(message, attempt, error)
    try {
      this.#producer ??= this.#newProducer()
      await this.#producer.send(topic, outgoing.value, outgoing)
    } catch (failure) {
      throw retryFailed(message, error, topic, failure)
    }
    this.#owner.events.emit('retrying', { message, attempt, error, delayMs })
  }

  async #setAside(
    run: MessageRun,
    error: unknown,
    { topic, maxStackBytes }: { topic: string; maxStackBytes: number },
  ): Promise<void> {
    const { message, attempt: attempts } = run
    try {
      const failure = { error, attempts, group: this.#owner.group }
      const outgoing = deadLetterFor(message, failure, maxStackBytes)
      this.#producer ??= this.#newProducer()
      const deadLetter = await this.#producer.send(topic, outgoing.value, outgoing)
      this.#owner.cluster.metrics.topic(message.topic).deadLetteredMessages++
      this.#owner.events.emit('deadLettered', { message, attempts, error, deadLetter })
    } catch (failure) {
      throw deadLetterFailed(message, error, topic, failure)
    }
  }

  /** What cannot be delivered stops the consumer as soon as other trouble with the brokers does. */
  #newProducer(): Producer {
    const { cluster } = this.#owner
    return new Producer(cluster, { deliveryTimeoutMs: cluster.settings.retryTimeoutMs })
  }

  /** One timer looks after all handlers: it is due when the first of them may be late. */
  #armWatch(dueMs = Math.min(this.#settings.stalledAfterMs, this.#settings.handlerTimeoutMs)): void {
    if (this.#watch !== undefined || this.#isOver) return
    this.#watch = setTimeout(
      () => {
        this.#watch = undefined
        const nextMs = this.#lookForLate()
        if (this.#runs.size > 0) this.#armWatch(nextMs)
      },
      Math.min(Math.ceil(dueMs), maxTimerMs),
    )
  }

  /** Returns in how many milliseconds the next handler may be late. */
  #lookForLate(): number {
    const { stalledAfterMs, handlerTimeoutMs } = this.#settings
    const nowMs = performance.now()
    let nextMs = Math.min(stalledAfterMs, handlerTimeoutMs)
    for (const run of this.#runs) {
      const ranMs = nowMs - run.startedAtMs
      if (!(ranMs >= 0)) continue
      const { message, attempt } = run
      if (ranMs >= stalledAfterMs) {
        this.#owner.events.stalled(run, { cause: 'handler', message, attempt }, run.startedAtMs)
      } else nextMs = Math.min(nextMs, stalledAfterMs - ranMs)
      if (ranMs >= handlerTimeoutMs) {
        const sentence = `The handler took longer than ${handlerTimeoutMs} ms for ${placeOf(message)} (attempt ${attempt}).`
        run.expire(new StreamBusError('HANDLER_TIMEOUT', sentence))
      } else nextMs = Math.min(nextMs, handlerTimeoutMs - ranMs)
    }
    return nextMs
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function placeOf({ topic, partition, offset }: Message): string {
  return `offset ${offset} of ${topic}/${partition}`
}

function handlerFailed({ message, attempt }: MessageRun, error: unknown): StreamBusError {
  const after = attempt === 1 ? '' : ` after ${attempt} attempts`
  const sentence = sentenceOf(error).replace(/\.$/, '')
  return new StreamBusError(
    'HANDLER_FAILED',
    `The handler failed with ${placeOf(message)}${after}: ${sentence}.`,
    { cause: error },
  )
}
