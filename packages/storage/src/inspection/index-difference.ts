import type { GatheredIndex } from '../local/gathered-index.ts'
import { BATCH_BYTES, decodeBatches, decodeDirectory } from '../local/index-file.ts'
import type { LogId } from '../log-store.ts'

export interface IndexDifference {
  /** In the index file; null where it is no one place. */
  readonly position: number | null
  readonly problem: string
  readonly absent?: readonly LogId[]
}

/**
 * How an index file differs from what was gathered, or null. It may leave out logs that did not exist any more when it
 * was written: `absent` are those it leaves out, where that is all.
 */
export function indexDifference(
  gathered: GatheredIndex,
  index: Uint8Array,
  fileNumber: number,
): IndexDifference | null {
  const found = decodeDirectory(index, fileNumber)
  if (found === null) return { position: 0, problem: 'its header or directory is damaged' }
  const expected = new Map(
    decodeDirectory(gathered.encode(fileNumber), fileNumber)!.map((entry) => [entry.logId, entry]),
  )
  for (const entry of found) {
    const { logId, batchCount, position } = entry
    const batches = decodeBatches(index.subarray(position, position + batchCount * BATCH_BYTES), entry)
    if (batches === null) return { position, problem: `the batches of log ${logId} in it are damaged` }
    const same = expected.get(logId)
    expected.delete(logId)
    if (
      same?.crc !== entry.crc ||
      same.batchCount !== batchCount ||
      same.firstOffset !== entry.firstOffset ||
      same.endOffset !== entry.endOffset ||
      same.maxTimestampMs !== entry.maxTimestampMs ||
      same.sizeBytes !== entry.sizeBytes
    ) {
      return { position: null, problem: `what it says of log ${logId} is not what the log file has` }
    }
  }
  const absent = [...expected.keys()]
  if (absent.length === 0) return null
  return { position: null, problem: `log ${absent.join(', ')} is missing in it`, absent }
}
