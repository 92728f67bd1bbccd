import { batchCrc, batchesIn, batchHeader, decodeRecords, encodeRecordBatch } from '@streambus/protocol'
import { describe, expect, it } from 'vitest'
import { emptyBatch, extendTo, MAX_COVERED_OFFSETS } from './offset-range.ts'

const lastOffsetOf = (batch: Uint8Array) =>
  batchHeader.baseOffset(batch, 0) + batchHeader.lastOffsetDelta(batch, 0)
const crcIsRight = (batch: Uint8Array) => batchCrc(batch, 0, batch.byteLength) === batchHeader.crc(batch, 0)

describe('extendTo', () => {
  it('makes a batch cover more offsets, never fewer', () => {
    const batch = encodeRecordBatch([{ key: 'a', value: '1' }, { key: 'b' }], { baseOffset: 2 ** 40 })
    const behindLastOffset = Buffer.from(batch.subarray(27))
    expect(extendTo(batch, 2 ** 40 + 500)).toBe(true)
    expect(lastOffsetOf(batch)).toBe(2 ** 40 + 499)
    expect(crcIsRight(batch)).toBe(true)
    expect(extendTo(batch, 2 ** 40 + 10)).toBe(true)
    expect(lastOffsetOf(batch)).toBe(2 ** 40 + 499)
    expect(behindLastOffset.equals(batch.subarray(27))).toBe(true)
    expect([...decodeRecords(batch)].map(({ offset }) => Number(offset) - 2 ** 40)).toEqual([0, 1])
  })

  it('leaves the batch as it is where the last offset would not fit', () => {
    const batch = encodeRecordBatch([{ key: 'a' }], { baseOffset: 7 })
    const before = Buffer.from(batch)
    expect(extendTo(batch, 7 + MAX_COVERED_OFFSETS + 1)).toBe(false)
    expect(before.equals(batch)).toBe(true)
    expect(extendTo(batch, 7 + MAX_COVERED_OFFSETS)).toBe(true)
    expect(lastOffsetOf(batch)).toBe(7 + MAX_COVERED_OFFSETS - 1)
  })
})

describe('emptyBatch', () => {
  it('covers a range without a record', () => {
    for (const [baseOffset, endOffset] of [
      [0, 1],
      [5, 900],
      [2 ** 45, 2 ** 45 + MAX_COVERED_OFFSETS],
    ] as const) {
      const batch = emptyBatch(baseOffset, endOffset, 4)
      expect([...batchesIn(batch)]).toEqual([{ position: 0, byteLength: 61 }])
      expect([...decodeRecords(batch, { verifyCrc: true })]).toEqual([])
      expect(batchHeader.baseOffset(batch, 0)).toBe(baseOffset)
      expect(lastOffsetOf(batch)).toBe(endOffset - 1)
      expect(batchHeader.partitionLeaderEpoch(batch, 0)).toBe(4)
      expect(batchHeader.producerId(batch, 0)).toBe(-1)
    }
  })

  it('refuses what no batch covers', () => {
    expect(() => emptyBatch(5, 5, 0)).toThrow(RangeError)
    expect(() => emptyBatch(0, MAX_COVERED_OFFSETS + 1, 0)).toThrow(RangeError)
  })
})
