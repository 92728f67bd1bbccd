/**
 * How many reads of log files are under way at once, over everything that reads them. Reads share libuv's four
 * threads with the durable writes, of which there are at most two and which must never wait for a thread for long: what
 * merging and compaction read at once counts as one.
 */
const MAX_READS = 2

/**
 * Who has the disk. Durable writes go at once; readers share a few slots; what nobody waits for, merging and
 * compaction, lets a durable write that is under way end before each of its transfers. It waits for one write only, so
 * that under a load that never pauses it has a transfer after each.
 */
export class DiskAccess {
  #free = MAX_READS
  readonly #waiting: (() => void)[] = []
  #durableWrites = 0
  #afterWrite: (() => void)[] = []

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

  /** A write that somebody waits for. */
  async durable(write: Promise<void>): Promise<void> {
    this.#durableWrites++
    try {
      await write
    } finally {
      this.#durableWrites--
      const waiting = this.#afterWrite
      this.#afterWrite = []
      for (const goOn of waiting) goOn()
    }
  }

  /** A transfer that nobody waits for. */
  async background<T>(transfer: () => Promise<T>): Promise<T> {
    if (this.#durableWrites > 0) await new Promise<void>((resolve) => this.#afterWrite.push(resolve))
    await this.take()
    try {
      return await transfer()
    } finally {
      this.give()
    }
  }
}
