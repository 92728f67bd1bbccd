import type { CompactionPolicy, Offset } from '../log-store.ts'

/**
 * What a compacted log must still have. Compaction may take a record away for one of three reasons, and may never
 * change or move one that it leaves.
 */
export interface KeyedRecord {
  readonly offset: Offset
  /** Null where it has none: then no later record takes its place. */
  readonly key: string | null
  /** Null for a tombstone. */
  readonly value: string | null
  readonly timestampMs: number
  /** Of a transaction that was aborted. */
  readonly isAborted: boolean
}

export interface CompactedLog {
  readonly startOffset: Offset
  /** Nothing from here on may be taken away, and nothing there takes another one's place. */
  readonly lastStableOffset: Offset
  readonly nowMs: number
  readonly policy: Pick<CompactionPolicy, 'minLagMs' | 'deleteRetentionMs'>
}

/** Offsets of those of the `written` records, in order, that every compaction until now must have left. */
export function mustRemain(written: readonly KeyedRecord[], log: CompactedLog): Set<Offset> {
  const { startOffset, lastStableOffset, nowMs, policy } = log
  const remaining = new Set<Offset>()
  const replaced = new Set<string>()
  // From the end: the first one of a key that is met is the last one written.
  for (const record of written.toReversed()) {
    const { offset, key, value, timestampMs, isAborted } = record
    if (offset < startOffset) break
    const isOpen = offset >= lastStableOffset || timestampMs > nowMs - policy.minLagMs
    const isReplaced = key !== null && replaced.has(key)
    // When it was first compacted is not known; not before it was written.
    const isExpired = value === null && timestampMs + policy.deleteRetentionMs <= nowMs
    if (isOpen || !(isReplaced || isExpired || isAborted)) remaining.add(offset)
    if (key !== null && !isAborted && offset < lastStableOffset) replaced.add(key)
  }
  return remaining
}

/** What is wrong with the `found` records of a compacted log; null where nothing is. */
export function compactionFault(
  written: readonly KeyedRecord[],
  found: readonly KeyedRecord[],
  log: CompactedLog,
): string | null {
  const byOffset = new Map(written.map((record) => [record.offset, record]))
  const offsets = new Set<Offset>()
  let last = -1
  for (const record of found) {
    const { offset, key, value } = record
    const original = byOffset.get(offset)
    if (original === undefined) return `there is a record at ${offset}, which was not written`
    if (original.key !== key || original.value !== value) return `the record at ${offset} has changed`
    if (offset <= last) return `offset ${offset} follows ${last}`
    last = offset
    offsets.add(offset)
  }
  for (const offset of mustRemain(written, log)) {
    if (!offsets.has(offset)) return `the record at ${offset} is gone, which nothing has replaced`
  }
  return null
}
