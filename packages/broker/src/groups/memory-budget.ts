/**
 * Bounds what all members of all groups together keep in memory: their metadata and assignments come from
 * clients, and anyone can make up groups and members.
 */
export class MembershipMemory {
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

  /** @param bytes negative when memory is given back. */
  change(bytes: number): void {
    this.#usedBytes += bytes
  }
}
