/** What a client counts of itself, as plain numbers for whoever exports them. */
import type { ClientIdentity } from './channels.ts'

/** How long something took, by upper bounds; as in Prometheus, each bucket counts those below it, too. */
export interface DurationHistogram {
  readonly count: number
  readonly sumMs: number
  /** The last one, which is infinite, counts all. */
  readonly buckets: readonly { readonly upToMs: number; readonly count: number }[]
}

export interface RequestMetrics {
  /** Answered or failed. */
  readonly count: number
  /** Without an answer: too late, lost, or not the protocol. */
  readonly failed: number
  /** From the call to the answer. */
  readonly durationMs: DurationHistogram
}

export interface TopicMetrics {
  /** Acknowledged by the brokers; bytes are those of record batches, compressed. */
  readonly sentMessages: number
  readonly sentBatches: number
  readonly sentBytes: number
  /** Given up after all retries. */
  readonly failedMessages: number
  /** Arrived from the brokers, those of aborted transactions included. */
  readonly receivedMessages: number
  readonly receivedBatches: number
  readonly receivedBytes: number
  /** Messages a handler was done with, and its attempts that failed. */
  readonly handledMessages: number
  readonly failedAttempts: number
  readonly deadLetteredMessages: number
  /** How long attempts of handlers took. */
  readonly handlerDurationMs: DurationHistogram
  /** Messages between what the consumers of this client have taken and the end of the log, as of the last answer. */
  readonly lagMessages: number
}

/** Counters grow from 0 since `connect`; those marked as gauges are what holds at this moment. */
export interface Metrics {
  /** A gauge. */
  readonly openConnections: number
  readonly openedConnections: number
  /** Attempts to connect that failed. */
  readonly failedConnections: number
  /** Ended without the client's doing; where they are needed, others are opened. */
  readonly lostConnections: number
  /** On the wire, in all connections. */
  readonly sentBytes: number
  readonly receivedBytes: number
  /** By Kafka's name of the request: `Produce`, `Fetch`. */
  readonly requests: Readonly<Record<string, RequestMetrics>>
  /** Operations done again after a failure, by the code of the error. */
  readonly retries: Readonly<Record<string, number>>
  /** A gauge: what producers hold that is not acknowledged. */
  readonly unsentMessages: number
  readonly unsentBytes: number
  /** A gauge: what has arrived and was not taken by a consumer yet. */
  readonly prefetchedBytes: number
  /** Rebalances that gave this client's consumers an assignment. */
  readonly rebalances: number
  /** Of at most 1,000 topics; what is counted of others is under the name of `*`. */
  readonly topics: Readonly<Record<string, TopicMetrics>>
}

/** What is looked at when the numbers are asked for. */
export interface BufferGauge {
  readonly bufferedMessages: number
  readonly bufferedBytes: number
}

export interface FetchGauge {
  readonly prefetchedBytes: number
  lagByTopic(): Iterable<readonly [topic: string, messages: number]>
}

export interface WireGauge {
  readonly sentBytes: number
  readonly receivedBytes: number
}

const boundsMs = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000]
const maxTopics = 1_000
const otherTopics = '*'

class Histogram {
  readonly #counts: number[] = new Array(boundsMs.length + 1).fill(0)
  #sumMs = 0

  add(ms: number): void {
    let index = 0
    while (index < boundsMs.length && ms > boundsMs[index]!) index++
    this.#counts[index]!++
    this.#sumMs += ms
  }

  get snapshot(): DurationHistogram {
    let count = 0
    const buckets = this.#counts.map((inBucket, index) => {
      count += inBucket
      return { upToMs: boundsMs[index] ?? Number.POSITIVE_INFINITY, count }
    })
    return { count, sumMs: this.#sumMs, buckets }
  }
}

class RequestCounters {
  failed = 0
  answered = 0
  readonly durations = new Histogram()
}

export class TopicCounters {
  sentMessages = 0
  sentBatches = 0
  sentBytes = 0
  failedMessages = 0
  receivedMessages = 0
  receivedBatches = 0
  receivedBytes = 0
  handledMessages = 0
  failedAttempts = 0
  deadLetteredMessages = 0
  readonly handlerDurations = new Histogram()
}

/** The counters of one client. Whoever does something counts it here, by batch or request where there are such. */
export class ClientMetrics {
  readonly client: ClientIdentity
  openedConnections = 0
  failedConnections = 0
  lostConnections = 0
  rebalances = 0
  readonly buffers = new Set<BufferGauge>()
  readonly fetchers = new Set<FetchGauge>()
  readonly connections = new Set<WireGauge>()
  readonly #requests = new Map<string, RequestCounters>()
  readonly #retries = new Map<string, number>()
  readonly #topics = new Map<string, TopicCounters>()
  /** Of connections that have ended. */
  #sentBytes = 0
  #receivedBytes = 0

  constructor(clientId: string) {
    this.client = { clientId }
  }

  topic(name: string): TopicCounters {
    let counters = this.#topics.get(name)
    if (counters === undefined) {
      if (this.#topics.size >= maxTopics && name !== otherTopics) return this.topic(otherTopics)
      counters = new TopicCounters()
      this.#topics.set(name, counters)
    }
    return counters
  }

  answered(api: string, ms: number): void {
    const counters = this.#request(api)
    counters.answered++
    counters.durations.add(ms)
  }

  unanswered(api: string): void {
    this.#request(api).failed++
  }

  retried(code: string): void {
    this.#retries.set(code, (this.#retries.get(code) ?? 0) + 1)
  }

  /** @param isLost whether it ended without the client's doing */
  connectionEnded(connection: WireGauge, isLost: boolean): void {
    if (!this.connections.delete(connection)) return
    this.#sentBytes += connection.sentBytes
    this.#receivedBytes += connection.receivedBytes
    if (isLost) this.lostConnections++
  }

  snapshot(): Metrics {
    const lags = new Map<string, number>()
    for (const fetcher of this.fetchers) {
      for (const [topic, messages] of fetcher.lagByTopic()) {
        this.topic(topic)
        const name = this.#topics.has(topic) ? topic : otherTopics
        lags.set(name, (lags.get(name) ?? 0) + messages)
      }
    }
    return {
      openConnections: this.connections.size,
      openedConnections: this.openedConnections,
      failedConnections: this.failedConnections,
      lostConnections: this.lostConnections,
      sentBytes: this.#sentBytes + sum(this.connections, (one) => one.sentBytes),
      receivedBytes: this.#receivedBytes + sum(this.connections, (one) => one.receivedBytes),
      requests: Object.fromEntries(
        [...this.#requests].map(([api, { answered, failed, durations }]) => [
          api,
          { count: answered + failed, failed, durationMs: durations.snapshot },
        ]),
      ),
      retries: Object.fromEntries(this.#retries),
      unsentMessages: sum(this.buffers, (one) => one.bufferedMessages),
      unsentBytes: sum(this.buffers, (one) => one.bufferedBytes),
      prefetchedBytes: sum(this.fetchers, (one) => one.prefetchedBytes),
      rebalances: this.rebalances,
      topics: Object.fromEntries(
        [...this.#topics].map(([name, { handlerDurations, ...counters }]) => [
          name,
          {
            ...counters,
            handlerDurationMs: handlerDurations.snapshot,
            lagMessages: lags.get(name) ?? 0,
          },
        ]),
      ),
    }
  }

  #request(api: string): RequestCounters {
    let counters = this.#requests.get(api)
    if (counters === undefined) {
      counters = new RequestCounters()
      this.#requests.set(api, counters)
    }
    return counters
  }
}

function sum<T>(items: Iterable<T>, numberOf: (item: T) => number): number {
  let total = 0
  for (const item of items) total += numberOf(item)
  return total
}
