import type { Offset } from '../log-store.ts'

/** In the place of a file: no file has these offsets. */
export const NO_FILE = 0

type Numbers = Uint16Array | Uint32Array | Float64Array

/**
 * Which file has which offsets of one log. This is what the memory of a large store goes to, a range for each log in
 * each file, so a range takes 4 to 12 bytes: where it ends, from an origin on, and the number of its file, both in the
 * narrowest array that holds them. A range begins where the one before ends; offsets that no file has are a range of
 * `NO_FILE`.
 */
export class LogRanges {
  #firstOffset: Offset = 0
  #origin: Offset = 0
  #count = 0
  #ends: Numbers = new Uint16Array(0)
  #files: Numbers = new Uint16Array(0)
  /** The timestamp of the first batch that ends after `timestampOffset`, where that is known. */
  timestampOffset: Offset = -1
  timestampMs = 0

  get count(): number {
    return this.#count
  }

  startOf(index: number): Offset {
    return index === 0 ? this.#firstOffset : this.endOf(index - 1)
  }

  endOf(index: number): Offset {
    return this.#origin + this.#ends[index]!
  }

  fileOf(index: number): number {
    return this.#files[index]!
  }

  /** Number of the first range with something at or after `offset`; `count` where there is none. */
  after(offset: Offset): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.endOf(middle) <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** A file takes the place of all ranges from `firstOffset` to `endOffset`. Returns the files they were in. */
  replace(firstOffset: Offset, endOffset: Offset, file: number): number[] {
    const added: [Offset, number][] = []
    const from = this.after(firstOffset)
    const begin = from < this.#count ? this.startOf(from) : firstOffset
    if (this.#count === 0) this.#firstOffset = firstOffset
    else if (from === this.#count && this.endOf(from - 1) < firstOffset) added.push([firstOffset, NO_FILE])
    else if (begin < firstOffset && this.fileOf(from) === NO_FILE) added.push([firstOffset, NO_FILE])
    let to = from
    while (to < this.#count && this.endOf(to) <= endOffset) to++
    added.push([endOffset, file])
    // Before all others: what lies between is not there.
    if (from === 0 && begin > endOffset) added.push([begin, NO_FILE])
    if (from === 0 && begin > firstOffset) this.#firstOffset = firstOffset
    if (from < this.#count) this.timestampOffset = -1
    const replaced = Array.from(this.#files.subarray(from, to)).filter((file) => file !== NO_FILE)
    this.#splice(from, to - from, added)
    return replaced
  }

  /** Forgets the first range, and returns its file. */
  shift(): number {
    const file = this.fileOf(0)
    this.#firstOffset = this.endOf(0)
    this.#splice(0, 1, [])
    return file
  }

  #splice(at: number, removed: number, added: readonly (readonly [Offset, number])[]): void {
    const count = this.#count - removed + added.length
    const lastEnd = Math.max(this.#count === 0 ? 0 : this.endOf(this.#count - 1), added.at(-1)?.[0] ?? 0)
    const isTooSmall =
      count > this.#ends.length ||
      this.#firstOffset < this.#origin ||
      !holds(this.#ends, lastEnd - this.#origin) ||
      added.some(([, file]) => !holds(this.#files, file))
    if (isTooSmall) this.#enlarge(Math.max(count, this.#count), lastEnd, added)
    this.#ends.copyWithin(at + added.length, at + removed, this.#count)
    this.#files.copyWithin(at + added.length, at + removed, this.#count)
    added.forEach(([end, file], index) => {
      this.#ends[at + index] = end - this.#origin
      this.#files[at + index] = file
    })
    this.#count = count
  }

  #enlarge(count: number, lastEnd: Offset, added: readonly (readonly [Offset, number])[]): void {
    const capacity = count + (count >>> 3) + 1
    let highestFile = added.reduce((highest, [, file]) => Math.max(highest, file), 0)
    for (const file of this.#files) highestFile = Math.max(highestFile, file)
    const ends = narrowest(lastEnd - this.#firstOffset, capacity)
    const files = narrowest(highestFile, capacity)
    for (let index = 0; index < this.#count; index++) {
      ends[index] = this.endOf(index) - this.#firstOffset
      files[index] = this.fileOf(index)
    }
    this.#origin = this.#firstOffset
    this.#ends = ends
    this.#files = files
  }
}

function holds(numbers: Numbers, value: number): boolean {
  return numbers instanceof Float64Array || value < 2 ** (8 * numbers.BYTES_PER_ELEMENT)
}

function narrowest(highest: number, length: number): Numbers {
  if (highest < 2 ** 16) return new Uint16Array(length)
  return highest < 2 ** 32 ? new Uint32Array(length) : new Float64Array(length)
}
