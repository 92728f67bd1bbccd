import { setImmediate as nextTurn } from 'node:timers/promises'
import type { OwnedScheduler, Scheduled } from '@streambus/broker'
import { invalidArgument } from './arguments.ts'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

/** Turns of the event loop that what follows from one timer may take before time goes on all the same. */
const MAX_TURNS = 10_000

/**
 * The time of a test broker that was started with `{ clock: 'virtual' }`: it begins at the present and stands
 * still until it is advanced.
 *
 * By it go session and rebalance timeouts, transaction timeouts, the expiry of offsets, producers and
 * transactional ids, the timestamps that the broker gives, and `faults.delay`. By the time of the process go long
 * polls (`maxWaitMs`), idle connections, everything in clients, heartbeats among it, and the disk.
 */
export class VirtualClock {
  #nowMs = Date.now()
  /** In the order in which they were set. */
  readonly #timers = new Set<Timer>()
  /** Set to run without any time passing, and not run yet. */
  #immediates = 0
  #advancing: Promise<void> = Promise.resolve()

  /** Milliseconds since the Unix epoch. */
  nowMs(): number {
    return this.#nowMs
  }

  /**
   * Lets time pass. Everything that becomes due runs at its time and in its order; resolves when the broker has
   * done what follows from it. What members and clients make of that takes real time: see `eventually`. With a
   * broker on disk so does what is written.
   *
   * Members of groups send heartbeats in real time, so that an advance by more than their session timeout puts
   * them out, alive or not.
   */
  advance(durationMs: number): Promise<void> {
    if (typeof durationMs !== 'number' || !(durationMs >= 0) || durationMs > Number.MAX_SAFE_INTEGER) {
      throw invalidArgument(`Time advances by 0 or more milliseconds, not by ${String(durationMs)}.`)
    }
    const advanced = this.#advancing.then(() => this.#pass(durationMs))
    this.#advancing = advanced.catch(() => undefined)
    return advanced
  }

  /** For one broker: it ends with that broker, and the clock goes on. */
  scheduler(): OwnedScheduler {
    const scheduled = new Set<Scheduled>()
    let closed = false
    return {
      nowMs: () => this.#nowMs,
      after: (delayMs, run) => {
        if (closed) return { cancel: () => undefined }
        const timer = this.#after(delayMs, () => {
          scheduled.delete(one)
          run()
        })
        const one = {
          cancel: () => {
            scheduled.delete(one)
            timer.cancel()
          },
        }
        scheduled.add(one)
        return one
      },
      close: () => {
        closed = true
        for (const one of scheduled) one.cancel()
      },
    }
  }

  #after(delayMs: number, run: () => void): Scheduled {
    if (!(delayMs > 0)) return this.#immediately(run)
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  /** What is due at once does not wait for somebody to advance the clock. */
  #immediately(run: () => void): Scheduled {
    let isPending = true
    this.#immediates++
    const end = () => {
      if (isPending) this.#immediates--
      isPending = false
    }
    const immediate = setImmediate(() => {
      end()
      run()
    })
    return {
      cancel: () => {
        clearImmediate(immediate)
        end()
      },
    }
  }

  async #pass(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs
    await this.#settle()
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
      await this.#settle()
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

  async #settle(): Promise<void> {
    let turns = 0
    do await nextTurn()
    while (this.#immediates > 0 && ++turns < MAX_TURNS)
  }
}
