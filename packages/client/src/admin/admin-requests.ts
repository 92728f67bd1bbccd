/**
 * Whom the requests of an administrator go to, how long they are repeated, and what becomes of requests about
 * several things at once.
 */

import type { Cluster, RetryOptions } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { abortedError, isStreamBusError, SomeFailedError, StreamBusError } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import { noLeader, type TopicPartition, unknownPartition } from '../list-offsets.ts'
import { positive } from '../options.ts'

/** Longer timers fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** How long a call goes on: `timeoutMs` (default: the client's `retryTimeoutMs`), and a `signal` that ends it early. */
export type AdminOptions = RetryOptions

/** What became of one of several things: what was asked for, or why not. */
export type Outcome<Result> = Result | StreamBusError

export class AdminRequests {
  /** Requests of administrators wait behind each other and nobody else. */
  readonly lane = 'control'
  readonly cluster: Cluster
  readonly coordinators: Coordinators

  constructor(cluster: Cluster, coordinators: Coordinators) {
    this.cluster = cluster
    this.coordinators = coordinators
  }

  /** What a broker is told to do takes it no longer than its answer may. */
  brokerTimeoutMs({ timeoutMs = Number.POSITIVE_INFINITY }: AdminOptions): number {
    return Math.min(timeoutMs, this.cluster.settings.requestTimeoutMs)
  }

  /** Runs an operation again while that may help; ends at the time or signal of the options, whatever it waits for. */
  retrying<T>(options: AdminOptions, operation: () => Promise<T>): Promise<T> {
    return this.within(options, () => this.cluster.retrying(operation, options))
  }

  /** Ends a call that repeats by itself. Rejects with REQUEST_TIMEOUT or ABORTED where the options end it. */
  async within<T>({ timeoutMs, signal }: AdminOptions, call: () => Promise<T>): Promise<T> {
    if (timeoutMs !== undefined) positive('timeoutMs', timeoutMs)
    if (signal?.aborted) throw abortedError(signal)
    if (timeoutMs === undefined && signal === undefined) return await call()
    return await new Promise<T>((resolve, reject) => {
      const onTimeout = () =>
        reject(new StreamBusError('REQUEST_TIMEOUT', `No answer within ${timeoutMs} ms.`))
      const onAbort = () => reject(abortedError(signal as AbortSignal))
      const timer =
        timeoutMs === undefined ? undefined : setTimeout(onTimeout, Math.min(timeoutMs, MAX_TIMER_MS))
      signal?.addEventListener('abort', onAbort, { once: true })
      call()
        .then(resolve, reject)
        .finally(() => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', onAbort)
        })
    })
  }

  /** Changes go to the controller: brokers of some versions do not pass them on. */
  onController<T>(options: AdminOptions, ask: (connection: Connection) => Promise<T>): Promise<T> {
    const attempt = this.controllerAttempts(ask)
    return this.retrying(options, () => attempt(undefined))
  }

  /** The same for one attempt after the other: the view of the cluster is renewed before each but the first. */
  controllerAttempts<Input, T>(
    ask: (connection: Connection, input: Input) => Promise<T>,
  ): (input: Input) => Promise<T> {
    let stale = false
    return async (input) => {
      if (stale) await this.cluster.describe([])
      stale = true
      const { controllerId, brokers } = this.cluster.info
      const known = brokers.some(({ id }) => id === controllerId)
      return await ask(
        known
          ? await this.cluster.connectionTo(controllerId, this.lane)
          : await this.cluster.controlConnection(),
        input,
      )
    }
  }

  onAnyBroker<T>(options: AdminOptions, ask: (connection: Connection) => Promise<T>): Promise<T> {
    return this.retrying(options, async () => await ask(await this.cluster.controlConnection()))
  }

  /** What only one broker can tell or do. Rejects with INVALID_ARGUMENT where the cluster has no such broker. */
  onBroker<T>(
    brokerId: number,
    options: AdminOptions,
    ask: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    let stale = false
    return this.retrying(options, async () => {
      const isKnown = () => this.cluster.info.brokers.some(({ id }) => id === brokerId)
      if (stale || !isKnown()) await this.cluster.describe([])
      stale = true
      if (!isKnown()) {
        const ids = this.cluster.info.brokers.map(({ id }) => id).join(', ')
        throw new StreamBusError(
          'INVALID_ARGUMENT',
          `There is no broker ${brokerId}: the cluster has ${ids}.`,
        )
      }
      return await ask(await this.cluster.connectionTo(brokerId, this.lane))
    })
  }

  /**
   * Asks about several things until each has succeeded or failed for good; those that have are not asked about
   * again. Rejects with what fails as a whole: no broker answers, it does not offer the API, the call was ended.
   *
   * @param keyOf tells the items apart, in words for error messages: "topic 'a'"
   * @param attempt answers by key; an error that is retriable is asked about again
   */
  async each<Item, Result>(
    items: readonly Item[],
    keyOf: (item: Item) => string,
    options: AdminOptions,
    attempt: (open: readonly Item[]) => Promise<ReadonlyMap<string, Outcome<Result>>>,
  ): Promise<Outcome<Result>[]> {
    const keys = new Set<string>()
    for (const item of items) {
      const key = keyOf(item)
      if (keys.has(key)) throw new StreamBusError('INVALID_ARGUMENT', `${capitalised(key)} is named twice.`)
      keys.add(key)
    }
    if (items.length === 0) return []
    const outcomes = new Map<string, Outcome<Result>>()
    const isOpen = (item: Item): boolean => {
      const outcome = outcomes.get(keyOf(item))
      return !outcomes.has(keyOf(item)) || (isStreamBusError(outcome) && outcome.retriable)
    }
    try {
      await this.retrying(options, async () => {
        const open = items.filter(isOpen)
        const answers = await attempt(open)
        for (const item of open) {
          const key = keyOf(item)
          outcomes.set(key, answers.has(key) ? (answers.get(key) as Outcome<Result>) : nothingSaid(key))
        }
        const again = items.find(isOpen)
        if (again !== undefined) throw outcomes.get(keyOf(again))
      })
    } catch (error) {
      if (!isStreamBusError(error) || outcomes.size === 0) throw error
      if (error.code === 'ABORTED' || error.code === 'CLOSED') throw error
      // Something was answered before, which must not be lost: the failure is that of what is still open.
      for (const item of items) if (!outcomes.has(keyOf(item))) outcomes.set(keyOf(item), error)
    }
    return items.map((item) => outcomes.get(keyOf(item)) as Outcome<Result>)
  }

  /** One attempt with the leaders of partitions, each asked about its own; what it cannot be asked is an outcome, too. */
  async onLeaders<Item extends TopicPartition, Result>(
    partitions: readonly Item[],
    stale: boolean,
    ask: (connection: Connection, led: readonly Item[]) => Promise<ReadonlyMap<string, Outcome<Result>>>,
  ): Promise<Map<string, Outcome<Result>>> {
    const outcomes = new Map<string, Outcome<Result>>()
    const topics = [...new Set(partitions.map(({ topic }) => topic))]
    if (stale) await this.cluster.refresh(topics)
    const counts = new Map<string, number | StreamBusError>()
    await Promise.all(
      topics.map(async (topic) => {
        counts.set(topic, await errorOr(async () => (await this.cluster.topic(topic)).partitions.length))
      }),
    )
    const byLeader = new Map<number, Item[]>()
    for (const one of partitions) {
      const count = counts.get(one.topic) as number | StreamBusError
      const leader = this.cluster.leaderOf(one.topic, one.partition)
      if (isStreamBusError(count)) outcomes.set(placeOf(one), count)
      else if (!(one.partition < count)) {
        outcomes.set(placeOf(one), unknownPartition(one.topic, one.partition, count))
      } else if (leader < 0) outcomes.set(placeOf(one), noLeader(one.topic, one.partition))
      else byLeader.set(leader, [...(byLeader.get(leader) ?? []), one])
    }
    await Promise.all(
      [...byLeader].map(async ([leader, led]) => {
        const answers = await errorOr(async () =>
          ask(await this.cluster.connectionTo(leader, this.lane), led),
        )
        for (const one of led) {
          const key = placeOf(one)
          if (isStreamBusError(answers)) outcomes.set(key, answers)
          else if (answers.has(key)) outcomes.set(key, answers.get(key) as Outcome<Result>)
        }
      }),
    )
    return outcomes
  }
}

/** The results where all succeeded, else SOME_FAILED. */
export function allSucceeded<Item, Result>(
  items: readonly Item[],
  outcomes: readonly Outcome<Result>[],
): Result[] {
  if (outcomes.some((outcome) => isStreamBusError(outcome))) throw new SomeFailedError(items, outcomes)
  return outcomes as Result[]
}

/** The same where success has no result: what succeeded is told by what was asked for. */
export function allDone<Item>(items: readonly Item[], outcomes: readonly Outcome<undefined>[]): void {
  allSucceeded(
    items,
    outcomes.map((outcome, index) => outcome ?? (items[index] as Item)),
  )
}

/** The result of one thing that was asked for alone, or its error. */
export function onlyOne<Result>([outcome]: readonly Outcome<Result>[]): Result {
  if (isStreamBusError(outcome)) throw outcome
  return outcome as Result
}

export function placeOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

function nothingSaid(key: string): StreamBusError {
  return new StreamBusError('PROTOCOL_ERROR', `The broker said nothing of ${key}.`)
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

async function errorOr<T>(operation: () => Promise<T>): Promise<T | StreamBusError> {
  try {
    return await operation()
  } catch (error) {
    if (!isStreamBusError(error) || error.code === 'CLOSED') throw error
    return error
  }
}
