/** Settings of topics, brokers, groups and metrics of clients: described, and changed one by one (KIP-226, KIP-339). */
import { describeConfigs, incrementalAlterConfigs, listConfigResources } from '@streambus/protocol'
import type { Connection } from '../connection.ts'
import { brokerError, StreamBusError } from '../errors.ts'
import { versionFor } from '../version-for.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'
import { type ChangeOptions, TopicPatience, topicError } from './topics.ts'

/**
 * What has settings: a topic, by its name alone too; a broker by its id, or `'default'` for what all brokers share;
 * the levels of a broker's loggers (KIP-412); a group (KIP-848); metrics that clients are to send (KIP-714).
 */
export type ConfigResource =
  | string
  | { readonly topic: string }
  | { readonly broker: number | 'default' }
  | { readonly brokerLogger: number }
  | { readonly group: string }
  | { readonly clientMetrics: string }

/** Where a value comes from, by Kafka's names in lower case; `unknown` for those of newer brokers. */
export type ConfigSource = (typeof sources)[number]

export type ConfigType = (typeof types)[number]

export interface ConfigEntry {
  readonly name: string
  /** Null where it is secret or not set. */
  readonly value: string | null
  /** False where somebody set it for this very resource. */
  readonly isDefault: boolean
  readonly isReadOnly: boolean
  readonly isSensitive: boolean
  readonly source: ConfigSource
  /** `unknown` where the broker does not tell (before Apache Kafka 2.6). */
  readonly type: ConfigType
  /** The values that hold where the ones before them are taken away, from the one in force on; empty unless asked for. */
  readonly synonyms: readonly ConfigSynonym[]
  /** Null unless asked for, or where the broker has none. */
  readonly documentation: string | null
}

export interface ConfigSynonym {
  readonly name: string
  readonly value: string | null
  readonly source: ConfigSource
}

export interface DescribeConfigsOptions extends AdminOptions {
  /** Only these settings. Default: all. */
  names?: readonly string[]
  /** Default false. */
  synonyms?: boolean
  /** Default false. */
  documentation?: boolean
}

/** A new value, null for the default, or values to add to a list or take from it. */
export type ConfigChange =
  | string
  | null
  | { readonly append: string | readonly string[] }
  | { readonly subtract: string | readonly string[] }

export type ConfigResourceKind = 'topic' | 'broker' | 'brokerLogger' | 'group' | 'clientMetrics'

/** Codes are positions. */
const sources = [
  'unknown',
  'dynamic_topic_config',
  'dynamic_broker_config',
  'dynamic_default_broker_config',
  'static_broker_config',
  'default_config',
  'dynamic_broker_logger_config',
  'dynamic_client_metrics_config',
  'dynamic_group_config',
] as const

const types = [
  'unknown',
  'boolean',
  'string',
  'int',
  'short',
  'long',
  'double',
  'list',
  'class',
  'password',
] as const

const resourceTypes = { topic: 2, broker: 4, brokerLogger: 8, clientMetrics: 16, group: 32 } as const

/** The sources of values that somebody set for the very resource. */
const ownSources: Readonly<Record<ConfigResourceKind, readonly ConfigSource[]>> = {
  topic: ['dynamic_topic_config'],
  broker: ['dynamic_broker_config', 'static_broker_config'],
  brokerLogger: ['dynamic_broker_logger_config'],
  group: ['dynamic_group_config'],
  clientMetrics: ['dynamic_client_metrics_config'],
}

const Operation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const

interface Subject {
  readonly kind: ConfigResourceKind
  /** As it is on the wire: empty for all brokers. */
  readonly name: string
  /** For error messages. */
  readonly shown: string
  /** The one broker that knows and changes it; undefined where any does. */
  readonly broker: number | undefined
}

export async function describeConfigsOf(
  requests: AdminRequests,
  resource: ConfigResource,
  options: DescribeConfigsOptions,
): Promise<ConfigEntry[]> {
  const subject = subjectOf(resource)
  const patience = new TopicPatience()
  return await onItsBroker(requests, subject, options, async (connection) => {
    const version = connection.versionOf(describeConfigs) ?? 0
    const answer = await connection.request(describeConfigs, {
      resources: [
        {
          resourceType: resourceTypes[subject.kind],
          resourceName: subject.name,
          configurationKeys: options.names ?? null,
        },
      ],
      ...(version >= 1 && { includeSynonyms: options.synonyms ?? false }),
      ...(version >= 3 && { includeDocumentation: options.documentation ?? false }),
    })
    return answer.results.flatMap(({ errorCode, errorMessage, configs }) => {
      if (errorCode !== 0) throw patience.with(refusal(errorCode, subject, 'read', errorMessage))
      return configs.map((config): ConfigEntry => {
        const source = sources[config.configSource] ?? 'unknown'
        return {
          name: config.name,
          value: config.value,
          isDefault:
            config.isDefault || (config.configSource >= 0 && !ownSourcesOf(subject).includes(source)),
          isReadOnly: config.readOnly,
          isSensitive: config.isSensitive,
          source,
          type: types[config.configType] ?? 'unknown',
          synonyms: config.synonyms.map((synonym) => ({
            name: synonym.name,
            value: synonym.value,
            source: sources[synonym.source] ?? 'unknown',
          })),
          documentation: config.documentation || null,
        }
      })
    })
  })
}

export async function alterConfigsOf(
  requests: AdminRequests,
  resource: ConfigResource,
  changes: Readonly<Record<string, ConfigChange>>,
  options: ChangeOptions,
): Promise<void> {
  const subject = subjectOf(resource)
  const configs = Object.entries(changes).map(([name, change]) => ({ name, ...operationOf(name, change) }))
  await onItsBroker(requests, subject, options, async (connection) => {
    const answer = await connection.request(incrementalAlterConfigs, {
      resources: [{ resourceType: resourceTypes[subject.kind], resourceName: subject.name, configs }],
      validateOnly: options.validateOnly ?? false,
    })
    for (const { errorCode, errorMessage } of answer.responses) {
      if (errorCode !== 0) throw refusal(errorCode, subject, 'change', errorMessage)
    }
  })
}

/** Sorted by name. */
export async function listResources(
  requests: AdminRequests,
  kind: ConfigResourceKind,
  options: AdminOptions,
): Promise<string[]> {
  const resourceType = resourceTypes[kind]
  return await requests.onAnyBroker(options, async (connection) => {
    const needed = kind === 'clientMetrics' ? 0 : 1
    const version = versionFor(connection, listConfigResources, needed, `list what has settings by ${kind}`)
    const answer = await connection.request(listConfigResources, {
      ...(version >= 1 && { resourceTypes: [resourceType] }),
    })
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot list what has settings')
    return answer.configResources.map(({ resourceName }) => resourceName).sort()
  })
}

function subjectOf(resource: ConfigResource): Subject {
  const [kind, id] = Object.entries(typeof resource === 'string' ? { topic: resource } : resource)[0] ?? []
  if (kind === undefined || !(kind in resourceTypes)) {
    const kinds = Object.keys(resourceTypes).join(', ')
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `What has settings is one of ${kinds}, not ${JSON.stringify(resource)}.`,
    )
  }
  const broker = typeof id === 'number' ? id : undefined
  const isForAllBrokers = kind === 'broker' && id === 'default'
  return {
    kind: kind as ConfigResourceKind,
    name: isForAllBrokers ? '' : String(id),
    shown: isForAllBrokers ? 'all brokers' : `${nouns[kind as ConfigResourceKind]} '${id}'`,
    broker,
  }
}

const nouns: Readonly<Record<ConfigResourceKind, string>> = {
  topic: 'topic',
  broker: 'broker',
  brokerLogger: 'the loggers of broker',
  group: 'group',
  clientMetrics: 'client metrics',
}

function ownSourcesOf({ kind, name }: Subject): readonly ConfigSource[] {
  return kind === 'broker' && name === '' ? ['dynamic_default_broker_config'] : ownSources[kind]
}

function operationOf(name: string, change: ConfigChange): { configOperation: number; value: string | null } {
  if (change === null) return { configOperation: Operation.DELETE, value: null }
  if (typeof change === 'string') return { configOperation: Operation.SET, value: change }
  if (typeof change === 'object' && 'append' in change) {
    return { configOperation: Operation.APPEND, value: [change.append].flat().join(',') }
  }
  if (typeof change === 'object' && 'subtract' in change) {
    return { configOperation: Operation.SUBTRACT, value: [change.subtract].flat().join(',') }
  }
  const message = `Setting ${name} is changed to a string, to null, by append or by subtract, not ${JSON.stringify(change)}.`
  throw new StreamBusError('INVALID_ARGUMENT', message)
}

/** What a broker has for itself is asked of it, everything else of the controller. */
function onItsBroker<T>(
  requests: AdminRequests,
  { broker }: Subject,
  options: AdminOptions,
  ask: (connection: Connection) => Promise<T>,
): Promise<T> {
  return broker === undefined ? requests.onController(options, ask) : requests.onBroker(broker, options, ask)
}

function refusal(code: number, { kind, name, shown }: Subject, verb: string, detail: string | null) {
  return kind === 'topic'
    ? topicError(code, name, `${verb} the settings of`, detail)
    : brokerError(code, `Cannot ${verb} the settings of ${shown}`, detail)
}
