import { batchCrc, batchHeader } from '@streambus/protocol'
import type { LogId, Offset } from '../log-store.ts'
import type { LogFile } from './log-files.ts'
import type { SealedRange } from './offset-index.ts'
import { addFinished, damagedAt, gather, type Rewriting, type RewritingSteps } from './rewriting.ts'
import { SegmentWriter } from './segment-file.ts'

/** Bytes checked and written between two turns of those who read and write: about half a millisecond. */
const WRITE_STEP_BYTES = 256 * 1024

/**
 * Merges files into one segment, in which each log's batches lie together: a reader who is far behind then reads what
 * it wants and nothing else, and files of which little is left give back their space. The batches are copied as they
 * are.
 *
 * The inputs follow each other: whatever a log has in them is one stretch of offsets.
 */
export async function* merge(inputs: readonly LogFile[], rewriting: Rewriting): RewritingSteps {
  const ranges = rangesIn(inputs, rewriting)
  if (ranges.length === 0) return
  const covered = new Map<LogId, Offset>()
  const begins = new Map<LogId, Offset>()
  for (const { directory } of ranges) {
    if (!begins.has(directory.logId)) begins.set(directory.logId, directory.firstOffset)
    covered.set(directory.logId, directory.endOffset)
  }
  for (const file of inputs) file.hold()
  let writer: SegmentWriter | null = null
  try {
    writer = await SegmentWriter.create(rewriting)
    let current: LogId | null = null
    let written = 0
    for await (const step of gather(ranges, rewriting)) {
      if (typeof step === 'number') {
        yield step
        continue
      }
      for (const { logId, range, position, bytes } of step) {
        if (batchCrc(bytes, 0, bytes.byteLength) !== batchHeader.crc(bytes, 0)) {
          throw damagedAt(range, position, 'the batch does not match its checksum')
        }
        if (logId !== current) {
          if (current !== null) writer.endLog(covered.get(current)!)
          writer.beginLog(logId, begins.get(logId)!)
          current = logId
        }
        const full = writer.add(bytes)
        if (full !== undefined) await full
        written += bytes.byteLength
        if (written >= WRITE_STEP_BYTES) {
          yield written
          written = 0
        }
      }
    }
    // Every log may have been deleted meanwhile.
    if (current === null) return
    writer.endLog(covered.get(current)!)
    await addFinished(writer, null, rewriting)
    yield written
  } finally {
    try {
      await writer?.discard()
    } finally {
      for (const file of inputs) file.release()
    }
  }
}

/** What the logs have in these files, by log, then by offset. */
function rangesIn(inputs: readonly LogFile[], { index }: Rewriting): SealedRange[] {
  const files = new Set(inputs)
  return [...index.sealedLogs()]
    .sort((a, b) => a - b)
    .flatMap((logId) => index.rangesOf(logId).filter(({ file }) => files.has(file)))
}
