import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  consumerProtocolAssignment,
  consumerProtocolSubscription,
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeSubscribedTopics,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
} from './consumer-protocol.ts'
import { anyMessage } from './testing/message-arbitrary.ts'

const subscription = {
  topics: ['orders', 'payments'],
  userData: Buffer.from([1, 2]),
  ownedPartitions: [{ topic: 'orders', partitions: [0, 2] }],
  generationId: 5,
  rackId: 'r1',
}
const javaSubscriptions = [
  '00000000000200066f726465727300087061796d656e7473000000020102',
  '00010000000200066f726465727300087061796d656e74730000000201020000000100066f7264657273000000020000000000000002',
  '00020000000200066f726465727300087061796d656e74730000000201020000000100066f726465727300000002000000000000000200000005',
  '00030000000200066f726465727300087061796d656e74730000000201020000000100066f72646572730000000200000000000000020000000500027231',
].map((hex) => Buffer.from(hex, 'hex'))

describe('subscriptions', () => {
  test.each([0, 1, 2, 3])('version %i is written and read as by the Java client 4.4.0', (version) => {
    const bytes = javaSubscriptions[version]!
    expect(Buffer.from(encodeConsumerSubscription(version, subscription))).toEqual(bytes)
    expect(decodeConsumerSubscription(bytes)).toEqual({
      ...subscription,
      ownedPartitions: version >= 1 ? subscription.ownedPartitions : [],
      generationId: version >= 2 ? 5 : -1,
      rackId: version >= 3 ? 'r1' : null,
    })
    expect(decodeSubscribedTopics(bytes)).toEqual(['orders', 'payments'])
  })

  test('any version is decoded to what was encoded', () => {
    for (let version = 0; version <= 3; version++) {
      fc.assert(
        fc.property(anyMessage(consumerProtocolSubscription, version), (any) => {
          const bytes = encodeConsumerSubscription(version, any as typeof subscription)
          assert.deepEqual(decodeConsumerSubscription(bytes), any)
        }),
        { numRuns: 50 },
      )
    }
  })

  test('a version that is not known yet is read as the newest known', () => {
    const newer = Buffer.concat([javaSubscriptions[3]!, Buffer.from('more')])
    newer.writeInt16BE(9, 0)
    expect(decodeConsumerSubscription(newer)).toEqual(subscription)
  })

  test('topics are found where a client leaves out the fields of its version', () => {
    const bytes = Buffer.from(javaSubscriptions[0]!)
    bytes.writeInt16BE(1, 0)
    expect(decodeSubscribedTopics(bytes)).toEqual(['orders', 'payments'])
    expect(() => decodeConsumerSubscription(bytes)).toThrow(expect.objectContaining({ code: 'TRUNCATED' }))
  })

  test.each([
    ['no bytes', Buffer.alloc(0), 'TRUNCATED'],
    ['a negative version', Buffer.from([0xff, 0xff, 0, 0, 0, 0]), 'UNSUPPORTED_VERSION'],
    ['more topics than bytes', Buffer.from([0, 0, 0x7f, 0xff, 0xff, 0xff]), 'INVALID_LENGTH'],
    ['null for the topics', Buffer.from([0, 0, 0xff, 0xff, 0xff, 0xff]), 'INVALID_LENGTH'],
  ])('%s are refused', (_name, bytes, code) => {
    expect(() => decodeConsumerSubscription(bytes)).toThrow(expect.objectContaining({ code }))
    expect(() => decodeSubscribedTopics(bytes)).toThrow(expect.objectContaining({ code }))
  })
})

describe('assignments', () => {
  const assignedPartitions = [{ topic: 'orders', partitions: [0, 2] }]

  test('are written and read as by the Java client 4.4.0', () => {
    const bytes = Buffer.from('00030000000100066f7264657273000000020000000000000002ffffffff', 'hex')
    expect(Buffer.from(encodeConsumerAssignment(3, { assignedPartitions }))).toEqual(bytes)
    expect(decodeConsumerAssignment(bytes)).toEqual({ assignedPartitions, userData: null })
  })

  test('any version is decoded to what was encoded', () => {
    for (let version = 0; version <= 3; version++) {
      fc.assert(
        fc.property(anyMessage(consumerProtocolAssignment, version), (any) => {
          const bytes = encodeConsumerAssignment(version, any as { assignedPartitions: [] })
          assert.deepEqual(decodeConsumerAssignment(bytes), any)
        }),
        { numRuns: 50 },
      )
    }
  })

  test('a version that cannot be written is refused', () => {
    expect(() => encodeConsumerAssignment(4, { assignedPartitions })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_VERSION' }),
    )
  })
})
