import type { Scheduled, Scheduler } from '../../coordinator/scheduler.ts'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

/** Time that passes when it is told to. */
export class VirtualScheduler implements Scheduler {
  #nowMs: number
  /** In the order in which they were set. */
  readonly #timers = new Set<Timer>()

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): Scheduled {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), run }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  /** Lets time pass: runs what is due, each in its time, and lets everything settle that follows from it. */
  async pass(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs
    await settled()
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
      await settled()
    }
    this.#nowMs = endMs
  }

  #next(endMs: number): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.atMs <= endMs && (next === undefined || timer.atMs < next.atMs)) next = timer
    }
    return next
  }
}

/** Everything that waits for nothing but the turn of its promise has happened. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
