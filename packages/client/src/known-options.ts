/**
 * The names that options may have. Types refuse others, and JavaScript would pass over them: a misspelt `group` reads
 * without a group. Each list is typed by its interface, so that one which is missing, or too many, does not compile.
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
/** By name, whether it is told to people: internal ones are taken, and not told. */
type OptionNames<Options> = Readonly<Record<NameOf<Options>, boolean>>

export const connectNames: OptionNames<ConnectOptions> = {
  brokers: true,
  tls: true,
  sasl: true,
  clientId: true,
  connectTimeoutMs: true,
  requestTimeoutMs: true,
  retryTimeoutMs: true,
  retryBackoffMs: true,
  maxRetryBackoffMs: true,
  maxFrameBytes: true,
  metadataMaxAgeMs: true,
  logger: true,
  openTelemetry: true,
  signal: true,
}

export const saslNames: OptionNames<SaslOptions> = {
  mechanism: true,
  username: true,
  password: true,
  delegationToken: true,
  token: true,
}

const sendingNames: OptionNames<Omit<ProducerOptions, 'acks' | 'idempotent'>> = {
  compression: true,
  lingerMs: true,
  maxBatchBytes: true,
  maxBufferedBytes: true,
  deliveryTimeoutMs: true,
}

export const producerNames: OptionNames<TransactionalProducerOptions> = {
  acks: true,
  idempotent: true,
  ...sendingNames,
  transactionalId: true,
  transactionTimeoutMs: true,
}

export const topicNames: OptionNames<TopicOptions<unknown, unknown>> = { value: true, key: true }

const fetchNames: OptionNames<Omit<FetchOptions, 'isolation'>> = {
  maxWaitMs: true,
  minBytes: true,
  maxBytes: true,
  maxPartitionBytes: true,
  prefetchBytes: true,
}

const consumerNames: OptionNames<ConsumerOptions> = {
  partitions: true,
  from: true,
  until: true,
  limit: true,
  isolation: true,
  ...fetchNames,
  verifyChecksums: true,
  signal: true,
}

type DecidedByWorker = 'from' | 'limit' | 'isolation' | 'autoCommit' | 'autoCommitIntervalMs'

/** Of a member of a group, also of one that processes. */
const memberNames: Omit<OptionNames<GroupConsumerOptions>, DecidedByWorker> = {
  group: true,
  until: true,
  ...fetchNames,
  instanceId: true,
  rebalanceTimeoutMs: true,
  onAssigned: true,
  onRevoked: true,
  verifyChecksums: true,
  signal: true,
  groupProtocol: true,
  assignors: true,
  sessionTimeoutMs: true,
  heartbeatIntervalMs: true,
  remoteAssignor: true,
  fromOfTopic: false,
  observer: false,
  ownAssignors: false,
}

const groupConsumerNames: OptionNames<GroupConsumerOptions> = {
  from: true,
  limit: true,
  isolation: true,
  autoCommit: true,
  autoCommitIntervalMs: true,
  ...memberNames,
}

export const invalidMessageNames: OptionNames<InvalidMessageOptions> = { onInvalid: true }

const processNames: OptionNames<ProcessOptions> = {
  from: true,
  to: true,
  ...memberNames,
  startFrom: true,
  transactionalId: true,
  transactionTimeoutMs: true,
  maxTransactionMessages: true,
  maxTransactionMs: true,
  retry: true,
  deadLetter: true,
  producer: true,
}

const handleNames: OptionNames<HandleOptions> = {
  concurrency: true,
  maxAheadMessages: true,
  order: true,
  retry: true,
  deadLetter: true,
  handlerTimeoutMs: true,
  stalledAfterMs: true,
  closeTimeoutMs: true,
}

const retryInPlaceNames: OptionNames<Omit<RetryOptions, 'delayTopics'>> = {
  attempts: true,
  backoff: true,
  retryIf: true,
}

const retryNames: OptionNames<RetryOptions> = { ...retryInPlaceNames, delayTopics: true }

const backoffNames: OptionNames<NonNullable<RetryOptions['backoff']>> = {
  initialMs: true,
  maxMs: true,
  factor: true,
}

const delayTopicNames: OptionNames<DelayTopicOptions> = {
  name: true,
  partitions: true,
  replicationFactor: true,
  configs: true,
}

const deadLetterNames: OptionNames<DeadLetterOptions> = { topic: true, maxStackBytes: true }

export const changeNames: OptionNames<ChangeOptions> = {
  validateOnly: true,
  timeoutMs: true,
  signal: true,
  onRetry: true,
}

const createTopicNames: OptionNames<CreateTopicOptions> = {
  partitions: true,
  replicationFactor: true,
  replicas: true,
  configs: true,
}

export const createOneNames: OptionNames<CreateTopicOptions & ChangeOptions> = {
  ...createTopicNames,
  ...changeNames,
}

export const newTopicNames: OptionNames<NewTopic> = { name: true, ...createTopicNames }

/**
 * Throws INVALID_ARGUMENT where the options are no object, or have a name that is not known.
 *
 * @param owner what has the options, as people know it: `connect`, `retry.backoff`
 */
export function checkOptions(
  owner: string,
  options: unknown,
  known: Readonly<Record<string, boolean>>,
): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    // Not what it is itself: it may be a password.
    throw invalidArgument(`The options of ${owner} must be an object, not ${kindOf(options)}.`)
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name))
  if (unknown === undefined) return
  const told = Object.keys(known).filter((name) => known[name])
  const near = nearest(unknown, told)
  const hint = near === undefined ? `; its options are ${told.join(', ')}.` : `; did you mean '${near}'?`
  throw invalidArgument(`${owner} has no option '${unknown.slice(0, 100)}'${hint}`)
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

/** The same for one or more topics to read. */
export function checkTopicNames(names: unknown): asserts names is string | readonly string[] {
  if (!Array.isArray(names)) return checkTopicName(names)
  if (names.length === 0) throw invalidArgument('The list of topics to read is empty.')
  for (const name of names) checkTopicName(name)
}

function kindOf(value: unknown): string {
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
