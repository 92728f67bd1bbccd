import { batchEndOffset, batchHeader } from '@streambus/protocol'
import { lookupTimestampOf } from '../batch-timestamp.ts'
import {
  BATCH_BYTES,
  BATCH_FIELDS,
  type DirectoryEntry,
  decodeBatches,
  decodeDirectory,
} from '../local/index-file.ts'
import { decodeSegmentHeader } from '../local/segment-file.ts'
import type { LogId, Offset } from '../log-store.ts'
import { StorageError } from '../log-store.ts'
import { crcIsValid } from './batch-check.ts'
import type { InspectedFile } from './data-folder-inspection.ts'

export type SegmentStep =
  /** What a log has in the segment, before its batches. */
  | { readonly kind: 'log'; readonly entry: DirectoryEntry }
  /** `fault`: what is wrong with it, null for an intact one; its bytes are valid until the next step. */
  | {
      readonly kind: 'batch'
      readonly logId: LogId
      readonly baseOffset: Offset
      /** Exclusive, as the index says. */
      readonly endOffset: Offset
      readonly position: number
      readonly bytes: Uint8Array
      readonly fault: string | null
    }
  /** Header or index: what the segment holds, or this log's part of it, is not known. */
  | {
      readonly kind: 'damage'
      readonly position: number
      readonly fault: string
      readonly entry: DirectoryEntry | null
    }

/**
 * A segment from its first batch to its last, as its index says. The index is held in memory: 32 bytes for each batch.
 *
 * @param only the one log whose batches are wanted; null: none, only what is said of each log
 */
export async function* walkSegment(
  file: InspectedFile,
  storeId: Uint8Array | null,
  only?: LogId | null,
): AsyncGenerator<SegmentStep, void, undefined> {
  const header = await file.header()
  const decoded = decodeSegmentHeader(header, file.number, storeId ?? header.subarray(24, 40))
  if ('fault' in decoded) {
    if (decoded.kind === 'newer') {
      throw new StorageError(
        'DATA_NEWER_FORMAT',
        `${file.path} has ${decoded.fault}: use the newer release that wrote it`,
      )
    }
    yield { kind: 'damage', position: 0, fault: decoded.fault, entry: null }
    return
  }
  const { indexPosition, indexLength } = decoded
  if (indexPosition + indexLength > file.sizeBytes) {
    yield { kind: 'damage', position: file.sizeBytes, fault: 'the file is cut short', entry: null }
    return
  }
  const index = (await file.scan.bytesAt(indexPosition, indexLength)).slice()
  const directory = decodeDirectory(index, file.number)
  if (directory === null) {
    yield {
      kind: 'damage',
      position: indexPosition,
      fault: 'the directory of its index is damaged',
      entry: null,
    }
    return
  }
  for (const entry of directory) {
    yield { kind: 'log', entry }
    if (only !== undefined && only !== entry.logId) continue
    const { position, batchCount } = entry
    const batches = decodeBatches(index.subarray(position, position + batchCount * BATCH_BYTES), entry)
    if (batches === null) {
      yield {
        kind: 'damage',
        position: indexPosition + position,
        fault: 'the batches of a log in its index are damaged',
        entry,
      }
      continue
    }
    for (let at = 0; at < batches.length; at += BATCH_FIELDS) {
      const byteLength = batches[at + 2]!
      if (byteLength === 0) continue
      const baseOffset = batches[at]!
      const endOffset = batches[at + BATCH_FIELDS] ?? entry.endOffset
      const place = batches[at + 1]!
      const bytes = await file.scan.bytesAt(place, byteLength)
      const fault = faultOf(bytes, byteLength, baseOffset, endOffset, batches[at + 3]!)
      yield { kind: 'batch', logId: entry.logId, baseOffset, endOffset, position: place, bytes, fault }
    }
  }
}

function faultOf(
  bytes: Uint8Array,
  byteLength: number,
  baseOffset: Offset,
  endOffset: Offset,
  maxTimestampMs: number,
): string | null {
  if (bytes.byteLength < byteLength) return 'the file is cut short'
  if (batchHeader.magic(bytes, 0) !== 2 || batchHeader.byteLength(bytes, 0) !== byteLength) {
    return 'there is no batch as long as the index says'
  }
  if (!crcIsValid(bytes, 0, byteLength)) return 'the batch does not match its checksum'
  if (batchHeader.baseOffset(bytes, 0) !== baseOffset) {
    return `the batch says it has offset ${batchHeader.baseOffset(bytes, 0)}, the index ${baseOffset}`
  }
  const end = batchEndOffset(bytes, 0)
  if (end !== endOffset) return `the batch ends at offset ${end - 1}, and the index goes on at ${endOffset}`
  if (lookupTimestampOf(bytes, 0) !== maxTimestampMs) return 'the index has another timestamp than the batch'
  return null
}
