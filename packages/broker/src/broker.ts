import { randomUUID } from 'node:crypto'
import { LocalLogStore, type LogStore, MemoryLogStore } from '@streambus/storage'
import { isInternalTopic } from './coordinator/internal-topics.ts'
import { Dispatch } from './dispatch.ts'
import { FetchSessions } from './fetch/fetch-sessions.ts'
import { GroupCoordinator } from './groups/group-coordinator.ts'
import type { BrokerServices, Handler } from './handler.ts'
import { produceHandler } from './handlers/00-produce.ts'
import { fetchHandler } from './handlers/01-fetch.ts'
import { listOffsetsHandler } from './handlers/02-list-offsets.ts'
import { metadataHandler } from './handlers/03-metadata.ts'
import { offsetCommitHandler } from './handlers/08-offset-commit.ts'
import { offsetFetchHandler } from './handlers/09-offset-fetch.ts'
import { findCoordinatorHandler } from './handlers/10-find-coordinator.ts'
import { joinGroupHandler } from './handlers/11-join-group.ts'
import { heartbeatHandler } from './handlers/12-heartbeat.ts'
import { leaveGroupHandler } from './handlers/13-leave-group.ts'
import { syncGroupHandler } from './handlers/14-sync-group.ts'
import { describeGroupsHandler } from './handlers/15-describe-groups.ts'
import { listGroupsHandler } from './handlers/16-list-groups.ts'
import { createTopicsHandler } from './handlers/19-create-topics.ts'
import { deleteTopicsHandler } from './handlers/20-delete-topics.ts'
import { deleteRecordsHandler } from './handlers/21-delete-records.ts'
import { initProducerIdHandler } from './handlers/22-init-producer-id.ts'
import { offsetForLeaderEpochHandler } from './handlers/23-offset-for-leader-epoch.ts'
import { addPartitionsToTxnHandler } from './handlers/24-add-partitions-to-txn.ts'
import { addOffsetsToTxnHandler } from './handlers/25-add-offsets-to-txn.ts'
import { endTxnHandler } from './handlers/26-end-txn.ts'
import { writeTxnMarkersHandler } from './handlers/27-write-txn-markers.ts'
import { txnOffsetCommitHandler } from './handlers/28-txn-offset-commit.ts'
import { describeConfigsHandler } from './handlers/32-describe-configs.ts'
import { alterConfigsHandler } from './handlers/33-alter-configs.ts'
import { describeLogDirsHandler } from './handlers/35-describe-log-dirs.ts'
import { createPartitionsHandler } from './handlers/37-create-partitions.ts'
import { deleteGroupsHandler } from './handlers/42-delete-groups.ts'
import { incrementalAlterConfigsHandler } from './handlers/44-incremental-alter-configs.ts'
import { offsetDeleteHandler } from './handlers/47-offset-delete.ts'
import { describeClusterHandler } from './handlers/60-describe-cluster.ts'
import { describeProducersHandler } from './handlers/61-describe-producers.ts'
import { describeTransactionsHandler } from './handlers/65-describe-transactions.ts'
import { listTransactionsHandler } from './handlers/66-list-transactions.ts'
import { consumerGroupHeartbeatHandler } from './handlers/68-consumer-group-heartbeat.ts'
import { consumerGroupDescribeHandler } from './handlers/69-consumer-group-describe.ts'
import { LogLife } from './log-life/log-life.ts'
import type { BrokerMetrics } from './log-life/metrics.ts'
import { FrameMemory } from './network/frame-memory.ts'
import { Listener } from './network/listener.ts'
import { PeerComplaints } from './network/peer-complaints.ts'
import { RequestMemory } from './network/request-memory.ts'
import { ResponsePieces } from './network/response-pieces.ts'
import { TurnEnd } from './network/turn-end.ts'
import { UnsentResponses } from './network/unsent-responses.ts'
import { type BrokerOptions, type ResolvedOptions, resolveOptions } from './options.ts'
import { prepareForCompaction } from './produce/compaction-codecs.ts'
import { Recompression } from './produce/recompression.ts'
import { ProducerIds } from './producer-ids.ts'
import { BrokerSettings } from './settings/broker-settings.ts'
import { checkTopicDefaults, TopicSettingsTable } from './settings/topic-settings.ts'
import { AutoCreation } from './topics/auto-creation.ts'
import { PartitionLimit } from './topics/partition-limit.ts'
import { TopicChanges } from './topics/topic-changes.ts'
import { TransactionCoordinator } from './transactions/transaction-coordinator.ts'

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
  readonly #coordinators: Coordinators
  readonly #recompression: Recompression
  readonly #logLife: LogLife
  #closing: Promise<void> | undefined

  private constructor(
    listener: Listener,
    store: LogStore,
    options: ResolvedOptions,
    coordinators: Coordinators,
    recompression: Recompression,
    logLife: LogLife,
  ) {
    this.#recompression = recompression
    this.#logLife = logLife
    this.#listener = listener
    this.#options = options
    this.#coordinators = coordinators
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
    // What is wrong with an option is said before anything is opened.
    checkTopicDefaults(resolved.topicDefaults)
    const listener = await Listener.bind(resolved)
    let store: LogStore | undefined
    let topicSettings: TopicSettingsTable
    try {
      store = resolved.store ?? (await openStore(resolved))
      topicSettings = new TopicSettingsTable(store.maxBatchBytes, resolved.topicDefaults)
      await prepareForCompaction(resolved.topicDefaults)
      for (const { configs, name } of store.topics.all()) {
        if (!isInternalTopic(name)) await prepareForCompaction(configs)
      }
    } catch (error) {
      await listener.close(0)
      // One that was given is its owner's to close.
      if (store !== resolved.store) await store?.close()
      throw error
    }
    const coordinators = makeCoordinators(resolved, store)
    const logLife = new LogLife({
      store,
      scheduler: resolved.scheduler,
      topicSettings,
      log: resolved.log,
      retentionCheckIntervalMs: resolved.retentionCheckIntervalMs,
      cleanerBackoffMs: resolved.cleanerBackoffMs,
    })
    const services = makeServices(resolved, listener, store, topicSettings, coordinators, logLife)
    listener.serve({
      executor: new Dispatch(makeHandlers(services), resolved.interceptor),
      memory: new RequestMemory(resolved.maxInFlightBytes, resolved.maxFrameBytes),
      frameMemory: new FrameMemory(),
      pieces: new ResponsePieces(resolved.maxResponseBufferBytes),
      unsent: new UnsentResponses(resolved.maxResponseBufferBytes),
      turnEnd: new TurnEnd(),
      complaints: new PeerComplaints(resolved.log, resolved.clock),
      log: resolved.log,
      maxFrameBytes: resolved.maxFrameBytes,
    })
    coordinators.groups.start()
    coordinators.transactions.start()
    logLife.start()
    return new Broker(listener, store, resolved, coordinators, services.recompression, logLife)
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

  /** What the broker did in the background since it was started. Costs a look at each log and file. */
  metrics(): BrokerMetrics {
    return { maintenance: this.#logLife.metrics() }
  }

  /**
   * Makes the members of a group share out their partitions anew, as a change among them would. Resolves when
   * that has begun, with Kafka's error code: GROUP_ID_NOT_FOUND where the group has no members.
   */
  rebalanceGroup(groupId: string): Promise<number> {
    return this.#coordinators.groups.rebalance(groupId)
  }

  /**
   * Stops accepting, answers the requests in flight (long polls at once), closes the connections, at most
   * after `shutdownTimeoutMs`, then closes the store unless it is to stay open. Calling it again gives the same promise.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const { groups, transactions } = this.#coordinators
    // Whoever waits for others in a group is answered now, and is no longer a request in flight.
    groups.close()
    transactions.close()
    this.#options.scheduler.close()
    await this.#logLife.close()
    await this.#listener.close(this.#options.shutdownTimeoutMs)
    await this.#recompression.close()
    if (!this.#options.keepStoreOpen) await this.store.close()
  }
}

function openStore(options: ResolvedOptions): Promise<LogStore> {
  const { dataDir, durability, cacheBytes, truncateDamaged, clock, log } = options
  if (dataDir === undefined) return MemoryLogStore.open({ clock })
  const onDamage = truncateDamaged ? 'truncate' : 'refuse'
  return LocalLogStore.open({ dataDir, durability, cacheBytes, onDamage, log, clock })
}

interface Coordinators {
  readonly producerIds: ProducerIds
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
}

function makeCoordinators(options: ResolvedOptions, store: LogStore): Coordinators {
  const { log, scheduler } = options
  const producerIds = new ProducerIds(store)
  const groups = new GroupCoordinator({ store, scheduler, options: options.groups, log, newId: randomUUID })
  const transactions = new TransactionCoordinator({
    store,
    scheduler,
    options: options.transactions,
    producerIds,
    offsets: groups,
    log,
  })
  return { producerIds, groups, transactions }
}

function makeServices(
  options: ResolvedOptions,
  listener: Listener,
  store: LogStore,
  topicSettings: TopicSettingsTable,
  coordinators: Coordinators,
  logLife: LogLife,
): BrokerServices {
  const listening = { host: listener.host, port: listener.port }
  const partitionLimit = new PartitionLimit(store, options.maxPartitions)
  return {
    store,
    options,
    listening,
    log: options.log,
    clock: options.clock,
    scheduler: options.scheduler,
    topicSettings,
    brokerSettings: new BrokerSettings(options, listening, store, topicSettings),
    topicChanges: new TopicChanges(),
    partitionLimit,
    autoCreation: new AutoCreation(store, partitionLimit, {
      enabled: options.autoCreateTopics,
      partitions: options.defaultPartitions,
    }),
    fetchSessions: new FetchSessions(options.maxFetchSessions),
    // As many as all connections together can wait for.
    recompression: new Recompression(options.maxInFlightBytes + options.maxFrameBytes),
    ...coordinators,
    logLife,
  }
}

function makeHandlers(services: BrokerServices): Handler[] {
  return [
    produceHandler(services),
    fetchHandler(services),
    listOffsetsHandler(services),
    metadataHandler(services),
    offsetCommitHandler(services),
    offsetFetchHandler(services),
    findCoordinatorHandler(services),
    joinGroupHandler(services),
    heartbeatHandler(services),
    leaveGroupHandler(services),
    syncGroupHandler(services),
    describeGroupsHandler(services),
    listGroupsHandler(services),
    createTopicsHandler(services),
    deleteTopicsHandler(services),
    deleteRecordsHandler(services),
    initProducerIdHandler(services),
    offsetForLeaderEpochHandler(services),
    addPartitionsToTxnHandler(services),
    addOffsetsToTxnHandler(services),
    endTxnHandler(services),
    writeTxnMarkersHandler(services),
    txnOffsetCommitHandler(services),
    describeConfigsHandler(services),
    alterConfigsHandler(services),
    describeLogDirsHandler(services),
    createPartitionsHandler(services),
    deleteGroupsHandler(services),
    incrementalAlterConfigsHandler(services),
    offsetDeleteHandler(services),
    describeClusterHandler(services),
    describeProducersHandler(services),
    describeTransactionsHandler(services),
    listTransactionsHandler(services),
    consumerGroupHeartbeatHandler(services),
    consumerGroupDescribeHandler(services),
  ]
}
