import type { Api } from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import type { Scheduler } from './coordinator/scheduler.ts'
import type { FetchSessions } from './fetch/fetch-sessions.ts'
import type { GroupCoordinator } from './groups/group-coordinator.ts'
import type { LogLife } from './log-life/log-life.ts'
import type { Logger } from './logger.ts'
import type { Requester } from './network/connection.ts'
import type { HostAndPort, ResolvedOptions } from './options.ts'
import type { Recompression } from './produce/recompression.ts'
import type { ProducerIds } from './producer-ids.ts'
import type { BrokerSettings } from './settings/broker-settings.ts'
import type { TopicSettingsTable } from './settings/topic-settings.ts'
import type { AutoCreation } from './topics/auto-creation.ts'
import type { PartitionLimit } from './topics/partition-limit.ts'
import type { TopicChanges } from './topics/topic-changes.ts'
import type { TransactionCoordinator } from './transactions/transaction-coordinator.ts'

/** What handlers work with. One object per broker; nothing is shared between brokers. */
export interface BrokerServices {
  readonly store: LogStore
  readonly options: ResolvedOptions
  /** What `options.port` became: differs when it was 0. */
  readonly listening: Readonly<HostAndPort>
  readonly log: Logger
  readonly clock: () => number
  readonly autoCreation: AutoCreation
  readonly topicChanges: TopicChanges
  readonly partitionLimit: PartitionLimit
  readonly topicSettings: TopicSettingsTable
  readonly brokerSettings: BrokerSettings
  readonly fetchSessions: FetchSessions
  readonly producerIds: ProducerIds
  readonly recompression: Recompression
  readonly scheduler: Scheduler
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly logLife: LogLife
}

export interface RequestContext {
  readonly version: number
  /** What the client calls itself; null where it does not. */
  readonly clientId: string | null
  readonly requester: Requester
}

/** A response body, or null for requests that want no response. */
export type Answer<ResponseInput> = ResponseInput | null | Promise<ResponseInput | null>

/** One API: which versions are advertised and how a request is answered. */
export interface Handler<Request = unknown, ResponseInput = unknown> {
  readonly api: Api<Request, unknown, unknown, ResponseInput>
  /** The range ApiVersions tells. Requests below the schema's own minimum are closed all the same. */
  readonly minVersion: number
  readonly maxVersion: number
  /** True when a connection may have several of these in execution, their responses still in order. */
  readonly mayOverlap?: boolean
  /** Answers what is wrong with a request inside the response; what it throws closes the connection. */
  handle(request: Request, context: RequestContext): Answer<ResponseInput>
}
