import type { LogStore, ProducerIdRange } from '@streambus/storage'

/** Ids taken from the store at once: one durable write serves this many producers. */
const RANGE_SIZE = 1000

/** Hands out producer ids, each to one producer ever. What is left of a range at a restart is not used. */
export class ProducerIds {
  readonly #store: LogStore
  #next = 0
  #end = 0
  #allocation: Promise<ProducerIdRange> | undefined

  constructor(store: LogStore) {
    this.#store = store
  }

  /** Rejects with StorageError when no range can be allocated. */
  async next(): Promise<number> {
    while (this.#next === this.#end) {
      // Whoever comes while a range is being allocated waits for the same one.
      this.#allocation ??= this.#allocate()
      await this.#allocation
    }
    return this.#next++
  }

  async #allocate(): Promise<ProducerIdRange> {
    try {
      const range = await this.#store.allocateProducerIds(RANGE_SIZE)
      this.#next = range.first
      this.#end = range.first + range.count
      return range
    } finally {
      this.#allocation = undefined
    }
  }
}
