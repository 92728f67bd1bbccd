import type { Logger } from '../logger.ts'

/** Lines written in one period; what exceeds them is counted and told with the next line. */
const MAX_LINES_PER_PERIOD = 20
const PERIOD_MS = 10_000

/**
 * Log lines about peers that were turned away, at a bounded rate: somebody who sends garbage in a loop must
 * not fill the disk with our log.
 */
export class PeerComplaints {
  readonly #log: Logger
  readonly #clock: () => number
  #periodStartMs = 0
  #lines = 0
  #suppressed = 0

  constructor(log: Logger, clock: () => number) {
    this.#log = log
    this.#clock = clock
  }

  write(peer: string, reason: string): void {
    const nowMs = this.#clock()
    if (nowMs - this.#periodStartMs >= PERIOD_MS || nowMs < this.#periodStartMs) {
      this.#periodStartMs = nowMs
      this.#lines = 0
    }
    if (this.#lines >= MAX_LINES_PER_PERIOD) {
      this.#suppressed++
      return
    }
    this.#lines++
    const fields = this.#suppressed === 0 ? { peer } : { peer, suppressedLines: this.#suppressed }
    this.#suppressed = 0
    this.#log.warn(fields, `closed the connection of ${peer}: ${reason}`)
  }
}
