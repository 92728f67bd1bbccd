import { isStreamBusError, type StreamBusError } from '../errors.ts'
import { GroupConsumer } from '../groups/group-consumer.ts'
import type { GroupObserver, JoinedGroup } from '../groups/group-observer.ts'
import { commitOffsets, type OffsetToCommit } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { type Assigner, memberAssignor } from './assigners.ts'
import { FetchedBatch } from './batch.ts'
import type { BatchLane, LaneBatch } from './batch-lane.ts'
import { BatchRuns } from './batch-runs.ts'
import type { Connected } from './connection.ts'
import type {
  ConsumerConfig,
  ConsumerEvents,
  ConsumerRunConfig,
  IBatchProcessEvent,
  OffsetsByTopicPartition,
} from './consumer-types.ts'
import {
  KafkaJSError,
  KafkaJSProtocolError,
  kafkajsError,
  type ProtocolFailure,
  protocolFailure,
} from './errors.ts'
import type { Instrumentation } from './instrumentation.ts'
import type { Logger } from './logger.ts'
import type { PausedPartitions } from './paused-partitions.ts'
import { type RetrySettings, translated } from './retry.ts'
import type { Offsets, TopicOffsets } from './types.ts'

export interface ConsumerRunOptions {
  readonly connected: Connected
  readonly consumer: ConsumerConfig
  readonly run: ConsumerRunConfig
  readonly retry: RetrySettings
  /** Whether each topic is read from its beginning where the group has committed nothing. */
  readonly topics: ReadonlyMap<string, { readonly fromBeginning: boolean }>
  readonly assigners: readonly Assigner[]
  readonly paused: PausedPartitions
  readonly events: ConsumerEvents
  readonly instrumentation: Instrumentation
  readonly logger: Logger
}

export const consumerDefaults = {
  sessionTimeout: 30_000,
  rebalanceTimeout: 60_000,
  heartbeatInterval: 3_000,
  maxBytesPerPartition: 1_048_576,
  minBytes: 1,
  maxBytes: 10_485_760,
  maxWaitTimeInMs: 5_000,
} as const

let lanes = 0

/** A consumer from its start to its stop or crash: a member of the group that gives batches to the program. */
export class ConsumerRun {
  readonly #options: ConsumerRunOptions
  readonly #consumer: GroupConsumer
  readonly #lane = `kafkajs ${++lanes}`
  readonly #autoCommit: boolean
  /** Places to go on at in partitions that are not assigned yet. */
  readonly #seeks = new Map<string, TopicPartition & { offset: number | 'earliest' | 'latest' }>()
  #runs: BatchRuns | undefined
  #lastCommitMs = performance.now()
  #hasJoined!: () => void
  /** Resolves when the group has been joined for the first time. */
  readonly joined = new Promise<void>((resolve) => {
    this.#hasJoined = resolve
  })

  constructor(options: ConsumerRunOptions) {
    this.#options = options
    const { connected, consumer, run, topics, assigners } = options
    const settings = { ...consumerDefaults, ...definedOf(consumer) }
    this.#autoCommit = run.autoCommit ?? true
    const names = [...topics.keys()]
    this.#consumer = new GroupConsumer(
      connected.cluster,
      connected.coordinators,
      names,
      {
        group: consumer.groupId,
        fromOfTopic: (topic) => (topics.get(topic)?.fromBeginning ? 'earliest' : 'latest'),
        isolation: consumer.readUncommitted ? 'read_uncommitted' : 'read_committed',
        autoCommit: this.#autoCommit,
        ...(run.autoCommitInterval == null ? {} : { autoCommitIntervalMs: run.autoCommitInterval }),
        ownAssignors: assigners.map((assigner) => memberAssignor(assigner, names)),
        sessionTimeoutMs: settings.sessionTimeout,
        rebalanceTimeoutMs: settings.rebalanceTimeout,
        heartbeatIntervalMs: settings.heartbeatInterval,
        maxWaitMs: settings.maxWaitTimeInMs,
        minBytes: settings.minBytes,
        maxBytes: settings.maxBytes,
        maxPartitionBytes: settings.maxBytesPerPartition,
        onAssigned: (partitions) => this.#onAssigned(partitions),
        observer: this.#observer(),
      },
      () => {},
    )
    this.#consumer.on('committed', ({ offsets }) => this.#onCommitted(offsets))
  }

  get isRunning(): boolean {
    return this.#runs?.isStopping === false
  }

  /** Resolves when it was stopped. Rejects with what it crashed of. */
  async read(): Promise<void> {
    const { run, retry, consumer } = this.#options
    const reading = this.#consumer.consumeBy((owner) => {
      this.#runs = new BatchRuns(
        {
          concurrency: run.partitionsConsumedConcurrently ?? 1,
          retry,
          stopTimeoutMs: consumer.rebalanceTimeout ?? consumerDefaults.rebalanceTimeout,
          process: (lane, batch) => this.#process(lane, batch),
        },
        owner,
      )
      return this.#runs
    })
    const unwrapped = reading.catch((error: unknown) => {
      throw isStreamBusError(error) && error.code === 'HANDLER_FAILED' ? error.cause : error
    })
    await translated(unwrapped, retry)
  }

  stop(): Promise<void> {
    return this.#consumer.close()
  }

  /** A place in a partition that is not assigned counts when it is assigned with the next rebalance. */
  seek(target: TopicPartition & { offset: number | 'earliest' | 'latest' }): void {
    if (this.#has(target)) this.#seekNow(target)
    else this.#seeks.set(keyOf(target), target)
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#consumer.pause(partitions)
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#consumer.resume(partitions)
  }

  get assignment(): readonly TopicPartition[] {
    return this.#consumer.assignment
  }

  async commit(offsets: readonly OffsetToCommit[]): Promise<void> {
    const { connected, consumer } = this.#options
    const { member } = this.#consumer
    try {
      await commitOffsets(connected.coordinators, this.#lane, consumer.groupId, offsets, member)
    } catch (error) {
      if (isStreamBusError(error)) this.#consumer.commitRefused(member.generation, error)
      throw kafkajsError(error)
    }
    this.#onCommitted(offsets)
  }

  #observer(): GroupObserver {
    const { events, instrumentation, consumer } = this.#options
    const { groupId } = consumer
    return {
      joined: (group) => this.#onJoined(group),
      rebalancing: () => {
        const { memberId } = this.#consumer.member
        instrumentation.emit(events.REBALANCING, { groupId, memberId })
      },
      heartbeat: () => {
        const { memberId, generation } = this.#consumer.member
        instrumentation.emit(events.HEARTBEAT, { groupId, memberId, groupGenerationId: generation })
      },
      fetching: (nodeId) => instrumentation.emit(events.FETCH_START, { nodeId }),
      fetched: (nodeId, durationMs) => {
        instrumentation.emit(events.FETCH, { numberOfBatches: 0, duration: Math.round(durationMs), nodeId })
      },
    }
  }

  #onAssigned(partitions: readonly TopicPartition[]): void {
    const paused = partitions.filter((one) => this.#options.paused.has(one))
    if (paused.length > 0) this.#consumer.pause(paused)
    for (const one of partitions) {
      const target = this.#seeks.get(keyOf(one))
      if (target !== undefined) this.#seekNow(target)
    }
  }

  #onJoined({ leaderId, protocolName, durationMs }: JoinedGroup): void {
    const { events, instrumentation, consumer } = this.#options
    this.#seeks.clear()
    const { memberId } = this.#consumer.member
    const memberAssignment: Record<string, number[]> = {}
    for (const { topic, partition } of this.assignment) {
      const known = memberAssignment[topic]
      if (known === undefined) memberAssignment[topic] = [partition]
      else known.push(partition)
    }
    const joined = {
      groupId: consumer.groupId,
      memberId,
      leaderId,
      isLeader: leaderId === memberId,
      memberAssignment,
      groupProtocol: protocolName,
      duration: Math.round(durationMs),
    }
    this.#options.logger.info('Consumer has joined the group', joined)
    instrumentation.emit(events.GROUP_JOIN, joined)
    this.#hasJoined()
  }

  #onCommitted(offsets: readonly OffsetToCommit[]): void {
    const { events, instrumentation, consumer } = this.#options
    this.#lastCommitMs = performance.now()
    const committed = new Map(offsets.map((one) => [keyOf(one), one.offset]))
    for (const lane of this.#runs?.lanes ?? []) {
      lane.committed = committed.get(keyOf(lane.range)) ?? lane.committed
    }
    const { memberId, generation } = this.#consumer.member
    instrumentation.emit(events.COMMIT_OFFSETS, {
      groupId: consumer.groupId,
      memberId,
      groupGenerationId: generation,
      topics: byTopic(offsets),
    })
  }

  #has({ topic, partition }: TopicPartition): boolean {
    return this.assignment.some((one) => one.topic === topic && one.partition === partition)
  }

  #seekNow(target: TopicPartition & { offset: number | 'earliest' | 'latest' }): void {
    this.#consumer.seek(target).catch((error: StreamBusError) => {
      this.#options.logger.error(`Cannot seek: ${error.message}`, { ...target })
    })
  }

  async #process(lane: BatchLane, laneBatch: LaneBatch): Promise<void> {
    const { events, instrumentation, run } = this.#options
    const batch = new FetchedBatch(laneBatch, laneBatch.messages, laneBatch.nextOffset)
    const payload: IBatchProcessEvent = {
      topic: batch.topic,
      partition: batch.partition,
      highWatermark: batch.highWatermark,
      offsetLag: batch.offsetLag(),
      offsetLagLow: batch.offsetLagLow(),
      batchSize: batch.messages.length,
      firstOffset: batch.firstOffset() ?? '',
      lastOffset: batch.lastOffset(),
    }
    const startedAtMs = performance.now()
    instrumentation.emit(events.START_BATCH_PROCESS, payload)
    if (batch.isEmpty()) this.#resolve(lane, laneBatch.nextOffset)
    else if (run.eachMessage !== undefined) await this.#eachMessage(lane, batch, laneBatch.nextOffset)
    else if (run.eachBatch !== undefined) await this.#eachBatch(lane, batch, laneBatch.nextOffset)
    const duration = Math.round(performance.now() - startedAtMs)
    instrumentation.emit(events.END_BATCH_PROCESS, { ...payload, duration })
    await this.#commitResolved()
  }

  async #eachMessage(lane: BatchLane, batch: FetchedBatch, nextOffset: number): Promise<void> {
    const { topic, partition } = batch
    const { run } = this.#options
    const heartbeat = () => this.#heartbeat(lane)
    const pause = () => this.#pauseOf(lane)
    for (const message of batch.messages) {
      if (!this.isRunning || lane.isStale || lane.isPaused) return
      try {
        await run.eachMessage?.({ topic, partition, message, heartbeat, pause })
      } catch (error) {
        await this.#onHandlerError('eachMessage', lane, message.offset, error)
      }
      this.#resolve(lane, Number(message.offset) + 1)
      await this.#commitIfNecessary()
    }
    this.#resolve(lane, nextOffset)
  }

  async #eachBatch(lane: BatchLane, batch: FetchedBatch, nextOffset: number): Promise<void> {
    const { run } = this.#options
    const lastShown = Number(batch.messages.at(-1)?.offset)
    try {
      await run.eachBatch?.({
        batch,
        // What ends a transaction is a record that is not shown: it is passed with the last one that is.
        resolveOffset: (offset) =>
          this.#resolve(lane, Number(offset) === lastShown ? nextOffset : Number(offset) + 1),
        heartbeat: () => this.#heartbeat(lane),
        pause: () => this.#pauseOf(lane),
        commitOffsetsIfNecessary: (offsets) =>
          offsets === undefined ? this.#commitIfNecessary(true) : this.commit(offsetsOf(offsets)),
        uncommittedOffsets: () => this.#uncommittedOffsets(),
        isRunning: () => this.isRunning,
        isStale: () => lane.isStale,
      })
    } catch (error) {
      await this.#onHandlerError('eachBatch', lane, batch.firstOffset(), error)
    }
    if (run.eachBatchAutoResolve ?? true) this.#resolve(lane, nextOffset)
  }

  /** Throws the error: what was resolved before is committed, and what was not comes again. */
  async #onHandlerError(
    name: string,
    lane: BatchLane,
    offset: string | null,
    error: unknown,
  ): Promise<never> {
    if (!(error instanceof KafkaJSError)) {
      const { topic, partition } = lane.range
      const { stack } = error as Error
      this.#options.logger.error(`Error when calling ${name}`, { topic, partition, offset, stack, error })
    }
    await this.#commitResolved()
    throw error
  }

  #resolve(lane: BatchLane, next: number): void {
    if (lane.isGone) return
    lane.resolve(next)
    this.#runs?.advanced(lane)
  }

  /** The session is kept by itself. Throws where the partition is to be given up, so that the program stops with it. */
  async #heartbeat(lane: BatchLane): Promise<void> {
    if (!lane.isStale || !this.isRunning) return
    if (lane.isGone && !lane.isLost) return
    const name = lane.isLost ? 'ILLEGAL_GENERATION' : 'REBALANCE_IN_PROGRESS'
    throw new KafkaJSProtocolError(protocolFailure(name) as ProtocolFailure)
  }

  #pauseOf({ range: { topic, partition } }: BatchLane): () => void {
    const { paused } = this.#options
    const those = [{ topic, partition }]
    paused.set(topic, [partition], true)
    if (this.#has(those[0]!)) this.pause(those)
    return () => {
      paused.set(topic, [partition], false)
      if (this.#has(those[0]!)) this.resume(those)
    }
  }

  #uncommittedOffsets(): OffsetsByTopicPartition {
    const uncommitted = [...(this.#runs?.lanes ?? [])]
      .filter(({ resolved, committed }) => resolved !== committed)
      .map(({ range: { topic, partition }, resolved }) => ({ topic, partition, offset: resolved }))
    return { topics: byTopic(uncommitted) }
  }

  async #commitIfNecessary(isAsked = false): Promise<void> {
    const { autoCommitInterval, autoCommitThreshold } = this.#options.run
    if (!this.#autoCommit && !isAsked) return
    const isTime = autoCommitInterval != null && performance.now() - this.#lastCommitMs >= autoCommitInterval
    if (isTime || (autoCommitThreshold != null && this.#countResolved() >= autoCommitThreshold)) {
      await this.#commitNow()
    }
  }

  async #commitResolved(): Promise<void> {
    if (this.#autoCommit) await this.#commitNow()
  }

  async #commitNow(): Promise<void> {
    try {
      await this.#consumer.commit()
      this.#lastCommitMs = performance.now()
    } catch (error) {
      // Those messages come again, to the new owner; what was kept is committed.
      if (!isStreamBusError(error) || error.code !== 'PARTITIONS_LOST') throw error
      this.#options.logger.warn(error.message)
    }
  }

  #countResolved(): number {
    let count = 0
    for (const { resolved, committed } of this.#runs?.lanes ?? []) count += resolved - committed
    return count
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function byTopic(offsets: readonly (TopicPartition & { readonly offset: number })[]): TopicOffsets[] {
  const topics = new Map<string, TopicOffsets>()
  for (const { topic, partition, offset } of offsets) {
    const known = topics.get(topic)
    if (known === undefined) topics.set(topic, { topic, partitions: [{ partition, offset: String(offset) }] })
    else known.partitions.push({ partition, offset: String(offset) })
  }
  return [...topics.values()]
}

function offsetsOf({ topics }: Offsets): OffsetToCommit[] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) })),
  )
}

/** Without what is undefined, which is as good as left out. */
function definedOf<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}
