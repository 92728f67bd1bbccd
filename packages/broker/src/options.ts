import type { LogStore } from '@streambus/storage'
import { BrokerError } from './broker-error.ts'
import { type OwnedScheduler, SystemScheduler } from './coordinator/scheduler.ts'
import { type GroupOptions, type ResolvedGroupOptions, resolveGroupOptions } from './groups/group-options.ts'
import { type Logger, silentLogger } from './logger.ts'
import { checkOptionNames } from './option-names.ts'
import type { RequestInterceptor } from './request-interceptor.ts'
import { MAX_PARTITIONS_PER_TOPIC } from './topics/partition-count.ts'
import {
  type ResolvedTransactionOptions,
  resolveTransactionOptions,
  type TransactionOptions,
} from './transactions/transaction-options.ts'

const MEBIBYTE = 1024 * 1024

export const LOG_LIFE_DEFAULTS = { retentionCheckIntervalMs: 300_000, cleanerBackoffMs: 15_000 } as const

export interface HostAndPort {
  host: string
  port: number
}

/** What `Broker.start` takes. Everything has a default; without `dataDir` and `store` records live in memory. */
export interface BrokerOptions {
  /** Address to listen on. `0.0.0.0` is every IPv4 address, `::` every address. Default 127.0.0.1. */
  host?: string
  /** 0 takes a free port. Default 9092. */
  port?: number
  /** Folder of the records. Created when missing. */
  dataDir?: string
  /**
   * What an acknowledgement means with a `dataDir`: `fsync`, the record is on disk; `os`, the operating
   * system has it. Default fsync.
   */
  durability?: 'fsync' | 'os'
  /** Memory for the newest records of a `dataDir` and for those on their way to disk. Default 64 MiB. */
  cacheBytes?: number
  /**
   * Start although acknowledged records in `dataDir` are damaged: what precedes the damage is kept, the rest
   * is set aside in files beside it. Default false: such a folder is refused.
   */
  truncateDamaged?: boolean
  /** A store to use instead of one opened from `dataDir`. The broker closes it when it closes. */
  store?: LogStore
  /** Leaves `store` open when the broker closes, for a broker that goes on with it. Default false. */
  keepStoreOpen?: boolean
  /** Address that clients are told to connect to. Default: the one the broker listens on. */
  advertise?: HostAndPort
  /** Whether asking for a missing topic creates it. Default true. */
  autoCreateTopics?: boolean
  /** Partitions of a topic whose creator names no number. Default 1. */
  defaultPartitions?: number
  /**
   * Settings of topics that have no value of their own, by Kafka's names of topic settings:
   * `{ 'retention.ms': '3600000' }`. Default: Kafka's defaults.
   */
  topicDefaults?: Readonly<Record<string, string>>
  /** How often records past their retention are looked for. Default 5 minutes. */
  retentionCheckIntervalMs?: number
  /** How often it is looked for what to compact or to merge. Default 15 seconds. */
  cleanerBackoffMs?: number
  /** Largest request taken. Default 100 MiB. */
  maxFrameBytes?: number
  /**
   * Request bytes read but not yet answered, over all connections. Above it sockets are not read, and
   * resumed in the order in which they stopped. Default 32 MiB.
   */
  maxInFlightBytes?: number
  /** A connection that sends nothing and waits for nothing is closed after this long. Default 10 minutes. */
  connectionIdleMs?: number
  /** Connections at once; further ones are closed at once. Default 10,000. */
  maxConnections?: number
  /** Partitions of all topics together; creating more is refused. Default 200,000. */
  maxPartitions?: number
  /**
   * Response bytes in memory on their way to sockets, over all connections: so many of records, and as many of
   * everything else. Default 64 MiB.
   */
  maxResponseBufferBytes?: number
  /** Incremental fetch sessions (KIP-227) kept; the one unused for longest makes room. Default 1,000. */
  maxFetchSessions?: number
  /** Limits and times of transactions. */
  transactions?: TransactionOptions
  /** How long `close` waits for requests in flight. Default 10 seconds. */
  shutdownTimeoutMs?: number
  /** How groups of consumers and their offsets are kept. */
  groups?: GroupOptions
  /** Default: silent. */
  log?: Logger
  /** Milliseconds since the Unix epoch. Default: that of `scheduler`, or else Date.now. */
  clock?: () => number
  /**
   * The time that groups and transactions go by: their timeouts and whatever they do now and then. The broker
   * closes it when it closes. Long polls, idle connections and `shutdownTimeoutMs` go by the time of the
   * process. Default: timers of the process.
   */
  scheduler?: OwnedScheduler
  /** Stands between requests and what answers them. Default: nothing does. */
  interceptor?: RequestInterceptor
}

/** The options with every default filled in. */
export interface ResolvedOptions {
  readonly host: string
  readonly port: number
  readonly dataDir: string | undefined
  readonly durability: 'fsync' | 'os'
  readonly cacheBytes: number
  readonly truncateDamaged: boolean
  readonly store: LogStore | undefined
  readonly keepStoreOpen: boolean
  readonly advertise: Readonly<HostAndPort> | undefined
  readonly autoCreateTopics: boolean
  readonly defaultPartitions: number
  readonly topicDefaults: Readonly<Record<string, string>>
  readonly retentionCheckIntervalMs: number
  readonly cleanerBackoffMs: number
  readonly maxFrameBytes: number
  readonly maxInFlightBytes: number
  readonly connectionIdleMs: number
  readonly maxConnections: number
  readonly maxPartitions: number
  readonly maxResponseBufferBytes: number
  readonly maxFetchSessions: number
  readonly transactions: ResolvedTransactionOptions
  readonly shutdownTimeoutMs: number
  readonly groups: ResolvedGroupOptions
  readonly log: Logger
  readonly clock: () => number
  readonly scheduler: OwnedScheduler
  readonly interceptor: RequestInterceptor | undefined
}

/** Fills in the defaults. Throws BrokerError INVALID_OPTION naming the option and what it may be. */
export function resolveOptions(options: BrokerOptions): ResolvedOptions {
  checkOptionNames(options)
  const integer = (name: keyof BrokerOptions, fallback: number, least: number, most: number): number => {
    const value = options[name] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      throw new BrokerError(
        'INVALID_OPTION',
        `Option ${name} must be an integer from ${least} to ${most}, not ${String(value)}.`,
      )
    }
    return value
  }
  const durability = options.durability ?? 'fsync'
  if (durability !== 'fsync' && durability !== 'os') {
    throw new BrokerError(
      'INVALID_OPTION',
      `Option durability must be fsync or os, not ${String(durability)}.`,
    )
  }
  if (options.store !== undefined && options.dataDir !== undefined) {
    throw new BrokerError('INVALID_OPTION', 'Options store and dataDir exclude each other: give one of them.')
  }
  if (options.keepStoreOpen === true && options.store === undefined) {
    throw new BrokerError('INVALID_OPTION', 'Option keepStoreOpen is about a store: give one with it.')
  }
  const { advertise, scheduler } = options
  if (advertise !== undefined && !(advertise.host !== '' && advertise.port > 0 && advertise.port < 65_536)) {
    throw new BrokerError(
      'INVALID_OPTION',
      'Option advertise must have a host and a port from 1 to 65535 that clients can reach.',
    )
  }
  const clock = options.clock ?? (scheduler === undefined ? Date.now : () => scheduler.nowMs())
  return {
    host: options.host ?? '127.0.0.1',
    port: integer('port', 9092, 0, 65_535),
    dataDir: options.dataDir,
    durability,
    cacheBytes: integer('cacheBytes', 64 * MEBIBYTE, 4 * MEBIBYTE, 4096 * MEBIBYTE),
    truncateDamaged: options.truncateDamaged ?? false,
    store: options.store,
    keepStoreOpen: options.keepStoreOpen ?? false,
    advertise,
    autoCreateTopics: options.autoCreateTopics ?? true,
    defaultPartitions: integer('defaultPartitions', 1, 1, MAX_PARTITIONS_PER_TOPIC),
    topicDefaults: { ...options.topicDefaults },
    retentionCheckIntervalMs: integer(
      'retentionCheckIntervalMs',
      LOG_LIFE_DEFAULTS.retentionCheckIntervalMs,
      1,
      2 ** 31 - 1,
    ),
    cleanerBackoffMs: integer('cleanerBackoffMs', LOG_LIFE_DEFAULTS.cleanerBackoffMs, 1, 2 ** 31 - 1),
    maxFrameBytes: integer('maxFrameBytes', 100 * MEBIBYTE, 1024, 1024 * MEBIBYTE),
    maxInFlightBytes: integer('maxInFlightBytes', 32 * MEBIBYTE, 1024, Number.MAX_SAFE_INTEGER),
    connectionIdleMs: integer('connectionIdleMs', 600_000, 1, 2 ** 31 - 1),
    maxConnections: integer('maxConnections', 10_000, 1, 2 ** 31 - 1),
    maxPartitions: integer('maxPartitions', 200_000, 1, 2 ** 31 - 1),
    maxResponseBufferBytes: integer(
      'maxResponseBufferBytes',
      64 * MEBIBYTE,
      MEBIBYTE,
      Number.MAX_SAFE_INTEGER,
    ),
    maxFetchSessions: integer('maxFetchSessions', 1000, 0, 1_000_000),
    transactions: resolveTransactionOptions(options.transactions ?? {}),
    shutdownTimeoutMs: integer('shutdownTimeoutMs', 10_000, 0, 2 ** 31 - 1),
    groups: resolveGroupOptions(options.groups ?? {}, options.dataDir === undefined),
    log: options.log ?? silentLogger,
    clock,
    scheduler: scheduler ?? new SystemScheduler(clock),
    interceptor: options.interceptor,
  }
}
