import { KEYS } from './settings.ts'

const MAX_FAULTS = 20

/**
 * What became of numbered messages in one place: in the log, with the handlers of a group, in the output of the
 * processors. Message n has the key n % KEYS, and those of a key keep their order, so that of each key the number that
 * comes next is known; what comes instead is a repeat, or says that something was left out.
 */
export class KeySequences {
  readonly faults: string[] = []
  /** By key. */
  readonly next: number[]
  readonly name: string
  readonly mayRepeat: boolean
  repeats = 0

  constructor(name: string, mayRepeat: boolean) {
    this.name = name
    this.mayRepeat = mayRepeat
    this.next = Array.from({ length: KEYS }, (_, key) => key)
  }

  /** How many messages came, repeats left out. */
  get count(): number {
    return this.next.reduce((sum, next, key) => sum + (next - key) / KEYS, 0)
  }

  note(number: number): void {
    const key = number % KEYS
    const next = this.next[key]
    if (next === undefined) {
      this.#fault(`a message came that nobody sent: ${number}`)
    } else if (number >= next) {
      if (number > next) this.#fault(`${number} came when ${next}, of the same key, had not`)
      this.next[key] = number + KEYS
    } else {
      this.repeats++
      if (!this.mayRepeat) this.#fault(`${number} came twice, or behind ${next - KEYS} of the same key`)
    }
  }

  hasAll(key: number, end: number): boolean {
    return this.next[key]! >= end
  }

  /** @param ends by key, the number behind the last that was acknowledged */
  missing(ends: readonly number[]): string[] {
    return ends.flatMap((end, key) =>
      this.hasAll(key, end)
        ? []
        : [
            `${this.name}: ${this.next[key]} was acknowledged and never came; it is the first such of key ${key}`,
          ],
    )
  }

  #fault(what: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push(`${this.name}: ${what}`)
  }
}
