/** Numbered messages at a bounded rate. */
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Producer, type StreamBus } from '@streambus/client'
import type { ClientLog } from './client-log.ts'
import type { Lane, ProgressWatch } from './progress-watch.ts'
import { KEYS, timeouts } from './settings.ts'

const TICK_MS = 20
const MAX_UNACKNOWLEDGED = 5_000

export const connectOptions = (brokers: string, clientId: string, log: ClientLog) => ({
  brokers,
  clientId,
  logger: log.of(clientId),
  connectTimeoutMs: timeouts.connect,
  requestTimeoutMs: timeouts.request,
  retryTimeoutMs: timeouts.giveUp,
  retryBackoffMs: 20,
  maxRetryBackoffMs: 500,
})

export class Load {
  readonly faults: string[] = []
  /** By key, the number behind the last that was acknowledged. */
  readonly acknowledged: number[] = Array.from({ length: KEYS }, (_, key) => key)
  /** By key, once one of its messages was acknowledged. */
  readonly partitions: (number | undefined)[] = Array.from({ length: KEYS }, () => undefined)
  readonly #bus: StreamBus
  readonly #producer: Producer
  readonly #topic: string
  readonly #perSecond: number
  readonly #watch: ProgressWatch
  readonly #lane: Lane
  readonly #sending = new Set<Promise<void>>()
  #next = 0
  #isStopped = false
  #running: Promise<void> | undefined

  static async connect(
    brokers: string,
    log: ClientLog,
    topic: string,
    perSecond: number,
    watch: ProgressWatch,
  ): Promise<Load> {
    return new Load(await connect(connectOptions(brokers, 'load', log)), topic, perSecond, watch)
  }

  private constructor(bus: StreamBus, topic: string, perSecond: number, watch: ProgressWatch) {
    this.#bus = bus
    this.#topic = topic
    this.#perSecond = perSecond
    this.#watch = watch
    this.#producer = bus.producer({ deliveryTimeoutMs: timeouts.giveUp })
    this.#lane = watch.watch('the producer', () => this.#sending.size > 0)
  }

  get sent(): number {
    return this.#next
  }

  start(): void {
    this.#running = this.#send()
  }

  /** Resolves when everything that was sent is acknowledged. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
    await Promise.all(this.#sending)
  }

  async close(): Promise<void> {
    await this.#bus.close()
  }

  async #send(): Promise<void> {
    const startedMs = performance.now()
    let passed = 0
    while (!this.#isStopped) {
      await delay(TICK_MS)
      // What could not be sent in time is not made up for: a trouble is no reason for a burst.
      const due = ((performance.now() - startedMs) / 1_000) * this.#perSecond
      for (; passed < due; passed++) {
        if (this.#sending.size < MAX_UNACKNOWLEDGED) this.#sendOne(this.#next++)
      }
    }
  }

  #sendOne(number: number): void {
    const key = number % KEYS
    const sent = this.#producer.send(this.#topic, String(number), { key: `k${key}` }).then(
      ({ partition }) => {
        this.acknowledged[key] = number + KEYS
        this.partitions[key] = partition
        this.#watch.progressed(this.#lane)
      },
      (error: Error) => {
        this.faults.push(`message ${number} was not sent: ${error.message}`)
      },
    )
    this.#sending.add(sent)
    void sent.finally(() => this.#sending.delete(sent))
  }
}
