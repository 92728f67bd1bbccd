import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MessageInput } from '../schema.ts'
import { anyMessage } from '../testing/message-arbitrary.ts'
import { transactionLogRecord } from './00-transaction-log.ts'
import { offsetCommitRecord } from './01-offset-commit.ts'
import { groupMetadataRecord } from './02-group-metadata.ts'
import { consumerGroupMetadataRecord } from './03-consumer-group-metadata.ts'
import { consumerGroupMemberMetadataRecord } from './05-consumer-group-member-metadata.ts'
import { consumerGroupTargetAssignmentMetadataRecord } from './06-consumer-group-target-assignment-metadata.ts'
import { consumerGroupTargetAssignmentMemberRecord } from './07-consumer-group-target-assignment-member.ts'
import { consumerGroupCurrentMemberAssignmentRecord } from './08-consumer-group-current-member-assignment.ts'
import { consumerGroupRegularExpressionRecord } from './16-consumer-group-regular-expression.ts'
import {
  decodeCoordinatorKey,
  decodeCoordinatorRecord,
  decodeCoordinatorValue,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  type RecordFormats,
} from './coordinator-record.ts'
import { groupRecords } from './group-records.ts'
import type { RecordFormat } from './record-format.ts'
import { transactionRecords } from './transaction-records.ts'

const logs = [groupRecords, transactionRecords]
const everyFormat: [string, RecordFormat][] = logs.flatMap(({ formats }) =>
  formats.map((format): [string, RecordFormat] => [format.kind, format]),
)

const topicId = 'ASNFZ4mrze8P7cuph2VDIQ'
const commitTimestamp = 1_700_000_000_000n
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const bytes = (text: string): Buffer => Buffer.from(text, 'hex')

/** Both directions of a value against the bytes of Kafka's generated code. */
function expectValue<Format extends RecordFormat>(
  format: Format,
  version: number,
  expected: string,
  value: MessageInput<Format['value']>,
): void {
  expect(hex(encodeCoordinatorValue(format, version, value))).toBe(expected)
  expect(decodeCoordinatorValue(format, bytes(expected))).toMatchObject(value)
}

describe('bytes written by Kafka 4.4.0', () => {
  test.each<[string, RecordFormat, object, string]>([
    [
      'OffsetCommit',
      offsetCommitRecord,
      { group: 'billing', topic: 'orders', partition: 7 },
      '0001000762696c6c696e6700066f726465727300000007',
    ],
    ['GroupMetadata', groupMetadataRecord, { group: 'billing' }, '0002000762696c6c696e67'],
    ['ConsumerGroupMetadata', consumerGroupMetadataRecord, { groupId: 'billing' }, '0003000762696c6c696e67'],
    [
      'ConsumerGroupMemberMetadata',
      consumerGroupMemberMetadataRecord,
      { groupId: 'billing', memberId: 'm-1' },
      '0005000762696c6c696e6700036d2d31',
    ],
    [
      'ConsumerGroupTargetAssignmentMetadata',
      consumerGroupTargetAssignmentMetadataRecord,
      { groupId: 'billing' },
      '0006000762696c6c696e67',
    ],
    [
      'ConsumerGroupTargetAssignmentMember',
      consumerGroupTargetAssignmentMemberRecord,
      { groupId: 'billing', memberId: 'm-1' },
      '0007000762696c6c696e6700036d2d31',
    ],
    [
      'ConsumerGroupCurrentMemberAssignment',
      consumerGroupCurrentMemberAssignmentRecord,
      { groupId: 'billing', memberId: 'm-1' },
      '0008000762696c6c696e6700036d2d31',
    ],
    [
      'ConsumerGroupRegularExpression',
      consumerGroupRegularExpressionRecord,
      { groupId: 'billing', regularExpression: 'or.*' },
      '0010000762696c6c696e6700046f722e2a',
    ],
    ['TransactionLog', transactionLogRecord, { transactionalId: 'tx-1' }, '0000000474782d31'],
  ])('%s key', (kind, format, key, expected) => {
    const log: RecordFormats = format === transactionLogRecord ? transactionRecords : groupRecords
    expect(hex(encodeCoordinatorKey(format, key))).toBe(expected)
    expect(decodeCoordinatorKey(log, bytes(expected))).toEqual({ kind, format, key })
  })

  test('OffsetCommit value v4 with the topic id in a tagged field', () => {
    const value = { offset: 1_234_567_890_123n, leaderEpoch: 5, metadata: 'méta', commitTimestamp, topicId }
    const expected =
      '00040000011f71fb04cb00000005066dc3a974610000018bcfe568000100100123456789abcdef0fedcba987654321'
    expectValue(offsetCommitRecord, 4, expected, value)
  })

  test('OffsetCommit value v3, which has no topic id', () => {
    const value = { offset: 1_234_567_890_123n, leaderEpoch: 5, metadata: 'méta', commitTimestamp, topicId }
    const expected = '00030000011f71fb04cb0000000500056dc3a974610000018bcfe56800'
    expect(hex(encodeCoordinatorValue(offsetCommitRecord, 3, value))).toBe(expected)
    expect(decodeCoordinatorValue(offsetCommitRecord, bytes(expected))).toEqual({
      ...value,
      expireTimestamp: -1n,
      topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
    })
  })

  test('OffsetCommit value v1 with the time of its expiry', () => {
    const value = { offset: 9n, metadata: '', commitTimestamp, expireTimestamp: 1_700_000_600_000n }
    const expected = '0001000000000000000900000000018bcfe568000000018bcfee8fc0'
    expectValue(offsetCommitRecord, 1, expected, value)
  })

  test.each([
    [
      3,
      '00030008636f6e73756d657200000003000572616e676500036d2d310000018bcfe568000000000100036d2d310006686f73742d31000163000a2f3132372e302e302e31000493e00000afc800000003010203000000020405',
    ],
    [
      4,
      '000409636f6e73756d6572000000030672616e6765046d2d310000018bcfe5680002046d2d3107686f73742d3102630b2f3132372e302e302e31000493e00000afc8040102030304050000',
    ],
  ])('GroupMetadata value v%i', (version, expected) => {
    expectValue(groupMetadataRecord, version, expected, {
      protocolType: 'consumer',
      generation: 3,
      protocol: 'range',
      leader: 'm-1',
      currentStateTimestamp: commitTimestamp,
      members: [
        {
          memberId: 'm-1',
          groupInstanceId: 'host-1',
          clientId: 'c',
          clientHost: '/127.0.0.1',
          rebalanceTimeout: 300_000,
          sessionTimeout: 45_000,
          subscription: Buffer.from([1, 2, 3]),
          assignment: Buffer.from([4, 5]),
        },
      ],
    })
  })

  test('GroupMetadata value of an empty group', () => {
    const expected = '00030008636f6e73756d657200000004ffffffff0000018bcfe5680000000000'
    expectValue(groupMetadataRecord, 3, expected, {
      protocolType: 'consumer',
      generation: 4,
      protocol: null,
      leader: null,
      currentStateTimestamp: commitTimestamp,
      members: [],
    })
  })

  test('ConsumerGroupMetadata value', () => {
    const value = { epoch: 12, metadataHash: -6148914691236517206n }
    expectValue(consumerGroupMetadataRecord, 0, '00000000000c010008aaaaaaaaaaaaaaaa', value)
  })

  test('ConsumerGroupMemberMetadata value', () => {
    const expected =
      '00000003723102630b2f3132372e302e302e3103076f7264657273097061796d656e747300000493e008756e69666f726d00'
    expectValue(consumerGroupMemberMetadataRecord, 0, expected, {
      instanceId: null,
      rackId: 'r1',
      clientId: 'c',
      clientHost: '/127.0.0.1',
      subscribedTopicNames: ['orders', 'payments'],
      subscribedTopicRegex: null,
      rebalanceTimeoutMs: 300_000,
      serverAssignor: 'uniform',
      classicMemberMetadata: null,
    })
  })

  test('ConsumerGroupMemberMetadata value of a member that uses the classic protocol', () => {
    const expected = '00000269000263026801056f722e2a000003e800010012010000afc8020672616e6765040908070000'
    expectValue(consumerGroupMemberMetadataRecord, 0, expected, {
      instanceId: 'i',
      rackId: null,
      clientId: 'c',
      clientHost: 'h',
      subscribedTopicNames: [],
      subscribedTopicRegex: 'or.*',
      rebalanceTimeoutMs: 1000,
      serverAssignor: null,
      classicMemberMetadata: {
        sessionTimeoutMs: 45_000,
        supportedProtocols: [{ name: 'range', metadata: Buffer.from([9, 8, 7]) }],
      },
    })
  })

  test('ConsumerGroupTargetAssignment values', () => {
    expectValue(consumerGroupTargetAssignmentMetadataRecord, 0, '00000000000c0100080000018bcfe56800', {
      assignmentEpoch: 12,
      assignmentTimestamp: commitTimestamp,
    })
    const expected = '0000020123456789abcdef0fedcba987654321040000000000000001000000020000'
    expectValue(consumerGroupTargetAssignmentMemberRecord, 0, expected, {
      topicPartitions: [{ topicId, partitions: [0, 1, 2] }],
    })
  })

  test('ConsumerGroupCurrentMemberAssignment value', () => {
    const expected =
      '00000000000c0000000b01020123456789abcdef0fedcba987654321030000000000000001010009030000000b0000000c020123456789abcdef0fedcba98765432102000000020000'
    expectValue(consumerGroupCurrentMemberAssignmentRecord, 0, expected, {
      memberEpoch: 12,
      previousMemberEpoch: 11,
      state: 1,
      assignedPartitions: [{ topicId, partitions: [0, 1], assignmentEpochs: [11, 12] }],
      partitionsPendingRevocation: [{ topicId, partitions: [2], assignmentEpochs: null }],
    })
  })

  test('ConsumerGroupRegularExpression value', () => {
    const value = { topics: ['orders'], version: 4n, timestamp: commitTimestamp }
    const expected = '000002076f726465727300000000000000040000018bcfe5680000'
    expectValue(consumerGroupRegularExpressionRecord, 0, expected, value)
  })

  test('TransactionLog values', () => {
    const ongoing = {
      producerId: 4000n,
      producerEpoch: 6,
      transactionTimeoutMs: 60_000,
      transactionStatus: 1,
      transactionPartitions: [{ topic: 'orders', partitionIds: [0, 3] }],
      transactionLastUpdateTimestampMs: 1_700_000_000_500n,
      transactionStartTimestampMs: 1_700_000_000_000n,
    }
    const v0 =
      '00000000000000000fa000060000ea60010000000100066f72646572730000000200000000000000030000018bcfe569f40000018bcfe56800'
    expectValue(transactionLogRecord, 0, v0, ongoing)
    const v1 =
      '00010000000000000fa000060000ea600102076f7264657273030000000000000003000000018bcfe569f40000018bcfe568000400080000000000000f9f01080000000000000fa10202000203020000'
    expectValue(transactionLogRecord, 1, v1, {
      ...ongoing,
      previousProducerId: 3999n,
      nextProducerId: 4001n,
      nextProducerEpoch: 0,
      clientTransactionVersion: 2,
    })
    const empty = '00010000000000000fa000000000ea6000000000018bcfe56800ffffffffffffffff00'
    expectValue(transactionLogRecord, 1, empty, {
      ...ongoing,
      producerEpoch: 0,
      transactionStatus: 0,
      transactionPartitions: null,
      transactionLastUpdateTimestampMs: 1_700_000_000_000n,
      transactionStartTimestampMs: -1n,
    })
  })
})

describe.each(everyFormat)('%s', (_kind, format) => {
  const log: RecordFormats = format === transactionLogRecord ? transactionRecords : groupRecords

  test('a record of any version is decoded to what was encoded', () => {
    for (let version = format.value.minVersion; version <= format.value.maxVersion; version++) {
      fc.assert(
        fc.property(anyMessage(format.key, 0), anyMessage(format.value, version), (key, value) => {
          const keyBytes = encodeCoordinatorKey(format, key)
          const valueBytes = encodeCoordinatorValue(format, version, value)
          const record = decodeCoordinatorRecord<RecordFormat>(log, keyBytes, valueBytes)
          assert.deepEqual(record, { kind: format.kind, key, value })
        }),
        { numRuns: 50 },
      )
    }
  })

  test('a value of a version that does not exist is refused in both directions', () => {
    const version = format.value.maxVersion + 1
    const unsupported = expect.objectContaining({ code: 'UNSUPPORTED_VERSION' })
    const [value] = fc.sample(anyMessage(format.value, format.value.maxVersion), 1)
    expect(() => encodeCoordinatorValue(format, version, value)).toThrow(unsupported)
    expect(() => decodeCoordinatorValue(format, Buffer.from([0, version, 0, 0]))).toThrow(unsupported)
    expect(() => decodeCoordinatorValue(format, Buffer.from([0xff, 0xff, 0, 0]))).toThrow(unsupported)
  })
})

describe('a coordinator record', () => {
  const key = encodeCoordinatorKey(offsetCommitRecord, { group: 'g', topic: 't', partition: 0 })

  test('without a value deletes what its key names', () => {
    expect(decodeCoordinatorRecord(groupRecords, key, null)).toEqual({
      kind: 'OffsetCommit',
      key: { group: 'g', topic: 't', partition: 0 },
      value: null,
    })
  })

  test('is told apart by its kind', () => {
    const value = encodeCoordinatorValue(offsetCommitRecord, 3, { offset: 1n, metadata: '', commitTimestamp })
    const record = decodeCoordinatorRecord(groupRecords, key, value)
    if (record?.kind !== 'OffsetCommit') throw new Error('not an offset')
    expect(record.key.partition).toBe(0)
    expect(record.value?.offset).toBe(1n)
  })

  test('of an unknown type is none, whatever follows', () => {
    expect(decodeCoordinatorKey(groupRecords, Buffer.from([0, 99, 1]))).toBeNull()
    expect(decodeCoordinatorRecord(groupRecords, Buffer.from([0, 99]), Buffer.from([1]))).toBeNull()
  })

  test.each([
    ['a key without a type', Buffer.from([0]), 'TRUNCATED'],
    ['an empty key', Buffer.alloc(0), 'TRUNCATED'],
    ['a key that ends early', key.subarray(0, -1), 'TRUNCATED'],
    ['a key with more bytes than it has fields', Buffer.concat([key, Buffer.alloc(1)]), 'TRAILING_BYTES'],
  ])('%s is refused', (_name, damaged, code) => {
    const refused = expect.objectContaining({ code })
    expect(() => decodeCoordinatorKey(groupRecords, damaged)).toThrow(refused)
  })

  test('names the field that is wrong', () => {
    const wrong = { offset: 1n, metadata: null as unknown as string, commitTimestamp }
    expect(() => encodeCoordinatorValue(offsetCommitRecord, 3, wrong)).toThrow(
      /OffsetCommit value v3, metadata/,
    )
  })
})
