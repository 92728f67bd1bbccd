import type { Part } from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import { Dispatch } from '../../dispatch.ts'
import { FetchSessions } from '../../fetch/fetch-sessions.ts'
import { GroupCoordinator } from '../../groups/group-coordinator.ts'
import type { BrokerServices } from '../../handler.ts'
import { produceHandler } from '../../handlers/00-produce.ts'
import { fetchHandler } from '../../handlers/01-fetch.ts'
import { offsetCommitHandler } from '../../handlers/08-offset-commit.ts'
import { offsetFetchHandler } from '../../handlers/09-offset-fetch.ts'
import { findCoordinatorHandler } from '../../handlers/10-find-coordinator.ts'
import { joinGroupHandler } from '../../handlers/11-join-group.ts'
import { heartbeatHandler } from '../../handlers/12-heartbeat.ts'
import { leaveGroupHandler } from '../../handlers/13-leave-group.ts'
import { syncGroupHandler } from '../../handlers/14-sync-group.ts'
import { describeGroupsHandler } from '../../handlers/15-describe-groups.ts'
import { listGroupsHandler } from '../../handlers/16-list-groups.ts'
import { deleteTopicsHandler } from '../../handlers/20-delete-topics.ts'
import { initProducerIdHandler } from '../../handlers/22-init-producer-id.ts'
import { addPartitionsToTxnHandler } from '../../handlers/24-add-partitions-to-txn.ts'
import { addOffsetsToTxnHandler } from '../../handlers/25-add-offsets-to-txn.ts'
import { endTxnHandler } from '../../handlers/26-end-txn.ts'
import { txnOffsetCommitHandler } from '../../handlers/28-txn-offset-commit.ts'
import { deleteGroupsHandler } from '../../handlers/42-delete-groups.ts'
import { offsetDeleteHandler } from '../../handlers/47-offset-delete.ts'
import { describeTransactionsHandler } from '../../handlers/65-describe-transactions.ts'
import { listTransactionsHandler } from '../../handlers/66-list-transactions.ts'
import { consumerGroupHeartbeatHandler } from '../../handlers/68-consumer-group-heartbeat.ts'
import { consumerGroupDescribeHandler } from '../../handlers/69-consumer-group-describe.ts'
import { LogLife } from '../../log-life/log-life.ts'
import type { Logger } from '../../logger.ts'
import type { Requester } from '../../network/connection.ts'
import { LOG_LIFE_DEFAULTS, resolveOptions } from '../../options.ts'
import { Recompression } from '../../produce/recompression.ts'
import { ProducerIds } from '../../producer-ids.ts'
import { BrokerSettings } from '../../settings/broker-settings.ts'
import { TopicSettingsTable } from '../../settings/topic-settings.ts'
import { AutoCreation } from '../../topics/auto-creation.ts'
import { PartitionLimit } from '../../topics/partition-limit.ts'
import { TopicChanges } from '../../topics/topic-changes.ts'
import { TransactionCoordinator } from '../../transactions/transaction-coordinator.ts'
import { ProcessScheduler, type VirtualTime } from './virtual-time.ts'

export interface BrokerProcessOptions {
  readonly store: LogStore
  readonly time: VirtualTime
  readonly initialRebalanceDelayMs: number
  readonly newId: () => string
  readonly log: (level: string, words: string) => void
}

/** One run of the broker, without sockets: the real coordinators and handlers behind the real dispatch. */
export class BrokerProcess {
  readonly #groups: GroupCoordinator
  readonly #transactions: TransactionCoordinator
  readonly #scheduler: ProcessScheduler
  readonly #dispatch: Dispatch

  constructor({ store, time, initialRebalanceDelayMs, newId, log }: BrokerProcessOptions) {
    const scheduler = new ProcessScheduler(time)
    const logger = loggerTo(log)
    const options = resolveOptions({
      store,
      log: logger,
      clock: () => time.nowMs(),
      // Looked for often, so that a jump of the clock shows.
      groups: { initialRebalanceDelayMs, offsetsRetentionCheckIntervalMs: 4000 },
      transactions: { removeExpiredIntervalMs: 6000 },
    })
    const listening = { host: 'broker', port: 9092 }
    const topicSettings = new TopicSettingsTable(store.maxBatchBytes)
    const partitionLimit = new PartitionLimit(store, options.maxPartitions)
    const producerIds = new ProducerIds(store)
    this.#groups = new GroupCoordinator({ store, scheduler, options: options.groups, log: logger, newId })
    this.#transactions = new TransactionCoordinator({
      store,
      scheduler,
      options: options.transactions,
      producerIds,
      offsets: this.#groups,
      log: logger,
    })
    const services: BrokerServices = {
      store,
      options,
      listening,
      log: logger,
      clock: options.clock,
      scheduler,
      topicSettings,
      partitionLimit,
      producerIds,
      recompression: new Recompression(options.maxInFlightBytes),
      groups: this.#groups,
      transactions: this.#transactions,
      logLife: new LogLife({ store, scheduler, topicSettings, log: logger, ...LOG_LIFE_DEFAULTS }),
      brokerSettings: new BrokerSettings(options, listening, store, topicSettings),
      topicChanges: new TopicChanges(),
      autoCreation: new AutoCreation(store, partitionLimit, { enabled: false, partitions: 1 }),
      fetchSessions: new FetchSessions(options.maxFetchSessions),
    }
    this.#scheduler = scheduler
    this.#dispatch = new Dispatch([
      produceHandler(services),
      fetchHandler(services),
      offsetCommitHandler(services),
      offsetFetchHandler(services),
      findCoordinatorHandler(services),
      joinGroupHandler(services),
      heartbeatHandler(services),
      leaveGroupHandler(services),
      syncGroupHandler(services),
      describeGroupsHandler(services),
      listGroupsHandler(services),
      deleteTopicsHandler(services),
      initProducerIdHandler(services),
      addPartitionsToTxnHandler(services),
      addOffsetsToTxnHandler(services),
      endTxnHandler(services),
      txnOffsetCommitHandler(services),
      deleteGroupsHandler(services),
      offsetDeleteHandler(services),
      describeTransactionsHandler(services),
      listTransactionsHandler(services),
      consumerGroupHeartbeatHandler(services),
      consumerGroupDescribeHandler(services),
    ])
    this.#groups.start()
    this.#transactions.start()
  }

  /** Answers a request as a connection would have it answered. */
  readonly serve = (
    frame: Uint8Array,
    requester: Requester,
  ): readonly Part[] | null | Promise<readonly Part[] | null> => this.#dispatch.execute(frame, requester)

  /** Nothing that was planned happens any more. */
  kill(): void {
    this.#scheduler.stop()
  }

  /** As `Broker.close` does it: whoever waits is answered first. */
  close(): void {
    this.#groups.close()
    this.#transactions.close()
  }
}

function loggerTo(log: BrokerProcessOptions['log']): Logger {
  const to = (level: string) => (fields: object, message: string) => {
    const { err } = fields as { err?: unknown }
    log(level, err instanceof Error ? `${message}: ${err.stack}` : message)
  }
  return { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
}
