import { hasTimestamp } from './batch-timestamp.ts'
import type { LogHead } from './log-head.ts'
import type { Offset, RetentionLimits } from './log-store.ts'

/** How much of a log, from its start on, its retention does not want any more: see `LogStore.expiredUpTo`. */
export class ExpiredPrefix {
  readonly #limits: RetentionLimits
  readonly #lastStableOffset: Offset
  #leftBytes: number
  #end: Offset

  constructor(log: LogHead, limits: RetentionLimits) {
    this.#limits = limits
    this.#lastStableOffset = log.lastStableOffset
    this.#leftBytes = log.sizeBytes
    this.#end = log.startOffset
  }

  /** Up to where the log may be cut. */
  get end(): Offset {
    return this.#end
  }

  /** Takes in the batches that come next, up to `endOffset`, if all of them go; false if not. */
  takes(byteLength: number, maxTimestampMs: number, endOffset: Offset): boolean {
    const { expiredBeforeMs, keepBytes } = this.#limits
    const hasTime = hasTimestamp(maxTimestampMs)
    const isExpired = !hasTime || maxTimestampMs < expiredBeforeMs
    const isTooMuch = this.#leftBytes - byteLength >= keepBytes
    if (endOffset > this.#lastStableOffset || !(isExpired || isTooMuch)) return false
    this.#leftBytes -= byteLength
    if (hasTime || isTooMuch) this.#end = endOffset
    return true
  }

  /** Whether nothing more is taken in, if the next batch has this timestamp and at least one byte. */
  endsBefore(timestampMs: number): boolean {
    const { expiredBeforeMs, keepBytes } = this.#limits
    return hasTimestamp(timestampMs) && timestampMs >= expiredBeforeMs && this.#leftBytes <= keepBytes
  }
}
