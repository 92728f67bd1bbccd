import { batchHeader } from '@streambus/protocol'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import type { ScannedGroup } from '../local/group-scan.ts'
import {
  BATCH_BYTES,
  decodeBatches,
  decodeDirectory,
  encodeIndex,
  type IndexedLog,
} from '../local/index-file.ts'
import { type Entry, EntryKind } from '../local/log-format.ts'
import type { LogId } from '../log-store.ts'

interface GatheredLog {
  readonly fields: number[]
  endOffset: number
  maxTimestampMs: number
  sizeBytes: number
}

export interface IndexDifference {
  /** In the index file; null where it is no one place. */
  readonly position: number | null
  readonly problem: string
  readonly absent?: readonly LogId[]
}

/** The index a log file should have beside it, gathered from its groups: 32 bytes for each batch. */
export class FileIndex {
  readonly #logs = new Map<LogId, GatheredLog>()

  add({ bytes, position }: ScannedGroup, entry: Entry): void {
    if (entry.kind !== EntryKind.batch) return
    const maxTimestampMs = lookupTimestampOf(bytes, entry.position)
    let log = this.#logs.get(entry.logId)
    if (log === undefined) {
      log = { fields: [], endOffset: 0, maxTimestampMs, sizeBytes: 0 }
      this.#logs.set(entry.logId, log)
    }
    log.fields.push(entry.baseOffset, position + entry.position, entry.lengthBytes, maxTimestampMs)
    log.endOffset = entry.baseOffset + batchHeader.lastOffsetDelta(bytes, entry.position) + 1
    log.maxTimestampMs = Math.max(log.maxTimestampMs, maxTimestampMs)
    log.sizeBytes += entry.lengthBytes
  }

  encode(fileNumber: number): Uint8Array {
    const indexed: IndexedLog[] = [...this.#logs].map(([logId, { fields, ...log }]) => ({
      logId,
      firstOffset: fields[0]!,
      ...log,
      batches: Float64Array.from(fields),
    }))
    return encodeIndex(
      fileNumber,
      indexed.sort((a, b) => a.logId - b.logId),
    )
  }

  /**
   * How an index file differs from this, or null. It may leave out logs that did not exist any more when it was
   * written: `absent` are those it leaves out, where that is all.
   */
  difference(index: Uint8Array, fileNumber: number): IndexDifference | null {
    const found = decodeDirectory(index, fileNumber)
    if (found === null) return { position: 0, problem: 'its header or directory is damaged' }
    const expected = new Map(
      decodeDirectory(this.encode(fileNumber), fileNumber)!.map((entry) => [entry.logId, entry]),
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
}
