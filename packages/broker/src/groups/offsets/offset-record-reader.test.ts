import {
  decodeCoordinatorRecord,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  groupRecords,
  offsetCommitRecord,
} from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OffsetRecordReader } from './offset-record-reader.ts'

const store = await MemoryLogStore.open()
const { id: topicId } = await store.createTopic({ name: 'words', partitions: 1 })

const names = fc.oneof(
  fc.constantFrom('readers', 'writers', ''),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const int64 = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
const records = fc.record({
  version: fc.constantFrom(3, 4),
  key: fc.record({ group: names, topic: names, partition: int32 }),
  offset: int64,
  leaderEpoch: int32,
  metadata: fc.oneof(names, fc.string({ minLength: 100, maxLength: 300 })),
  commitTimestamp: int64,
  topicId: fc.constantFrom(topicId, 'AAAAAAAAAAAAAAAAAAAAAA', 'AAAAAAAAAAAAAAAAAAAAAQ'),
})

test('reads what the decoder of the schema reads, record after record', () => {
  const reader = new OffsetRecordReader(store.topics)
  fc.assert(
    fc.property(records, ({ version, key, offset, leaderEpoch, metadata, commitTimestamp, topicId: id }) => {
      const value = encodeCoordinatorValue(offsetCommitRecord, version, {
        offset: BigInt(offset),
        leaderEpoch,
        metadata,
        commitTimestamp: BigInt(commitTimestamp),
        topicId: id,
      })
      const keyBytes = encodeCoordinatorKey(offsetCommitRecord, key)
      const decoded = decodeCoordinatorRecord(groupRecords, keyBytes, value)
      if (decoded?.kind !== 'OffsetCommit') throw new Error('not read by the schema')
      expect(reader.read(keyBytes, value)).toBe(true)
      const { group, topic, partition } = reader
      expect({ group, topic, partition }).toEqual(decoded.key)
      expect({
        offset: BigInt(reader.offset),
        leaderEpoch: reader.leaderEpoch,
        metadata: reader.metadata,
        commitTimestamp: BigInt(reader.commitTimestampMs),
      }).toEqual({
        offset: decoded.value!.offset,
        leaderEpoch: decoded.value!.leaderEpoch,
        metadata: decoded.value!.metadata,
        commitTimestamp: decoded.value!.commitTimestamp,
      })
      expect(reader.topicExists).toBe(version === 3 || id !== 'AAAAAAAAAAAAAAAAAAAAAQ')
    }),
    { numRuns: 1000 },
  )
})

test('leaves hostile bytes, other kinds and other versions to the decoder of the schema', () => {
  const reader = new OffsetRecordReader(store.topics)
  const key = encodeCoordinatorKey(offsetCommitRecord, { group: 'readers', topic: 'words', partition: 1 })
  const fields = { offset: 1n, metadata: 'here', commitTimestamp: 1n, topicId }
  for (const version of [0, 1, 2]) {
    expect(reader.read(key, encodeCoordinatorValue(offsetCommitRecord, version, fields))).toBe(false)
  }
  for (const version of [3, 4]) {
    const value = encodeCoordinatorValue(offsetCommitRecord, version, fields)
    for (let length = 0; length < value.length; length++) {
      expect(reader.read(key, value.subarray(0, length))).toBe(false)
    }
    for (let length = 0; length < key.length; length++) {
      expect(reader.read(key.subarray(0, length), value)).toBe(false)
    }
    expect(reader.read(key, Buffer.concat([value, Buffer.of(0)]))).toBe(false)
    expect(reader.read(Buffer.concat([key, Buffer.of(0)]), value)).toBe(false)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 60 }), (bytes, more) => {
      bytes.set([0, 1].slice(0, bytes.length))
      more.set([0, 4].slice(0, more.length))
      reader.read(bytes, more)
    }),
  )
})
