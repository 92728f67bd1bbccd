/**
 * The names that options of a broker may have. Types refuse others, and JavaScript would pass over them: a misspelt
 * `dataDir` keeps records in memory. Each list is typed by its interface, so that one which is missing, or too many,
 * does not compile.
 */
import { BrokerError } from './broker-error.ts'
import type { GroupOptions } from './groups/group-options.ts'
import { nearestName } from './nearest-name.ts'
import type { BrokerOptions, HostAndPort } from './options.ts'
import { DEFAULT_TRANSACTION_OPTIONS } from './transactions/transaction-options.ts'

type NamesOf<Options> = Readonly<Record<keyof Options, true>>

const BROKER_NAMES: NamesOf<BrokerOptions> = {
  host: true,
  port: true,
  dataDir: true,
  durability: true,
  cacheBytes: true,
  truncateDamaged: true,
  store: true,
  keepStoreOpen: true,
  advertise: true,
  autoCreateTopics: true,
  defaultPartitions: true,
  topicDefaults: true,
  retentionCheckIntervalMs: true,
  cleanerBackoffMs: true,
  maxFrameBytes: true,
  maxInFlightBytes: true,
  connectionIdleMs: true,
  maxConnections: true,
  maxPartitions: true,
  maxResponseBufferBytes: true,
  maxFetchSessions: true,
  transactions: true,
  shutdownTimeoutMs: true,
  groups: true,
  log: true,
  clock: true,
  scheduler: true,
  interceptor: true,
}

const ADVERTISE_NAMES: NamesOf<HostAndPort> = { host: true, port: true }

const GROUP_NAMES: NamesOf<GroupOptions> = {
  initialRebalanceDelayMs: true,
  minSessionTimeoutMs: true,
  maxSessionTimeoutMs: true,
  maxMembers: true,
  maxGroupBytes: true,
  maxMembershipBytes: true,
  maxGroups: true,
  maxOffsetBytes: true,
  maxOffsetMetadataBytes: true,
  offsetsRetentionMs: true,
  offsetsRetentionCheckIntervalMs: true,
  consumerSessionTimeoutMs: true,
  consumerHeartbeatIntervalMs: true,
  consumerMaxMembers: true,
  consumerAssignors: true,
  consumerMigrationPolicy: true,
}

/** Throws BrokerError INVALID_OPTION where the options, or those in them, are no object or have an unknown name. */
export function checkOptionNames(options: BrokerOptions): void {
  check('', options, BROKER_NAMES)
  const { advertise, groups, transactions } = options
  if (advertise !== undefined) check('advertise', advertise, ADVERTISE_NAMES)
  if (groups !== undefined) check('groups', groups, GROUP_NAMES)
  if (transactions !== undefined) check('transactions', transactions, DEFAULT_TRANSACTION_OPTIONS)
}

function check(owner: string, options: object, known: object): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const subject = owner === '' ? 'The options of a broker' : `Option ${owner}`
    throw new BrokerError('INVALID_OPTION', `${subject} must be an object, not ${String(options)}.`)
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name))
  if (unknown === undefined) return
  const shown = (name: string | undefined) => (owner === '' ? name : `${owner}.${name}`)
  throw new BrokerError(
    'INVALID_OPTION',
    `There is no option ${shown(unknown.slice(0, 100))}; the nearest one is ${shown(nearestName(unknown, Object.keys(known)))}.`,
  )
}
