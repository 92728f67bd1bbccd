import {
  batchCrc,
  batchHeader,
  type CompressionName,
  compressionNames,
  decodeRecords,
  encodeRecordBatch,
  loadCodec,
  setLogAppendTime,
} from '@streambus/protocol'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BatchFate } from './checked-batch.ts'
import { type CompactionPass, compactBatch } from './compact-batch.ts'
import { deleteHorizonMsOf } from './delete-horizon.ts'
import { fillKeyOffsets } from './fill-key-offsets.ts'
import { KeyOffsets } from './key-offsets.ts'

const SEED = Uint8Array.from({ length: 16 }, (_, index) => index)
const NOW_MS = 1_700_000_000_000
const DAY_MS = 24 * 3600 * 1000

beforeAll(async () => {
  for (const name of compressionNames) await loadCodec(name)
})

interface ModelRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: string
}

interface ModelBatch {
  readonly bytes: Uint8Array
  readonly fate: BatchFate
}

interface RecordPlan {
  readonly key: string | null
  readonly value: string | null
  readonly timestampMs: number
  readonly headers?: readonly { key: string; value: string | null }[]
}

interface BatchPlan {
  readonly records: readonly RecordPlan[]
  readonly fate?: BatchFate
  readonly compression?: CompressionName
  readonly producerId?: number
  readonly logAppendTimeMs?: number | null
}

const plain = (key: string | null, value: string | null = 'v', timestampMs = NOW_MS): RecordPlan => ({
  key,
  value,
  timestampMs,
})

/** Batches that follow each other. */
function logOf(plans: readonly BatchPlan[], firstOffset = 0): ModelBatch[] {
  let baseOffset = firstOffset
  return plans.map(({ records, fate = 'plain', compression = 'none', producerId = -1, logAppendTimeMs }) => {
    const inTransaction = fate !== 'plain'
    const hasProducer = inTransaction || producerId >= 0
    const bytes = encodeRecordBatch(
      records.map(({ timestampMs, ...record }) => ({ ...record, timestamp: timestampMs })),
      {
        baseOffset,
        compression: fate === 'marker' ? 'none' : compression,
        partitionLeaderEpoch: 3,
        producerId: inTransaction ? Math.max(producerId, 0) : producerId,
        producerEpoch: hasProducer ? 2 : -1,
        baseSequence: hasProducer && fate !== 'marker' ? 17 : -1,
        transactional: inTransaction,
        control: fate === 'marker',
      },
    )
    if (typeof logAppendTimeMs === 'number') setLogAppendTime(bytes, 0, logAppendTimeMs)
    baseOffset += records.length
    return { bytes, fate }
  })
}

function recordsOf(batch: Uint8Array): ModelRecord[] {
  const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString())
  return [...decodeRecords(batch, { verifyCrc: true })].map((record) => ({
    offset: Number(record.offset),
    timestampMs: Number(record.timestamp),
    key: text(record.key),
    value: text(record.value),
    headers: JSON.stringify(record.headers.map(({ key, value }) => [key, text(value)])),
  }))
}

const endOf = (batch: Uint8Array) =>
  batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0) + 1

function passOver(
  batches: readonly ModelBatch[],
  options: { memoryBytes?: number } & Partial<Omit<CompactionPass, 'map'>> = {},
): CompactionPass {
  const map = new KeyOffsets(options.memoryBytes ?? 64 * 1024, SEED)
  let knownUpTo = 0
  for (const { bytes, fate } of batches) {
    knownUpTo = fillKeyOffsets(map, bytes, fate)
    if (knownUpTo < endOf(bytes)) break
  }
  return { map, knownUpTo, startOffset: 0, nowMs: NOW_MS, deleteRetentionMs: DAY_MS, ...options }
}

/** What is left of a log, as plain batches. */
function compactAll(batches: readonly ModelBatch[], pass: CompactionPass): ModelBatch[] {
  const left: ModelBatch[] = []
  for (const { bytes, fate } of batches) {
    const before = Buffer.from(bytes)
    const compacted = compactBatch(bytes, fate, pass)
    expect(Buffer.compare(before, bytes)).toBe(0)
    if (compacted !== null) left.push({ bytes: Uint8Array.from(compacted), fate: 'plain' })
  }
  return left
}

/** The same, by the rules in their simplest form: a list of records. */
function modelOf(batches: readonly ModelBatch[], pass: CompactionPass): ModelRecord[] {
  const counted = batches.filter(({ fate }) => fate === 'plain' || fate === 'committed')
  const last = new Map<string, number>()
  for (const { bytes } of counted) {
    for (const { key, offset } of recordsOf(bytes)) {
      if (key !== null && offset < pass.knownUpTo) last.set(key, offset)
    }
  }
  return counted.flatMap(({ bytes }) => {
    const horizonMs = deleteHorizonMsOf(bytes)
    return recordsOf(bytes).filter(({ key, offset, value }) => {
      if (offset < pass.startOffset) return false
      if (offset >= pass.knownUpTo) return true
      if (key === null || offset < last.get(key)!) return false
      return value !== null || horizonMs === null || pass.nowMs < horizonMs
    })
  })
}

const anyRecord: fc.Arbitrary<RecordPlan> = fc.record(
  {
    key: fc.option(fc.stringMatching(/^[a-f]{1,2}$/), { nil: null, freq: 10 }),
    value: fc.option(fc.string({ maxLength: 90 }), { nil: null, freq: 4 }),
    timestampMs: fc.oneof(
      fc.integer({ min: NOW_MS - 9 * DAY_MS, max: NOW_MS }),
      fc.constantFrom(-1, 0, 2 ** 42),
    ),
    headers: fc.array(fc.record({ key: fc.string({ maxLength: 3 }), value: fc.option(fc.string()) }), {
      maxLength: 2,
    }),
  },
  { requiredKeys: ['key', 'value', 'timestampMs'] },
)

const anyBatch: fc.Arbitrary<BatchPlan> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      records: fc.array(anyRecord, { minLength: 1, maxLength: 30 }),
      fate: fc.constantFrom<BatchFate>('plain', 'plain', 'committed', 'aborted'),
      compression: fc.constantFrom(...compressionNames),
      producerId: fc.constantFrom(-1, 5),
      logAppendTimeMs: fc.option(fc.integer({ min: NOW_MS - DAY_MS, max: NOW_MS }), { freq: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<BatchPlan>({ records: [plain('', 'mark')], fate: 'marker' }) },
)

const anyLog = fc.array(anyBatch, { minLength: 1, maxLength: 8 })

function expectPlainBatches(compacted: readonly ModelBatch[], originals: readonly ModelBatch[]): void {
  const byBase = new Map(originals.map(({ bytes }) => [batchHeader.baseOffset(bytes, 0), bytes]))
  for (const { bytes } of compacted) {
    const original = byBase.get(batchHeader.baseOffset(bytes, 0))!
    expect(original).toBeDefined()
    expect(batchHeader.byteLength(bytes, 0)).toBe(bytes.length)
    expect(batchCrc(bytes, 0, bytes.length)).toBe(batchHeader.crc(bytes, 0))
    for (const same of ['lastOffsetDelta', 'codec', 'isLogAppendTime', 'partitionLeaderEpoch'] as const) {
      expect(batchHeader[same](bytes, 0)).toBe(batchHeader[same](original, 0))
    }
    expect(batchHeader.producerId(bytes, 0)).toBe(-1)
    expect(batchHeader.producerEpoch(bytes, 0)).toBe(-1)
    expect(batchHeader.baseSequence(bytes, 0)).toBe(-1)
    expect(batchHeader.isTransactional(bytes, 0)).toBe(false)
    const records = recordsOf(bytes)
    expect(batchHeader.recordCount(bytes, 0)).toBe(records.length)
    expect(records.length).toBeGreaterThan(0)
    expect(batchHeader.maxTimestamp(bytes, 0)).toBe(
      batchHeader.isLogAppendTime(bytes, 0)
        ? batchHeader.maxTimestamp(original, 0)
        : Math.max(...records.map(({ timestampMs }) => timestampMs)),
    )
  }
}

describe('compactBatch and fillKeyOffsets', () => {
  it('leave what the rules leave, of any log, with room for all keys or not', () => {
    fc.assert(
      fc.property(
        anyLog,
        fc.constantFrom(64 * 1024, 512, 150),
        fc.nat(40),
        (plans, memoryBytes, startOffset) => {
          const batches = logOf(plans)
          const pass = passOver(batches, { memoryBytes, startOffset })
          const compacted = compactAll(batches, pass)
          expect(compacted.flatMap(({ bytes }) => recordsOf(bytes))).toEqual(modelOf(batches, pass))
          expectPlainBatches(compacted, batches)
        },
      ),
      { numRuns: 400 },
    )
  })

  it('change nothing the second time', () => {
    fc.assert(
      fc.property(anyLog, fc.constantFrom(64 * 1024, 200), (plans, memoryBytes) => {
        const batches = logOf(plans)
        const pass = passOver(batches, { memoryBytes })
        const once = compactAll(batches, pass)
        for (const { bytes } of once) expect(compactBatch(bytes, 'plain', pass)).toBe(bytes)
      }),
      { numRuns: 200 },
    )
  })

  it('come to the last value of each key in as many passes as the map needs', () => {
    fc.assert(
      fc.property(anyLog, (plans) => {
        const batches = logOf(plans)
        const wanted = modelOf(batches, passOver(batches))
        let left = batches
        let knownUpTo = 0
        const endOffset = endOf(batches.at(-1)!.bytes)
        for (let fromOffset = 0; fromOffset < endOffset; fromOffset = knownUpTo) {
          const map = new KeyOffsets(150, SEED)
          knownUpTo = endOffset
          for (const { bytes, fate } of left) {
            if (endOf(bytes) <= fromOffset) continue
            const known = fillKeyOffsets(map, bytes, fate, fromOffset)
            if (known < endOf(bytes)) {
              knownUpTo = known
              break
            }
          }
          expect(knownUpTo).toBeGreaterThan(fromOffset)
          const pass = { map, knownUpTo, startOffset: 0, nowMs: NOW_MS, deleteRetentionMs: DAY_MS }
          left = compactAll(left, pass)
        }
        expect(left.flatMap(({ bytes }) => recordsOf(bytes))).toEqual(wanted)
      }),
      { numRuns: 100 },
    )
  })
})

describe('compactBatch', () => {
  const one = (plan: BatchPlan, firstOffset = 0) => logOf([plan], firstOffset)[0]!

  it.each(compressionNames)(
    'gives the same bytes where nothing goes, and codec %s is not run again',
    (compression) => {
      const { bytes, fate } = one({ records: [plain('a'), plain('b', 'x'.repeat(900))], compression })
      expect(compactBatch(bytes, fate, passOver([{ bytes, fate }]))).toBe(bytes)
      const produced = one({ records: [plain('a'), plain('b')], compression, producerId: 5 })
      const compacted = compactBatch(produced.bytes, 'plain', passOver([produced]))!
      expect(compacted.subarray(61)).toEqual(Buffer.from(produced.bytes.subarray(61)))
    },
  )

  it('keeps a tombstone until its horizon, which the first pass sets', () => {
    const batch = one({
      records: [plain('a', '1', NOW_MS - 5), plain('b', null, NOW_MS - DAY_MS), plain('c')],
    })
    const before = recordsOf(batch.bytes)
    const pass = passOver([batch])
    const first = compactBatch(batch.bytes, 'plain', pass)!
    expect(deleteHorizonMsOf(batch.bytes)).toBeNull()
    expect(deleteHorizonMsOf(first)).toBe(NOW_MS + DAY_MS)
    expect(recordsOf(first)).toEqual(before)
    for (const nowMs of [NOW_MS, NOW_MS + DAY_MS - 1]) {
      expect(compactBatch(first, 'plain', { ...pass, nowMs })).toBe(first)
    }
    const later = compactBatch(first, 'plain', { ...pass, nowMs: NOW_MS + DAY_MS })!
    expect(recordsOf(later)).toEqual([before[0], before[2]])
    // The horizon stays, and nothing goes by it any more.
    expect(deleteHorizonMsOf(later)).toBe(NOW_MS + DAY_MS)
    expect(compactBatch(later, 'plain', { ...pass, nowMs: NOW_MS + 9 * DAY_MS })).toBe(later)
  })

  it('lets a tombstone go at once where its key has a newer record', () => {
    const batches = logOf([{ records: [plain('a', null)] }, { records: [plain('a', '2')] }])
    expect(compactBatch(batches[0]!.bytes, 'plain', passOver(batches))).toBeNull()
  })

  it('starts no horizon in a pass that does not know all of the batch', () => {
    const batch = one({ records: [plain('a', null), plain('b', null)] })
    const pass = { ...passOver([batch]), knownUpTo: 1 }
    expect(compactBatch(batch.bytes, 'plain', pass)).toBe(batch.bytes)
    expect(deleteHorizonMsOf(compactBatch(batch.bytes, 'plain', { ...pass, knownUpTo: 2 })!)).not.toBeNull()
  })

  it('keeps tombstones for ever where the retention is longer than time', () => {
    const batch = one({ records: [plain('a', null)] })
    const pass = { ...passOver([batch]), deleteRetentionMs: 2 ** 63 }
    const compacted = compactBatch(batch.bytes, 'plain', pass)!
    expect(recordsOf(compacted)).toEqual(recordsOf(batch.bytes))
    expect(compactBatch(compacted, 'plain', { ...pass, nowMs: NOW_MS * 1000 })).toBe(compacted)
  })

  it('does not touch timestamps it could not write exactly, and removes records beside them', () => {
    const nanoseconds = 1_700_000_000_123_456_789n
    const records = [
      { key: 'a', value: null, timestamp: nanoseconds },
      { key: 'b', value: 'x', timestamp: nanoseconds },
      { key: 'b', value: 'y', timestamp: nanoseconds },
    ]
    const bytes = encodeRecordBatch(records)
    const compacted = compactBatch(bytes, 'plain', passOver([{ bytes, fate: 'plain' }]))!
    expect(recordsOf(compacted).map(({ offset }) => offset)).toEqual([0, 2])
    expect(deleteHorizonMsOf(compacted)).toBeNull()
    expect(compacted.subarray(27, 43)).toEqual(Buffer.from(bytes.subarray(27, 43)))
  })

  it('keeps a null key above what the map knows, and drops it below', () => {
    const batch = one({ records: [plain(null), plain('a'), plain(null)] })
    const pass = { ...passOver([batch]), knownUpTo: 2 }
    expect(recordsOf(compactBatch(batch.bytes, 'plain', pass)!).map(({ offset }) => offset)).toEqual([1, 2])
  })

  it('refuses a fate that cannot be that of the batch', () => {
    const inTransaction = one({ records: [plain('a')], fate: 'committed' })
    const pass = passOver([])
    expect(() => compactBatch(inTransaction.bytes, 'plain', pass)).toThrow(/committed or aborted/)
    expect(() => compactBatch(inTransaction.bytes, 'marker', pass)).toThrow(/no control batch/)
    expect(() => fillKeyOffsets(pass.map, inTransaction.bytes, 'plain')).toThrow(/committed or aborted/)
  })
})
