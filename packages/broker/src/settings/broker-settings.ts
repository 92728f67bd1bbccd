import type { LogStore } from '@streambus/storage'
import { FETCH_MAX_BYTES } from '../fetch/fetch-limits.ts'
import { type ResolvedGroupOptions, resolveGroupOptions } from '../groups/group-options.ts'
import { nearestName } from '../nearest-name.ts'
import { NODE_ID } from '../node-identity.ts'
import { type HostAndPort, LOG_LIFE_DEFAULTS, type ResolvedOptions } from '../options.ts'
import {
  DEFAULT_TRANSACTION_OPTIONS,
  type ResolvedTransactionOptions,
} from '../transactions/transaction-options.ts'
import {
  GROUP_SETTINGS,
  LOG_LIFE_SETTINGS,
  shownValue,
  TRANSACTION_SETTINGS,
} from './coordinator-settings.ts'
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
      ...LOG_LIFE_SETTINGS.map(({ key, name, type, documentation }) =>
        option(name, type, options[key], documentation, options[key] === LOG_LIFE_DEFAULTS[key]),
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
  const defaults = resolveGroupOptions({}, inMemory)
  return GROUP_SETTINGS.map((setting) => {
    const value = shownValue(options, setting)
    return option(
      setting.name,
      setting.type,
      value,
      setting.documentation,
      value === shownValue(defaults, setting),
    )
  })
}

function transactionSettings(options: ResolvedTransactionOptions): DescribedSetting[] {
  return TRANSACTION_SETTINGS.map((setting) => {
    const value = shownValue(options, setting)
    const isDefault = value === shownValue(DEFAULT_TRANSACTION_OPTIONS, setting)
    return option(setting.name, setting.type, value, setting.documentation, isDefault)
  })
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
