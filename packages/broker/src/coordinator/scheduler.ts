/**
 * Time as coordinators see it. They read no clock and set no timer of their own, so that a simulation can
 * drive the same code through any schedule.
 */
export interface Scheduler {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number
  /** Runs `run` once, not before `delayMs` have passed. */
  after(delayMs: number, run: () => void): Scheduled
}

export interface Scheduled {
  /** After this `run` is not called any more. Safe to call twice and after it ran. */
  cancel(): void
}

/** A scheduler of one owner, which ends with it. */
export interface OwnedScheduler extends Scheduler {
  /** Cancels everything that is still to come; what is scheduled after this never runs. */
  close(): void
}

/** The longest delay a Node timer takes; longer ones would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** The time of this process. */
export class SystemScheduler implements OwnedScheduler {
  readonly #clock: () => number
  readonly #timers = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(clock: () => number) {
    this.#clock = clock
  }

  nowMs(): number {
    return this.#clock()
  }

  after(delayMs: number, run: () => void): Scheduled {
    if (this.#closed) return { cancel: () => undefined }
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        run()
      },
      Math.min(Math.max(0, delayMs), MAX_TIMER_MS),
    )
    this.#timers.add(timer)
    return {
      cancel: () => {
        clearTimeout(timer)
        this.#timers.delete(timer)
      },
    }
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
