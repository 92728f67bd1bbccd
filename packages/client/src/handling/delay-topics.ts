/**
 * Retries through delay topics: a message that a handler failed with is published to a topic of its group in which it
 * waits for its next attempt, so that what comes after it goes on. There is a topic for each length of the delay:
 * messages lie in it in the order in which they are due, and none waits behind one that is due later.
 *
 *     orders → attempt 1 → orders.billing.retry.1 (5 s) → attempt 2 → orders.billing.retry.2 (20 s) → … → dead letter
 *
 * The group reads these topics as it reads its others. A message is published before the offset of the one that failed
 * is committed: after a crash in between it is there twice, and never lost.
 */
import { Admin } from '../admin/admin.ts'
import type { Cluster } from '../cluster.ts'
import { isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import { Coordinators } from '../groups/coordinators.ts'
import type { GroupConsumerOptions } from '../groups/group-consumer-options.ts'
import { Message, type OutgoingMessage } from '../message.ts'
import { reasonOf } from './dead-letters.ts'
import type { DelayTopicOptions, HandleSettings } from './handle-options.ts'

const prefix = 'streambus-retry-'

/** The headers of a message in a delay topic. Their values are UTF-8 text; docs/sdk/consuming.md has the same table. */
export const retryHeaders = {
  /** Where the message lies that the handler failed with, also after several attempts. */
  topic: `${prefix}topic`,
  partition: `${prefix}partition`,
  offset: `${prefix}offset`,
  /** Its timestamp in milliseconds since 1970; -1 where it has none. */
  timestamp: `${prefix}timestamp`,
  /** How often it was given to the handler. */
  attempts: `${prefix}attempts`,
  /** What the last error says, the first 1,024 bytes. */
  reason: `${prefix}reason`,
  /** When its next attempt is due, in milliseconds since 1970. */
  due: `${prefix}due`,
} as const

/** A message that comes again out of a delay topic. */
export interface DelayedMessage {
  /** As it was read at first: with its topic, partition, offset, timestamp and headers. */
  readonly message: Message
  readonly attempts: number
  readonly dueMs: number
}

const maxTopics = 16

export class DelayTopics {
  readonly #settings: HandleSettings
  readonly #options: DelayTopicOptions
  readonly #origins: readonly string[]
  /** By origin: the delay topics, the one of the shortest delay first. */
  readonly #topics: ReadonlyMap<string, readonly string[]>
  readonly #names: ReadonlySet<string>
  /** The delays of the topics, ascending. */
  readonly #delaysMs: readonly number[]

  constructor(
    group: string,
    topics: readonly string[],
    settings: HandleSettings,
    options: DelayTopicOptions,
  ) {
    this.#settings = settings
    this.#options = options
    this.#origins = topics
    const attempts = Array.from({ length: settings.attempts - 1 }, (_, index) => index + 1)
    this.#delaysMs = [...new Set(attempts.map((attempt) => this.#delayMs(attempt)))]
    if (this.#delaysMs.length > maxTopics) {
      throw new StreamBusError(
        'INVALID_ARGUMENT',
        `retry would take ${this.#delaysMs.length} delay topics, one for each length of the pause; at most ${maxTopics} are made: raise backoff.factor, or lower attempts or backoff.maxMs.`,
      )
    }
    const nameOf = options.name ?? ((topic: string) => `${topic}.${group}.retry`)
    this.#topics = new Map(
      topics.map((topic) => [topic, this.#delaysMs.map((_, index) => `${nameOf(topic)}.${index + 1}`)]),
    )
    this.#names = new Set([...this.#topics.values()].flat())
    for (const name of this.#names) {
      if (/^[\w.-]{1,249}$/.test(name)) continue
      const message = `'${name}' cannot be the name of a delay topic: give another with retry.delayTopics.name.`
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
  }

  get names(): ReadonlySet<string> {
    return this.#names
  }

  /** Makes those that are missing, with as many partitions as the topic has whose messages wait in them; names all. */
  async create(cluster: Cluster): Promise<ReadonlySet<string>> {
    const admin = new Admin(cluster, new Coordinators(cluster))
    for (const origin of this.#origins) {
      const { partitions } = await cluster.topic(origin)
      const names = this.#topics.get(origin) as readonly string[]
      const answers = await cluster.retrying(() => cluster.refresh(names))
      for (const name of names) {
        const answer = answers.get(name)
        if (!(answer instanceof StreamBusError) || answer.code !== 'UNKNOWN_TOPIC') continue
        const { name: _, ...options } = this.#options
        await admin.createTopic(name, { partitions: partitions.length, ...options }).catch((error) => {
          // Another member of the group was faster.
          if (!isStreamBusError(error) || error.code !== 'TOPIC_EXISTS') throw error
        })
      }
    }
    return this.#names
  }

  /** The message as it waits for its next attempt. */
  next(
    message: Message,
    attempts: number,
    error: unknown,
  ): { topic: string; message: OutgoingMessage; delayMs: number } {
    const delayMs = this.#delayMs(attempts)
    const topics = this.#topics.get(message.topic) as readonly string[]
    const added: [string, string | number][] = [
      [retryHeaders.topic, message.topic],
      [retryHeaders.partition, message.partition],
      [retryHeaders.offset, message.offset],
      [retryHeaders.timestamp, message.timestamp],
      [retryHeaders.attempts, attempts],
      [retryHeaders.reason, reasonOf(error)],
      [retryHeaders.due, Date.now() + delayMs],
    ]
    return {
      topic: topics[this.#delaysMs.indexOf(delayMs)] as string,
      // Its timestamp is that of now: by its own, the topic might delete it before it is due.
      message: {
        key: message.key,
        value: message.value,
        headers: [...message.headers, ...added.map(([key, value]) => ({ key, value: String(value) }))],
      },
      delayMs,
    }
  }

  /** What waits in a delay topic; undefined where somebody else put the message there. */
  read(waiting: Message): DelayedMessage | undefined {
    const text = (name: keyof typeof retryHeaders) => waiting.header(retryHeaders[name])?.toString()
    const number = (name: keyof typeof retryHeaders) => Number(text(name) ?? Number.NaN)
    const topic = text('topic')
    const numbers = [
      number('partition'),
      number('offset'),
      number('timestamp'),
      number('attempts'),
      number('due'),
    ]
    const [partition, offset, timestamp, attempts, dueMs] = numbers as [
      number,
      number,
      number,
      number,
      number,
    ]
    if (topic === undefined || !this.#topics.has(topic) || !numbers.every(Number.isSafeInteger))
      return undefined
    const message = new Message(topic, partition, offset, {
      offset: BigInt(offset),
      timestamp: BigInt(timestamp),
      key: waiting.key,
      value: waiting.value,
      headers: waiting.headers.filter(({ key }) => !key.startsWith(prefix)),
    })
    return { message, attempts, dueMs }
  }

  /** How long a message still waits: never longer than the longest pause, however the clocks of others go. */
  waitMs(waiting: Message): number {
    const dueMs = this.read(waiting)?.dueMs ?? 0
    return Math.min(Math.max(0, dueMs - Date.now()), this.#settings.backoff.maxMs)
  }

  /** The pause after so many attempts. It is the same for all messages, so that they are due in their order. */
  #delayMs(attempts: number): number {
    const { initialMs, maxMs, factor } = this.#settings.backoff
    return Math.round(Math.min(maxMs, initialMs * factor ** (attempts - 1)))
  }
}

/** The delay topics of a consumer that wants them. */
export function delayTopicsOf(
  settings: HandleSettings,
  { group, until, limit }: GroupConsumerOptions,
  topics: readonly string[],
): DelayTopics | undefined {
  if (settings.delayTopics === undefined) return undefined
  if (until !== undefined || limit !== undefined) {
    const message =
      'Delay topics are for reading without an end: leave until and limit out, or retry in place.'
    throw new StreamBusError('INVALID_ARGUMENT', message)
  }
  return new DelayTopics(group, [...topics], settings, settings.delayTopics)
}

/** A message that is to be tried again could not be put where it waits. */
export function retryFailed(
  message: Message,
  error: unknown,
  topic: string,
  failure: unknown,
): StreamBusError {
  return new StreamBusError(
    'RETRY_FAILED',
    `The handler failed with offset ${message.offset} of ${message.topic}/${message.partition} (${sentenceOf(error)}), and the message could not be published to '${topic}' for its next attempt: ${sentenceOf(failure)}`,
    { cause: failure },
  )
}
