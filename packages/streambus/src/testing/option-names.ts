import { closest, distance } from 'fastest-levenshtein'
import { invalidArgument } from './arguments.ts'
import type { TestBrokerOptions } from './test-broker.ts'

/** Typed by the interface, so that a name which is missing, or too many, does not compile. */
const NAMES: Readonly<Record<keyof TestBrokerOptions, true>> = {
  onDisk: true,
  dataDir: true,
  clock: true,
  durability: true,
  cacheBytes: true,
  truncateDamaged: true,
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
}

/** Throws INVALID_ARGUMENT where the options of a helper are no object, or have a name that is not among these. */
export function checkNames(owner: string, options: object, names: readonly string[]): void {
  checkObject(`The options of ${owner}`, options)
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown === undefined) return
  const shown = unknown.slice(0, 100)
  const near = closest(shown, names)
  const hint = distance(shown, near) > 2 ? `its options are ${names.join(', ')}.` : `did you mean '${near}'?`
  throw invalidArgument(`${owner} has no option '${shown}'; ${hint}`)
}

/** Throws INVALID_ARGUMENT. The names within `groups` and `transactions` are checked by the broker. */
export function checkOptionNames(options: TestBrokerOptions): void {
  checkNames('startTestBroker', options, Object.keys(NAMES))
  const { groups = {}, transactions = {} } = options
  checkObject('groups', groups)
  checkObject('transactions', transactions)
}

function checkObject(subject: string, value: object): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return
  throw invalidArgument(`${subject} must be an object, not ${String(value)}.`)
}
