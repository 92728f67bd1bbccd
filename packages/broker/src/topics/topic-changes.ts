/**
 * Runs changes of topics that depend on what they find (settings, numbers of partitions) one after another,
 * so that none is computed from a state that another one has already replaced.
 */
export class TopicChanges {
  #last: Promise<unknown> = Promise.resolve()

  inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    // The caller learns of a failure; the next change starts from whatever state it left.
    this.#last = result.catch(() => undefined)
    return result
  }
}
