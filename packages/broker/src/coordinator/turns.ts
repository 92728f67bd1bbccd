/**
 * Operations on one key (a group, a transactional id) run one after the other, in the order in which they
 * came; operations on different keys overlap. An operation that has the key to itself starts at once, and its
 * result comes back at once if it needs no waiting.
 *
 * That is what makes "durable first" simple: while an operation waits for the disk, nothing else sees or
 * changes the state it decided on.
 */
export class Turns {
  readonly #maxWaitingPerKey: number
  /** Present while an operation runs on the key; what waits, in order. */
  readonly #waiting = new Map<string, (() => void)[]>()

  /** @param maxWaitingPerKey operations that may wait for one key; further ones are refused. */
  constructor(maxWaitingPerKey = 10_000) {
    this.#maxWaitingPerKey = maxWaitingPerKey
  }

  /** Keys with an operation under way. */
  get busyCount(): number {
    return this.#waiting.size
  }

  /** Throws (or rejects with) what the operation throws, and TurnsFull when too many wait for the key. */
  run<T>(key: string, operation: () => T | Promise<T>): T | Promise<T> {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) {
      this.#waiting.set(key, [])
      return this.#start(key, operation)
    }
    if (waiting.length >= this.#maxWaitingPerKey) throw new TurnsFull(key, this.#maxWaitingPerKey)
    return new Promise<T>((resolve, reject) => {
      waiting.push(() => {
        // Inside a promise, so that an operation that throws rejects its caller and not the one before it.
        Promise.resolve()
          .then(() => this.#start(key, operation))
          .then(resolve, reject)
      })
    })
  }

  #start<T>(key: string, operation: () => T | Promise<T>): T | Promise<T> {
    let result: T | Promise<T>
    try {
      result = operation()
    } catch (error) {
      this.#next(key)
      throw error
    }
    if (!(result instanceof Promise)) {
      this.#next(key)
      return result
    }
    return result.finally(() => this.#next(key))
  }

  #next(key: string): void {
    const next = this.#waiting.get(key)?.shift()
    if (next === undefined) this.#waiting.delete(key)
    else next()
  }
}

/** Too many operations wait for one key. */
export class TurnsFull extends Error {
  override readonly name = 'TurnsFull'
  readonly code = 'TURNS_FULL'

  constructor(key: string, maxWaiting: number) {
    super(`${maxWaiting} operations wait for '${key.slice(0, 100)}' already`)
  }
}
