import type { Scheduled, Scheduler } from '../../coordinator/scheduler.ts'
import { check } from './simulation-failure.ts'

interface Event {
  readonly atMs: number
  /** Of two events at one time the one that was planned first comes first. */
  readonly order: number
  run: (() => void) | null
}

const START_MS = 1_700_000_000_000

/**
 * Time that passes only when everything that can happen now has happened. Between two events all promises
 * settle, so that the order of everything follows from the order of the events, and that from the seed.
 */
export class VirtualTime {
  /** Since the beginning, in milliseconds; never goes back. */
  elapsedMs = 0
  /** How far the wall clock is ahead of the time that passed. */
  skewMs = 0
  /** Events that ran. */
  steps = 0
  readonly #heap: Event[] = []
  #order = 0
  readonly #failures: unknown[] = []

  /** What the wall clock shows: milliseconds since the Unix epoch. */
  nowMs(): number {
    return START_MS + Math.floor(this.elapsedMs) + this.skewMs
  }

  after(delayMs: number, run: () => void): Scheduled {
    const event: Event = { atMs: this.elapsedMs + Math.max(0, delayMs), order: ++this.#order, run }
    this.#push(event)
    return {
      cancel: () => {
        event.run = null
      },
    }
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve)
    })
  }

  /** Ends the run: with the next step at the latest. */
  fail(error: unknown): void {
    this.#failures.push(error)
  }

  /** Something that goes on by itself; what it throws ends the run. */
  background(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.fail(error))
  }

  /** Lets time pass. `afterStep` sees the world when all that followed from an event has happened. */
  async pass(durationMs: number, maxSteps: number, afterStep: () => void = () => undefined): Promise<void> {
    const endMs = this.elapsedMs + durationMs
    await this.settle()
    for (let left = maxSteps; ; left--) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > endMs) break
      check(left > 0, () => `${maxSteps} events happened in ${durationMs} ms, and it goes on`)
      this.#pop()
      if (next.run === null) continue
      this.elapsedMs = Math.max(this.elapsedMs, next.atMs)
      this.steps++
      next.run()
      await this.settle()
      afterStep()
    }
    this.elapsedMs = endMs
  }

  /** Lets everything happen that waits for nothing but its turn. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#failures.length > 0) throw this.#failures[0]
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)
}

/** Time as one run of a broker sees it: it stops with the process. */
export class ProcessScheduler implements Scheduler {
  readonly #time: VirtualTime
  #stopped = false

  constructor(time: VirtualTime) {
    this.#time = time
  }

  nowMs(): number {
    return this.#time.nowMs()
  }

  after(delayMs: number, run: () => void): Scheduled {
    return this.#time.after(delayMs, () => {
      if (!this.#stopped) run()
    })
  }

  stop(): void {
    this.#stopped = true
  }
}
