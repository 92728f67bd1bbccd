/**
 * Gives batches to a program as kafkajs does: those of one partition one after the other, so many partitions at once.
 * What fails comes again, from the first message that is not resolved, after a pause; past the retries it ends the run.
 */
import type { FetchedRecords } from '../consumer/fetcher.ts'
import type { ReadingRange } from '../consumer/start-position.ts'
import { StreamBusError } from '../errors.ts'
import type { RunsOwner } from '../handling/handler-runs.ts'
import type { PartitionRuns } from '../handling/partition-runs.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { BatchLane, type LaneBatch } from './batch-lane.ts'
import { KafkaJSNonRetriableError, kafkajsError } from './errors.ts'
import { isWorthRetrying, type RetrySettings, retriesExceeded, retryPauseMs } from './retry.ts'

export interface BatchRunsSettings {
  readonly concurrency: number
  readonly retry: RetrySettings
  /** How long what runs is waited for when the consumer stops. */
  readonly stopTimeoutMs: number
  /** Processes a batch, and resolves offsets of the lane with `resolve`. */
  process(lane: BatchLane, batch: LaneBatch): Promise<void>
}

/** Before a batch of which nothing was resolved comes again. */
const idlePauseMs = 10

export class BatchRuns implements PartitionRuns {
  readonly #settings: BatchRunsSettings
  readonly #owner: RunsOwner
  readonly #lanes = new Map<string, BatchLane>()
  /** Lanes that may have something to start, each once: they take turns. */
  readonly #line: BatchLane[] = []
  #waiters: (() => void)[] = []
  #running = 0
  #isStopping = false
  /** Nothing more is started: the consumer is about to stop with an error. */
  #hasFailed = false
  #isOver = false

  constructor(settings: BatchRunsSettings, owner: RunsOwner) {
    this.#settings = settings
    this.#owner = owner
  }

  readonly isFull = false

  get lanes(): Iterable<BatchLane> {
    return this.#lanes.values()
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  /** The lane has resolved something. */
  advanced({ range, resolved }: BatchLane): void {
    this.#owner.advanced(range, resolved)
  }

  get hasRoom(): boolean {
    let bytes = 0
    for (const lane of this.#lanes.values()) bytes += lane.bytes
    const { prefetchBytes } = this.#owner.fetchSettings
    return bytes < prefetchBytes + this.#settings.concurrency * 2 * this.#maxLaneBytes
  }

  get isDrained(): boolean {
    return this.#running === 0 && [...this.#lanes.values()].every(({ isEmpty }) => isEmpty)
  }

  change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  add(fetched: FetchedRecords): void {
    const key = keyOf(fetched)
    let lane = this.#lanes.get(key)
    if (lane === undefined || lane.isGone) {
      lane = new BatchLane(fetched.range, this.#owner.verifyChecksums, lane)
      this.#lanes.set(key, lane)
    }
    lane.add(fetched)
    this.#holdOrRelease(lane)
    this.#standInLine(lane)
    this.#startAll()
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const lane of this.#lanesOf(partitions)) {
      lane.isPaused = true
      lane.isFull = false
      lane.dropFetched()
    }
    this.wake()
  }

  resume(range: ReadingRange): void {
    const lane = this.#lanes.get(keyOf(range))
    if (lane === undefined || lane.isGone) return
    lane.range = range
    lane.isPaused = false
    this.#standInLine(lane)
    this.#startAll()
  }

  readTo(partition: TopicPartition): number | undefined {
    const lane = this.#lanes.get(keyOf(partition))
    return lane === undefined || lane.isGone ? undefined : lane.readTo
  }

  isIdle(partition: TopicPartition): boolean {
    const lane = this.#lanes.get(keyOf(partition))
    return lane === undefined || (lane.isEmpty && !lane.isRunning)
  }

  restart(partition: TopicPartition): void {
    const lane = this.#lanes.get(keyOf(partition))
    if (lane === undefined) return
    lane.leave()
    lane.isGone = true
    this.wake()
  }

  async finish(partitions: readonly TopicPartition[]): Promise<void> {
    const lanes = this.#lanesOf(partitions)
    for (const lane of lanes) lane.leave()
    this.wake()
    while (!this.#isOver && lanes.some((lane) => lane.isBusy && !lane.isLost)) await this.change()
    for (const lane of lanes) this.#forget(lane)
  }

  drop(partitions: readonly TopicPartition[]): void {
    for (const lane of this.#lanesOf(partitions)) {
      lane.leave()
      lane.isGone = true
      lane.isLost = true
      this.#forget(lane)
    }
    this.wake()
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    for (const lane of this.#lanes.values()) lane.leave()
    const giveUp = () => {
      this.#isOver = true
      this.wake()
    }
    const deadline = setTimeout(giveUp, this.#settings.stopTimeoutMs)
    this.wake()
    while (this.#running > 0 && !this.#isOver) await this.change()
    clearTimeout(deadline)
    giveUp()
    if (this.#running === 0) return
    this.#owner.cluster.settings.logger.warn(
      `The consumer was stopped ${this.#settings.stopTimeoutMs} ms ago and ${this.#running} of its handlers still run: what they do does not count.`,
    )
  }

  #lanesOf(partitions: readonly TopicPartition[]): BatchLane[] {
    return partitions.map((one) => this.#lanes.get(keyOf(one))).filter((one) => one !== undefined)
  }

  #forget(lane: BatchLane): void {
    const key = keyOf(lane.range)
    if (this.#lanes.get(key) === lane) this.#lanes.delete(key)
  }

  get #maxLaneBytes(): number {
    return 2 * this.#owner.fetchSettings.maxPartitionBytes
  }

  #holdOrRelease(lane: BatchLane): void {
    const isFull = lane.bytes >= this.#maxLaneBytes
    if (isFull === lane.isFull) return
    lane.isFull = isFull
    this.#owner.hold(lane.range, isFull)
  }

  #standInLine(lane: BatchLane): void {
    if (lane.isInLine || !lane.mayStart) return
    lane.isInLine = true
    this.#line.push(lane)
  }

  #startAll(): void {
    while (this.#running < this.#settings.concurrency && !this.#isStopping && !this.#hasFailed) {
      const lane = this.#line.shift()
      if (lane === undefined) return
      lane.isInLine = false
      if (lane.mayStart) void this.#run(lane)
    }
  }

  /** Never rejects: what goes wrong is tried again, or fails the consumer. */
  async #run(lane: BatchLane): Promise<void> {
    this.#running++
    lane.isRunning = true
    const batch = await this.#take(lane)
    const { resolved } = lane
    try {
      if (batch !== undefined && !lane.isStale) {
        if (batch.messages.length > 0) this.#owner.events.received(batch)
        await this.#settings.process(lane, batch)
      }
      if (lane.resolved === resolved) this.#pause(lane, idlePauseMs)
    } catch (error) {
      if (!lane.isStale && !this.#isStopping) this.#onFailure(lane, error)
    }
    lane.putBack()
    lane.isRunning = false
    this.#running--
    if (this.#isOver) return
    // The lane after a seek has waited for this one.
    const current = this.#lanes.get(keyOf(lane.range))
    if (current !== undefined) this.#standInLine(current)
    this.#startAll()
    this.wake()
  }

  async #take(lane: BatchLane): Promise<LaneBatch | undefined> {
    try {
      return await lane.take()
    } catch (error) {
      // What cannot be read stays so.
      this.#hasFailed = true
      this.#owner.fail(error as StreamBusError)
      return undefined
    } finally {
      this.#holdOrRelease(lane)
    }
  }

  #pause(lane: BatchLane, pauseMs: number): void {
    if (lane.isStale || this.#isStopping) return
    lane.retryTimer = setTimeout(() => {
      lane.retryTimer = undefined
      this.#standInLine(lane)
      this.#startAll()
    }, pauseMs)
  }

  #onFailure(lane: BatchLane, error: unknown): void {
    const { retry } = this.#settings
    const reason = kafkajsError(error)
    if (!isWorthRetrying(reason)) {
      this.#fail(lane, new KafkaJSNonRetriableError(reason, { cause: reason }))
    } else if (lane.failures >= retry.retries) {
      this.#fail(lane, retriesExceeded(reason, retry))
    } else {
      this.#pause(lane, retryPauseMs(lane.failures++, retry))
    }
  }

  #fail({ range: { topic, partition } }: BatchLane, cause: Error): void {
    this.#hasFailed = true
    const sentence = `The handler failed with ${topic}/${partition}: ${cause.message}`
    this.#owner.fail(new StreamBusError('HANDLER_FAILED', sentence, { cause }))
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
