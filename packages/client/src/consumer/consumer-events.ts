/** What a consumer tells of itself while it works, so that nothing it does or waits for is silent. */
import { EventEmitter } from 'node:events'
import type { StreamBusError } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message, SentMessage } from '../message.ts'

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

/** The listeners of one consumer, and which stalls they were told of. */
export class ConsumerEventEmitter {
  readonly #emitter = new EventEmitter()
  readonly #stalls = new Map<unknown, { readonly stall: Stall; readonly sinceMs: number }>()

  on<E extends keyof ConsumerEvents>(event: E, listener: ConsumerListener<E>): void {
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

  /** @param key whatever stands for what is stalled; it is told once until it recovers */
  stalled(key: unknown, stall: Stall, sinceMs = performance.now()): void {
    if (this.#stalls.has(key)) return
    this.#stalls.set(key, { stall, sinceMs })
    this.emit('stalled', stall)
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
  protected readonly events = new ConsumerEventEmitter()

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
