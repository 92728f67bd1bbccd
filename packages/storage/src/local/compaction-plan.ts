import { hasTimestamp } from '../batch-timestamp.ts'
import type { LogHead } from '../log-head.ts'
import type { CompactionPolicy, LogId, Offset } from '../log-store.ts'
import type { CompactionWait } from '../maintenance-metrics.ts'
import { BATCH_FIELDS } from './index-file.ts'
import type { OffsetIndex, SealedRange } from './offset-index.ts'

/** One pass over a log. */
export interface CompactionPlan {
  readonly logId: LogId
  readonly policy: CompactionPolicy
  /** What the log has in full files and segments, from its start to past the limit. */
  readonly ranges: readonly SealedRange[]
  /** What begins here is left as it is: not decided, too young, or the newest batch. */
  readonly limit: Offset
  /** Bytes below the limit that no pass has seen. */
  readonly dirtyBytes: number
  /** Their share of the bytes in the ranges. */
  readonly dirtyRatio: number
  /** True: some of it is older than it may get. */
  readonly isLate: boolean
}

/**
 * What a pass over the log would do now; null where nothing is below the limit that no pass has seen, unless tombstones
 * are due to go. Young and late go by the timestamps of the records, as in Kafka.
 *
 * @param hasDueTombstones whether there are tombstones that passes have left and whose time has come
 */
export async function planCompaction(
  log: LogHead,
  policy: CompactionPolicy,
  index: OffsetIndex,
  nowMs: number,
  hasDueTombstones = false,
): Promise<CompactionPlan | null> {
  const newest = await index.newestBatchOffset(log.id)
  let limit = Math.min(log.lastStableOffset, newest)
  if (limit <= log.cleanedTo && !hasDueTombstones) return null
  // Without a lag a timestamp in the future is no reason to wait.
  const youngMs = policy.minLagMs > 0 ? nowMs - policy.minLagMs : Number.POSITIVE_INFINITY
  const ranges: SealedRange[] = []
  let totalBytes = 0
  let dirtyBytes = 0
  let oldestMs = Number.POSITIVE_INFINITY
  for await (const range of index.rangesOf(log.id)) {
    const { firstOffset, endOffset, sizeBytes, maxTimestampMs } = range.directory
    if (firstOffset >= limit) break
    const isBelowLimit = endOffset <= limit && maxTimestampMs <= youngMs
    if (isBelowLimit && endOffset <= log.cleanedTo) {
      // A pass has seen all of it.
    } else if (isBelowLimit && firstOffset >= log.cleanedTo) {
      dirtyBytes += sizeBytes
      oldestMs = olderOf(oldestMs, maxTimestampMs)
    } else {
      const fields = await index.batchesOf(range)
      for (let at = 0; at < fields.length; at += BATCH_FIELDS) {
        const batchEnd = fields[at + BATCH_FIELDS] ?? endOffset
        if (batchEnd > limit || fields[at + 3]! > youngMs) {
          limit = Math.min(limit, fields[at]!)
          break
        }
        if (batchEnd <= log.cleanedTo) continue
        dirtyBytes += fields[at + 2]!
        oldestMs = olderOf(oldestMs, fields[at + 3]!)
      }
      if (firstOffset >= limit) break
    }
    totalBytes += sizeBytes
    ranges.push(range)
  }
  if (dirtyBytes === 0 && (!hasDueTombstones || ranges.length === 0)) return null
  return {
    logId: log.id,
    policy,
    ranges,
    limit,
    dirtyBytes,
    dirtyRatio: dirtyBytes === 0 ? 0 : dirtyBytes / totalBytes,
    isLate: hasDueTombstones || nowMs - oldestMs > policy.maxLagMs,
  }
}

/** Whether the pass is worth it. */
export function isDue({ dirtyRatio, isLate, policy }: CompactionPlan): boolean {
  return dirtyRatio >= policy.minDirtyRatio || isLate
}

/** What the pass waits for, or one over a log for which there is no plan. */
export async function compactionWait(
  log: LogHead,
  plan: CompactionPlan | null,
  policy: CompactionPolicy,
  index: OffsetIndex,
  nowMs: number,
): Promise<CompactionWait> {
  if (plan !== null) return isDue(plan) ? 'turn' : 'ratio'
  const seenTo = Math.max(log.cleanedTo, log.startOffset)
  if ((await index.newestBatchOffset(log.id)) <= seenTo) return 'records'
  if (log.lastStableOffset <= seenTo) return 'transaction'
  if (index.tail(log.id, seenTo) !== null) return 'file'
  // What holds up the first batch is either its age or a transaction.
  return (await planCompaction(log, { ...policy, minLagMs: 0 }, index, nowMs)) === null
    ? 'transaction'
    : 'lag'
}

/** Records without a timestamp are never late. */
function olderOf(oldestMs: number, timestampMs: number): number {
  return hasTimestamp(timestampMs) ? Math.min(oldestMs, timestampMs) : oldestMs
}
