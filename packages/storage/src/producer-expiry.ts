import type { StoreState } from './store-state.ts'

/** Kafka's producer.id.expiration.check.interval.ms. */
const INTERVAL_MS = 10 * 60 * 1000
/** Producers looked at in one step: some 20 microseconds. */
const STEP_PRODUCERS = 1024

/**
 * Forgets producers that have been silent for long, in a store that runs: a pass over all logs every ten
 * minutes, in small steps between the writes. Without writes nothing is forgotten, and nothing is added.
 */
export class ProducerExpiry {
  readonly #state: StoreState
  #pass: Iterator<void> | null = null
  #nextPassMs: number

  constructor(state: StoreState, nowMs: number) {
    this.#state = state
    this.#nextPassMs = nowMs + INTERVAL_MS
  }

  /** One step, if a pass is due or under way. Called after each write. */
  step(nowMs: number): void {
    if (this.#pass === null) {
      if (nowMs < this.#nextPassMs) return
      this.#pass = this.#lookAtEach(nowMs)
    }
    for (let count = 0; count < STEP_PRODUCERS; count++) {
      if (this.#pass.next().done !== true) continue
      this.#pass = null
      this.#nextPassMs = nowMs + INTERVAL_MS
      return
    }
  }

  /** Logs and producers may come and go meanwhile: iterators of maps take that. */
  *#lookAtEach(nowMs: number): Generator<void, void> {
    for (const log of this.#state.logs.values()) {
      for (const [producerId, entry] of log.producers.entries()) {
        if (log.producerIsExpired(producerId, entry, nowMs)) log.producers.set(producerId, undefined)
        yield
      }
      yield
    }
  }
}
