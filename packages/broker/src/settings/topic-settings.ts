import { type CompressionName, compressionIds } from '@streambus/protocol'
import type { KeepingPolicy, Topic } from '@streambus/storage'
import { BrokerError } from '../broker-error.ts'
import { nearestName } from '../nearest-name.ts'
import { ConfigSource, ConfigType, type DescribedSetting } from './setting.ts'

/** Kafka's default for a batch: 1 MiB and room for a header. */
const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
const MAX_INT64 = '9223372036854775807'
const WEEK_MS = 604_800_000

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
  /** How batches are stored, by codec id; null where they stay as the producer sent them. */
  readonly compression: { readonly codec: number; readonly level: number | undefined } | null
  /** What of each log stays; null where nothing is deleted for its age or its size. */
  readonly retention: { readonly ms: number; readonly bytes: number } | null
  readonly keeping: KeepingPolicy
}

const COMPACT = /(^|,)compact(,|$)/

/** Whether these settings of a topic let it be compacted. */
export function isCompacted(configs: Readonly<Record<string, string>>): boolean {
  return COMPACT.test(configs['cleanup.policy'] ?? '')
}

/** What batches may be compressed with, by Kafka's names; `producer` leaves them as they are. */
const COMPRESSION_TYPES: ReadonlyMap<string, CompressionName | null> = new Map([
  ['producer', null],
  ['uncompressed', 'none'],
  ['gzip', 'gzip'],
  ['snappy', 'snappy'],
  ['lz4', 'lz4'],
  ['zstd', 'zstd'],
])

/** Codecs whose level can be set (KIP-390). lz4 is left out: its library has none. */
const LEVELS = { gzip: 'compression.gzip.level', zstd: 'compression.zstd.level' } as const

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
  /** Of the broker, where they are not those of the table. */
  readonly #defaults: ReadonlyMap<string, string>
  readonly #parsed = new WeakMap<Topic, TopicSettings>()

  /**
   * @param maxBatchBytes largest batch the store takes
   * @param defaults of the broker, by the names of topic settings. Throws BrokerError INVALID_OPTION for one that a
   * topic cannot have
   */
  constructor(maxBatchBytes: number, defaults: Readonly<Record<string, string>> = {}) {
    for (const definition of definitions(maxBatchBytes)) this.#definitions.set(definition.name, definition)
    this.#defaults = new Map(Object.entries(defaults))
    const problem = this.#problemWithDefaults(defaults)
    if (problem !== undefined) throw new BrokerError('INVALID_OPTION', `Option topicDefaults: ${problem}`)
  }

  #problemWithDefaults(defaults: Readonly<Record<string, string>>): string | undefined {
    for (const [name, value] of Object.entries(defaults)) {
      const problem = this.problemWith(name, value)
      if (problem !== undefined) return problem
    }
    return this.problemTogether({})
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
    return this.#defaults.get(name) ?? definition.defaultValue
  }

  /** Why these settings cannot be those of one topic, each of which can be by itself. */
  problemTogether(configs: Readonly<Record<string, string>>): string | undefined {
    const value = (name: string) => BigInt(configs[name] ?? this.defaultOf(name))
    const [least, most] = [value('min.compaction.lag.ms'), value('max.compaction.lag.ms')]
    if (least <= most) return undefined
    return `Setting min.compaction.lag.ms is ${least}, and cannot be above max.compaction.lag.ms, which is ${most}.`
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
    const problem = this.problemTogether(configs)
    return problem === undefined ? { configs } : { problem }
  }

  of(topic: Topic): TopicSettings {
    const known = this.#parsed.get(topic)
    if (known !== undefined) return known
    const value = (name: string): string => topic.configs[name] ?? this.defaultOf(name)
    /** Kafka's -1, and what is more than a number of JavaScript holds, are no limit. */
    const limit = (name: string): number => {
      const number = Number(value(name))
      return number < 0 || number > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : number
    }
    const policies = value('cleanup.policy').split(',')
    const isDeleted = policies.includes('delete')
    const isKeptCompact = policies.includes('compact')
    const retention = { ms: limit('retention.ms'), bytes: limit('retention.bytes') }
    const isLimited = Number.isFinite(retention.ms) || Number.isFinite(retention.bytes)
    const segmentBytes = Number(value('segment.bytes'))
    const codec = COMPRESSION_TYPES.get(value('compression.type')) ?? null
    const level = codec === 'gzip' || codec === 'zstd' ? Number(value(LEVELS[codec])) : undefined
    const settings: TopicSettings = {
      maxMessageBytes: Number(value('max.message.bytes')),
      logAppendTime: value('message.timestamp.type') === 'LogAppendTime',
      timestampBeforeMaxMs: Number(value('message.timestamp.before.max.ms')),
      timestampAfterMaxMs: Number(value('message.timestamp.after.max.ms')),
      isCompacted: isKeptCompact,
      segmentBytes,
      compression: codec === null ? null : { codec: compressionIds[codec], level },
      retention: isDeleted && isLimited ? retention : null,
      keeping: {
        segmentBytes,
        segmentMs: Number(value('segment.ms')),
        retentionMs: isDeleted ? retention.ms : Number.POSITIVE_INFINITY,
        retentionBytes: isDeleted ? retention.bytes : Number.POSITIVE_INFINITY,
        compaction: isKeptCompact
          ? {
              minDirtyRatio: Number(value('min.cleanable.dirty.ratio')),
              minLagMs: limit('min.compaction.lag.ms'),
              maxLagMs: limit('max.compaction.lag.ms'),
              deleteRetentionMs: limit('delete.retention.ms'),
            }
          : null,
      },
    }
    this.#parsed.set(topic, settings)
    return settings
  }

  /** Every setting of a topic with these values of its own, in the order of the table. */
  describe(configs: Readonly<Record<string, string>>): DescribedSetting[] {
    return [...this.#definitions.values()].map((definition) => {
      const own = configs[definition.name]
      const inherited = this.#inherited(definition)
      const synonyms =
        own === undefined
          ? inherited
          : [{ name: definition.name, value: own, source: ConfigSource.TOPIC }, ...inherited]
      const { value, source } = synonyms[0]!
      return {
        name: definition.name,
        value,
        source,
        readOnly: false,
        type: definition.type,
        documentation: definition.documentation,
        synonyms,
      }
    })
  }

  /** The broker-wide defaults under the names Kafka has for them. */
  describeDefaults(): DescribedSetting[] {
    return [...this.#definitions.values()].map((definition) => {
      const synonyms = this.#inherited(definition)
      const { value, source } = synonyms[0]!
      return {
        name: definition.brokerName,
        value,
        source,
        readOnly: true,
        type: definition.type,
        documentation: `Default for topics. ${definition.documentation}`,
        synonyms,
      }
    })
  }

  /** What a topic without a value of its own has, in order of precedence. */
  #inherited({ name, brokerName, defaultValue }: Definition): DescribedSetting['synonyms'][number][] {
    const given = this.#defaults.get(name)
    const inherited = { name: brokerName, value: defaultValue, source: ConfigSource.DEFAULT }
    return given === undefined
      ? [inherited]
      : [{ name: brokerName, value: given, source: ConfigSource.STATIC_BROKER }, inherited]
  }
}

/**
 * Throws BrokerError INVALID_OPTION for a default that a topic cannot have, as far as that is known without a store,
 * which says how large a batch may be.
 */
export function checkTopicDefaults(defaults: Readonly<Record<string, string>>): void {
  new TopicSettingsTable(Number.MAX_SAFE_INTEGER, defaults)
}

/** Names of topic settings by what Kafka calls the broker-wide default of each. */
export function topicSettingNames(): ReadonlyMap<string, string> {
  return new Map(definitions(Number.MAX_SAFE_INTEGER).map(({ brokerName, name }) => [brokerName, name]))
}

function definitions(maxBatchBytes: number): Definition[] {
  return [
    {
      name: 'max.message.bytes',
      brokerName: 'message.max.bytes',
      type: ConfigType.INT,
      defaultValue: String(Math.min(DEFAULT_MAX_MESSAGE_BYTES, maxBatchBytes)),
      ...wholeNumber('bytes', 1n, maxBatchBytes),
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
      ...wholeNumber('milliseconds', 0n, MAX_INT64),
      documentation: "How far a record's CreateTime may lie before the broker's clock, in milliseconds.",
    },
    {
      name: 'message.timestamp.after.max.ms',
      brokerName: 'log.message.timestamp.after.max.ms',
      type: ConfigType.LONG,
      defaultValue: '3600000',
      ...wholeNumber('milliseconds', 0n, MAX_INT64),
      documentation: "How far a record's CreateTime may lie after the broker's clock, in milliseconds.",
    },
    {
      name: 'compression.type',
      brokerName: 'compression.type',
      type: ConfigType.STRING,
      defaultValue: 'producer',
      allowed: 'uncompressed, gzip, snappy, lz4, zstd, or producer',
      isAllowed: oneOf(...COMPRESSION_TYPES.keys()),
      documentation:
        'How batches are stored: in this codec, or (producer) as they were sent. One that arrives in another codec is checked and compressed anew.',
    },
    {
      name: LEVELS.gzip,
      brokerName: LEVELS.gzip,
      type: ConfigType.INT,
      defaultValue: '-1',
      allowed: '-1, which is the default of gzip, or a number from 1 to 9',
      isAllowed: (value) => /^(-1|[1-9])$/.test(value),
      documentation: 'Level of what compression.type=gzip compresses anew: 1 is fast, 9 is small.',
    },
    {
      name: LEVELS.zstd,
      brokerName: LEVELS.zstd,
      type: ConfigType.INT,
      defaultValue: '3',
      allowed: 'a number from -131072 to 22',
      isAllowed: integerFrom(-131_072n, 22n),
      documentation:
        'Level of what compression.type=zstd compresses anew: the lowest is the fastest, 22 the smallest.',
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
        'What happens to old records: delete removes those past their retention; compact keeps the last record of every key, and wants a key on every record.',
    },
    {
      name: 'segment.bytes',
      brokerName: 'log.segment.bytes',
      type: ConfigType.INT,
      defaultValue: '1073741824',
      ...wholeNumber('bytes', 14n, 2_147_483_647),
      documentation:
        'Most bytes of records in a file that holds one partition; a record batch cannot be larger. Records are deleted by the batch, not by such files.',
    },
    {
      name: 'segment.ms',
      brokerName: 'log.roll.ms',
      type: ConfigType.LONG,
      defaultValue: String(WEEK_MS),
      ...wholeNumber('milliseconds', 1n, MAX_INT64),
      documentation:
        'How long records of a compacted topic may wait for the file they are in to be full before they are compacted, in milliseconds.',
    },
    {
      name: 'retention.ms',
      brokerName: 'log.retention.ms',
      type: ConfigType.LONG,
      defaultValue: String(WEEK_MS),
      ...wholeNumberOrNone('milliseconds'),
      documentation:
        'How long records are kept where the cleanup policy has delete, in milliseconds; -1 for ever. They are deleted by the batch, when all before them are past it too.',
    },
    {
      name: 'retention.bytes',
      brokerName: 'log.retention.bytes',
      type: ConfigType.LONG,
      defaultValue: '-1',
      ...wholeNumberOrNone('bytes'),
      documentation:
        'How many bytes of records a partition keeps at least where the cleanup policy has delete; -1 all of them.',
    },
    {
      name: 'min.cleanable.dirty.ratio',
      brokerName: 'log.cleaner.min.cleanable.ratio',
      type: ConfigType.DOUBLE,
      defaultValue: '0.5',
      allowed: 'a number from 0 to 1',
      isAllowed: (value) => /^(0|1|[01]?\.\d{1,15})$/.test(value) && Number(value) <= 1,
      documentation: 'Share of a log that no compaction has seen, from which on it is compacted.',
    },
    {
      name: 'min.compaction.lag.ms',
      brokerName: 'log.cleaner.min.compaction.lag.ms',
      type: ConfigType.LONG,
      defaultValue: '0',
      ...wholeNumber('milliseconds', 0n, MAX_INT64),
      documentation: 'How long a record is left alone by compaction, in milliseconds.',
    },
    {
      name: 'max.compaction.lag.ms',
      brokerName: 'log.cleaner.max.compaction.lag.ms',
      type: ConfigType.LONG,
      defaultValue: MAX_INT64,
      ...wholeNumber('milliseconds', 1n, MAX_INT64),
      documentation: 'Age at which a record is compacted whatever the share of the log, in milliseconds.',
    },
    {
      name: 'delete.retention.ms',
      brokerName: 'log.cleaner.delete.retention.ms',
      type: ConfigType.LONG,
      defaultValue: '86400000',
      ...wholeNumber('milliseconds', 0n, MAX_INT64),
      documentation:
        'How long a tombstone stays after it was first compacted, in milliseconds: a reader that began before has so long to come to it.',
    },
  ]
}

function oneOf(...values: string[]): (value: string) => boolean {
  return (value) => values.includes(value)
}

type Allowed = Pick<Definition, 'allowed' | 'isAllowed'>

function wholeNumber(unit: string, least: bigint, most: number | string): Allowed {
  return {
    allowed: `a number of ${unit} from ${least} to ${most}`,
    isAllowed: integerFrom(least, BigInt(most)),
  }
}

/** For a limit that there need not be: -1 is none. */
function wholeNumberOrNone(unit: string): Allowed {
  return {
    allowed: `-1 or ${wholeNumber(unit, 0n, MAX_INT64).allowed}`,
    isAllowed: integerFrom(-1n, BigInt(MAX_INT64)),
  }
}

function integerFrom(least: bigint, most: bigint): (value: string) => boolean {
  return (value) => {
    if (!/^-?\d{1,19}$/.test(value)) return false
    const number = BigInt(value)
    return number >= least && number <= most
  }
}
