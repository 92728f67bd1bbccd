/**
 * Everything that happened, as one number, so that two runs of a seed can be compared; and in words when asked
 * for, since words cost more than what they tell of.
 */
export class Trace {
  /** The last events in words. */
  readonly lines: string[] = []
  readonly #maxLines: number
  #hash = 0x811c9dc5
  #count = 0

  /** @param maxLines events kept in words; 0 keeps none. */
  constructor(maxLines: number) {
    this.#maxLines = maxLines
  }

  get hash(): string {
    return `${this.#count}-${(this.#hash >>> 0).toString(16)}`
  }

  add(elapsedMs: number, bytes: Uint8Array | null, words: () => string): void {
    this.#count++
    this.#mix(Math.floor(elapsedMs * 1000))
    if (bytes !== null) for (const byte of bytes) this.#hash = Math.imul(this.#hash ^ byte, 0x01000193)
    if (this.#maxLines === 0) return
    if (this.lines.length >= this.#maxLines) this.lines.splice(0, this.#maxLines >> 1)
    this.lines.push(`${(elapsedMs / 1000).toFixed(4).padStart(9)} ${words()}`)
  }

  #mix(value: number): void {
    for (let rest = value; rest > 0; rest = Math.floor(rest / 0x10000)) {
      this.#hash = Math.imul(this.#hash ^ (rest & 0xffff), 0x01000193)
    }
  }
}
