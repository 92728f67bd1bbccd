import {
  batchCrc,
  batchesIn,
  batchHeader,
  type ControlMarker,
  controlRecord,
  decodeRecords,
  encodeRecordBatch,
  readControlRecord,
} from '@streambus/protocol'
import type { AppendBatch, AppendResult, LogId, LogStore, Offset, RecordBytes } from '../log-store.ts'

/** Record batches for tests of the storage engines, and what a reader finds of them. */
export interface BatchOptions {
  producerId?: number
  producerEpoch?: number
  baseSequence?: number
  transactional?: boolean
  compression?: 'gzip'
  /** Of each record, in order; the last one counts for those after it. Default 1,000. */
  timestamps?: readonly number[]
}

export function batchOf(values: readonly string[], options: BatchOptions = {}): Uint8Array {
  const { timestamps = [1000], ...rest } = options
  const records = values.map((value, index) => ({
    value,
    timestamp: timestamps[Math.min(index, timestamps.length - 1)]!,
  }))
  return encodeRecordBatch(records, rest)
}

/** The control batch that ends a producer's transaction. */
export function markerOf(
  type: ControlMarker['type'],
  producer: { producerId: number; producerEpoch: number },
  options: { coordinatorEpoch?: number; timestamp?: number } = {},
): Uint8Array {
  const { coordinatorEpoch = 0, timestamp = 1000 } = options
  return encodeRecordBatch([controlRecord({ type, coordinatorEpoch, timestamp })], {
    ...producer,
    transactional: true,
    control: true,
  })
}

/** A batch of exactly `byteLength` bytes with one record whose value begins with `label`. */
export function batchOfSize(byteLength: number, label: string, options: BatchOptions = {}): Uint8Array {
  const around = batchOf([label], options).byteLength - label.length
  // Lengths inside the batch are varints: they grow with the value.
  for (let padding = byteLength - around; padding >= label.length; padding--) {
    const batch = batchOf([label.padEnd(padding, '.')], options)
    if (batch.byteLength === byteLength) return batch
  }
  throw new Error(`no batch with '${label}' has ${byteLength} bytes`)
}

/** The only result of an append of one batch, which must have been taken. */
export async function appendOne(
  store: LogStore,
  logId: LogId,
  bytes: Uint8Array,
  options: Omit<AppendBatch, 'logId' | 'bytes'> = {},
): Promise<{ baseOffset: Offset; duplicate: boolean; logStartOffset: Offset }> {
  const [result] = await store.append([{ logId, bytes, ...options }])
  return accepted(result)
}

export function accepted(result: AppendResult | undefined): Extract<AppendResult, { error: null }> {
  if (result === undefined) throw new Error('no result')
  if (result.error !== null) throw result.error
  return result
}

export interface FoundRecord {
  readonly offset: Offset
  /** Empty for a marker. */
  readonly value: string
  readonly producerId: number
  readonly isTransactional: boolean
  /** Null for a record. */
  readonly marker: ControlMarker | null
}

/** All bytes of a read, taken in pieces of `pieceBytes`. */
export async function bytesOf(records: RecordBytes, pieceBytes = 64 * 1024): Promise<Uint8Array> {
  const bytes = new Uint8Array(records.byteLength)
  let filled = 0
  const piece = new Uint8Array(Math.min(pieceBytes, Math.max(1, records.byteLength)))
  try {
    for (;;) {
      const count = await records.readInto(piece)
      if (count === 0) break
      bytes.set(piece.subarray(0, count), filled)
      filled += count
    }
  } finally {
    records.close()
  }
  if (filled !== bytes.byteLength) throw new Error(`${filled} bytes instead of ${bytes.byteLength}`)
  return bytes
}

/** The records in whole batches, markers among them; throws when a batch is damaged or does not follow the one before it. */
export function recordsIn(bytes: Uint8Array): FoundRecord[] {
  const found: FoundRecord[] = []
  let end = 0
  for (const { position, byteLength } of batchesIn(bytes)) {
    if (batchCrc(bytes, position, byteLength) !== batchHeader.crc(bytes, position)) {
      throw new Error(`the batch at byte ${position} does not match its checksum`)
    }
    const baseOffset = batchHeader.baseOffset(bytes, position)
    if (found.length > 0 && baseOffset !== found.at(-1)!.offset + 1) {
      throw new Error(`offset ${baseOffset} follows ${found.at(-1)!.offset}`)
    }
    const records = decodeRecords(bytes.subarray(position, position + byteLength))
    const { producerId, isTransactional, isControl } = records
    for (const record of records) {
      const marker = isControl ? readControlRecord(record) : null
      const value = isControl ? '' : Buffer.from(record.value ?? '').toString()
      found.push({ offset: Number(record.offset), value, producerId, isTransactional, marker })
    }
    end = position + byteLength
  }
  if (end !== bytes.byteLength) throw new Error(`${bytes.byteLength - end} bytes are no whole batch`)
  return found
}

/** Every record of a log from `offset` on, read in answers of at most `maxBytes`. */
export async function readLog(
  store: LogStore,
  logId: LogId,
  offset: Offset,
  maxBytes = 1024 ** 2,
): Promise<FoundRecord[]> {
  const found: FoundRecord[] = []
  for (let next = offset; ; ) {
    const [result] = await store.read([{ logId, offset: next, maxBytes }], { maxBytes })
    if (result === undefined) throw new Error('no result')
    if (result.error !== null) throw result.error
    const records = recordsIn(await bytesOf(result.records)).filter((record) => record.offset >= next)
    if (records.length === 0) {
      if (next < result.highWatermark) throw new Error(`nothing at offset ${next}`)
      return found
    }
    if (records[0]!.offset !== next) throw new Error(`offset ${records[0]!.offset} instead of ${next}`)
    found.push(...records)
    next = records.at(-1)!.offset + 1
  }
}

/** What a `read_uncommitted` consumer gets. */
export async function valuesOf(store: LogStore, logId: LogId, offset: Offset = 0): Promise<string[]> {
  return (await readLog(store, logId, offset))
    .filter(({ marker }) => marker === null)
    .map(({ value }) => value)
}

/** Error code of a promise that must reject, or of an append's result that must be an error. */
export async function codeOf(outcome: Promise<unknown>): Promise<string> {
  try {
    await outcome
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  throw new Error('it did not fail')
}
