import { setImmediate as turn } from 'node:timers/promises'

/** What is looked at between two turns of the event loop that have nothing to do: about a quarter of a millisecond. */
const MIN_BYTES = 32 * 1024
/** Two milliseconds, however long a turn takes. */
const MAX_BYTES = 512 * 1024
/** Of each millisecond of a turn: half of what one core looks at meanwhile. */
const BYTES_PER_MS = 128 * 1024

/**
 * The share of the event loop that work in the background has, that of all who do some together. Between two of its
 * turns a fixed piece of work would be little where each has much to do: what is to be compacted then comes faster than
 * it is. So the piece grows with the turns, up to a third of the time.
 */
export class WorkShare {
  /** How often something was to be appended: who works sees by it whether somebody waits meanwhile. */
  appends = 0
  readonly #clock: () => number
  #allowedBytes = MIN_BYTES
  #bytes = 0

  /** @param clock milliseconds */
  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** What may be looked at in one go. */
  get allowedBytes(): number {
    return this.#allowedBytes
  }

  /** How many times as much that is as where turns are short: 1 to 16. */
  get factor(): number {
    return this.#allowedBytes / MIN_BYTES
  }

  /** So much was looked at. Resolves when others have had their turn, if it is theirs. */
  async worked(bytes: number): Promise<void> {
    this.#bytes += bytes
    if (this.#bytes < this.#allowedBytes) return
    this.#bytes = 0
    const startedMs = this.#clock()
    await turn()
    // Of a clock with whole milliseconds the last one may be any part of one.
    const turnMs = this.#clock() - startedMs - 1
    this.#allowedBytes = Math.min(MAX_BYTES, Math.max(MIN_BYTES, turnMs * BYTES_PER_MS))
  }
}
