import { LocalLogStore, type LogStore, MemoryLogStore } from '@streambus/storage'
import { Dispatch } from './dispatch.ts'
import { FetchSessions } from './fetch/fetch-sessions.ts'
import type { BrokerServices, Handler } from './handler.ts'
import { produceHandler } from './handlers/00-produce.ts'
import { fetchHandler } from './handlers/01-fetch.ts'
import { listOffsetsHandler } from './handlers/02-list-offsets.ts'
import { metadataHandler } from './handlers/03-metadata.ts'
import { createTopicsHandler } from './handlers/19-create-topics.ts'
import { deleteTopicsHandler } from './handlers/20-delete-topics.ts'
import { initProducerIdHandler } from './handlers/22-init-producer-id.ts'
import { offsetForLeaderEpochHandler } from './handlers/23-offset-for-leader-epoch.ts'
import { describeConfigsHandler } from './handlers/32-describe-configs.ts'
import { alterConfigsHandler } from './handlers/33-alter-configs.ts'
import { describeLogDirsHandler } from './handlers/35-describe-log-dirs.ts'
import { createPartitionsHandler } from './handlers/37-create-partitions.ts'
import { incrementalAlterConfigsHandler } from './handlers/44-incremental-alter-configs.ts'
import { describeClusterHandler } from './handlers/60-describe-cluster.ts'
import { FrameMemory } from './network/frame-memory.ts'
import { Listener } from './network/listener.ts'
import { PeerComplaints } from './network/peer-complaints.ts'
import { RequestMemory } from './network/request-memory.ts'
import { ResponsePieces } from './network/response-pieces.ts'
import { TurnEnd } from './network/turn-end.ts'
import { UnsentResponses } from './network/unsent-responses.ts'
import { type BrokerOptions, type ResolvedOptions, resolveOptions } from './options.ts'
import { ProducerIds } from './producer-ids.ts'
import { BrokerSettings } from './settings/broker-settings.ts'
import { TopicSettingsTable } from './settings/topic-settings.ts'
import { AutoCreation } from './topics/auto-creation.ts'
import { PartitionLimit } from './topics/partition-limit.ts'
import { TopicChanges } from './topics/topic-changes.ts'

/**
 * A Kafka-compatible broker in this process.
 *
 *     await using broker = await Broker.start({ port: 0 })
 *     // any Kafka client can connect to broker.address
 *
 * Brokers share nothing: a process may run many. Nothing of a broker remains after `close`, except the data
 * folder it was given.
 */
export class Broker {
  readonly host: string
  readonly port: number
  readonly store: LogStore
  readonly #listener: Listener
  readonly #options: ResolvedOptions
  #closing: Promise<void> | undefined

  private constructor(listener: Listener, store: LogStore, options: ResolvedOptions) {
    this.#listener = listener
    this.#options = options
    this.store = store
    this.host = listener.host
    this.port = listener.port
  }

  /**
   * Resolves when clients are answered. Throws BrokerError where an option or the port is at fault, and
   * StorageError (DATA_LOCKED, DATA_NOT_WRITABLE, DATA_NEWER_FORMAT, DATA_DAMAGED) where the data folder is.
   */
  static async start(options: BrokerOptions = {}): Promise<Broker> {
    const resolved = resolveOptions(options)
    const listener = await Listener.bind(resolved)
    let store: LogStore
    try {
      store = resolved.store ?? (await openStore(resolved))
    } catch (error) {
      await listener.close(0)
      throw error
    }
    const services = makeServices(resolved, listener, store)
    listener.serve({
      executor: new Dispatch(makeHandlers(services)),
      memory: new RequestMemory(resolved.maxInFlightBytes, resolved.maxFrameBytes),
      frameMemory: new FrameMemory(),
      pieces: new ResponsePieces(resolved.maxResponseBufferBytes),
      unsent: new UnsentResponses(resolved.maxResponseBufferBytes),
      turnEnd: new TurnEnd(),
      complaints: new PeerComplaints(resolved.log, resolved.clock),
      log: resolved.log,
      maxFrameBytes: resolved.maxFrameBytes,
    })
    return new Broker(listener, store, resolved)
  }

  /** What clients connect to: 'host:port'. */
  get address(): string {
    return `${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.port}`
  }

  get clusterId(): string {
    return this.store.clusterId
  }

  /** Clients connected at the moment. */
  get connectionCount(): number {
    return this.#listener.connectionCount
  }

  /**
   * Stops accepting, answers the requests in flight (long polls at once), closes the connections, at most
   * after `shutdownTimeoutMs`, then closes the store. Calling it again gives the same promise.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#listener.close(this.#options.shutdownTimeoutMs)
    await this.store.close()
  }
}

function openStore(options: ResolvedOptions): Promise<LogStore> {
  const { dataDir, durability, cacheBytes, truncateDamaged, clock, log } = options
  if (dataDir === undefined) return MemoryLogStore.open({ clock })
  const onDamage = truncateDamaged ? 'truncate' : 'refuse'
  return LocalLogStore.open({ dataDir, durability, cacheBytes, onDamage, log, clock })
}

function makeServices(options: ResolvedOptions, listener: Listener, store: LogStore): BrokerServices {
  const listening = { host: listener.host, port: listener.port }
  const topicSettings = new TopicSettingsTable(store.maxBatchBytes)
  const partitionLimit = new PartitionLimit(store, options.maxPartitions)
  return {
    store,
    options,
    listening,
    log: options.log,
    clock: options.clock,
    topicSettings,
    brokerSettings: new BrokerSettings(options, listening, store, topicSettings),
    topicChanges: new TopicChanges(),
    partitionLimit,
    autoCreation: new AutoCreation(store, partitionLimit, {
      enabled: options.autoCreateTopics,
      partitions: options.defaultPartitions,
    }),
    fetchSessions: new FetchSessions(options.maxFetchSessions),
    producerIds: new ProducerIds(store),
  }
}

function makeHandlers(services: BrokerServices): Handler[] {
  return [
    produceHandler(services),
    fetchHandler(services),
    listOffsetsHandler(services),
    metadataHandler(services),
    createTopicsHandler(services),
    deleteTopicsHandler(services),
    initProducerIdHandler(services),
    offsetForLeaderEpochHandler(services),
    describeConfigsHandler(services),
    alterConfigsHandler(services),
    describeLogDirsHandler(services),
    createPartitionsHandler(services),
    incrementalAlterConfigsHandler(services),
    describeClusterHandler(services),
  ]
}
