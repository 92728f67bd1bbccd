import { encodeRecordBatch } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { OffsetSequence } from './offset-sequence.ts'

function batchAt(baseOffset: number, records = 3): Uint8Array {
  return encodeRecordBatch(
    Array.from({ length: records }, () => ({ value: 'v', timestamp: 0 })),
    { baseOffset },
  )
}

test('batches that follow each other are taken, a batch that was cut off comes again', () => {
  const sequence = new OffsetSequence('t-0')
  const whole = Buffer.concat([batchAt(0), batchAt(3)])
  const cutOff = batchAt(6).subarray(0, 40)
  expect(sequence.take(Buffer.concat([whole, cutOff]))).toBe(whole.byteLength)
  sequence.take(batchAt(6))
  expect(sequence.next).toBe(9)
})

test('a gap, a repeat and damage are found, and named with the offset', () => {
  const after =
    (...batches: Uint8Array[]) =>
    () => {
      const sequence = new OffsetSequence('t-0')
      for (const batch of batches) sequence.take(batch)
    }
  expect(after(batchAt(0), batchAt(4))).toThrow('t-0: a gap, offset 3 was due and 4 came')
  expect(after(batchAt(0), batchAt(0))).toThrow('t-0: a repeat, offset 3 was due and 0 came')
  const damaged = batchAt(0)
  damaged[damaged.byteLength - 1]! ^= 1
  expect(after(damaged)).toThrow('t-0: the batch at offset 0 does not match its CRC')
})

test('single records are held to the same', () => {
  const sequence = new OffsetSequence('t-0')
  sequence.takeRecord(0)
  expect(() => sequence.takeRecord(2)).toThrow('a gap, offset 1 was due and 2 came')
})
