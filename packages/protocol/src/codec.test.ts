import { describe, expect, test } from 'vitest'
import { decodeRequest, decodeRequestHeader, decodeResponse, encodeRequest, encodeResponse } from './codec.ts'
import { ZERO_UUID } from './field-default.ts'
import { type ProduceRequestInput, produce } from './messages/00-produce.ts'
import { fetch } from './messages/01-fetch.ts'
import { listOffsets } from './messages/02-list-offsets.ts'
import { metadata } from './messages/03-metadata.ts'
import { joinGroup } from './messages/11-join-group.ts'
import { apiVersions } from './messages/18-api-versions.ts'
import { deleteTopics } from './messages/20-delete-topics.ts'
import { consumerGroupHeartbeat } from './messages/68-consumer-group-heartbeat.ts'
import { ProtocolError } from './protocol-error.ts'
import type { Api } from './schema.ts'
import { frameOf, wireBytes } from './testing/frame-of.ts'

const topicId = 'ASNFZ4mrze8P7cuph2VDIQ'
const header = { correlationId: 1234, clientId: 'golden' }

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof ProtocolError) return error.code
    throw error
  }
  return 'no error'
}

function request<R>(api: Api<R>, version: number, hex: string): R {
  const frame = Buffer.from(hex, 'hex')
  const { header: read, bodyOffset } = decodeRequestHeader(frame)
  expect(read).toEqual({ apiKey: api.key, apiVersion: version, ...header })
  return decodeRequest(api, version, frame, bodyOffset)
}

describe('bytes written by the Java client 4.4.0', () => {
  test('ApiVersions request v3', () => {
    const hex = '00120003000004d20006676f6c64656e00126170616368652d6b61666b612d6a61766106342e342e3000'
    const body = { clientSoftwareName: 'apache-kafka-java', clientSoftwareVersion: '4.4.0' }
    expect(request(apiVersions, 3, hex)).toEqual(body)
    expect(frameOf(encodeRequest(apiVersions, 3, header, body)).toString('hex')).toBe(hex)
  })

  test('ApiVersions response v4, with tagged fields in the body and none in the header', () => {
    const hex =
      '000004d200000300000000000b000012000000040000000005030014020e67726f75702e76657273696f6e0000000100010800000000000000070214020e67726f75702e76657273696f6e0001000100'
    const body = {
      errorCode: 0,
      apiKeys: [
        { apiKey: 0, minVersion: 0, maxVersion: 11 },
        { apiKey: 18, minVersion: 0, maxVersion: 4 },
      ],
      throttleTimeMs: 5,
      supportedFeatures: [{ name: 'group.version', minVersion: 0, maxVersion: 1 }],
      finalizedFeaturesEpoch: 7n,
      finalizedFeatures: [{ name: 'group.version', maxVersionLevel: 1, minVersionLevel: 1 }],
      zkMigrationReady: false,
    }
    expect(decodeResponse(apiVersions, 4, Buffer.from(hex, 'hex'))).toEqual({ correlationId: 1234, body })
    expect(frameOf(encodeResponse(apiVersions, 4, 1234, body)).toString('hex')).toBe(hex)
  })

  test('Produce request v9 with its length', () => {
    const records = Buffer.from(
      '0000000000000000000000a0ffffffff0220f03c2b0000000000020000018bcfe568000000018bcfe5687bffffffffffffffffffffffffffff0000000322000000046b310476310402680278026e019e0100f60102018e0168656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f00160001040ac3a9e282ac0100',
      'hex',
    )
    const hex =
      '000000d800000009000004d20006676f6c64656e00037478ffff0000753002076f72646572730200000002ad010000000000000000000000a0ffffffff0220f03c2b0000000000020000018bcfe568000000018bcfe5687bffffffffffffffffffffffffffff0000000322000000046b310476310402680278026e019e0100f60102018e0168656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f2068656c6c6f00160001040ac3a9e282ac0100000000'
    const body: ProduceRequestInput = {
      transactionalId: 'tx',
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: 'orders', partitionData: [{ index: 2, records }] }],
    }
    expect(wireBytes(encodeRequest(produce, 9, header, body)).toString('hex')).toBe(hex)
    expect(request(produce, 9, hex.slice(8))).toEqual({
      ...body,
      topicData: [{ name: 'orders', topicId: ZERO_UUID, partitionData: [{ index: 2, records }] }],
    })
  })

  test('Produce response v10 that names the new leader in tagged fields', () => {
    const hex =
      '000004d20002076f726465727302000000020006ffffffffffffffffffffffffffffffff000000000000000301066d6f766564010009000000040000000900000000000001001502000000040962726f6b65722d3400002384027200'
    const body = {
      responses: [
        {
          name: 'orders',
          partitionResponses: [
            {
              index: 2,
              errorCode: 6,
              baseOffset: -1n,
              logStartOffset: 3n,
              errorMessage: 'moved',
              currentLeader: { leaderId: 4, leaderEpoch: 9 },
            },
          ],
        },
      ],
      nodeEndpoints: [{ nodeId: 4, host: 'broker-4', port: 9092, rack: 'r' }],
    }
    expect(decodeResponse(produce, 10, Buffer.from(hex, 'hex')).body).toMatchObject(body)
    expect(frameOf(encodeResponse(produce, 10, 1234, body)).toString('hex')).toBe(hex)
  })

  test('JoinGroup request v9', () => {
    const hex =
      '000b0009000004d20006676f6c64656e0002670000afc8000493e001026909636f6e73756d6572020672616e6765030102000477687900'
    const body = {
      groupId: 'g',
      sessionTimeoutMs: 45_000,
      rebalanceTimeoutMs: 300_000,
      memberId: '',
      groupInstanceId: 'i',
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from([1, 2]) }],
      reason: 'why',
    }
    expect(request(joinGroup, 9, hex)).toEqual(body)
    expect(frameOf(encodeRequest(joinGroup, 9, header, body)).toString('hex')).toBe(hex)
  })

  test.each([
    ['no assignment', null, '000004d20000000000000000046d2d310000000c00001388ff00'],
    [
      'an assignment',
      { topicPartitions: [{ topicId, partitions: [0, 2] }] },
      '000004d20000000000000000046d2d310000000c0000138801020123456789abcdef0fedcba987654321030000000000000002000000',
    ],
  ])('ConsumerGroupHeartbeat response v1 with %s', (_name, assignment, hex) => {
    const body = {
      throttleTimeMs: 0,
      errorCode: 0,
      errorMessage: null,
      memberId: 'm-1',
      memberEpoch: 12,
      heartbeatIntervalMs: 5000,
      assignment,
    }
    expect(decodeResponse(consumerGroupHeartbeat, 1, Buffer.from(hex, 'hex')).body).toEqual(body)
    expect(frameOf(encodeResponse(consumerGroupHeartbeat, 1, 1234, body)).toString('hex')).toBe(hex)
  })

  test('Metadata request v12 by topic id', () => {
    const hex = '0003000c000004d20006676f6c64656e00020123456789abcdef0fedcba9876543210000000000'
    const body = { topics: [{ topicId, name: null }], allowAutoTopicCreation: false }
    expect(request(metadata, 12, hex)).toMatchObject(body)
    expect(frameOf(encodeRequest(metadata, 12, header, body)).toString('hex')).toBe(hex)
  })

  test('Metadata request v1 for all topics', () => {
    const hex = '00030001000004d20006676f6c64656effffffff'
    expect(request(metadata, 1, hex)).toMatchObject({ topics: null, allowAutoTopicCreation: true })
    expect(frameOf(encodeRequest(metadata, 1, header, { topics: null })).toString('hex')).toBe(hex)
  })

  test('Fetch request v17', () => {
    const hex =
      '00010011000004d20006676f6c64656e00000001f40000000103200000000000000000000000020123456789abcdef0fedcba9876543210200000001000000050020000000000001ffffffffffffffffffffffff00100000000001077261636b2d6101000808636c7573746572'
    const body = {
      clusterId: 'cluster',
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 52_428_800,
      sessionEpoch: 0,
      topics: [
        {
          topicId,
          partitions: [
            {
              partition: 1,
              currentLeaderEpoch: 5,
              fetchOffset: 2n ** 53n + 1n,
              partitionMaxBytes: 1_048_576,
            },
          ],
        },
      ],
      rackId: 'rack-a',
    }
    expect(request(fetch, 17, hex)).toMatchObject(body)
    expect(frameOf(encodeRequest(fetch, 17, header, body)).toString('hex')).toBe(hex)
  })

  test('Fetch request v4', () => {
    const hex =
      '00010004000004d20006676f6c64656effffffff000001f4000000017fffffff00000000010001740000000100000001000000000000002a00100000'
    const body = {
      maxWaitMs: 500,
      minBytes: 1,
      topics: [
        { topic: 't', partitions: [{ partition: 1, fetchOffset: 42n, partitionMaxBytes: 1_048_576 }] },
      ],
    }
    expect(request(fetch, 4, hex)).toMatchObject({ ...body, replicaId: -1, sessionEpoch: -1, rackId: '' })
    expect(frameOf(encodeRequest(fetch, 4, header, body)).toString('hex')).toBe(hex)
  })
})

describe('request header', () => {
  test('an unknown API is read as one without tagged fields', () => {
    const frame = Buffer.from('03e7000100000007ffff', 'hex')
    expect(decodeRequestHeader(frame)).toEqual({
      header: { apiKey: 999, apiVersion: 1, correlationId: 7, clientId: null },
      bodyOffset: 10,
    })
  })

  test('ApiVersions above the newest known version is read as flexible', () => {
    const frame = Buffer.from('0012006300000007000161000102', 'hex')
    expect(decodeRequestHeader(frame)).toEqual({
      header: { apiKey: 18, apiVersion: 99, correlationId: 7, clientId: 'a' },
      bodyOffset: 12,
    })
  })

  test('unknown tags are skipped', () => {
    const frame = Buffer.from('001200030000000700016101050201020261026200', 'hex')
    const { bodyOffset } = decodeRequestHeader(frame)
    expect(decodeRequest(apiVersions, 3, frame, bodyOffset)).toEqual({
      clientSoftwareName: 'a',
      clientSoftwareVersion: 'b',
    })
  })
})

describe('decoding', () => {
  test('unknown tagged fields of a body are skipped', () => {
    const known = frameOf(
      encodeRequest(apiVersions, 3, header, { clientSoftwareName: 'a', clientSoftwareVersion: 'b' }),
    )
    const withTag = Buffer.concat([known.subarray(0, -1), Buffer.from('01630301ff02', 'hex')])
    const { bodyOffset } = decodeRequestHeader(withTag)
    expect(decodeRequest(apiVersions, 3, withTag, bodyOffset).clientSoftwareVersion).toBe('b')
  })

  test('the answer to an ApiVersions request of an unknown version is read in version 0', () => {
    const apiKeys = [{ apiKey: 18, minVersion: 0, maxVersion: 4 }]
    const frame = frameOf(encodeResponse(apiVersions, 0, 1, { errorCode: 35, apiKeys }))
    expect(decodeResponse(apiVersions, 4, frame).body).toMatchObject({ errorCode: 35, apiKeys })
  })

  test('records are a view of the frame', () => {
    const body = {
      acks: 1,
      timeoutMs: 1,
      topicData: [{ name: 't', partitionData: [{ index: 0, records: Buffer.from('abc') }] }],
    }
    const frame = frameOf(encodeRequest(produce, 9, header, body))
    const { bodyOffset } = decodeRequestHeader(frame)
    const { records } = decodeRequest(produce, 9, frame, bodyOffset).topicData[0]!.partitionData[0]!
    expect(records!.buffer).toBe(frame.buffer)
  })

  test('every message has its own default objects', () => {
    const frame = frameOf(encodeResponse(produce, 3, 1, { responses: [] }))
    const first = decodeResponse(produce, 3, frame).body
    const second = decodeResponse(produce, 3, frame).body
    expect(first.nodeEndpoints).not.toBe(second.nodeEndpoints)
  })

  test('an array that claims more elements than bytes are left is refused', () => {
    const frame = frameOf(encodeRequest(metadata, 1, header, { topics: [] }))
    frame.writeInt32BE(0x7fffffff, frame.length - 4)
    expect(codeOf(() => decodeRequest(metadata, 1, frame, frame.length - 4))).toBe('INVALID_LENGTH')
  })

  test('an array of very many tiny elements is refused before it is allocated', () => {
    const body = Buffer.alloc(8_000_000)
    body.writeInt32BE(3_000_000)
    expect(codeOf(() => decodeRequest(metadata, 0, body, 0))).toBe('INVALID_LENGTH')
  })

  test('bytes after the last field are refused, and the message says where', () => {
    const frame = Buffer.concat([
      frameOf(encodeRequest(metadata, 1, header, { topics: [] })),
      Buffer.alloc(2),
    ])
    const { bodyOffset } = decodeRequestHeader(frame)
    expect(() => decodeRequest(metadata, 1, frame, bodyOffset)).toThrow(
      'Metadata v1 request: 2 bytes left at byte 20',
    )
  })

  test('a truncated frame is refused with the field it ends in', () => {
    const frame = frameOf(encodeRequest(metadata, 1, header, { topics: [{ name: 'orders' }] }))
    const { bodyOffset } = decodeRequestHeader(frame)
    expect(() => decodeRequest(metadata, 1, frame.subarray(0, -3), bodyOffset)).toThrow(
      'Metadata v1 request, topics.name: 6 bytes expected, 3 left',
    )
  })

  test('null is refused where the version does not allow it', () => {
    const frame = frameOf(encodeRequest(metadata, 1, header, { topics: null }))
    const { bodyOffset } = decodeRequestHeader(frame)
    expect(codeOf(() => decodeRequest(metadata, 0, frame, bodyOffset))).toBe('INVALID_LENGTH')
  })

  test('versions without a schema are refused', () => {
    expect(codeOf(() => decodeRequest(produce, 2, Buffer.alloc(10), 0))).toBe('UNSUPPORTED_VERSION')
    expect(codeOf(() => decodeResponse(produce, 14, Buffer.alloc(10)))).toBe('UNSUPPORTED_VERSION')
  })
})

describe('encoding', () => {
  const partition = { partitionIndex: 0, errorCode: 0, highWatermark: 5n }

  test('external bytes become a part of their own, counted in the lengths', () => {
    const external = { byteLength: 100_000 }
    const parts = encodeResponse(fetch, 12, 1, {
      responses: [
        { topic: 't', partitions: [{ ...partition, abortedTransactions: null, records: external }] },
      ],
    })
    expect(parts).toHaveLength(3)
    expect(parts[1]).toBe(external)
    const filled = Buffer.concat(
      parts.map((part) => (part === external ? Buffer.alloc(100_000, 1) : part)) as Uint8Array[],
    )
    expect(filled.readInt32BE(0)).toBe(filled.length - 4)
    const { body } = decodeResponse(fetch, 12, filled.subarray(4))
    expect(body.responses[0]!.partitions[0]!.records).toHaveLength(100_000)
  })

  test('large byte arrays are passed through without a copy, small ones are joined', () => {
    const large = Buffer.alloc(10_000)
    const encode = (records: Buffer) =>
      encodeResponse(fetch, 12, 1, {
        responses: [{ topic: 't', partitions: [{ ...partition, abortedTransactions: null, records }] }],
      })
    expect(encode(large)[1]).toBe(large)
    expect(encode(Buffer.alloc(100))).toHaveLength(1)
  })

  test('a field the version lacks is dropped if it may be, and refused if not', () => {
    const ignorable = { acks: 1, timeoutMs: 1, topicData: [{ name: 't', topicId, partitionData: [] }] }
    expect(codeOf(() => encodeRequest(produce, 9, header, ignorable))).toBe('no error')
    const needed = { topics: [{ name: 't', topicId }], timeoutMs: 1 }
    expect(() => encodeRequest(deleteTopics, 5, header, needed)).toThrow(
      'DeleteTopics v5 request, topics: version 5 has no such field',
    )
  })

  test('a field the version lacks may have its default', () => {
    const body = {
      topics: [
        { name: 't', partitions: [{ partitionIndex: 0, errorCode: 0, oldStyleOffsets: [3n], offset: -1n }] },
      ],
    }
    expect(codeOf(() => encodeResponse(listOffsets, 0, 1, body))).toBe('no error')
  })

  test.each([
    ['an integer out of range', { index: 2 ** 31, records: null }],
    ['a fraction', { index: 1.5, records: null }],
    ['a number where bytes belong', { index: 0, records: 5 }],
  ])('%s is refused', (_name, partitionData) => {
    const body = { acks: 1, timeoutMs: 1, topicData: [{ name: 't', partitionData: [partitionData] }] }
    expect(codeOf(() => encodeRequest(produce as Api, 9, header, body))).toBe('INVALID_VALUE')
  })

  test('null is refused where the version does not allow it', () => {
    expect(codeOf(() => encodeRequest(metadata, 0, header, { topics: null }))).toBe('INVALID_VALUE')
  })

  test('a string longer than its length field can say is refused', () => {
    const body = { topics: [{ name: 'x'.repeat(40_000) }] }
    expect(codeOf(() => encodeRequest(metadata, 12, header, body))).toBe('INVALID_VALUE')
  })

  test('a tagged field of more than 127 bytes is decoded again', () => {
    const supportedFeatures = Array.from({ length: 40 }, (_, i) => ({
      name: `feature.${i}`,
      minVersion: 0,
      maxVersion: i,
    }))
    const body = { errorCode: 0, apiKeys: [], supportedFeatures }
    const frame = frameOf(encodeResponse(apiVersions, 3, 1, body))
    expect(decodeResponse(apiVersions, 3, frame).body.supportedFeatures).toEqual(supportedFeatures)
  })

  test('a message of megabytes of small fields is decoded again', () => {
    const topics = Array.from({ length: 100_000 }, (_, i) => ({ name: `topic-${i}-é`, topicId: ZERO_UUID }))
    const frame = frameOf(encodeRequest(metadata, 12, header, { topics }))
    const { bodyOffset } = decodeRequestHeader(frame)
    expect(decodeRequest(metadata, 12, frame, bodyOffset).topics).toEqual(topics)
  })

  test('a failed message leaves nothing behind for the next one', () => {
    const before = wireBytes(encodeRequest(metadata, 1, header, { topics: [] }))
    codeOf(() => encodeRequest(metadata, 0, header, { topics: null }))
    expect(wireBytes(encodeRequest(metadata, 1, header, { topics: [] }))).toEqual(before)
  })
})
