import { BrokerError } from '../broker-error.ts'
import { type GroupOptions, type ResolvedGroupOptions, resolveGroupOptions } from '../groups/group-options.ts'
import { nearestName } from '../nearest-name.ts'
import type { BrokerOptions } from '../options.ts'
import {
  type ResolvedTransactionOptions,
  resolveTransactionOptions,
  type TransactionOptions,
} from '../transactions/transaction-options.ts'
import { ConfigType } from './setting.ts'
import { checkTopicDefaults, topicSettingNames } from './topic-settings.ts'

/**
 * The settings of groups and transactions under the names Kafka has for them: what DescribeConfigs shows; and what
 * `streambus start --set` takes, the defaults of topics among it.
 */
interface Named<Key> {
  readonly key: Key
  readonly name: string
  readonly type: number
  readonly documentation: string
  /** What one of the setting's units is in the option's; 1 where left out. */
  readonly unit?: number
}

export const GROUP_SETTINGS: readonly Named<keyof GroupOptions>[] = [
  {
    key: 'initialRebalanceDelayMs',
    name: 'group.initial.rebalance.delay.ms',
    type: ConfigType.INT,
    documentation: 'How long the first members of an empty group wait for others, in milliseconds.',
  },
  {
    key: 'minSessionTimeoutMs',
    name: 'group.min.session.timeout.ms',
    type: ConfigType.INT,
    documentation: 'Shortest session timeout a member may have, in milliseconds.',
  },
  {
    key: 'maxSessionTimeoutMs',
    name: 'group.max.session.timeout.ms',
    type: ConfigType.INT,
    documentation: 'Longest session timeout a member may have, in milliseconds.',
  },
  {
    key: 'maxMembers',
    name: 'group.max.size',
    type: ConfigType.INT,
    documentation: 'Members of one group.',
  },
  {
    key: 'maxOffsetMetadataBytes',
    name: 'offset.metadata.max.bytes',
    type: ConfigType.INT,
    documentation: 'Longest metadata of a committed offset, in bytes.',
  },
  {
    key: 'offsetsRetentionMs',
    name: 'offsets.retention.minutes',
    type: ConfigType.INT,
    unit: 60_000,
    documentation: 'How long offsets are kept after their group was left, or after the commit, in minutes.',
  },
  {
    key: 'offsetsRetentionCheckIntervalMs',
    name: 'offsets.retention.check.interval.ms',
    type: ConfigType.LONG,
    documentation: 'How often expired offsets are looked for, in milliseconds.',
  },
  {
    key: 'consumerSessionTimeoutMs',
    name: 'group.consumer.session.timeout.ms',
    type: ConfigType.INT,
    documentation: 'How long a member of a consumer group may be silent, in milliseconds.',
  },
  {
    key: 'consumerHeartbeatIntervalMs',
    name: 'group.consumer.heartbeat.interval.ms',
    type: ConfigType.INT,
    documentation: 'How often members of consumer groups are told to send a heartbeat, in milliseconds.',
  },
  {
    key: 'consumerMaxMembers',
    name: 'group.consumer.max.size',
    type: ConfigType.INT,
    documentation: 'Members of one consumer group.',
  },
  {
    key: 'consumerAssignors',
    name: 'group.consumer.assignors',
    type: ConfigType.LIST,
    documentation: 'Assignors that consumer groups may ask for; the first is the default.',
  },
  {
    key: 'consumerMigrationPolicy',
    name: 'group.consumer.migration.policy',
    type: ConfigType.STRING,
    documentation: 'Whether groups may change between the classic and the consumer protocol while in use.',
  },
]

export const TRANSACTION_SETTINGS: readonly Named<keyof TransactionOptions>[] = [
  {
    key: 'maxTimeoutMs',
    name: 'transaction.max.timeout.ms',
    type: ConfigType.INT,
    documentation: 'Longest transaction timeout a producer may ask for, in milliseconds.',
  },
  {
    key: 'abortTimedOutIntervalMs',
    name: 'transaction.abort.timed.out.transaction.cleanup.interval.ms',
    type: ConfigType.INT,
    documentation: 'How often transactions past their timeout are looked for, in milliseconds.',
  },
  {
    key: 'idExpirationMs',
    name: 'transactional.id.expiration.ms',
    type: ConfigType.LONG,
    documentation: 'A transactional id unused for so long is forgotten, in milliseconds.',
  },
  {
    key: 'removeExpiredIntervalMs',
    name: 'transaction.remove.expired.transaction.cleanup.interval.ms',
    type: ConfigType.INT,
    documentation: 'How often transactional ids to be forgotten are looked for, in milliseconds.',
  },
]

/** Kafka's older names for times of logs, which count where no shorter unit is given. */
const LONGER_UNITS: ReadonlyMap<
  string,
  { readonly of: string; readonly unitMs: number; readonly shorter: readonly string[] }
> = new Map([
  ['log.retention.minutes', { of: 'retention.ms', unitMs: 60_000, shorter: ['log.retention.ms'] }],
  [
    'log.retention.hours',
    { of: 'retention.ms', unitMs: 3_600_000, shorter: ['log.retention.ms', 'log.retention.minutes'] },
  ],
  ['log.roll.hours', { of: 'segment.ms', unitMs: 3_600_000, shorter: ['log.roll.ms'] }],
])

/** How often the broker looks after its logs. */
export const LOG_LIFE_SETTINGS: readonly Named<'retentionCheckIntervalMs' | 'cleanerBackoffMs'>[] = [
  {
    key: 'retentionCheckIntervalMs',
    name: 'log.retention.check.interval.ms',
    type: ConfigType.LONG,
    documentation: 'How often records past their retention are looked for, in milliseconds.',
  },
  {
    key: 'cleanerBackoffMs',
    name: 'log.cleaner.backoff.ms',
    type: ConfigType.LONG,
    documentation: 'How often it is looked for what to compact or to merge, in milliseconds.',
  },
]

/** The value of a setting as text. */
export function shownValue<Options extends ResolvedGroupOptions | ResolvedTransactionOptions>(
  options: Options,
  { key, unit }: Named<keyof Options>,
): string {
  const value = options[key]
  return typeof value === 'number' ? String(value / (unit ?? 1)) : String(value)
}

/**
 * Broker options from settings in text. Throws BrokerError INVALID_OPTION for a name there is not, with the
 * nearest there is, and for a value that is not allowed.
 */
export function optionsFromSettings(
  settings: Readonly<Record<string, string>>,
): Pick<
  BrokerOptions,
  'groups' | 'transactions' | 'topicDefaults' | 'retentionCheckIntervalMs' | 'cleanerBackoffMs'
> {
  const topicNames = topicSettingNames()
  const topicDefaults: Record<string, string> = {}
  const intervals: { retentionCheckIntervalMs?: number; cleanerBackoffMs?: number } = {}
  const groups: Record<string, unknown> = {}
  const transactions: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(settings)) {
    const group = GROUP_SETTINGS.find((known) => known.name === name)
    const transaction = TRANSACTION_SETTINGS.find((known) => known.name === name)
    const interval = LOG_LIFE_SETTINGS.find((known) => known.name === name)
    if (group !== undefined) {
      groups[group.key] = parse(group, value)
      checked(group, `groups.${group.key}`, () =>
        resolveGroupOptions({ [group.key]: groups[group.key] }, false),
      )
    } else if (transaction !== undefined) {
      const { key } = transaction
      transactions[key] = parse(transaction, value)
      checked(transaction, `transactions.${key}`, () =>
        resolveTransactionOptions({ [key]: transactions[key] }),
      )
    } else if (topicNames.has(name)) {
      topicDefaults[topicNames.get(name)!] = value
    } else if (LONGER_UNITS.has(name)) {
      // The shorter unit counts where several are given, whatever their order.
      const { of, unitMs, shorter } = LONGER_UNITS.get(name)!
      const isForEver = of === 'retention.ms' && value === '-1'
      const ms = isForEver
        ? -1
        : parse({ key: name, name, type: ConfigType.LONG, documentation: '', unit: unitMs }, value)
      if (!shorter.some((one) => settings[one] !== undefined)) topicDefaults[of] = String(ms)
    } else if (interval !== undefined) {
      intervals[interval.key] = parse(interval, value) as number
    } else {
      const names = [
        ...[...GROUP_SETTINGS, ...TRANSACTION_SETTINGS, ...LOG_LIFE_SETTINGS].map((known) => known.name),
        ...topicNames.keys(),
        ...LONGER_UNITS.keys(),
      ]
      throw new BrokerError(
        'INVALID_OPTION',
        `There is no setting '${name.slice(0, 100)}'; the nearest one is ${nearestName(name, names)}.`,
      )
    }
  }
  try {
    checkTopicDefaults(topicDefaults)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    // Whoever gave a default by its name hears of it by that name.
    const brokerNames = [...topicNames].map(([brokerName, name]) => [name, brokerName] as const)
    const [name = '', brokerName = ''] =
      brokerNames.find(([one]) => error.message.includes(`Setting ${one} `)) ?? []
    const sentence = error.message.replace('Option topicDefaults: ', '')
    throw new BrokerError(error.code, sentence.replace(`Setting ${name} `, `Setting ${brokerName} `))
  }
  return { groups, transactions, topicDefaults, ...intervals }
}

/** Whoever gave a setting by its name hears of it by that name. */
function checked({ name }: Named<unknown>, optionName: string, check: () => unknown): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    throw new BrokerError(error.code, error.message.replace(`Option ${optionName}`, `Setting ${name}`))
  }
}

function parse({ name, type, unit }: Named<unknown>, value: string): unknown {
  if (type === ConfigType.STRING) return value
  if (type === ConfigType.LIST) return value.split(',').map((one) => one.trim())
  if (!/^\d{1,15}$/.test(value)) {
    throw new BrokerError(
      'INVALID_OPTION',
      `Setting ${name} must be a whole number, not '${value.slice(0, 100)}'.`,
    )
  }
  return Number(value) * (unit ?? 1)
}
