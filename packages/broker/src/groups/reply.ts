/**
 * An answer that may be given later than the operation ends that it belongs to: a join waits for other members,
 * and the group goes on with their operations meanwhile.
 */
export class Reply<T> {
  readonly #promise: Promise<T>
  #resolve!: (answer: T) => void
  #isSent = false

  constructor() {
    this.#promise = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** Gives the answer. Only the first one counts. */
  send(answer: T): void {
    this.#isSent = true
    this.#resolve(answer)
  }

  /**
   * The answer, or `instead` when it is not there yet and must not be waited for, or not any longer. An answer that
   * is sent after that is for nobody: the group may keep this object, and nothing that waits is kept with it.
   *
   * @param startWaiting called where the answer is not there yet. Gives a signal that ends the wait, or undefined
   *   where there must be none.
   */
  wait(startWaiting: () => AbortSignal | undefined, instead: T): T | Promise<T> {
    if (this.#isSent) return this.#promise
    const signal = startWaiting()
    if (signal === undefined || signal.aborted) return instead
    const abandon = (): void => this.send(instead)
    signal.addEventListener('abort', abandon, { once: true })
    return this.#promise.finally(() => signal.removeEventListener('abort', abandon))
  }
}
