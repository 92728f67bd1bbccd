import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  batchHeader,
  changeBatchHeader,
  loadedCodec,
  RecordCursor,
  type RecordSection,
  recordSection,
} from '@streambus/protocol'
import type { Offset } from '../log-store.ts'
import { type BatchFate, checkBatch, corruptBatch } from './checked-batch.ts'
import { rebasedTimestamps } from './delete-horizon.ts'
import type { KeyOffsets } from './key-offsets.ts'
import { RecordGroup } from './record-group.ts'

/** What one pass of compaction over a log knows. The same for all of its batches. */
export interface CompactionPass {
  /** The last offset of each key, filled with the batches from the first one not yet compacted on. */
  readonly map: KeyOffsets
  /** Where filling ended. Nothing at or above it goes because of what the map says. */
  readonly knownUpTo: Offset
  /** Of the log: records below it are gone already, and are left out. */
  readonly startOffset: Offset
  readonly nowMs: number
  /** How long a tombstone stays after the pass that was the first to see it. */
  readonly deleteRetentionMs: number
}

/** Used again by every call: none of them waits for anything. */
const group = new RecordGroup()

const NO_PRODUCER = { transactional: false, producerId: -1, producerEpoch: -1, baseSequence: -1 } as const

/**
 * What is left of one batch after compaction, as Kafka's log cleaner leaves it (KIP-58, KIP-534):
 *
 * - A record goes where the map has a greater offset for its key, and where it has no key. What is left keeps
 *   its offset and its timestamp.
 * - A tombstone goes when its delete horizon has come. That is set, `deleteRetentionMs` from now, in the first
 *   pass that knows all that is in the batch: so a reader that saw the last value of a key, which goes in that
 *   pass, has the time to come to the tombstone.
 * - Aborted records and markers go. What was committed becomes a plain batch without a producer, as what an
 *   idempotent producer wrote does: without the markers a reader could not tell any more where a transaction of
 *   that producer ended, and would take later ones of it for part of one that was aborted; and a sequence number
 *   says nothing where records are missing. So a region that was compacted holds only what is decided, and needs
 *   no list of transactions. The engine knows its producers from elsewhere.
 *
 * The batch keeps its codec, its timestamp type, its leader epoch and the range of offsets it covers, also where
 * its first or last record went. Records that stay are copied as they are. What was compressed is compressed
 * again only where something of it goes. Returns `batch` itself where nothing has to change, and null where no
 * record is left.
 *
 * Passes go from the front of the log to the back, over batches that all lie below the last stable offset: a
 * transaction's marker must never go before its records. The codec must be loaded (`loadCodecOf`). Throws
 * StorageError CORRUPT_BATCH.
 */
export function compactBatch(batch: Uint8Array, fate: BatchFate, pass: CompactionPass): Uint8Array | null {
  checkBatch(batch, fate)
  if (fate === 'aborted' || fate === 'marker') return null
  try {
    return compact(batch, pass)
  } catch (error) {
    throw corruptBatch(batch, error)
  }
}

function compact(batch: Uint8Array, pass: CompactionPass): Uint8Array | null {
  const codec = batchHeader.codec(batch, 0)
  const section = recordSection(batch, 0, batch.length)
  const kept = keptRecords(batch, section, pass)
  if (kept.count === 0) return null

  const horizonMs = newDeleteHorizonMs(batch, kept, pass)
  const rebased =
    horizonMs === null ? null : rebasedTimestamps(kept, batchHeader.baseTimestamp(batch, 0), horizonMs)
  const records = rebased ?? kept
  const isChanged = records.bytes !== section.bytes
  const hasProducer = batchHeader.producerId(batch, 0) !== -1 || batchHeader.isTransactional(batch, 0)
  if (!isChanged && !hasProducer) return batch

  const compacted = isChanged ? withRecords(batch, records, codec) : Buffer.from(batch)
  const maxTimestamp = isChanged ? maxTimestampOf(batch, kept) : null
  changeBatchHeader(compacted, 0, {
    ...NO_PRODUCER,
    batchLength: compacted.length - BATCH_LENGTH_OVERHEAD,
    recordCount: kept.count,
    ...(maxTimestamp === null ? {} : { maxTimestamp }),
    ...(rebased === null || horizonMs === null ? {} : { deleteHorizon: true, baseTimestamp: horizonMs }),
  })
  return compacted
}

interface KeptRecords extends RecordSection {
  readonly count: number
  readonly hasTombstones: boolean
  readonly maxTimestampDelta: number
}

/**
 * The records that stay. Where all do, that is the section itself; else they are copied, run by run, to memory
 * that is good until the next call.
 */
function keptRecords(batch: Uint8Array, section: RecordSection, pass: CompactionPass): KeptRecords {
  const { map, knownUpTo, startOffset, nowMs } = pass
  const { bytes, start, end } = section
  const baseOffset = batchHeader.baseOffset(batch, 0)
  const lastOffsetDelta = batchHeader.lastOffsetDelta(batch, 0)
  const recordCount = batchHeader.recordCount(batch, 0)
  const tombstonesStay =
    !batchHeader.hasDeleteHorizon(batch, 0) || nowMs < batchHeader.baseTimestamp(batch, 0)
  const cursor = new RecordCursor(bytes, start, end)
  let output: Uint8Array | null = null
  let outputEnd = 0
  let runStart = start
  let count = 0
  let hasTombstones = false
  let maxTimestampDelta = Number.NEGATIVE_INFINITY
  for (let done = 0, previousDelta = -1; done < recordCount; done += group.count) {
    group.read(cursor, recordCount - done, previousDelta, lastOffsetDelta, map)
    group.lookUp(map)
    const { starts, offsetDeltas, timestampDeltas, hasKey, hasValue, knownOffsets } = group
    previousDelta = offsetDeltas[group.count - 1]!
    for (let i = 0; i < group.count; i++) {
      const offset = baseOffset + offsetDeltas[i]!
      const stays =
        offset >= startOffset &&
        (offset >= knownUpTo ||
          (hasKey[i] === 1 && knownOffsets[i]! <= offset && (hasValue[i] === 1 || tombstonesStay)))
      if (stays) {
        count++
        if (hasValue[i] === 0) hasTombstones = true
        if (timestampDeltas[i]! > maxTimestampDelta) maxTimestampDelta = timestampDeltas[i]!
        continue
      }
      if (starts[i]! > runStart) {
        output ??= scratchOf(end - start)
        outputEnd = copyRun(bytes, runStart, starts[i]!, output, outputEnd)
      }
      runStart = starts[i + 1]!
    }
  }
  cursor.expectEnd()
  if (count === recordCount) return { bytes, start, end, count, hasTombstones, maxTimestampDelta }
  output ??= scratchOf(end - start)
  outputEnd = copyRun(bytes, runStart, end, output, outputEnd)
  return { bytes: output, start: 0, end: outputEnd, count, hasTombstones, maxTimestampDelta }
}

const MAX_SCRATCH_BYTES = 1024 ** 2
let scratch = new Uint8Array(0)

/**
 * Memory for the records of one batch, until the next call. Kept for all but very large ones: new memory for each
 * batch costs more than the copies.
 */
function scratchOf(byteLength: number): Uint8Array {
  if (byteLength > MAX_SCRATCH_BYTES) return Buffer.allocUnsafe(byteLength)
  if (byteLength > scratch.length) scratch = new Uint8Array(Math.min(2 * byteLength, MAX_SCRATCH_BYTES))
  return scratch
}

/** Up to this length a loop costs less than a view and a native call. */
const MAX_LOOP_BYTES = 64

function copyRun(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const length = end - start
  if (length > MAX_LOOP_BYTES) to.set(from.subarray(start, end), at)
  else for (let i = 0; i < length; i++) to[at + i] = from[start + i]!
  return at + length
}

/** A time that never comes, for tombstones that stay for ever, from which every timestamp is an exact distance. */
const MAX_HORIZON_MS = 2 ** 51

/**
 * Null where the batch needs no new one: it has no tombstones, or has a horizon, or the pass does not know all
 * of it. In the last case the values before its tombstones are there until the next pass, and only then may the
 * time begin to count.
 */
function newDeleteHorizonMs(batch: Uint8Array, kept: KeptRecords, pass: CompactionPass): number | null {
  if (!kept.hasTombstones || batchHeader.hasDeleteHorizon(batch, 0)) return null
  const lastOffset = batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0)
  return lastOffset < pass.knownUpTo ? Math.min(pass.nowMs + pass.deleteRetentionMs, MAX_HORIZON_MS) : null
}

/**
 * Null where it stays what it is: all records of a LogAppendTime batch have its time; and above 2^53, where a
 * producer took another unit than milliseconds, it could not be written exactly.
 */
function maxTimestampOf(batch: Uint8Array, kept: KeptRecords): number | null {
  if (batchHeader.isLogAppendTime(batch, 0)) return null
  const maxTimestamp = batchHeader.baseTimestamp(batch, 0) + kept.maxTimestampDelta
  return Number.isSafeInteger(maxTimestamp) ? maxTimestamp : null
}

/** A batch with the header of another one and these records. */
function withRecords(batch: Uint8Array, { bytes, start, end }: RecordSection, codec: number): Uint8Array {
  const records = bytes.subarray(start, end)
  const stored = codec === 0 ? records : loadedCodec(codec).compress(records)
  const compacted = Buffer.allocUnsafe(BATCH_HEADER_BYTES + stored.length)
  compacted.set(batch.subarray(0, BATCH_HEADER_BYTES))
  compacted.set(stored, BATCH_HEADER_BYTES)
  return compacted
}
