import { batchHeader } from '@streambus/protocol'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import type { LogId } from '../log-store.ts'
import type { ScannedGroup } from './group-scan.ts'
import { encodeIndex, type IndexedLog } from './index-file.ts'
import { type Entry, EntryKind } from './log-format.ts'

interface GatheredLog {
  readonly fields: number[]
  endOffset: number
  maxTimestampMs: number
  sizeBytes: number
}

/** The index a log file should have beside it, gathered from its groups: 32 bytes for each batch. */
export class GatheredIndex {
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
    // The entry's base offset is covered by a checksum, the batch's own is not.
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
}
