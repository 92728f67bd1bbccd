import type { BackoffOptions } from '../backoff.ts'
import { StreamBusError } from '../errors.ts'
import { checkHandleOptions } from '../known-options.ts'
import type { Message } from '../message.ts'
import { positive, shown } from '../options.ts'

/** What a handler is told beside the message. */
export interface HandlerContext {
  /**
   * Fires when the work is in vain: the consumer closes, the partition went to another member, or
   * `handlerTimeoutMs` is over. Its reason is a StreamBusError: CLOSED or what stopped the consumer, PARTITIONS_LOST,
   * or HANDLER_TIMEOUT.
   */
  readonly signal: AbortSignal
  /** 1 for the first attempt. */
  readonly attempt: number
}

/** A message is handled when what this returns is fulfilled; when it throws or rejects, the attempt has failed. */
export type Handler = (message: Message, context: HandlerContext) => unknown

export interface RetryOptions {
  /** How often a message is given to the handler at most, the first time included. Default 5. */
  attempts?: number
  /**
   * Pauses between attempts: the first, the longest, and by what each is longer than the one before. Each is spread
   * over the upper half of itself. Default 100, 10,000 and 2.
   */
  backoff?: { initialMs?: number; maxMs?: number; factor?: number }
  /** Whether another attempt may help. Default: always. */
  retryIf?: (error: unknown) => boolean
  /**
   * Has messages wait for their next attempt in topics of the group, `<topic>.<group>.retry.1` and so on, one for each
   * length of the pause; what comes after them goes on meanwhile, so that the order of messages of the same key is
   * lost. The pauses are then 5,000, 300,000 and 4 by default, and the same for all messages. Default: in place, and
   * what comes after a message in its order waits.
   */
  delayTopics?: boolean | DelayTopicOptions
}

/** How delay topics are made where they do not exist. */
export interface DelayTopicOptions {
  /** What the names begin with for the messages of a topic. Default: `<topic>.<group>.retry`. */
  name?: (topic: string) => string
  /** Default: as many as the topic has whose messages wait. */
  partitions?: number
  /** Default: as the cluster is set up. */
  replicationFactor?: number
  /** Settings by Kafka's names: `{ 'retention.ms': '86400000' }`. Default: as the cluster is set up. */
  configs?: Record<string, string>
}

export interface DeadLetterOptions {
  /**
   * The topic that dead letters are published to; another one than those that are read. Where it does not exist, the
   * brokers make it if they make topics that are written to.
   */
  topic: string
  /** How much of the stack of the error goes along, in bytes. Default 4,096. */
  maxStackBytes?: number
}

export interface HandleOptions {
  /** How many messages are handled at once. Default 1. */
  concurrency?: number
  /**
   * What stays in order: with `partition`, the messages of a partition are handled one after the other; with `key`,
   * those of a partition that have the same key, while others, and those without a key, overlap. Default `partition`.
   *
   * With `key`, messages behind one that is not handled may be handled already: after a crash, an error or the loss of
   * a partition they come again, up to `maxAheadMessages` of each partition. A clean `close` handles what lies before
   * them first.
   */
  order?: 'partition' | 'key'
  /**
   * How many messages behind the first of a partition that is not handled may be started, with `order: 'key'`. Those
   * further ahead wait until that one is handled; this is also how many may come again. Default 1,000.
   */
  maxAheadMessages?: number
  /**
   * Tries a message again that the handler failed with; what comes after it in its order waits meanwhile. Default:
   * one attempt.
   */
  retry?: RetryOptions
  /**
   * Topic to which a message goes after its last attempt; then reading goes on behind it. Without it, the consumer
   * stops with HANDLER_FAILED.
   */
  deadLetter?: string | DeadLetterOptions
  /** An attempt that takes longer has failed, with HANDLER_TIMEOUT, and its signal fires. Default: no bound. */
  handlerTimeoutMs?: number
  /** A message that is with the handler for so long is told of by a `stalled` event. Default 60,000. */
  stalledAfterMs?: number
  /** How long `close` waits for handlers that run. Default 10,000. */
  closeTimeoutMs?: number
}

export interface HandleSettings {
  readonly concurrency: number
  readonly order: 'partition' | 'key'
  readonly maxAheadMessages: number
  readonly attempts: number
  readonly backoff: Required<BackoffOptions>
  readonly retryIf: (error: unknown) => boolean
  readonly deadLetter: Required<DeadLetterOptions> | undefined
  /** Undefined where messages are tried again in place. */
  readonly delayTopics: DelayTopicOptions | undefined
  /** Infinite where there is no bound. */
  readonly handlerTimeoutMs: number
  readonly stalledAfterMs: number
  readonly closeTimeoutMs: number
}

const inPlace = { initialMs: 100, maxMs: 10_000, factor: 2 }
const throughTopics = { initialMs: 5_000, maxMs: 300_000, factor: 4 }

/** Checks the options and fills in what was left out. */
export function handleSettings(options: HandleOptions): HandleSettings {
  checkHandleOptions(options)
  const { order = 'partition', retry, handlerTimeoutMs } = options
  if (order !== 'partition' && order !== 'key') {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `order must be 'partition' or 'key', not '${String(order)}'.`,
    )
  }
  const { delayTopics = false } = retry ?? {}
  const pauses = delayTopics === false ? inPlace : throughTopics
  const { initialMs = pauses.initialMs, maxMs = pauses.maxMs, factor = pauses.factor } = retry?.backoff ?? {}
  if (!(factor >= 1)) {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `retry.backoff.factor must be at least 1, and is ${String(factor)}.`,
    )
  }
  return {
    concurrency: count('concurrency', options.concurrency ?? 1),
    order,
    maxAheadMessages: count('maxAheadMessages', options.maxAheadMessages ?? 1_000),
    attempts: retry === undefined ? 1 : count('retry.attempts', retry.attempts ?? 5),
    backoff: {
      initialMs: positive('retry.backoff.initialMs', initialMs),
      maxMs: positive('retry.backoff.maxMs', maxMs),
      factor,
    },
    retryIf: retry?.retryIf ?? (() => true),
    deadLetter: options.deadLetter === undefined ? undefined : deadLetterSettings(options.deadLetter),
    delayTopics: delayTopics === true ? {} : delayTopics === false ? undefined : delayTopics,
    handlerTimeoutMs:
      handlerTimeoutMs === undefined
        ? Number.POSITIVE_INFINITY
        : positive('handlerTimeoutMs', handlerTimeoutMs),
    stalledAfterMs: positive('stalledAfterMs', options.stalledAfterMs ?? 60_000),
    closeTimeoutMs: positive('closeTimeoutMs', options.closeTimeoutMs ?? 10_000),
  }
}

function deadLetterSettings(given: string | DeadLetterOptions): Required<DeadLetterOptions> {
  const { topic, maxStackBytes = 4_096 } = typeof given === 'string' ? { topic: given } : given
  if (typeof topic !== 'string' || topic === '') {
    throw new StreamBusError('INVALID_ARGUMENT', 'deadLetter must be the name of a topic.')
  }
  return { topic, maxStackBytes: positive('deadLetter.maxStackBytes', maxStackBytes) }
}

function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new StreamBusError('INVALID_ARGUMENT', `${name} must be a whole number above 0, not ${shown(value)}.`)
}
