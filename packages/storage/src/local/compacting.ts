import { randomBytes } from 'node:crypto'
import { batchHeader } from '@streambus/protocol'
import { type BatchFate, loadCodecOf } from '../compaction/checked-batch.ts'
import { type CompactionPass, compactBatch } from '../compaction/compact-batch.ts'
import { fillKeyOffsets } from '../compaction/fill-key-offsets.ts'
import { KEY_HASH_SEED_BYTES } from '../compaction/key-hash.ts'
import { KeyOffsets } from '../compaction/key-offsets.ts'
import type { LogHead } from '../log-head.ts'
import { type CompactionPolicy, type LogId, type Offset, StorageError } from '../log-store.ts'
import { ABORTED_FIELDS } from '../transaction-table.ts'
import type { SealedRange } from './offset-index.ts'
import { damagedAt, type GatheredBatch, gather, type Rewriting, type RewritingSteps } from './rewriting.ts'
import { SegmentWriter } from './segment-file.ts'

/** Memory for the keys of one pass: two million of them. Where there are more, it takes several passes. */
const MAX_KEY_BYTES = 64 * 1024 ** 2
const MIN_KEY_BYTES = 1024 ** 2
/** Records looked at between two turns of those who read and write, in bytes: about a millisecond. */
const WORK_STEP_BYTES = 128 * 1024

export interface CompactionJob {
  readonly logId: LogId
  /** What the log has in full files, from its start on; the last one decided and old enough. */
  readonly ranges: readonly SealedRange[]
  readonly policy: CompactionPolicy
  /** Size at which a segment is full. */
  readonly segmentBytes: number
}

/**
 * One pass of compaction over a log: reads the keys of what no pass has seen, as many as the memory holds; then writes
 * the log anew, from its start, without the records that a later one replaces. Each segment counts as soon as it is
 * written: the pass may end after any of them.
 *
 * The last batch of a log stays as it is, so that a reader always finds something below the end.
 */
export async function* compact(job: CompactionJob, rewriting: Rewriting): RewritingSteps {
  const { logId, ranges } = job
  const { logOf, clock } = rewriting
  const log = logOf(logId)
  if (log === undefined) return
  for (const { file } of ranges) file.hold()
  try {
    const fateOf = fates(log)
    const dirty = ranges.filter(({ directory }) => directory.endOffset > log.cleanedTo)
    const dirtyBytes = dirty.reduce((bytes, { directory }) => bytes + directory.sizeBytes, 0)
    const keyBytes = Math.min(MAX_KEY_BYTES, Math.max(MIN_KEY_BYTES, 4 * dirtyBytes))
    const map = new KeyOffsets(keyBytes, randomBytes(KEY_HASH_SEED_BYTES))
    let knownUpTo = ranges.at(-1)!.directory.endOffset
    let worked = 0
    filling: for await (const step of gather(dirty, rewriting)) {
      if (typeof step === 'number') {
        yield step
        continue
      }
      for (const batch of step) {
        const { bytes } = batch
        await loadCodecOf(bytes)
        const known = placed(batch, () => fillKeyOffsets(map, bytes, fateOf(bytes), log.cleanedTo))
        if (known < endOf(bytes)) {
          knownUpTo = known
          break filling
        }
        worked += bytes.byteLength
        if (worked >= WORK_STEP_BYTES) {
          yield 0
          worked = 0
        }
      }
    }
    const pass: CompactionPass = {
      map,
      knownUpTo,
      startOffset: log.startOffset,
      nowMs: clock(),
      deleteRetentionMs: job.policy.deleteRetentionMs,
    }
    yield* rewrite(job, log, pass, fateOf, rewriting)
  } finally {
    for (const { file } of ranges) file.release()
  }
}

async function* rewrite(
  { logId, ranges, segmentBytes }: CompactionJob,
  log: LogHead,
  pass: CompactionPass,
  fateOf: (batch: Uint8Array) => BatchFate,
  rewriting: Rewriting,
): RewritingSteps {
  const { files, nextSegmentNumber, buffers, addSegment } = rewriting
  let writer: SegmentWriter | null = null
  let worked = 0
  try {
    for (const range of ranges) {
      if (writer === null) {
        writer = await SegmentWriter.create(files, nextSegmentNumber(), buffers.write)
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
          const isLast = endOf(bytes) === log.highWatermark
          const kept = isLast ? bytes : placed(batch, () => compactBatch(bytes, fateOf(bytes), pass))
          const full = kept === null ? undefined : writer.add(kept)
          if (full !== undefined) await full
          worked += bytes.byteLength
          if (worked >= WORK_STEP_BYTES) {
            yield worked
            worked = 0
          }
        }
      }
      const isLastRange = range === ranges.at(-1)
      if (!isLastRange && writer.sizeBytes < segmentBytes) continue
      if (rewriting.logOf(logId) === undefined) return
      writer.endLog(range.directory.endOffset)
      const segment = await writer.finish()
      yield worked
      worked = 0
      await addSegment(segment, { logId, cleanedTo: isLastRange ? pass.knownUpTo : log.cleanedTo })
      writer = null
    }
  } catch (error) {
    // Whether the segment counts is for the next start to find out.
    if (error instanceof StorageError && error.inDoubt) writer = null
    throw error
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

function endOf(batch: Uint8Array): Offset {
  return batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0) + 1
}

/** What became of a log's batches. Of what is below the last stable offset that does not change any more. */
function fates(log: LogHead): (batch: Uint8Array) => BatchFate {
  const aborted = new Map<number, { firstOffset: Offset; lastOffset: Offset }[]>()
  const fields = log.transactions?.abortedFields() ?? []
  for (let at = 0; at < fields.length; at += ABORTED_FIELDS) {
    const [producerId, firstOffset, lastOffset] = fields.slice(at, at + 3) as [number, Offset, Offset]
    const ofProducer = aborted.get(producerId)
    if (ofProducer === undefined) aborted.set(producerId, [{ firstOffset, lastOffset }])
    else ofProducer.push({ firstOffset, lastOffset })
  }
  return (batch) => {
    if (batchHeader.isControl(batch, 0)) return 'marker'
    if (!batchHeader.isTransactional(batch, 0)) return 'plain'
    const offset = batchHeader.baseOffset(batch, 0)
    const isAborted = aborted
      .get(batchHeader.producerId(batch, 0))
      ?.some(({ firstOffset, lastOffset }) => firstOffset <= offset && offset <= lastOffset)
    return isAborted === true ? 'aborted' : 'committed'
  }
}
