/** What a consumer tells of itself while it works, so that nothing it does or waits for is silent. */
import { EventEmitter } from 'node:events'
import type { Cluster } from '../cluster.ts'
import { StreamBusError, sentenceOf } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message, MessageBatch, SentMessage } from '../message.ts'
import { channels, consumerChannels } from '../observability/channels.ts'

/** Why there is no progress. */
export type Stall =
  /** A handler has had the message for `stalledAfterMs`. */
  | { readonly cause: 'handler'; readonly message: Message; readonly attempt: number }
  /** Where to begin cannot be found out: brokers do not answer, or partitions have no leader; they are asked again. */
  | { readonly cause: 'start'; readonly error: StreamBusError }
  /** The coordinator of the group is not known, not ready or out of reach, or others hold up a rebalance. */
  | { readonly cause: 'coordinator'; readonly group: string; readonly error: StreamBusError }
  /**
   * The partition has no leader, or its leader does not answer, and is asked again; or a transaction has been open for
   * `retryTimeoutMs`, behind which nothing is read.
   */
  | {
      readonly cause: 'partition'
      readonly topic: string
      readonly partition: number
      readonly error: StreamBusError
    }

/** The events by name, and what listeners are told with them. */
export interface ConsumerEvents {
  /**
   * The group gave partitions to this consumer; also after a rebalance that gave it no new ones. Without a group: once,
   * with all it reads, before anything is read.
   */
  assigned: { readonly partitions: readonly TopicPartition[] }
  /** Partitions were given up, after their messages were processed. */
  revoked: { readonly partitions: readonly TopicPartition[] }
  /** Others may have the partitions already; what was processed since the last commit comes again, to them. */
  lost: { readonly partitions: readonly TopicPartition[] }
  stalled: Stall
  recovered: Stall & { readonly stalledMs: number }
  /** An attempt failed, and the next one follows after a pause. */
  retrying: {
    readonly message: Message
    /** The one that failed; 1 is the first. */
    readonly attempt: number
    readonly error: unknown
    readonly delayMs: number
  }
  /** The last attempt failed, and the message lies in the dead letter topic. */
  deadLettered: {
    readonly message: Message
    readonly attempts: number
    readonly error: unknown
    readonly deadLetter: SentMessage
  }
  committed: { readonly offsets: readonly (TopicPartition & { readonly offset: number })[] }
}

export type ConsumerListener<E extends keyof ConsumerEvents> = (details: ConsumerEvents[E]) => void

/** What is also said to the logger, for those who have no listener. */
const logged: {
  readonly [E in keyof ConsumerEvents]?: {
    readonly level: 'info' | 'warn'
    readonly sentence: (who: string, details: ConsumerEvents[E]) => string
  }
} = {
  assigned: { level: 'info', sentence: (who, { partitions }) => `${who} got ${placesOf(partitions)}.` },
  revoked: { level: 'info', sentence: (who, { partitions }) => `${who} gave up ${placesOf(partitions)}.` },
  lost: { level: 'warn', sentence: (who, { partitions }) => `${who} lost ${placesOf(partitions)}.` },
  stalled: { level: 'warn', sentence: (who, stall) => `${who} makes no progress: ${reasonOf(stall)}` },
  recovered: {
    level: 'info',
    sentence: (who, { stalledMs }) => `${who} makes progress again, after ${Math.round(stalledMs)} ms.`,
  },
  retrying: {
    level: 'warn',
    sentence: (who, { message, attempt, error, delayMs }) =>
      `${who} tries offset ${message.offset} of ${placesOf([message])} again in ${Math.round(delayMs)} ms: attempt ${attempt} failed (${sentenceOf(error)}).`,
  },
  deadLettered: {
    level: 'warn',
    sentence: (who, { message, attempts, error, deadLetter }) =>
      `${who} set offset ${message.offset} of ${placesOf([message])} aside in '${deadLetter.topic}' after ${attempts === 1 ? '1 attempt' : `${attempts} attempts`} (${sentenceOf(error)}).`,
  },
}

const namedPlaces = 10

function placesOf(partitions: readonly TopicPartition[]): string {
  if (partitions.length === 0) return 'no partitions'
  const named = partitions.slice(0, namedPlaces).map(({ topic, partition }) => `${topic}/${partition}`)
  const more = partitions.length > namedPlaces ? ` and ${partitions.length - namedPlaces} more` : ''
  return `${named.join(', ')}${more}`
}

function reasonOf(stall: Stall): string {
  if (stall.cause !== 'handler') return stall.error.message
  const { message, attempt } = stall
  return `the handler has had offset ${message.offset} of ${placesOf([message])} for long (attempt ${attempt}).`
}

/** Where to begin is to be found out by then, or within a part of the time that it is tried for. */
const slowStartMs = 1_000

/** The listeners of one consumer, and which stalls they were told of. */
export class ConsumerEventEmitter {
  readonly #cluster: Cluster
  readonly #group: string | null
  readonly #emitter = new EventEmitter()
  #slowSinceMs: number | undefined
  readonly #stalls = new Map<unknown, { readonly stall: Stall; readonly sinceMs: number }>()

  /** @param group null where messages are read without one */
  constructor(cluster: Cluster, group: string | null) {
    this.#cluster = cluster
    this.#group = group
  }

  on<E extends keyof ConsumerEvents>(event: E, listener: ConsumerListener<E>): void {
    if (!Object.hasOwn(consumerChannels, event)) {
      const known = Object.keys(consumerChannels).join(', ')
      const message = `A consumer has no event '${String(event)}'; its events are ${known}.`
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
    this.#emitter.on(event, listener)
  }

  off<E extends keyof ConsumerEvents>(event: E, listener: ConsumerListener<E>): void {
    this.#emitter.off(event, listener)
  }

  /**
   * What a listener throws does not reach the consumer, whose state would be in the middle of a change: it is an
   * uncaught exception, as with EventTarget.
   */
  emit<E extends keyof ConsumerEvents>(event: E, details: ConsumerEvents[E]): void {
    const { metrics } = this.#cluster
    if (event === 'assigned') metrics.rebalances++
    const channel = consumerChannels[event]
    if (channel.hasSubscribers) channel.publish({ client: metrics.client, group: this.#group, ...details })
    this.#log(event, details as never)
    for (const listener of this.#emitter.listeners(event)) {
      try {
        listener(details)
      } catch (error) {
        process.nextTick(() => {
          throw error
        })
      }
    }
  }

  #log(event: keyof ConsumerEvents, details: never): void {
    const entry = logged[event]
    if (entry === undefined) return
    const who = this.#group === null ? 'The consumer' : `The consumer of group '${this.#group}'`
    this.#cluster.settings.logger[entry.level](entry.sentence(who, details))
  }

  /** A batch is given out to whoever iterates. */
  received(batch: MessageBatch): void {
    if (!channels.receive.hasSubscribers) return
    channels.receive.publish({ client: this.#cluster.metrics.client, group: this.#group, ...batch })
  }

  /** @param key whatever stands for what is stalled; it is told once until it recovers */
  stalled(key: unknown, stall: Stall, sinceMs = performance.now()): void {
    if (this.#stalls.has(key)) return
    this.#stalls.set(key, { stall, sinceMs })
    this.emit('stalled', stall)
  }

  /**
   * Where to begin is still to be found out; told with each attempt. A topic that has just been made has no leader for
   * a moment, or is not known everywhere: that is no stall. One that is not there at all is soon an error.
   */
  slowStart(error: StreamBusError): void {
    const nowMs = performance.now()
    this.#slowSinceMs ??= nowMs
    const allowedMs = Math.min(slowStartMs, this.#cluster.settings.retryTimeoutMs / 4)
    if (error.code === 'UNKNOWN_TOPIC' || nowMs - this.#slowSinceMs < allowedMs) return
    this.stalled('start', { cause: 'start', error }, this.#slowSinceMs)
  }

  started(): void {
    this.#slowSinceMs = undefined
    this.recovered('start')
  }

  recovered(key: unknown): void {
    const known = this.#stalls.get(key)
    if (known === undefined) return
    this.#stalls.delete(key)
    this.emit('recovered', { ...known.stall, stalledMs: performance.now() - known.sinceMs })
  }

  /** Nothing more is expected of it: it neither stalls nor recovers. */
  forget(key: unknown): void {
    this.#stalls.delete(key)
  }
}

/** What every kind of consumer has. */
export abstract class ObservableConsumer {
  protected readonly events: ConsumerEventEmitter

  constructor(cluster: Cluster, group: string | null) {
    this.events = new ConsumerEventEmitter(cluster, group)
  }

  /** Calls the listener with each event of that name. What it throws is an uncaught exception. */
  on<E extends keyof ConsumerEvents>(event: E, listener: ConsumerListener<E>): this {
    this.events.on(event, listener)
    return this
  }

  off<E extends keyof ConsumerEvents>(event: E, listener: ConsumerListener<E>): this {
    this.events.off(event, listener)
    return this
  }
}
