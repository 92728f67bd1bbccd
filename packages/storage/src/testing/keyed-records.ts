/** Records with keys for tests of compaction, and a reader that minds no offset without a record. */
import {
  batchCrc,
  batchesIn,
  batchHeader,
  type CompressionName,
  decodeRecords,
  encodeRecordBatch,
  loadCodec,
  readControlRecord,
} from '@streambus/protocol'
import type { LogId, LogStore, Offset } from '../log-store.ts'
import { bytesOf } from './batches.ts'

export interface KeyedRecord {
  readonly offset: Offset
  readonly key: string | null
  /** Null: a tombstone. */
  readonly value: string | null
  readonly timestampMs: number
}

export interface KeyedBatchOptions {
  producerId?: number
  producerEpoch?: number
  baseSequence?: number
  transactional?: boolean
  compression?: CompressionName
  /** Of all records. Default 1,000. */
  timestampMs?: number
}

/** A batch of records as `key=value`, `key` for a tombstone, `=value` for one without a key. */
export function keyedBatch(records: readonly string[], options: KeyedBatchOptions = {}): Uint8Array {
  const { timestampMs = 1000, ...rest } = options
  const parsed = records.map((text) => {
    const equals = text.indexOf('=')
    const key = equals < 0 ? text : text.slice(0, equals)
    const value = equals < 0 ? null : text.slice(equals + 1)
    return { key: key === '' ? null : key, value, timestamp: timestampMs }
  })
  return encodeRecordBatch(parsed, rest)
}

export function textOf({ key, value }: KeyedRecord): string {
  return value === null ? `${key}` : `${key ?? ''}=${value}`
}

export interface FoundLog {
  readonly records: readonly KeyedRecord[]
  readonly markers: number
  readonly transactionalBatches: number
  /** Aborted transactions of all answers. */
  readonly abortedTransactions: number
  readonly byteLength: number
}

/**
 * Everything from `offset` on, as a consumer gets it that goes on behind the last offset of each answer. With
 * `readCommitted` without what the answers say was aborted, by the rules of Java's consumer.
 */
export async function readKeyed(
  store: LogStore,
  logId: LogId,
  offset: Offset = 0,
  options: { readCommitted?: boolean; maxBytes?: number } = {},
): Promise<FoundLog> {
  const { readCommitted = false, maxBytes = 1024 ** 2 } = options
  const records: KeyedRecord[] = []
  const found = { markers: 0, transactionalBatches: 0, abortedTransactions: 0, byteLength: 0 }
  for (let next = offset; ; ) {
    const [result] = await store.read([{ logId, offset: next, maxBytes, readCommitted }], { maxBytes })
    if (result === undefined) throw new Error('no result')
    if (result.error !== null) throw result.error
    const end = readCommitted ? result.lastStableOffset : result.highWatermark
    const bytes = await bytesOf(result.records)
    const hidden = new HiddenTransactions(result.abortedTransactions ?? [])
    found.abortedTransactions += result.abortedTransactions?.length ?? 0
    found.byteLength += bytes.byteLength
    const from = next
    for (const { position, byteLength } of batchesIn(bytes)) {
      const batch = bytes.subarray(position, position + byteLength)
      if (batchCrc(batch, 0, byteLength) !== batchHeader.crc(batch, 0)) throw new Error('a wrong checksum')
      const baseOffset = batchHeader.baseOffset(batch, 0)
      if (baseOffset < next && next !== from) throw new Error(`offset ${baseOffset} after ${next}`)
      next = baseOffset + batchHeader.lastOffsetDelta(batch, 0) + 1
      if (batchHeader.isTransactional(batch, 0)) found.transactionalBatches++
      if (batchHeader.isControl(batch, 0)) found.markers++
      if (hidden.hides(batch) || batchHeader.isControl(batch, 0)) continue
      await loadCodec(batchHeader.codec(batch, 0))
      for (const record of decodeRecords(batch)) {
        if (record.offset < from) continue
        records.push({
          offset: Number(record.offset),
          key: textIn(record.key),
          value: textIn(record.value),
          timestampMs: Number(record.timestamp),
        })
      }
    }
    if (next >= end) return { records, ...found }
    if (next === from) throw new Error(`nothing at offset ${next}, the log is readable up to ${end}`)
  }
}

function textIn(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

class HiddenTransactions {
  readonly #ahead: { producerId: number; firstOffset: Offset }[]
  readonly #open = new Set<number>()

  constructor(aborted: readonly { producerId: number; firstOffset: Offset }[]) {
    this.#ahead = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  }

  hides(batch: Uint8Array): boolean {
    const lastOffset = batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0)
    while (this.#ahead.length > 0 && this.#ahead[0]!.firstOffset <= lastOffset) {
      this.#open.add(this.#ahead.shift()!.producerId)
    }
    const producerId = batchHeader.producerId(batch, 0)
    if (batchHeader.isControl(batch, 0)) {
      for (const record of decodeRecords(batch)) {
        if (readControlRecord(record)?.type === 'abort') this.#open.delete(producerId)
      }
    }
    return batchHeader.isTransactional(batch, 0) && this.#open.has(producerId)
  }
}
