/** Where something that takes memory says how much. */
export interface MemoryUse {
  /** @param bytes negative when memory is given back. */
  change(bytes: number): void
}

/**
 * Bounds what clients can make the coordinator keep in memory, over all groups: anyone can make up groups, members
 * and offsets.
 */
export class MemoryBudget implements MemoryUse {
  readonly #maxBytes: number
  #usedBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  hasRoomFor(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.#maxBytes
  }

  change(bytes: number): void {
    this.#usedBytes += bytes
  }
}
