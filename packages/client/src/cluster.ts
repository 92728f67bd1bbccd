/**
 * The SDK's view of a cluster: which brokers there are, which topics, who leads each partition; and the
 * connections to them. Any broker tells the view; it is renewed when it is old, and when an answer shows that
 * it is wrong.
 */
import { setMaxListeners } from 'node:events'
import { metadata } from '@streambus/protocol'
import { backoffMs, busyBackoff, pause } from './backoff.ts'
import { Connection } from './connection.ts'
import { brokerError, isStreamBusError, StreamBusError } from './errors.ts'
import { channels, type RetryEvent } from './observability/channels.ts'
import { ClientMetrics } from './observability/metrics.ts'
import { type BrokerAddress, type ClientSettings, formatAddress } from './options.ts'

export interface BrokerInfo extends BrokerAddress {
  readonly id: number
  readonly rack: string | null
}

export interface PartitionInfo {
  readonly partition: number
  /** Id of the leading broker, -1 while there is none. */
  readonly leader: number
  readonly replicas: readonly number[]
  readonly inSyncReplicas: readonly number[]
}

export interface TopicInfo {
  readonly name: string
  readonly id: string
  readonly isInternal: boolean
  /** Index = partition number. */
  readonly partitions: readonly PartitionInfo[]
}

export interface ClusterInfo {
  readonly clusterId: string | null
  readonly controllerId: number
  readonly brokers: readonly BrokerInfo[]
}

export interface RetryOptions {
  /** Gives up after this time. Default: the client's `retryTimeoutMs`. */
  timeoutMs?: number
  signal?: AbortSignal | undefined
  /** Told of each failure after which there is another attempt. */
  onRetry?: ((error: StreamBusError) => void) | undefined
}

const UNKNOWN_TOPIC_OR_PARTITION = 3
const LEADER_NOT_AVAILABLE = 5
const NO_ID = '00000000-0000-0000-0000-000000000000'

/**
 * How long a topic may stay unknown before that is reported: a topic that was just created needs a moment to
 * be known to every broker of a cluster.
 */
export const unknownTopicPatienceMs = 1_500

export class Cluster {
  readonly settings: ClientSettings
  readonly metrics: ClientMetrics
  #brokers = new Map<number, BrokerInfo>()
  #topics = new Map<string, { info: TopicInfo; fetchedAtMs: number }>()
  #clusterId: string | null = null
  #controllerId = -1
  #connections = new Map<string, Promise<Connection>>()
  #open = new Set<Connection>()
  #control: Connection | undefined
  #opening: Promise<Connection> | undefined
  #refreshing = new Map<string, Promise<ReadonlyMap<string, TopicInfo | StreamBusError>>>()
  readonly #closing = new AbortController()
  readonly #closeListeners = new Set<() => void>()

  constructor(settings: ClientSettings) {
    this.settings = settings
    this.metrics = new ClientMetrics(settings.clientId)
    // Every operation that waits listens; how many there are is bounded by the operations of the caller.
    setMaxListeners(0, this.#closing.signal)
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Calls the listener when the client is closed, until the function returned is called. */
  onClose(listener: () => void): () => void {
    this.#closeListeners.add(listener)
    return () => this.#closeListeners.delete(listener)
  }

  /** Makes the first connection: tries every address once and rejects with BROKER_UNREACHABLE if none answers. */
  async connect(signal?: AbortSignal): Promise<void> {
    await this.controlConnection(signal)
    await this.describe([], { signal })
  }

  /**
   * Checks that an address the cluster gives its clients leads to a broker from here: brokers are told what to
   * give, and that may be right for others only. Rejects with BROKER_UNREACHABLE where none of them does.
   */
  async checkAddresses(): Promise<void> {
    const { address } = await this.controlConnection()
    const brokers = [...this.#brokers.values()]
    if (brokers.length === 0 || brokers.some((one) => formatAddress(one) === formatAddress(address))) return
    try {
      await Promise.any(brokers.map(async (one) => (await this.#openConnection(one)).close()))
    } catch (error) {
      if (this.#closing.signal.aborted) throw closedError()
      throw new StreamBusError(
        'BROKER_UNREACHABLE',
        `${formatAddress(address)} sends its clients to ${brokers.map(formatAddress).join(', ')}, where no broker answers: have it advertise an address that can be reached from here.`,
        { cause: error },
      )
    }
  }

  /** A connection to any broker, for requests that every broker can answer. */
  controlConnection(signal?: AbortSignal): Promise<Connection> {
    if (this.#closing.signal.aborted) return Promise.reject(closedError())
    if (this.#control?.isOpen) return Promise.resolve(this.#control)
    this.#opening ??= this.#openControl(signal).finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  /**
   * A connection to one broker. Requests on one connection wait for each other, so each use that must not
   * wait behind another (a long poll, a producer) names a lane of its own.
   */
  async connectionTo(brokerId: number, lane: string): Promise<Connection> {
    if (this.#closing.signal.aborted) throw closedError()
    const broker = this.#brokers.get(brokerId)
    if (broker === undefined) {
      throw new StreamBusError('BROKER_UNREACHABLE', `The cluster no longer names broker ${brokerId}.`)
    }
    const key = `${lane} ${formatAddress(broker)}`
    let connecting = this.#connections.get(key)
    if (connecting === undefined) {
      connecting = this.#openConnection(broker)
      this.#connections.set(key, connecting)
      const forget = () => {
        if (this.#connections.get(key) === connecting) this.#connections.delete(key)
      }
      connecting.then(
        (connection) => connection.onEnd(forget),
        (error: StreamBusError) => {
          forget()
          if (!this.isClosed) this.settings.logger.warn(error.message)
        },
      )
    }
    return await connecting
  }

  /** Closes the connections of one lane. */
  closeLane(lane: string): void {
    for (const [key, connecting] of this.#connections) {
      if (!key.startsWith(`${lane} `)) continue
      this.#connections.delete(key)
      connecting.then(
        (connection) => connection.close(),
        () => {},
      )
    }
  }

  /** The brokers as of the last answer that named them. */
  get info(): ClusterInfo {
    return {
      clusterId: this.#clusterId,
      controllerId: this.#controllerId,
      brokers: [...this.#brokers.values()].sort((a, b) => a.id - b.id),
    }
  }

  /** The topic as last seen; undefined when it never was, or too long ago. */
  cachedTopic(name: string): TopicInfo | undefined {
    const entry = this.#topics.get(name)
    if (entry === undefined) return undefined
    return performance.now() - entry.fetchedAtMs <= this.settings.metadataMaxAgeMs ? entry.info : undefined
  }

  /** The broker that leads a partition, as last seen; -1 when unknown. However old the view is. */
  leaderOf(topic: string, partition: number): number {
    const leader = this.#topics.get(topic)?.info.partitions[partition]?.leader ?? -1
    return this.#brokers.has(leader) ? leader : -1
  }

  /** The id of a topic, as last seen, however old the view is; undefined where brokers give none (before KIP-516). */
  idOf(topic: string): string | undefined {
    const id = this.#topics.get(topic)?.info.id
    return id === NO_ID ? undefined : id
  }

  /**
   * The topic, from the cache where it is fresh. A topic that is not known to the broker is asked for again for
   * a moment, then UNKNOWN_TOPIC.
   *
   * @param options.create lets the broker create it, where the broker is set up to do so
   * @param options.anew asks the broker in any case; others go on meanwhile with what was last seen
   */
  async topic(
    name: string,
    options: RetryOptions & { create?: boolean; anew?: boolean } = {},
  ): Promise<TopicInfo> {
    const cached = options.anew ? undefined : this.cachedTopic(name)
    if (cached !== undefined) return cached
    const startedAtMs = performance.now()
    return await this.retrying(async () => {
      const answer = (await this.refresh([name], options.create)).get(name)
      if (answer === undefined) throw brokerError(UNKNOWN_TOPIC_OR_PARTITION, `Topic '${name}'`)
      if (!(answer instanceof StreamBusError)) return answer
      const unknownForMs = performance.now() - startedAtMs
      if (answer.code === 'UNKNOWN_TOPIC' && unknownForMs > unknownTopicPatienceMs) {
        throw new StreamBusError('UNKNOWN_TOPIC', `There is no topic '${name}' on this cluster.`, {
          cause: answer,
          retriable: false,
        })
      }
      throw answer
    }, options)
  }

  /**
   * Asks a broker about topics and renews the view. One answer per name: the topic, or why not. Calls for the
   * same topics at the same time share one request.
   */
  refresh(
    names: readonly string[],
    create = false,
  ): Promise<ReadonlyMap<string, TopicInfo | StreamBusError>> {
    const key = JSON.stringify([create, ...[...names].sort()])
    let refreshing = this.#refreshing.get(key)
    if (refreshing === undefined) {
      refreshing = this.describe(names, { create }).finally(() => this.#refreshing.delete(key))
      this.#refreshing.set(key, refreshing)
    }
    return refreshing
  }

  /** One Metadata request; null asks for every topic. */
  async describe(
    names: readonly string[] | null,
    options: { create?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<ReadonlyMap<string, TopicInfo | StreamBusError>> {
    const connection = await this.controlConnection(options.signal)
    const answer = await connection.request(metadata, {
      topics: names === null ? null : names.map((name) => ({ name })),
      allowAutoTopicCreation: options.create ?? false,
    })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot read the metadata of the cluster')
    this.#clusterId = answer.clusterId
    this.#controllerId = answer.controllerId
    this.#brokers = new Map(
      answer.brokers.map(({ nodeId, host, port, rack }) => [nodeId, { id: nodeId, host, port, rack }]),
    )
    const topics = new Map<string, TopicInfo | StreamBusError>()
    const fetchedAtMs = performance.now()
    for (const topic of answer.topics) {
      const name = topic.name ?? ''
      if (topic.errorCode !== 0 && topic.errorCode !== LEADER_NOT_AVAILABLE) {
        this.#topics.delete(name)
        topics.set(name, brokerError(topic.errorCode, `Topic '${name}'`))
        continue
      }
      const partitions = topic.partitions
        .map((partition) => ({
          partition: partition.partitionIndex,
          leader: partition.leaderId,
          replicas: partition.replicaNodes,
          inSyncReplicas: partition.isrNodes,
        }))
        .sort((a, b) => a.partition - b.partition)
      if (partitions.length === 0) {
        topics.set(name, brokerError(LEADER_NOT_AVAILABLE, `Topic '${name}'`))
        continue
      }
      const info: TopicInfo = { name, id: topic.topicId, isInternal: topic.isInternal, partitions }
      this.#topics.set(name, { info, fetchedAtMs })
      topics.set(name, info)
    }
    return topics
  }

  /** Has the next use of a topic ask for it. Who reads or writes it goes on meanwhile with what was last seen. */
  expire(topic: string): void {
    const entry = this.#topics.get(topic)
    if (entry !== undefined) this.#topics.set(topic, { ...entry, fetchedAtMs: Number.NEGATIVE_INFINITY })
  }

  /**
   * Runs an operation until it succeeds, fails for good, or the time is over; then its last error is thrown.
   * Pauses between attempts grow.
   */
  async retrying<T>(operation: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
    const deadlineMs = performance.now() + (options.timeoutMs ?? this.settings.retryTimeoutMs)
    const signal = options.signal
      ? AbortSignal.any([options.signal, this.#closing.signal])
      : this.#closing.signal
    for (let attempt = 0; ; attempt++) {
      try {
        return await operation()
      } catch (error) {
        if (this.#closing.signal.aborted) throw closedError()
        if (!isStreamBusError(error) || !error.retriable) throw error
        const isBusy = error.code === 'TRANSACTION_BUSY'
        const waitMs = backoffMs(attempt, isBusy ? busyBackoff : this.settings.backoff)
        if (performance.now() + waitMs >= deadlineMs) throw error
        options.onRetry?.(error)
        this.noteRetry({ operation: 'request', error, delayMs: waitMs })
        await pause(waitMs, signal)
      }
    }
  }

  /** Something failed that is done again: counted and told, so that it is not silent. */
  noteRetry(retry: Omit<RetryEvent, 'client'>): void {
    this.metrics.retried(retry.error.code)
    this.settings.logger.debug(`${retry.error.message} Trying again.`)
    if (channels.retry.hasSubscribers) channels.retry.publish({ client: this.metrics.client, ...retry })
  }

  close(): void {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(closedError())
    for (const connection of this.#open) connection.close()
    for (const listener of this.#closeListeners) listener()
    this.#connections.clear()
  }

  async #openConnection(
    address: BrokerAddress,
    signal?: AbortSignal,
    connectTimeoutMs = this.settings.connectTimeoutMs,
  ): Promise<Connection> {
    const { clientId, requestTimeoutMs, maxFrameBytes, tls, sasl } = this.settings
    const { metrics } = this
    const { client } = metrics
    const { host, port } = address
    const connection = await Connection.open({
      metrics,
      address,
      clientId,
      connectTimeoutMs,
      requestTimeoutMs,
      maxFrameBytes,
      tls,
      sasl,
      signal: signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal,
    }).catch((error: StreamBusError) => {
      if (!this.isClosed) {
        metrics.failedConnections++
        channels.connectionFailed.publish({ client, host, port, error })
      }
      throw error
    })
    if (this.#closing.signal.aborted) {
      connection.close()
      throw closedError()
    }
    this.#open.add(connection)
    metrics.openedConnections++
    metrics.connections.add(connection)
    channels.connectionOpened.publish({ client, host, port })
    connection.onEnd((error, unanswered) => {
      this.#open.delete(connection)
      metrics.connectionEnded(connection, error.code !== 'CLOSED')
      channels.connectionClosed.publish({ client, host, port, error })
      if (error.code === 'CLOSED') return
      // Brokers close idle connections: that is worth a word only where somebody waits for an answer.
      if (unanswered > 0) this.settings.logger.warn(error.message)
      else this.settings.logger.debug(error.message)
    })
    return connection
  }

  /** Known brokers first, then the addresses the client was given; each once. */
  async #openControl(signal?: AbortSignal): Promise<Connection> {
    const candidates = new Map<string, BrokerAddress>()
    for (const address of [...this.#brokers.values(), ...this.settings.brokers]) {
      candidates.set(formatAddress(address), address)
    }
    // All of them together take no longer than one: a caller waits once, however many it named.
    const timeoutMs = Math.max(500, this.settings.connectTimeoutMs / candidates.size)
    let failure: unknown
    for (const address of candidates.values()) {
      try {
        this.#control = await this.#openConnection(address, signal, timeoutMs)
        return this.#control
      } catch (error) {
        if (this.#closing.signal.aborted) throw closedError()
        // Trying it with every broker would only lock the account.
        const isRefused = isStreamBusError(error) && error.code === 'AUTHENTICATION_FAILED'
        if (signal?.aborted || isRefused) throw error
        failure = error
      }
    }
    if (candidates.size === 1) throw failure
    throw new StreamBusError(
      'BROKER_UNREACHABLE',
      `None of the brokers answers: ${[...candidates.keys()].join(', ')}.`,
      { cause: failure },
    )
  }
}

export function closedError(): StreamBusError {
  return new StreamBusError('CLOSED', 'The client was closed.')
}
