/**
 * The names that options may have, and what those may be that nothing else would notice: a misspelt `group` reads
 * without a group, and `autoCommit: 'no'` commits. Types refuse that; this is for JavaScript. Each list is typed by its
 * interface, so that one which is missing, or too many, or of another kind, does not compile.
 */
import type { ChangeOptions, CreateTopicOptions, NewTopic } from './admin/topics.ts'
import type { ConsumerOptions } from './consumer/consumer.ts'
import type { FetchOptions } from './consumer/fetch-settings.ts'
import { StreamBusError } from './errors.ts'
import type { GroupConsumerOptions } from './groups/group-consumer-options.ts'
import type {
  DeadLetterOptions,
  DelayTopicOptions,
  HandleOptions,
  RetryOptions,
} from './handling/handle-options.ts'
import type { ConnectOptions } from './options.ts'
import type { ProducerOptions } from './producer/producer.ts'
import type { SaslOptions } from './security/sasl.ts'
import type { TopicOptions } from './topics/topic.ts'
import type { InvalidMessageOptions } from './topics/typed-consumer.ts'
import type { ProcessOptions } from './transactions/process-options.ts'
import type { TransactionalProducerOptions } from './transactions/transactional-producer.ts'

type NameOf<Options> = Options extends unknown ? keyof Options : never
type ValueOf<Options, Name> = Options extends unknown
  ? Name extends keyof Options
    ? NonNullable<Options[Name]>
    : never
  : never

/** What an option is; `own` are those that have a check of their own where they are used. */
type OptionKind = 'flag' | 'text' | 'function' | 'signal' | 'own' | 'internal'

type KindOf<Value> = [Value] extends [boolean]
  ? 'flag'
  : [Value, string] extends [string, Value]
    ? 'text' | 'own'
    : [Value] extends [AbortSignal]
      ? 'signal'
      : [Value] extends [(...args: never[]) => unknown]
        ? 'function'
        : 'own'

/** By name what it is. `internal` ones are taken, and not told to people. */
type OptionNames<Options> = {
  readonly [Name in NameOf<Options>]: KindOf<ValueOf<Options, Name>> | 'internal'
}

export const connectNames: OptionNames<ConnectOptions> = {
  brokers: 'own',
  tls: 'own',
  sasl: 'own',
  clientId: 'text',
  connectTimeoutMs: 'own',
  requestTimeoutMs: 'own',
  retryTimeoutMs: 'own',
  retryBackoffMs: 'own',
  maxRetryBackoffMs: 'own',
  maxFrameBytes: 'own',
  metadataMaxAgeMs: 'own',
  logger: 'own',
  openTelemetry: 'flag',
  signal: 'signal',
}

export const saslNames: OptionNames<SaslOptions> = {
  mechanism: 'own',
  username: 'own',
  password: 'own',
  delegationToken: 'flag',
  token: 'function',
}

const sendingNames: OptionNames<Omit<ProducerOptions, 'acks' | 'idempotent'>> = {
  compression: 'own',
  lingerMs: 'own',
  maxBatchBytes: 'own',
  maxBufferedBytes: 'own',
  deliveryTimeoutMs: 'own',
}

export const producerNames: OptionNames<ProducerOptions | TransactionalProducerOptions> = {
  acks: 'own',
  idempotent: 'flag',
  ...sendingNames,
  transactionalId: 'own',
  transactionTimeoutMs: 'own',
}

export const topicNames: OptionNames<TopicOptions<unknown, unknown>> = { value: 'own', key: 'own' }

const fetchNames: OptionNames<Omit<FetchOptions, 'isolation'>> = {
  maxWaitMs: 'own',
  minBytes: 'own',
  maxBytes: 'own',
  maxPartitionBytes: 'own',
  prefetchBytes: 'own',
}

const consumerNames: OptionNames<ConsumerOptions> = {
  partitions: 'own',
  from: 'own',
  until: 'own',
  limit: 'own',
  isolation: 'own',
  ...fetchNames,
  verifyChecksums: 'flag',
  signal: 'signal',
}

type DecidedByWorker = 'from' | 'limit' | 'isolation' | 'autoCommit' | 'autoCommitIntervalMs'

/** Of a member of a group, also of one that processes. */
const memberNames: Omit<OptionNames<GroupConsumerOptions>, DecidedByWorker> = {
  group: 'own',
  until: 'own',
  ...fetchNames,
  instanceId: 'text',
  rebalanceTimeoutMs: 'own',
  onAssigned: 'function',
  onRevoked: 'function',
  verifyChecksums: 'flag',
  signal: 'signal',
  groupProtocol: 'own',
  assignors: 'own',
  sessionTimeoutMs: 'own',
  heartbeatIntervalMs: 'own',
  remoteAssignor: 'text',
  fromOfTopic: 'internal',
  observer: 'internal',
  ownAssignors: 'internal',
}

const groupConsumerNames: OptionNames<GroupConsumerOptions> = {
  from: 'own',
  limit: 'own',
  isolation: 'own',
  autoCommit: 'flag',
  autoCommitIntervalMs: 'own',
  ...memberNames,
}

export const invalidMessageNames: OptionNames<InvalidMessageOptions> = { onInvalid: 'function' }

const processNames: OptionNames<ProcessOptions> = {
  from: 'own',
  to: 'own',
  ...memberNames,
  startFrom: 'own',
  transactionalId: 'own',
  transactionTimeoutMs: 'own',
  maxTransactionMessages: 'own',
  maxTransactionMs: 'own',
  retry: 'own',
  deadLetter: 'own',
  producer: 'own',
}

const handleNames: OptionNames<HandleOptions> = {
  concurrency: 'own',
  maxAheadMessages: 'own',
  order: 'own',
  retry: 'own',
  deadLetter: 'own',
  handlerTimeoutMs: 'own',
  stalledAfterMs: 'own',
  closeTimeoutMs: 'own',
}

const retryInPlaceNames: OptionNames<Omit<RetryOptions, 'delayTopics'>> = {
  attempts: 'own',
  backoff: 'own',
  retryIf: 'function',
}

const retryNames: OptionNames<RetryOptions> = { ...retryInPlaceNames, delayTopics: 'own' }

const backoffNames: OptionNames<NonNullable<RetryOptions['backoff']>> = {
  initialMs: 'own',
  maxMs: 'own',
  factor: 'own',
}

const delayTopicNames: OptionNames<DelayTopicOptions> = {
  name: 'function',
  partitions: 'own',
  replicationFactor: 'own',
  configs: 'own',
}

const deadLetterNames: OptionNames<DeadLetterOptions> = { topic: 'own', maxStackBytes: 'own' }

export const changeNames: OptionNames<ChangeOptions> = {
  validateOnly: 'flag',
  timeoutMs: 'own',
  signal: 'signal',
  onRetry: 'function',
}

const createTopicNames: OptionNames<CreateTopicOptions> = {
  partitions: 'own',
  replicationFactor: 'own',
  replicas: 'own',
  configs: 'own',
}

export const createOneNames: OptionNames<CreateTopicOptions & ChangeOptions> = {
  ...createTopicNames,
  ...changeNames,
}

export const newTopicNames: OptionNames<NewTopic> = { name: 'own', ...createTopicNames }

const kinds: Readonly<Partial<Record<OptionKind, [what: string, is: (value: unknown) => boolean]>>> = {
  flag: ['true or false', (value) => typeof value === 'boolean'],
  text: ['a string', (value) => typeof value === 'string'],
  function: ['a function', (value) => typeof value === 'function'],
  // Also one of another realm, or of a library.
  signal: ['an AbortSignal', (value) => typeof value === 'object' && value !== null && 'aborted' in value],
}

/**
 * Throws INVALID_ARGUMENT where the options are no object, have a name that is not known, or one with a value of
 * another kind.
 *
 * @param owner what has the options, as people know it: `connect`, `retry.backoff`
 */
export function checkOptions(
  owner: string,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // Not what it is itself: it may be a password.
    throw invalidArgument(`The options of ${owner} must be an object, not ${kindOf(options)}.`)
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name))
  if (unknown === undefined) return checkKinds(owner, options, known)
  const told = Object.keys(known).filter((name) => known[name] !== 'internal')
  const near = nearest(unknown, told)
  const hint = near === undefined ? `; its options are ${told.join(', ')}.` : `; did you mean '${near}'?`
  throw invalidArgument(`${owner} has no option '${unknown.slice(0, 100)}'${hint}`)
}

function checkKinds(owner: string, options: object, known: Readonly<Record<string, OptionKind>>): void {
  for (const [name, value] of Object.entries(options)) {
    const kind = kinds[known[name] as OptionKind]
    if (value === undefined || kind === undefined || kind[1](value)) continue
    throw invalidArgument(`The option ${name} of ${owner} must be ${kind[0]}, not ${kindOf(value)}.`)
  }
}

/** With and without a group. `more`: those that a typed topic adds. */
export function checkConsumerOptions(
  options: unknown,
  more: Partial<typeof invalidMessageNames> = {},
): asserts options is ConsumerOptions | GroupConsumerOptions {
  checkOptions('consumer', options, { ...consumerNames, ...groupConsumerNames, ...more })
  const isMember = 'group' in options
  const own = { ...(isMember ? groupConsumerNames : consumerNames), ...more }
  const misplaced = Object.entries(options).find(
    ([name, value]) => value !== undefined && !Object.hasOwn(own, name),
  )
  if (misplaced === undefined) return
  throw invalidArgument(`${misplaced[0]} has no meaning ${isMember ? 'with' : 'without'} a group.`)
}

/** With the objects in them. */
export function checkHandleOptions(options: HandleOptions): void {
  checkOptions('consume', options, handleNames)
  const { retry, deadLetter } = options
  if (retry !== undefined) {
    checkOptions('retry', retry, retryNames)
    const { backoff, delayTopics } = retry
    if (backoff !== undefined) checkOptions('retry.backoff', backoff, backoffNames)
    if (delayTopics !== undefined && typeof delayTopics !== 'boolean') {
      checkOptions('retry.delayTopics', delayTopics, delayTopicNames)
    }
  }
  if (typeof deadLetter === 'object') checkOptions('deadLetter', deadLetter, deadLetterNames)
}

/** With the objects in them that `checkHandleOptions` does not see, or knows more of. */
export function checkProcessOptions(options: ProcessOptions): void {
  checkOptions('process', options, processNames)
  const { retry, producer } = options
  if (retry !== undefined) checkOptions('process.retry', retry, retryInPlaceNames)
  if (producer !== undefined) checkOptions('process.producer', producer, sendingNames)
}

/** Throws INVALID_ARGUMENT for what cannot be a topic; whether there is one is the cluster's to say. */
export function checkTopicName(name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '') return
  const given = name === '' ? 'empty' : kindOf(name)
  throw invalidArgument(`The name of a topic must be a string that is not empty, and is ${given}.`)
}

/** The same for a topic that may be meant by its id. */
export function checkTopicReference(topic: unknown): void {
  const id = typeof topic === 'object' && topic !== null && 'id' in topic ? topic.id : undefined
  if (typeof id !== 'string' || id === '') checkTopicName(topic)
}

/** The same for one or more topics to read. */
export function checkTopicNames(names: unknown): asserts names is string | readonly string[] {
  if (!Array.isArray(names)) return checkTopicName(names)
  if (names.length === 0) throw invalidArgument('The list of topics to read is empty.')
  for (const name of names) checkTopicName(name)
}

/** Throws INVALID_ARGUMENT where an argument that has to be a list is none. */
export function checkList(what: string, list: unknown): asserts list is readonly unknown[] {
  if (!Array.isArray(list)) throw invalidArgument(`${what} must be an array, not ${kindOf(list)}.`)
}

/** Throws INVALID_ARGUMENT where what is to be committed up to is no message, and not like one. */
export function checkCommitPlace(place: unknown): void {
  const { topic, partition, offset } = (place ?? {}) as Partial<Record<string, unknown>>
  if (typeof topic === 'string' && Number.isSafeInteger(partition) && Number.isSafeInteger(offset)) return
  throw invalidArgument('What is committed up to must be a message, or have its topic, partition and offset.')
}

/** Throws INVALID_ARGUMENT where an argument that has to be called cannot be. */
export function checkHandler(handler: unknown): void {
  if (typeof handler !== 'function') {
    throw invalidArgument(`The handler must be a function, not ${kindOf(handler)}.`)
  }
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The one that a slip of the keyboard made this of, if any: letters of the other case are no mistake at all. */
function nearest(name: string, known: readonly string[]): string | undefined {
  // A name far longer than any option's is no slip; it is cut, so that the comparison stays cheap.
  const wanted = name.slice(0, 50).toLowerCase()
  let fewest = Math.max(2, Math.floor(wanted.length / 3)) + 1
  let found: string | undefined
  for (const candidate of known) {
    const changes = editDistance(wanted, candidate.toLowerCase())
    if (changes >= fewest) continue
    fewest = changes
    found = candidate
  }
  return found
}

/** Letters to insert, leave out, replace, or swap with their neighbour (optimal string alignment). */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = last[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, replaced)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1)
      }
    }
    beforeLast = last
    last = row
  }
  return last[to.length]!
}

function invalidArgument(message: string): StreamBusError {
  return new StreamBusError('INVALID_ARGUMENT', message)
}
