import type { LogStore } from '@streambus/storage'
import { FETCH_MAX_BYTES } from '../fetch/fetch-limits.ts'
import { type GroupOptions, type ResolvedGroupOptions, resolveGroupOptions } from '../groups/group-options.ts'
import { nearestName } from '../nearest-name.ts'
import { NODE_ID } from '../node-identity.ts'
import type { HostAndPort, ResolvedOptions } from '../options.ts'
import {
  DEFAULT_TRANSACTION_OPTIONS,
  type ResolvedTransactionOptions,
  type TransactionOptions,
} from '../transactions/transaction-options.ts'
import { ConfigSource, ConfigType, type DescribedSetting } from './setting.ts'
import type { TopicSettingsTable } from './topic-settings.ts'

/**
 * The start options of a broker under the names Kafka has for them, where it has one. They are read-only: a
 * broker gets other values by being started with them.
 */
export class BrokerSettings {
  readonly #described: readonly DescribedSetting[]

  constructor(
    options: ResolvedOptions,
    listening: Readonly<HostAndPort>,
    store: LogStore,
    topicSettings: TopicSettingsTable,
  ) {
    const { BOOLEAN, INT, LONG, LIST } = ConfigType
    const advertised = options.advertise ?? listening
    this.#described = [
      option('node.id', INT, NODE_ID, 'Id of this broker in its cluster.', true),
      option('listeners', LIST, listenerUrl(listening), 'Where the broker listens.', false),
      option(
        'advertised.listeners',
        LIST,
        listenerUrl(advertised),
        'Where clients are told to connect to.',
        false,
      ),
      option('log.dirs', LIST, store.location, 'Where records are kept.', false),
      option(
        'auto.create.topics.enable',
        BOOLEAN,
        options.autoCreateTopics,
        'Whether asking for a missing topic creates it.',
        options.autoCreateTopics,
      ),
      option(
        'num.partitions',
        INT,
        options.defaultPartitions,
        'Partitions of a topic whose creator names no number.',
        options.defaultPartitions === 1,
      ),
      option(
        'default.replication.factor',
        INT,
        1,
        'Replicas of a topic whose creator names no number.',
        true,
      ),
      option(
        'socket.request.max.bytes',
        INT,
        options.maxFrameBytes,
        'Largest request taken, in bytes.',
        false,
      ),
      option(
        'queued.max.request.bytes',
        LONG,
        options.maxInFlightBytes,
        'Request bytes read and not yet answered, over all connections, above which sockets are not read.',
        false,
      ),
      option('max.connections', INT, options.maxConnections, 'Connections at once.', false),
      option(
        'connections.max.idle.ms',
        LONG,
        options.connectionIdleMs,
        'A connection that sends nothing and waits for nothing is closed after this long, in milliseconds.',
        options.connectionIdleMs === 600_000,
      ),
      option(
        'fetch.max.bytes',
        INT,
        FETCH_MAX_BYTES,
        'Largest answer to a fetch, in bytes of records.',
        true,
      ),
      option(
        'max.incremental.fetch.session.cache.slots',
        INT,
        options.maxFetchSessions,
        'Incremental fetch sessions kept.',
        options.maxFetchSessions === 1000,
      ),
      ...groupSettings(options.groups, options.dataDir === undefined),
      ...transactionSettings(options.transactions),
      ...topicSettings.describeDefaults(),
    ]
  }

  describe(): readonly DescribedSetting[] {
    return this.#described
  }

  /** Why a broker setting cannot be altered, as a sentence. */
  refusal(name: string | undefined): string {
    const names = this.#described.map((setting) => setting.name)
    if (name === undefined || names.includes(name)) {
      return 'Broker settings are read-only: start the broker with the option that sets the value you want.'
    }
    return `There is no broker setting '${name.slice(0, 100)}'; the nearest one is ${nearestName(name, names)}.`
  }
}

function groupSettings(options: ResolvedGroupOptions, inMemory: boolean): DescribedSetting[] {
  const { INT, LIST, LONG, STRING } = ConfigType
  const defaults = resolveGroupOptions({}, inMemory)
  const setting = (key: keyof GroupOptions, name: string, type: number, documentation: string) => {
    const value = String(options[key])
    return option(name, type, value, documentation, value === String(defaults[key]))
  }
  return [
    setting(
      'initialRebalanceDelayMs',
      'group.initial.rebalance.delay.ms',
      INT,
      'How long the first members of an empty group wait for others, in milliseconds.',
    ),
    setting(
      'minSessionTimeoutMs',
      'group.min.session.timeout.ms',
      INT,
      'Shortest session timeout a member may have, in milliseconds.',
    ),
    setting(
      'maxSessionTimeoutMs',
      'group.max.session.timeout.ms',
      INT,
      'Longest session timeout a member may have, in milliseconds.',
    ),
    setting('maxMembers', 'group.max.size', INT, 'Members of one group.'),
    setting(
      'maxOffsetMetadataBytes',
      'offset.metadata.max.bytes',
      INT,
      'Longest metadata of a committed offset, in bytes.',
    ),
    option(
      'offsets.retention.minutes',
      INT,
      options.offsetsRetentionMs / 60_000,
      'How long offsets are kept after their group was left, or after the commit, in minutes.',
      options.offsetsRetentionMs === defaults.offsetsRetentionMs,
    ),
    setting(
      'offsetsRetentionCheckIntervalMs',
      'offsets.retention.check.interval.ms',
      LONG,
      'How often expired offsets are looked for, in milliseconds.',
    ),
    setting(
      'consumerSessionTimeoutMs',
      'group.consumer.session.timeout.ms',
      INT,
      'How long a member of a consumer group may be silent, in milliseconds.',
    ),
    setting(
      'consumerHeartbeatIntervalMs',
      'group.consumer.heartbeat.interval.ms',
      INT,
      'How often members of consumer groups are told to send a heartbeat, in milliseconds.',
    ),
    setting('consumerMaxMembers', 'group.consumer.max.size', INT, 'Members of one consumer group.'),
    setting(
      'consumerAssignors',
      'group.consumer.assignors',
      LIST,
      'Assignors that consumer groups may ask for; the first is the default.',
    ),
    setting(
      'consumerMigrationPolicy',
      'group.consumer.migration.policy',
      STRING,
      'Whether groups may change between the classic and the consumer protocol while in use.',
    ),
  ]
}

function transactionSettings(options: ResolvedTransactionOptions): DescribedSetting[] {
  const { INT, LONG } = ConfigType
  const setting = (key: keyof TransactionOptions, name: string, type: number, documentation: string) =>
    option(name, type, options[key], documentation, options[key] === DEFAULT_TRANSACTION_OPTIONS[key])
  return [
    setting(
      'maxTimeoutMs',
      'transaction.max.timeout.ms',
      INT,
      'Longest transaction timeout a producer may ask for, in milliseconds.',
    ),
    setting(
      'abortTimedOutIntervalMs',
      'transaction.abort.timed.out.transaction.cleanup.interval.ms',
      INT,
      'How often transactions past their timeout are looked for, in milliseconds.',
    ),
    setting(
      'idExpirationMs',
      'transactional.id.expiration.ms',
      LONG,
      'A transactional id unused for so long is forgotten, in milliseconds.',
    ),
    setting(
      'removeExpiredIntervalMs',
      'transaction.remove.expired.transaction.cleanup.interval.ms',
      INT,
      'How often transactional ids to be forgotten are looked for, in milliseconds.',
    ),
  ]
}

function option(
  name: string,
  type: number,
  value: string | number | boolean,
  documentation: string,
  isDefault: boolean,
): DescribedSetting {
  const source = isDefault ? ConfigSource.DEFAULT : ConfigSource.STATIC_BROKER
  const text = String(value)
  return {
    name,
    value: text,
    source,
    readOnly: true,
    type,
    documentation,
    synonyms: [{ name, value: text, source }],
  }
}

function listenerUrl({ host, port }: Readonly<HostAndPort>): string {
  return `PLAINTEXT://${host.includes(':') ? `[${host}]` : host}:${port}`
}
