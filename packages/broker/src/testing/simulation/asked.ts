/**
 * What clients have asked the broker for and were not answered yet: only that may appear in its logs.
 *
 * When a write fails, what was refused because of it may still be found in the log after the restart; until
 * then nothing is forgotten.
 */
export class Asked {
  readonly #counts = new Map<string, number>()
  #inDoubt: string[] = []
  #writerFailed = false

  /** Returns what to call when the request was answered, or will never be. */
  begin(what: string): () => void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
    return () => {
      if (this.#writerFailed) this.#inDoubt.push(what)
      else this.#end(what)
    }
  }

  isAsked(what: string): boolean {
    return this.#counts.has(what)
  }

  writerFailed(): void {
    this.#writerFailed = true
  }

  /** The process is gone, and all it ever wrote is there. */
  restarted(): void {
    this.#writerFailed = false
    for (const what of this.#inDoubt) this.#end(what)
    this.#inDoubt = []
  }

  #end(what: string): void {
    const count = this.#counts.get(what)! - 1
    if (count === 0) this.#counts.delete(what)
    else this.#counts.set(what, count)
  }
}
