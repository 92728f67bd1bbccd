import { describe, expect, test } from 'vitest'
import {
  BATCH_HEADER_BYTES,
  batchCrc,
  batchesIn,
  batchHeader,
  changeBatchHeader,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
} from './batch-header.ts'
import { javaBatches, javaCommit, javaIdempotentBatch } from './testing/java-batches.ts'

const batch = (): Buffer => Buffer.from(javaIdempotentBatch, 'hex')

describe('batchHeader', () => {
  test('reads what the Java client wrote', () => {
    const bytes = Buffer.concat([Buffer.alloc(5), batch()])
    expect(
      Object.fromEntries(Object.entries(batchHeader).map(([name, read]) => [name, read(bytes, 5)])),
    ).toEqual({
      baseOffset: 7,
      batchLength: 57,
      byteLength: 69,
      partitionLeaderEpoch: 5,
      magic: 2,
      crc: 0x933eac52,
      attributes: 0,
      codec: 0,
      isLogAppendTime: false,
      isTransactional: false,
      isControl: false,
      hasDeleteHorizon: false,
      lastOffsetDelta: 0,
      baseTimestamp: 1_700_000_000_000,
      maxTimestamp: 1_700_000_000_000,
      producerId: 1000,
      producerEpoch: 3,
      baseSequence: 21,
      recordCount: 1,
    })
  })

  test('reads the bits of the attributes', () => {
    const commit = Buffer.from(javaCommit, 'hex')
    expect(batchHeader.isControl(commit, 0)).toBe(true)
    expect(batchHeader.isTransactional(commit, 0)).toBe(true)
    expect(batchHeader.codec(Buffer.from(javaBatches.lz4, 'hex'), 0)).toBe(3)
  })

  test('the CRC is the one the Java client wrote', () => {
    const bytes = batch()
    expect(batchCrc(bytes, 0, bytes.length)).toBe(batchHeader.crc(bytes, 0))
  })
})

describe('setting fields in place', () => {
  test('what is not given stays as it is, byte for byte', () => {
    const before = batch()
    const bytes = batch()
    changeBatchHeader(bytes, 0, {})
    expect(bytes).toEqual(before)
    changeBatchHeader(bytes, 0, { transactional: true, deleteHorizon: true, lastOffsetDelta: 9 })
    expect(batchHeader.attributes(bytes, 0)).toBe(0x50)
    expect(batchHeader.hasDeleteHorizon(bytes, 0)).toBe(true)
    expect(batchHeader.lastOffsetDelta(bytes, 0)).toBe(9)
    expect(batchCrc(bytes, 0, bytes.length)).toBe(batchHeader.crc(bytes, 0))
    changeBatchHeader(bytes, 0, { transactional: false, deleteHorizon: false, lastOffsetDelta: 0 })
    expect(bytes).toEqual(before)
  })

  test.each([0, 1, 2 ** 32, 2 ** 53 - 1])('base offset %d leaves the CRC valid', (offset) => {
    const bytes = batch()
    setBaseOffset(bytes, 0, offset)
    setPartitionLeaderEpoch(bytes, 0, 12)
    expect(batchHeader.baseOffset(bytes, 0)).toBe(offset)
    expect(bytes.readBigInt64BE(0)).toBe(BigInt(offset))
    expect(batchHeader.partitionLeaderEpoch(bytes, 0)).toBe(12)
    expect(batchCrc(bytes, 0, bytes.length)).toBe(batchHeader.crc(bytes, 0))
  })

  test('log append time renews the CRC', () => {
    const bytes = Buffer.concat([Buffer.alloc(3), batch()])
    setLogAppendTime(bytes, 3, 1_800_000_000_123)
    expect(batchHeader.isLogAppendTime(bytes, 3)).toBe(true)
    expect(batchHeader.maxTimestamp(bytes, 3)).toBe(1_800_000_000_123)
    expect(batchCrc(bytes, 3, bytes.length - 3)).toBe(batchHeader.crc(bytes, 3))
  })
})

describe('batchesIn', () => {
  test('walks whole batches and leaves out one that is cut off', () => {
    const first = batch()
    const second = Buffer.from(javaBatches.none, 'hex')
    const whole = [...batchesIn(Buffer.concat([first, second]))]
    expect(whole).toEqual([
      { position: 0, byteLength: first.length },
      { position: first.length, byteLength: second.length },
    ])
    expect([...batchesIn(Buffer.concat([first, second.subarray(0, -1)]))]).toEqual(whole.slice(0, 1))
    expect([...batchesIn(Buffer.concat([first, second.subarray(0, 20)]))]).toEqual(whole.slice(0, 1))
    expect([...batchesIn(Buffer.alloc(0))]).toEqual([])
  })

  test.each([
    ['another format', 16, 1, 'UNSUPPORTED_MAGIC'],
    ['a length below the header', 11, BATCH_HEADER_BYTES - 13, 'INVALID_LENGTH'],
    ['a negative length', 8, 0x80, 'INVALID_LENGTH'],
  ])('refuses %s', (_name, at, byte, code) => {
    const bytes = batch()
    bytes[at] = byte
    expect(() => [...batchesIn(bytes)]).toThrow(expect.objectContaining({ code }))
  })
})
