import { crc32c } from '@streambus/protocol'
import type { LogId } from '../log-store.ts'

/**
 * The index of a full log file, beside it as `….index`. Little-endian, every part a multiple of 8 bytes.
 *
 * ```
 * header (32)                     directory entry (48), one per log      batch (32), by log, then by offset
 *  0  u32  magic 'SBIX'            0  u32  log id                         0  f64  base offset
 *  4  u32  CRC-32C of 8–31 and     4  u32  CRC-32C of the log's batches   8  f64  position in the log file
 *          of the directory        8  u32  number of batches             16  f64  length
 *  8  u32  format version, 1      12  u32  first batch                   24  f64  max timestamp, ms
 * 12  u32  logs                   16  f64  first offset
 * 16  u64  file number            24  f64  end offset (exclusive)
 * 24  u64  0                      32  f64  max timestamp, ms
 *                                 40  f64  bytes of batches
 * ```
 *
 * Beside a log file it holds nothing the log file does not, so a missing or damaged index is built again from the log
 * file. It is written once, by replacing the file atomically. A segment has its index in itself; there an entry of
 * length 0 says that no batch is left from its offset to the next.
 */
export const INDEX_VERSION = 1
const MAGIC = 0x58494253
export const INDEX_HEADER_BYTES = 32
export const DIRECTORY_ENTRY_BYTES = 48
/** Numbers per batch in an index. */
export const BATCH_FIELDS = 4
export const BATCH_BYTES = BATCH_FIELDS * 8

export interface IndexedLog {
  readonly logId: LogId
  readonly firstOffset: number
  readonly endOffset: number
  readonly maxTimestampMs: number
  readonly sizeBytes: number
  /** base offset, position, length, max timestamp; base offset, … */
  readonly batches: ArrayLike<number>
}

export interface DirectoryEntry extends Omit<IndexedLog, 'batches'> {
  readonly batchCount: number
  /** Of the log's batches, in bytes from the start of the index file. */
  readonly position: number
  readonly crc: number
}

export function encodeIndex(fileNumber: number, logs: readonly IndexedLog[]): Uint8Array {
  const batchesStart = INDEX_HEADER_BYTES + logs.length * DIRECTORY_ENTRY_BYTES
  const batchesBytes = logs.reduce((sum, log) => sum + log.batches.length * 8, 0)
  const bytes = new Uint8Array(batchesStart + batchesBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(8, INDEX_VERSION, true)
  view.setUint32(12, logs.length, true)
  view.setBigUint64(16, BigInt(fileNumber), true)
  let position = batchesStart
  logs.forEach((log, index) => {
    const at = INDEX_HEADER_BYTES + index * DIRECTORY_ENTRY_BYTES
    new Float64Array(bytes.buffer, position, log.batches.length).set(log.batches)
    const batches = bytes.subarray(position, position + log.batches.length * 8)
    view.setUint32(at, log.logId, true)
    view.setUint32(at + 4, crc32c(batches), true)
    view.setUint32(at + 8, log.batches.length / BATCH_FIELDS, true)
    view.setUint32(at + 12, (position - batchesStart) / BATCH_BYTES, true)
    view.setFloat64(at + 16, log.firstOffset, true)
    view.setFloat64(at + 24, log.endOffset, true)
    view.setFloat64(at + 32, log.maxTimestampMs, true)
    view.setFloat64(at + 40, log.sizeBytes, true)
    position += batches.byteLength
  })
  view.setUint32(4, crc32c(bytes.subarray(8, batchesStart)), true)
  return bytes
}

/** Bytes of header and directory from the first 32 bytes of an index, or null when these are not an index. */
export function directoryLength(header: Uint8Array): number | null {
  if (header.byteLength < INDEX_HEADER_BYTES) return null
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(8, true) !== INDEX_VERSION) return null
  return INDEX_HEADER_BYTES + view.getUint32(12, true) * DIRECTORY_ENTRY_BYTES
}

/** False when the directory is missing, damaged, of another version or of another file. */
export function directoryIsIntact(bytes: Uint8Array, fileNumber: number): boolean {
  const batchesStart = directoryLength(bytes)
  if (batchesStart === null || bytes.byteLength < batchesStart) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return (
    view.getUint32(4, true) === crc32c(bytes.subarray(8, batchesStart)) &&
    view.getBigUint64(16, true) === BigInt(fileNumber)
  )
}

/** Null when the directory is missing, damaged, of another version or of another file. */
export function decodeDirectory(bytes: Uint8Array, fileNumber: number): DirectoryEntry[] | null {
  return directoryIsIntact(bytes, fileNumber) ? [...directoryEntries(bytes)] : null
}

/** The entries of an intact directory, one after the other. */
export function* directoryEntries(bytes: Uint8Array): Generator<DirectoryEntry, void> {
  const batchesStart = directoryLength(bytes)!
  for (let at = INDEX_HEADER_BYTES; at < batchesStart; at += DIRECTORY_ENTRY_BYTES) {
    yield decodeEntry(bytes, at, batchesStart)
  }
}

/** @param batchesStart where the directory ends */
export function decodeEntry(bytes: Uint8Array, at: number, batchesStart: number): DirectoryEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, DIRECTORY_ENTRY_BYTES)
  return {
    logId: view.getUint32(0, true),
    crc: view.getUint32(4, true),
    batchCount: view.getUint32(8, true),
    position: batchesStart + view.getUint32(12, true) * BATCH_BYTES,
    firstOffset: view.getFloat64(16, true),
    endOffset: view.getFloat64(24, true),
    maxTimestampMs: view.getFloat64(32, true),
    sizeBytes: view.getFloat64(40, true),
  }
}

/** The batches of one log from their bytes in the index, or null when damaged. */
export function decodeBatches(bytes: Uint8Array, entry: DirectoryEntry): Float64Array | null {
  if (!batchesAreIntact(bytes, entry)) return null
  // A Buffer's slice() would be no copy.
  return new Float64Array(new Uint8Array(bytes).buffer)
}

export function batchesAreIntact(bytes: Uint8Array, entry: DirectoryEntry): boolean {
  return bytes.byteLength === entry.batchCount * BATCH_BYTES && crc32c(bytes) === entry.crc
}
