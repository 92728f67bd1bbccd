/**
 * How many reads of log files are under way at once, over everything that reads them. Reads share libuv's four
 * threads with the durable writes, of which there are at most two and which must never wait for a thread.
 */
const MAX_READS = 2

export class ReadSlots {
  #free = MAX_READS
  readonly #waiting: (() => void)[] = []

  /** A slot if there is one now. Every slot taken is given back. */
  tryTake(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /** Waits for a slot, in turn. */
  async take(): Promise<void> {
    if (!this.tryTake()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
