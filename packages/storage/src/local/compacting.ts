import { randomBytes } from 'node:crypto'
import { batchEndOffset, batchHeader } from '@streambus/protocol'
import { loadCodecOf } from '../compaction/checked-batch.ts'
import { type CompactionPass, compactBatch } from '../compaction/compact-batch.ts'
import { deleteHorizonMsOf } from '../compaction/delete-horizon.ts'
import { fillKeyOffsets } from '../compaction/fill-key-offsets.ts'
import { KEY_HASH_SEED_BYTES } from '../compaction/key-hash.ts'
import { KeyOffsets, MAX_KEY_BYTES } from '../compaction/key-offsets.ts'
import type { LogHead } from '../log-head.ts'
import { StorageError } from '../log-store.ts'
import type { CompactionPlan } from './compaction-plan.ts'
import { addFinished, damagedAt, type GatheredBatch, gather, type Rewriting } from './rewriting.ts'
import { SegmentWriter } from './segment-file.ts'

/** What came of a pass that went to its end. */
export interface CompactionOutcome {
  /** When the last of the tombstones may go that the pass has left; -Infinity where it knows of none. */
  readonly lastHorizonMs: number
}

/** As `RewritingSteps`; undefined where the log was deleted meanwhile. */
export type CompactionSteps = AsyncGenerator<number, CompactionOutcome | undefined>

const MIN_KEY_BYTES = 1024 ** 2
/** Records looked at in a step, in bytes: about a quarter of a millisecond. */
const WORK_STEP_BYTES = 32 * 1024

/**
 * One pass of compaction over a log: reads the keys of what no pass has seen, as many as the memory holds; then writes
 * the log anew, from its start, without the records that a later one replaces. Each segment counts as soon as it is
 * written: the pass may end after any of them. Segments cover whole ranges: what lies above the limit in the last one
 * is copied.
 *
 * The last batch below the last stable offset stays as it is, so that whoever reads up to there finds something.
 *
 * @param segmentBytes size at which a segment is full
 */
export async function* compact(
  plan: CompactionPlan,
  segmentBytes: number,
  rewriting: Rewriting,
): CompactionSteps {
  const { logId, ranges, limit } = plan
  const { logOf, clock } = rewriting
  const log = logOf(logId)
  if (log === undefined) return undefined
  const held = ranges.map(({ file }) => file)
  for (const file of held) file.hold()
  try {
    const dirty = ranges.filter(({ directory }) => directory.endOffset > log.cleanedTo)
    const dirtyBytes = dirty.reduce((bytes, { directory }) => bytes + directory.sizeBytes, 0)
    const keyBytes = Math.min(MAX_KEY_BYTES, Math.max(MIN_KEY_BYTES, 4 * dirtyBytes))
    const map = new KeyOffsets(keyBytes, randomBytes(KEY_HASH_SEED_BYTES))
    let knownUpTo = limit
    let worked = 0
    filling: for await (const step of gather(dirty, rewriting)) {
      if (typeof step === 'number') {
        yield step
        continue
      }
      for (const batch of step) {
        const { bytes } = batch
        if (batchHeader.baseOffset(bytes, 0) >= limit) break filling
        await loadCodecOf(bytes)
        const known = placed(batch, () => fillKeyOffsets(map, bytes, log.fateOf(bytes, 0), log.cleanedTo))
        if (known < batchEndOffset(bytes, 0)) {
          knownUpTo = known
          break filling
        }
        worked += bytes.byteLength
        if (worked >= WORK_STEP_BYTES) {
          yield worked
          worked = 0
        }
      }
    }
    const pass: CompactionPass = {
      map,
      knownUpTo,
      startOffset: log.startOffset,
      nowMs: clock(),
      deleteRetentionMs: plan.policy.deleteRetentionMs,
    }
    const onReplaced = (rangesLeft: number) => {
      for (const file of held.splice(0, held.length - rangesLeft)) file.release()
    }
    return yield* rewrite(plan, segmentBytes, log, pass, rewriting, onReplaced)
  } finally {
    for (const file of held) file.release()
  }
}

/** @param onReplaced is told how many ranges are left, the last ones, when a segment has taken the place of others */
async function* rewrite(
  { logId, ranges, limit }: CompactionPlan,
  segmentBytes: number,
  log: LogHead,
  pass: CompactionPass,
  rewriting: Rewriting,
  onReplaced: (rangesLeft: number) => void,
): CompactionSteps {
  let writer: SegmentWriter | null = null
  // What is decided later begins behind it, so that there is something below.
  const { lastStableOffset } = log
  let worked = 0
  let lastHorizonMs = Number.NEGATIVE_INFINITY
  try {
    for (const [at, range] of ranges.entries()) {
      if (writer === null) {
        writer = await SegmentWriter.create(rewriting)
        writer.beginLog(logId, range.directory.firstOffset)
      }
      for await (const step of gather([range], rewriting)) {
        if (typeof step === 'number') {
          yield step
          continue
        }
        for (const batch of step) {
          const { bytes } = batch
          await loadCodecOf(bytes)
          const stays =
            batchHeader.baseOffset(bytes, 0) >= limit || batchEndOffset(bytes, 0) === lastStableOffset
          const kept = stays ? bytes : placed(batch, () => compactBatch(bytes, log.fateOf(bytes, 0), pass))
          const full = kept === null ? undefined : writer.add(kept)
          // A horizon that had come before this pass has nothing more to do.
          const horizonMs = kept === null ? null : deleteHorizonMsOf(kept)
          if (horizonMs !== null && horizonMs > pass.nowMs) lastHorizonMs = Math.max(lastHorizonMs, horizonMs)
          if (full !== undefined) await full
          worked += bytes.byteLength
          if (worked >= WORK_STEP_BYTES) {
            yield worked
            worked = 0
          }
        }
      }
      const rangesLeft = ranges.length - at - 1
      const isLastRange = rangesLeft === 0
      if (!isLastRange && writer.sizeBytes < segmentBytes) continue
      if (rewriting.logOf(logId) === undefined) return undefined
      writer.endLog(range.directory.endOffset)
      const compaction = {
        logId,
        decidedTo: Math.min(limit, range.directory.endOffset),
        cleanedTo: isLastRange ? pass.knownUpTo : log.cleanedTo,
      }
      await addFinished(writer, compaction, rewriting)
      writer = null
      onReplaced(rangesLeft)
      yield worked
      worked = 0
    }
    return { lastHorizonMs }
  } finally {
    await writer?.discard()
  }
}

/** What goes wrong with a batch names the file and the place. */
function placed<T>({ range, position }: GatheredBatch, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof StorageError) throw damagedAt(range, position, error.message)
    throw error
  }
}
