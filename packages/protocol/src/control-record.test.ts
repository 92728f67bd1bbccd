import { describe, expect, test } from 'vitest'
import { controlRecord, readControlRecord } from './control-record.ts'
import { decodeRecords, encodeRecordBatch } from './record-batch.ts'
import { javaAbort, javaCommit } from './testing/java-batches.ts'

describe('control records', () => {
  test.each([
    ['commit', 50, javaCommit],
    ['abort', 51, javaAbort],
  ] as const)('a %s marker is read and written as by the Java client', (type, baseOffset, hex) => {
    const records = decodeRecords(Buffer.from(hex, 'hex'), { verifyCrc: true })
    expect(records.isControl).toBe(true)
    expect(records.isTransactional).toBe(true)
    expect(records.producerId).toBe(4000)
    expect(Array.from(records, readControlRecord)).toEqual([{ type, coordinatorEpoch: 11 }])

    const batch = encodeRecordBatch(
      [controlRecord({ type, coordinatorEpoch: 11, timestamp: 1_700_000_000_000 })],
      {
        baseOffset,
        partitionLeaderEpoch: 2,
        producerId: 4000,
        producerEpoch: 1,
        transactional: true,
        control: true,
      },
    )
    expect(Buffer.from(batch).toString('hex')).toBe(hex)
  })

  test('another type of control record is none of the two', () => {
    const [record] = decodeRecords(encodeRecordBatch([{ key: Buffer.from([0, 0, 0, 2]), value: '' }]))
    expect(readControlRecord(record!)).toBeNull()
  })

  test.each([
    ['no key', null, Buffer.alloc(6)],
    ['a short key', Buffer.alloc(3), Buffer.alloc(6)],
    ['a short value', Buffer.alloc(4), Buffer.alloc(5)],
  ])('%s is refused', (_name, key, value) => {
    const [record] = decodeRecords(encodeRecordBatch([{ key, value }]))
    expect(() => readControlRecord(record!)).toThrow(expect.objectContaining({ code: 'TRUNCATED' }))
  })
})
