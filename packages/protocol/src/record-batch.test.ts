import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { batchCrc, batchHeader, setLogAppendTime } from './batch-header.ts'
import { type CompressionName, compressionNames, loadCodec } from './compression/codec.ts'
import {
  checkRecords,
  decodeRecords,
  encodeRecordBatch,
  type Record,
  type RecordInput,
} from './record-batch.ts'
import { javaBatches, javaIdempotentBatch } from './testing/java-batches.ts'

beforeAll(async () => {
  for (const name of compressionNames) await loadCodec(name)
})

interface PlainRecord {
  offset: number
  timestamp: number
  key: string | null
  value: string | null
  headers: { key: string; value: string | null }[]
}

function text(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

function plain(records: Iterable<Record>): PlainRecord[] {
  return Array.from(records, ({ offset, timestamp, key, value, headers }) => ({
    offset: Number(offset),
    timestamp: Number(timestamp),
    key: text(key),
    value: text(value),
    headers: headers.map((header) => ({ key: header.key, value: text(header.value) })),
  }))
}

const javaRecords: RecordInput[] = [
  {
    timestamp: 1_700_000_000_000,
    key: 'k1',
    value: 'v1',
    headers: [
      { key: 'h', value: 'x' },
      { key: 'n', value: null },
    ],
  },
  { timestamp: 1_700_000_000_123n, value: Array(12).fill('hello').join(' ') },
  { timestamp: 1_699_999_999_999, key: 'é€', value: null },
]

describe('batches written by the Java client 4.4.0', () => {
  test.each(compressionNames)('%s', (name) => {
    const bytes = Buffer.from(javaBatches[name], 'hex')
    const expected = javaRecords.map(({ timestamp, key, value, headers }, i) => ({
      offset: 100 + i,
      timestamp: Number(timestamp),
      key: key ?? null,
      value: value ?? null,
      headers: headers ?? [],
    }))
    expect(plain(decodeRecords(bytes, { verifyCrc: true }))).toEqual(expected)
    expect(checkRecords(bytes, 0, bytes.length)).toEqual({
      maxTimestamp: 1_700_000_000_123,
      firstNullKeyIndex: 1,
    })
  })

  test('are written the same here, byte for byte, where nothing is compressed', () => {
    const batch = Buffer.from(encodeRecordBatch(javaRecords, { baseOffset: 100 }))
    expect(batch.toString('hex')).toBe(javaBatches.none)
    const idempotent = encodeRecordBatch([{ timestamp: 1_700_000_000_000, value: 'v' }], {
      baseOffset: 7,
      partitionLeaderEpoch: 5,
      producerId: 1000n,
      producerEpoch: 3,
      baseSequence: 21,
    })
    expect(Buffer.from(idempotent).toString('hex')).toBe(javaIdempotentBatch)
  })
})

const anyContent = fc.option(fc.string({ maxLength: 300 }))
const anyRecord = fc.record({
  timestamp: fc.integer({ min: -1, max: 2 ** 48 }),
  key: anyContent,
  value: anyContent,
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 10 }), value: anyContent }), { maxLength: 3 }),
})

describe('encodeRecordBatch and decodeRecords', () => {
  test.each(compressionNames)('give back what was written, %s', (compression) => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 100 }), (records) => {
        const batch = encodeRecordBatch(records, { compression, baseOffset: 5 })
        expect(plain(decodeRecords(batch, { verifyCrc: true }))).toEqual(
          records.map((record, i) => ({ offset: 5 + i, ...record })),
        )
        expect(checkRecords(batch, 0, batch.length)).toEqual({
          maxTimestamp: Math.max(...records.map(({ timestamp }) => timestamp)),
          firstNullKeyIndex: records.findIndex(({ key }) => key === null),
        })
        expect(batchHeader.maxTimestamp(batch, 0)).toBe(checkRecords(batch, 0, batch.length).maxTimestamp)
      }),
      { numRuns: 30 },
    )
  })

  test('records can be read more than once and only as far as wanted', () => {
    const records = decodeRecords(encodeRecordBatch([{ value: 'a' }, { value: 'b' }]))
    const [first] = records
    expect(text(first!.value)).toBe('a')
    expect(plain(records)).toHaveLength(2)
  })

  test('values are views of the batch', () => {
    const batch = encodeRecordBatch([{ value: 'abc' }])
    const [record] = decodeRecords(batch)
    expect(record!.value!.buffer).toBe(batch.buffer)
  })

  test('records of a batch with log append time have its time', () => {
    const batch = encodeRecordBatch([
      { value: 'a', timestamp: 5 },
      { value: 'b', timestamp: 6 },
    ])
    setLogAppendTime(batch, 0, 1000)
    expect(plain(decodeRecords(batch, { verifyCrc: true })).map(({ timestamp }) => timestamp)).toEqual([
      1000, 1000,
    ])
  })

  test('a batch needs a record', () => {
    expect(() => encodeRecordBatch([])).toThrow(expect.objectContaining({ code: 'INVALID_VALUE' }))
  })
})

describe('damage', () => {
  const batch = (compression: CompressionName = 'none'): Buffer =>
    Buffer.from(encodeRecordBatch([{ key: 'k', value: 'vvv' }, { value: 'w' }], { compression }))
  const recordStart = 61

  test('a wrong CRC is found when asked for', () => {
    const bytes = batch()
    bytes[bytes.length - 2]! ^= 1
    expect(() => decodeRecords(bytes, { verifyCrc: true })).toThrow(
      expect.objectContaining({ code: 'CORRUPT_BATCH' }),
    )
    expect(batchCrc(bytes, 0, bytes.length)).not.toBe(batchHeader.crc(bytes, 0))
  })

  test.each([
    ['fewer records than counted', (bytes: Buffer) => bytes.writeInt32BE(3, 57), 'TRUNCATED'],
    ['more records than counted', (bytes: Buffer) => bytes.writeInt32BE(1, 57), 'TRAILING_BYTES'],
    ['a negative count', (bytes: Buffer) => bytes.writeInt32BE(-1, 57), 'INVALID_LENGTH'],
    [
      'a record longer than the batch',
      (bytes: Buffer) => bytes.writeUInt8(0x7e, recordStart),
      'INVALID_LENGTH',
    ],
    ['a negative record length', (bytes: Buffer) => bytes.writeUInt8(1, recordStart), 'INVALID_LENGTH'],
    ['a key longer than its record', (bytes: Buffer) => bytes.writeUInt8(0x3e, recordStart + 4), 'TRUNCATED'],
    ['a key length below -1', (bytes: Buffer) => bytes.writeUInt8(3, recordStart + 4), 'INVALID_LENGTH'],
    ['offsets with a gap', (bytes: Buffer) => bytes.writeUInt8(2, recordStart + 3), 'INVALID_VALUE'],
  ])('checkRecords refuses %s', (_name, damage, code) => {
    const bytes = batch()
    damage(bytes)
    expect(() => checkRecords(bytes, 0, bytes.length)).toThrow(expect.objectContaining({ code }))
  })

  test('a batch cut off anywhere is refused', () => {
    const bytes = batch()
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeRecords(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'TRUNCATED' }),
      )
    }
  })

  test('more decompressed bytes than accepted are refused', () => {
    for (const compression of compressionNames.slice(1)) {
      const bytes = encodeRecordBatch([{ value: 'x'.repeat(100_000) }], { compression })
      expect(() => decodeRecords(bytes, { maxDecompressedBytes: 1000 })).toThrow(
        expect.objectContaining({ code: 'COMPRESSED_TOO_LARGE' }),
      )
    }
  })

  test('a codec that does not exist is refused', () => {
    const bytes = batch()
    bytes[22] = 7
    expect(() => decodeRecords(bytes)).toThrow(expect.objectContaining({ code: 'UNKNOWN_CODEC' }))
  })
})
