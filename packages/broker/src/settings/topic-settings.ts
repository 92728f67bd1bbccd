import type { Topic } from '@streambus/storage'
import { nearestName } from '../nearest-name.ts'
import { ConfigSource, ConfigType, type DescribedSetting } from './setting.ts'

/** Kafka's default for a batch: 1 MiB and room for a header. */
const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
const MAX_INT64 = '9223372036854775807'

/** A topic's settings as the handlers use them. */
export interface TopicSettings {
  readonly maxMessageBytes: number
  /** True: the broker's clock is the timestamp of every record. */
  readonly logAppendTime: boolean
  /** How far before and after the broker's clock a producer's timestamp may lie. */
  readonly timestampBeforeMaxMs: number
  readonly timestampAfterMaxMs: number
  /** True: every record needs a key. */
  readonly isCompacted: boolean
  readonly segmentBytes: number
}

const COMPACT = /(^|,)compact(,|$)/

/** Whether these settings of a topic let it be compacted. */
export function isCompacted(configs: Readonly<Record<string, string>>): boolean {
  return COMPACT.test(configs['cleanup.policy'] ?? '')
}

interface Definition {
  readonly name: string
  /** What Kafka calls the broker-wide default of this setting. */
  readonly brokerName: string
  readonly type: number
  readonly defaultValue: string
  /** What the value may be, to complete the sentence 'it must be …'. */
  readonly allowed: string
  readonly isAllowed: (value: string) => boolean
  readonly documentation: string
}

/** What a list of changes comes to: the new settings, or a sentence about what is wrong. */
export type SettingsOutcome =
  | { readonly configs: Record<string, string>; readonly problem?: undefined }
  | { readonly problem: string }

/** The settings a topic can have: what they are called, may be, and mean. */
export class TopicSettingsTable {
  readonly #definitions = new Map<string, Definition>()
  readonly #parsed = new WeakMap<Topic, TopicSettings>()

  /** @param maxBatchBytes largest batch the store takes */
  constructor(maxBatchBytes: number) {
    for (const definition of definitions(maxBatchBytes)) this.#definitions.set(definition.name, definition)
  }

  get names(): Iterable<string> {
    return this.#definitions.keys()
  }

  isList(name: string): boolean {
    return this.#definitions.get(name)?.type === ConfigType.LIST
  }

  defaultOf(name: string): string {
    const definition = this.#definitions.get(name)
    if (definition === undefined) throw new Error(`no setting ${name}`)
    return definition.defaultValue
  }

  /** Why the setting cannot have this value, as a sentence; undefined when it can. */
  problemWith(name: string, value: string): string | undefined {
    const definition = this.#definitions.get(name)
    if (definition === undefined) return this.problemWithName(name)
    if (definition.isAllowed(value)) return undefined
    return `Setting ${name} cannot be '${value.slice(0, 100)}': it must be ${definition.allowed}.`
  }

  problemWithName(name: string): string | undefined {
    if (this.#definitions.has(name)) return undefined
    const nearest = nearestName(name, this.#definitions.keys())
    return `There is no topic setting '${name.slice(0, 100)}'; the nearest one is ${nearest}.`
  }

  /** Takes whole settings, as CreateTopics and AlterConfigs give them. */
  check(entries: readonly { name: string; value: string | null }[]): SettingsOutcome {
    const configs: Record<string, string> = {}
    for (const { name, value } of entries) {
      const problem = value === null ? this.problemWithName(name) : this.problemWith(name, value)
      if (problem !== undefined) return { problem }
      if (value === null) {
        return { problem: `Setting ${name} has no value; leave it out to have its default.` }
      }
      if (configs[name] !== undefined) return { problem: `Setting ${name} is given twice.` }
      configs[name] = value
    }
    return { configs }
  }

  of(topic: Topic): TopicSettings {
    const known = this.#parsed.get(topic)
    if (known !== undefined) return known
    const value = (name: string): string => topic.configs[name] ?? this.defaultOf(name)
    const settings: TopicSettings = {
      maxMessageBytes: Number(value('max.message.bytes')),
      logAppendTime: value('message.timestamp.type') === 'LogAppendTime',
      timestampBeforeMaxMs: Number(value('message.timestamp.before.max.ms')),
      timestampAfterMaxMs: Number(value('message.timestamp.after.max.ms')),
      isCompacted: isCompacted(topic.configs),
      segmentBytes: Number(value('segment.bytes')),
    }
    this.#parsed.set(topic, settings)
    return settings
  }

  /** Every setting of a topic with these values of its own, in the order of the table. */
  describe(configs: Readonly<Record<string, string>>): DescribedSetting[] {
    return [...this.#definitions.values()].map((definition) => {
      const own = configs[definition.name]
      const inherited = {
        name: definition.brokerName,
        value: definition.defaultValue,
        source: ConfigSource.DEFAULT,
      }
      return {
        name: definition.name,
        value: own ?? definition.defaultValue,
        source: own === undefined ? ConfigSource.DEFAULT : ConfigSource.TOPIC,
        readOnly: false,
        type: definition.type,
        documentation: definition.documentation,
        synonyms:
          own === undefined
            ? [inherited]
            : [{ name: definition.name, value: own, source: ConfigSource.TOPIC }, inherited],
      }
    })
  }

  /** The broker-wide defaults, which cannot be changed, under the names Kafka has for them. */
  describeDefaults(): DescribedSetting[] {
    return [...this.#definitions.values()].map(
      ({ brokerName: name, defaultValue: value, type, documentation }) => ({
        name,
        value,
        source: ConfigSource.DEFAULT,
        readOnly: true,
        type,
        documentation: `Default for topics. ${documentation}`,
        synonyms: [{ name, value, source: ConfigSource.DEFAULT }],
      }),
    )
  }
}

function definitions(maxBatchBytes: number): Definition[] {
  return [
    {
      name: 'max.message.bytes',
      brokerName: 'message.max.bytes',
      type: ConfigType.INT,
      defaultValue: String(Math.min(DEFAULT_MAX_MESSAGE_BYTES, maxBatchBytes)),
      allowed: `a number of bytes from 1 to ${maxBatchBytes}`,
      isAllowed: integerFrom(1n, BigInt(maxBatchBytes)),
      documentation: 'Largest record batch, as sent and stored (after compression), in bytes.',
    },
    {
      name: 'message.timestamp.type',
      brokerName: 'log.message.timestamp.type',
      type: ConfigType.STRING,
      defaultValue: 'CreateTime',
      allowed: 'CreateTime or LogAppendTime',
      isAllowed: oneOf('CreateTime', 'LogAppendTime'),
      documentation:
        "Whose time a record bears: the producer's (CreateTime) or the broker's when it arrived (LogAppendTime).",
    },
    {
      name: 'message.timestamp.before.max.ms',
      brokerName: 'log.message.timestamp.before.max.ms',
      type: ConfigType.LONG,
      defaultValue: MAX_INT64,
      allowed: `a number of milliseconds from 0 to ${MAX_INT64}`,
      isAllowed: integerFrom(0n, BigInt(MAX_INT64)),
      documentation: "How far a record's CreateTime may lie before the broker's clock, in milliseconds.",
    },
    {
      name: 'message.timestamp.after.max.ms',
      brokerName: 'log.message.timestamp.after.max.ms',
      type: ConfigType.LONG,
      defaultValue: '3600000',
      allowed: `a number of milliseconds from 0 to ${MAX_INT64}`,
      isAllowed: integerFrom(0n, BigInt(MAX_INT64)),
      documentation: "How far a record's CreateTime may lie after the broker's clock, in milliseconds.",
    },
    {
      name: 'compression.type',
      brokerName: 'compression.type',
      type: ConfigType.STRING,
      defaultValue: 'producer',
      allowed: 'producer, because batches are stored as they were sent',
      isAllowed: oneOf('producer'),
      documentation: 'How batches are stored: compressed as the producer sent them.',
    },
    {
      name: 'min.insync.replicas',
      brokerName: 'min.insync.replicas',
      type: ConfigType.INT,
      defaultValue: '1',
      allowed: '1, because this cluster has one broker',
      isAllowed: oneOf('1'),
      documentation:
        'Replicas that must have a record before it is acknowledged to a producer with acks=all.',
    },
    {
      name: 'cleanup.policy',
      brokerName: 'log.cleanup.policy',
      type: ConfigType.LIST,
      defaultValue: 'delete',
      allowed: 'delete, compact, or both',
      isAllowed: oneOf('delete', 'compact', 'compact,delete', 'delete,compact'),
      documentation:
        'What may happen to old records: delete removes those past their retention; compact keeps at least the last record of every key, at present all of them, and wants a key on every record.',
    },
    {
      name: 'segment.bytes',
      brokerName: 'log.segment.bytes',
      type: ConfigType.INT,
      defaultValue: '1073741824',
      allowed: 'a number of bytes from 14 to 2147483647',
      isAllowed: integerFrom(14n, 2147483647n),
      documentation:
        'A record batch cannot be larger than this, in bytes. Partitions have no segments of their own.',
    },
    {
      name: 'retention.ms',
      brokerName: 'log.retention.ms',
      type: ConfigType.LONG,
      defaultValue: '-1',
      allowed: '-1, because records are kept until their topic is deleted',
      isAllowed: oneOf('-1'),
      documentation: 'How long records are kept, in milliseconds; -1 for ever.',
    },
    {
      name: 'retention.bytes',
      brokerName: 'log.retention.bytes',
      type: ConfigType.LONG,
      defaultValue: '-1',
      allowed: '-1, because records are kept until their topic is deleted',
      isAllowed: oneOf('-1'),
      documentation: 'How many bytes of records a partition keeps; -1 all of them.',
    },
  ]
}

function oneOf(...values: string[]): (value: string) => boolean {
  return (value) => values.includes(value)
}

function integerFrom(least: bigint, most: bigint): (value: string) => boolean {
  return (value) => {
    if (!/^-?\d{1,19}$/.test(value)) return false
    const number = BigInt(value)
    return number >= least && number <= most
  }
}
