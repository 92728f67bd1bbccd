import type { LogId, Offset } from '../log-store.ts'

/**
 * Which offsets of each log were found: pairs of first and end (exclusive), in the order in which they were found. A
 * log in shared files has one pair as long as nothing is missing, so the memory is that of the logs and of the holes.
 */
export class OffsetRanges {
  readonly #ranges = new Map<LogId, number[]>()

  /** Returns the end of what was found of the log before. */
  add(logId: LogId, first: Offset, end: Offset): Offset {
    const ranges = this.#ranges.get(logId)
    if (ranges === undefined || ranges.length === 0) {
      this.#ranges.set(logId, [first, end])
      return first
    }
    const before = ranges.at(-1)!
    if (first === before) ranges[ranges.length - 1] = end
    else ranges.push(first, end)
    return before
  }

  /** What lies from `first` to before `end` was not found after all. */
  remove(logId: LogId, first: Offset, end: Offset): void {
    const ranges = this.#ranges.get(logId) ?? []
    const left: number[] = []
    for (let at = 0; at < ranges.length; at += 2) {
      const [from, to] = [ranges[at]!, ranges[at + 1]!]
      if (from < Math.min(to, first)) left.push(from, Math.min(to, first))
      if (Math.max(from, end) < to) left.push(Math.max(from, end), to)
    }
    this.#ranges.set(logId, left)
  }

  /** The holes from `first` to before `end`, as pairs of first and end. */
  missing(logId: LogId, first: Offset, end: Offset): [Offset, Offset][] {
    const ranges = this.#ranges.get(logId) ?? []
    const found: [Offset, Offset][] = []
    for (let at = 0; at < ranges.length; at += 2) found.push([ranges[at]!, ranges[at + 1]!])
    found.sort((a, b) => a[0] - b[0])
    const holes: [Offset, Offset][] = []
    let next = first
    for (const [from, to] of found) {
      if (from >= end) break
      if (from > next) holes.push([next, from])
      next = Math.max(next, to)
    }
    if (next < end) holes.push([next, end])
    return holes
  }
}
