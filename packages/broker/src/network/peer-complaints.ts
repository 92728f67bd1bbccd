import type { Logger } from '../logger.ts'

/** Lines written in one period; what exceeds them is counted and told with the next line. */
const MAX_LINES_PER_PERIOD = 20
const PERIOD_MS = 10_000

/**
 * Log lines about connections that were closed, at a bounded rate: somebody who sends garbage in a loop, or asks
 * again and again for what cannot be read, must not fill the disk with our log.
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

  /** The peer did something that ends its connection. */
  write(peer: string, reason: string): void {
    if (!this.#mayWrite()) return
    this.#log.warn({ peer, ...this.#leftOut() }, `closed the connection of ${peer}: ${reason}`)
  }

  /** Something went wrong here that ends the peer's connection. */
  fault(peer: string, error: unknown, what: string): void {
    if (!this.#mayWrite()) return
    this.#log.error({ err: error, peer, ...this.#leftOut() }, `${what} of ${peer}, closing its connection`)
  }

  #mayWrite(): boolean {
    const nowMs = this.#clock()
    if (nowMs - this.#periodStartMs >= PERIOD_MS || nowMs < this.#periodStartMs) {
      this.#periodStartMs = nowMs
      this.#lines = 0
    }
    if (this.#lines >= MAX_LINES_PER_PERIOD) {
      this.#suppressed++
      return false
    }
    this.#lines++
    return true
  }

  #leftOut(): { suppressedLines?: number } {
    const suppressedLines = this.#suppressed
    this.#suppressed = 0
    return suppressedLines === 0 ? {} : { suppressedLines }
  }
}
