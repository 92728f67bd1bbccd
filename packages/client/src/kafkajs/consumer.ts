import type { TopicPartition } from '../list-offsets.ts'
import { type Assigner, assignerCluster, PartitionAssigners } from './assigners.ts'
import type { Connected, KafkaConnection } from './connection.ts'
import { ConsumerRun, consumerDefaults } from './consumer-run.ts'
import type { Consumer, ConsumerConfig, ConsumerEvents, ConsumerRunConfig } from './consumer-types.ts'
import { KafkaJSNonRetriableError } from './errors.ts'
import { describeGroup } from './group-description.ts'
import { Instrumentation } from './instrumentation.ts'
import type { Logger } from './logger.ts'
import { PausedPartitions } from './paused-partitions.ts'
import { retryPauseMs, translated } from './retry.ts'
import type { GroupDescription, TopicPartitions } from './types.ts'

const events: ConsumerEvents = {
  HEARTBEAT: 'consumer.heartbeat',
  COMMIT_OFFSETS: 'consumer.commit_offsets',
  GROUP_JOIN: 'consumer.group_join',
  FETCH_START: 'consumer.fetch_start',
  FETCH: 'consumer.fetch',
  START_BATCH_PROCESS: 'consumer.start_batch_process',
  END_BATCH_PROCESS: 'consumer.end_batch_process',
  CONNECT: 'consumer.connect',
  DISCONNECT: 'consumer.disconnect',
  STOP: 'consumer.stop',
  CRASH: 'consumer.crash',
  REBALANCING: 'consumer.rebalancing',
}

const latestOffset = -1
const earliestOffset = -2

/** What `run` was called with, and what it has become: another one after each crash. */
interface StartedRun {
  current: ConsumerRun | undefined
  readonly config: ConsumerRunConfig
}

export class KafkaConsumer {
  readonly events = events
  readonly #connection: KafkaConnection
  readonly #config: ConsumerConfig
  readonly #logger: Logger
  readonly #instrumentation: Instrumentation
  readonly #assigners: readonly Assigner[]
  readonly #topics = new Map<string, { fromBeginning: boolean }>()
  readonly #paused = new PausedPartitions()
  #connected: Connected | undefined
  /** Set from `run` until it is stopped or has crashed for good. */
  #run: StartedRun | undefined
  #stopping: Promise<void> | undefined
  #restartTimer: NodeJS.Timeout | undefined

  constructor(connection: KafkaConnection, config: ConsumerConfig, logger: Logger) {
    const { sessionTimeout, heartbeatInterval } = { ...consumerDefaults, ...config }
    if (!config.groupId) {
      throw new KafkaJSNonRetriableError('Consumer groupId must be a non-empty string.')
    }
    if (heartbeatInterval >= sessionTimeout) {
      throw new KafkaJSNonRetriableError(
        `Consumer heartbeatInterval (${heartbeatInterval}) must be lower than sessionTimeout (${sessionTimeout}). It is recommended to set heartbeatInterval to approximately a third of the sessionTimeout.`,
      )
    }
    this.#connection = connection
    this.#config = config
    this.#logger = logger.namespace('Consumer')
    this.#instrumentation = new Instrumentation('consumer', events, this.#logger)
    const { groupId, partitionAssigners = [PartitionAssigners.roundRobin] } = config
    const cluster = assignerCluster(() => this.#connected?.cluster)
    this.#assigners = partitionAssigners.map((assigner) =>
      assigner({ cluster, groupId, logger: this.#logger }),
    )
  }

  readonly connect = async (): Promise<void> => {
    this.#connected = await this.#connection.connect()
    this.#instrumentation.emit(events.CONNECT, null)
  }

  readonly disconnect = async (): Promise<void> => {
    await this.stop()
    await this.#connection.disconnect()
    this.#connected = undefined
    this.#instrumentation.emit(events.DISCONNECT, null)
  }

  readonly logger = (): Logger => this.#logger

  readonly on: Consumer['on'] = (
    eventName: string,
    listener: Parameters<Instrumentation['on']>[1],
  ): (() => void) => this.#instrumentation.on(eventName, listener)

  readonly subscribe: Consumer['subscribe'] = async (subscription) => {
    if (this.#run !== undefined) {
      throw new KafkaJSNonRetriableError('Cannot subscribe to topic while consumer is running')
    }
    const subscriptions = subscriptionsOf(subscription)
    const { cluster } = await this.#connection.connected
    const { retry } = this.#connection.overrides
    const names: string[] = []
    for (const one of subscriptions) {
      if (typeof one === 'string') {
        const create = this.#config.allowAutoTopicCreation ?? true
        await translated(cluster.topic(one, { create }), retry)
        names.push(one)
      } else {
        const known = await translated(
          cluster.retrying(() => cluster.describe(null)),
          retry,
        )
        names.push(...[...known.keys()].filter((name) => new RegExp(one).test(name)))
      }
    }
    const { fromBeginning = false } = subscription
    for (const name of names) this.#topics.set(name, { fromBeginning })
  }

  /** Resolves when the group has been joined, or the consumer has crashed. */
  readonly run = async (config: ConsumerRunConfig = {}): Promise<void> => {
    if (this.#run !== undefined) {
      const { groupId } = this.#config
      this.#logger.warn('consumer#run was called, but the consumer is already running', { groupId })
      return
    }
    const concurrency = config.partitionsConsumedConcurrently ?? 1
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new KafkaJSNonRetriableError('partitionsConsumedConcurrently must be a whole number above 0')
    }
    this.#run = { current: undefined, config }
    await this.#start(this.#run)
  }

  readonly stop = (): Promise<void> => {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined
    })
    return this.#stopping
  }

  readonly commitOffsets: Consumer['commitOffsets'] = async (topicPartitions) => {
    const offsets = topicPartitions.map(({ topic, partition, offset, metadata = null }) => {
      checkPartition(topic, partition)
      const committed = offsetOf(offset)
      if (committed < 0) throw new KafkaJSNonRetriableError('Offset must not be a negative number')
      if (metadata !== null && typeof metadata !== 'string') {
        throw new KafkaJSNonRetriableError(
          `Invalid offset metadata, expected string or null, received ${String(metadata)}`,
        )
      }
      return { topic, partition, offset: committed, metadata: metadata ?? '' }
    })
    await this.#running().commit(offsets)
  }

  readonly seek: Consumer['seek'] = ({ topic, partition, offset }) => {
    checkPartition(topic, partition)
    const sought = offsetOf(offset)
    if (sought < earliestOffset) throw new KafkaJSNonRetriableError('Offset must not be a negative number')
    const places: Readonly<Record<number, 'latest' | 'earliest'>> = {
      [latestOffset]: 'latest',
      [earliestOffset]: 'earliest',
    }
    this.#running().seek({ topic, partition, offset: places[sought] ?? sought })
  }

  readonly pause: Consumer['pause'] = (topics) => {
    this.#setPaused(topics, true)
  }

  readonly resume: Consumer['resume'] = (topics) => {
    this.#setPaused(topics, false)
  }

  readonly paused = (): TopicPartitions[] => {
    const byTopic = new Map<string, number[]>()
    for (const one of this.#run?.current?.assignment ?? []) {
      if (this.#paused.has(one)) {
        byTopic.set(one.topic, [...(byTopic.get(one.topic) ?? []), one.partition])
      }
    }
    return [...byTopic].map(([topic, partitions]) => ({
      topic,
      partitions: partitions.sort((a, b) => a - b),
    }))
  }

  readonly describeGroup = async (): Promise<GroupDescription> => {
    const connected = await this.#connection.connected
    return await translated(describeGroup(connected, this.#config.groupId), this.#connection.overrides.retry)
  }

  #running(): ConsumerRun {
    if (this.#run?.current !== undefined) return this.#run.current
    throw new KafkaJSNonRetriableError(
      'Consumer group was not initialized, consumer#run must be called first',
    )
  }

  #setPaused(topics: readonly { topic: string; partitions?: number[] }[], isPaused: boolean): void {
    for (const one of topics) {
      if (!one?.topic) throw new KafkaJSNonRetriableError(`Invalid topic ${String(one?.topic ?? one)}`)
      const { partitions } = one
      if (partitions !== undefined && (!Array.isArray(partitions) || partitions.some(Number.isNaN))) {
        throw new KafkaJSNonRetriableError(
          `Array of valid partitions required to ${isPaused ? 'pause' : 'resume'} specific partitions instead of ${String(partitions)}`,
        )
      }
    }
    const run = this.#running()
    const changes = (one: TopicPartition) => this.#paused.has(one) === isPaused
    const before = run.assignment.filter((one) => !changes(one))
    for (const { topic, partitions } of topics) this.#paused.set(topic, partitions, isPaused)
    const changed = before.filter(changes)
    if (isPaused) run.pause(changed)
    else run.resume(changed)
  }

  /** Resolves when it runs, or has crashed. Once connected, a program may seek and pause in the same turn. */
  async #start(run: StartedRun): Promise<void> {
    this.#logger.info('Starting', { groupId: this.#config.groupId })
    try {
      this.#connected ??= await this.#connection.connect()
      if (this.#run !== run) return
      const current = this.#newRun(run.config, this.#connected)
      run.current = current
      this.#instrumentation.emit(events.CONNECT, null)
      const crashed = current.read().catch((error: Error) => this.#crash(run, error))
      await Promise.race([current.joined, crashed])
    } catch (error) {
      await this.#crash(run, error as Error)
    }
  }

  #newRun(run: ConsumerRunConfig, connected: Connected): ConsumerRun {
    return new ConsumerRun({
      connected,
      run,
      consumer: this.#config,
      retry: this.#connection.overrides.retry,
      topics: this.#topics,
      assigners: this.#assigners,
      paused: this.#paused,
      events,
      instrumentation: this.#instrumentation,
      logger: this.#logger,
    })
  }

  async #stop(): Promise<void> {
    const run = this.#run
    this.#run = undefined
    clearTimeout(this.#restartTimer)
    if (run?.current === undefined) return
    try {
      await run.current.stop()
    } catch (error) {
      // What could not be committed comes again to whoever reads on.
      const { groupId } = this.#config
      this.#logger.error(`Could not commit when stopping: ${(error as Error).message}`, { groupId })
    }
    this.#paused.clear()
    this.#instrumentation.emit(events.STOP, null)
    this.#logger.info('Stopped', { groupId: this.#config.groupId })
  }

  /** Never rejects. Starts again after a pause, where that may help and the program does not refuse. */
  async #crash(run: StartedRun, error: Error): Promise<void> {
    const { groupId } = this.#config
    const { retry } = this.#connection.overrides
    const { retryCount, retryTime = retryPauseMs(0, retry) } = error as {
      retryCount?: number
      retryTime?: number
    }
    this.#logger.error(`Crash: ${error.name}: ${error.message}`, { groupId, retryCount, stack: error.stack })
    if (this.#run !== run) return
    try {
      await this.disconnect()
    } catch (failure) {
      this.#logger.error(`Caught error when disconnecting the consumer: ${(failure as Error).message}`)
    }
    const restart = await this.#shouldRestart(error)
    this.#instrumentation.emit(events.CRASH, { error, groupId, restart })
    // It may have been started again by somebody else meanwhile.
    if (!restart || this.#run !== undefined) return
    this.#logger.error(`Restarting the consumer in ${retryTime}ms`, { retryCount, retryTime, groupId })
    const next = { current: undefined, config: run.config }
    this.#run = next
    this.#restartTimer = setTimeout(() => void this.#start(next), retryTime)
  }

  async #shouldRestart(error: Error): Promise<boolean> {
    if (error.name !== 'KafkaJSNumberOfRetriesExceeded' && originOf(error).retriable !== true) return false
    const { restartOnFailure } = this.#config.retry ?? {}
    if (restartOnFailure === undefined) return true
    try {
      return await restartOnFailure(error)
    } catch (failure) {
      const { groupId } = this.#config
      this.#logger.error(
        'Caught error when invoking user-provided "restartOnFailure" callback. Defaulting to restarting.',
        { error: (failure as Error)?.message ?? failure, cause: error.message, groupId },
      )
      return true
    }
  }
}

function originOf(error: Error & { retriable?: boolean }): Error & { retriable?: boolean } {
  return error.cause instanceof Error ? originOf(error.cause) : error
}

function subscriptionsOf(subscription: Parameters<Consumer['subscribe']>[0]): (string | RegExp)[] {
  const { topic, topics } = subscription as { topic?: string | RegExp; topics?: (string | RegExp)[] }
  if (!topic && !topics) throw new KafkaJSNonRetriableError('Missing required argument "topics"')
  if (topics != null && !Array.isArray(topics)) {
    throw new KafkaJSNonRetriableError('Argument "topics" must be an array')
  }
  const subscriptions = topics ?? [topic as string | RegExp]
  for (const one of subscriptions) {
    if (typeof one === 'string' || one instanceof RegExp) continue
    throw new KafkaJSNonRetriableError(
      `Invalid topic ${String(one)} (${typeof one}), the topic name has to be a String or a RegExp`,
    )
  }
  return subscriptions
}

function checkPartition(topic: string, partition: number): void {
  if (!topic) throw new KafkaJSNonRetriableError(`Invalid topic ${String(topic)}`)
  if (!Number.isInteger(Number(partition))) {
    throw new KafkaJSNonRetriableError(`Invalid partition, expected a number received ${String(partition)}`)
  }
}

function offsetOf(offset: string): number {
  const value = offset === '' ? Number.NaN : Number(offset)
  if (Number.isSafeInteger(value)) return value
  throw new KafkaJSNonRetriableError(`Invalid offset, expected a long received ${String(offset)}`)
}
