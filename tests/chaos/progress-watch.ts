import { STALL_BOUND_MS } from './settings.ts'

const LOOK_INTERVAL_MS = 100

/** Something that has to make progress: a partition with the members of a group, a producer. */
export interface Lane {
  readonly name: string
  /** Whether there is something to do. */
  readonly isBehind: () => boolean
  /** How many handlers hold it. */
  held: number
  /** Since when there is no progress although nothing is in the way. */
  sinceMs: number
  isStalled: boolean
}

/** The longest time without progress, and where. */
export interface Standstill {
  readonly ms: number
  readonly lane: string
}

const none: Standstill = { ms: 0, lane: 'nowhere' }

/** Measures how long lanes go without progress while nothing that we do is in their way. */
export class ProgressWatch {
  readonly faults: string[] = []
  longest = none
  #longestSinceTaken = none
  readonly #boundMs: number
  readonly #lanes: Lane[] = []
  readonly #timer: NodeJS.Timeout
  /** Troubles that are under way. */
  #troubles = 0

  constructor(boundMs = STALL_BOUND_MS) {
    this.#boundMs = boundMs
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS)
  }

  watch(name: string, isBehind: () => boolean): Lane {
    const lane = { name, isBehind, held: 0, sinceMs: performance.now(), isStalled: false }
    this.#lanes.push(lane)
    return lane
  }

  progressed(lane: Lane): void {
    lane.sinceMs = performance.now()
    lane.isStalled = false
  }

  /** While it runs nobody has to make progress; afterwards everybody begins anew. */
  async during(trouble: () => Promise<void>): Promise<void> {
    this.#troubles++
    try {
      await trouble()
    } finally {
      this.#troubles--
      for (const lane of this.#lanes) lane.sinceMs = performance.now()
    }
  }

  /** The longest since the last call. */
  takeLongest(): Standstill {
    const longest = this.#longestSinceTaken
    this.#longestSinceTaken = none
    return longest
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const nowMs = performance.now()
    for (const lane of this.#lanes) {
      if (this.#troubles > 0 || lane.held > 0 || !lane.isBehind()) {
        lane.sinceMs = nowMs
        continue
      }
      const stalledMs = nowMs - lane.sinceMs
      const standstill = { ms: Math.round(stalledMs), lane: lane.name }
      if (standstill.ms > this.longest.ms) this.longest = standstill
      if (standstill.ms > this.#longestSinceTaken.ms) this.#longestSinceTaken = standstill
      if (stalledMs <= this.#boundMs || lane.isStalled) continue
      lane.isStalled = true
      this.faults.push(`${lane.name} made no progress for ${this.#boundMs} ms with nothing in its way`)
    }
  }
}
