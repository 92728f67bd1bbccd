import { batchCrc, ErrorCode, encodeRecordBatch, loadCodec, produce } from '@streambus/protocol'
import { MemoryLogStore, StorageError } from '@streambus/storage'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  produceBatch,
  produceRequest,
  valuesOf,
} from '../testing/requests.ts'

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  await createTopic(client, 'words', { partitions: 2 })
})

afterEach(async () => {
  client.close()
  await broker.close()
})

/** Changes a batch and makes its CRC right again. */
function changed(batch: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = Uint8Array.from(batch)
  const view = new DataView(copy.buffer)
  change(view)
  view.setUint32(17, batchCrc(copy, 0, copy.byteLength))
  return copy
}

test('offsets count up from 0 in each partition, in every served version', async () => {
  let expected = 0n
  for (let version = 3; version <= 12; version++) {
    const answer = await produceBatch(client, 'words', batchOf(['a', 'b']), version)
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: expected, logAppendTimeMs: -1n })
    expect(answer.logStartOffset).toBe(version >= 5 ? 0n : -1n)
    expected += 2n
  }
})

test('each partition is judged by itself', async () => {
  const { responses } = await client.request(
    produce,
    9,
    produceRequest('words', [
      { index: 0, records: batchOf(['good']) },
      { index: 1, records: new Uint8Array(10) },
      { index: 2, records: batchOf(['no such partition']) },
    ]),
  )
  expect(responses[0]!.partitionResponses.map(({ errorCode }) => errorCode)).toEqual([
    ErrorCode.NONE,
    ErrorCode.INVALID_RECORD,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ])
  const unknown = await produceBatch(client, 'no-such-topic', batchOf(['x']))
  expect(unknown).toMatchObject({ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, baseOffset: -1n })
})

test.each([
  ['records that are null', () => null, ErrorCode.INVALID_RECORD],
  ['two batches', () => Buffer.concat([batchOf(['a']), batchOf(['b'])]), ErrorCode.INVALID_RECORD],
  ['half a batch', () => batchOf(['a'.repeat(100)]).subarray(0, 90), ErrorCode.INVALID_RECORD],
  ['another format', () => changed(batchOf(['a']), (v) => v.setInt8(16, 1)), ErrorCode.INVALID_RECORD],
  ['a base offset', () => changed(batchOf(['a']), (v) => v.setBigInt64(0, 5n)), ErrorCode.INVALID_RECORD],
  ['a wrong CRC', () => Buffer.from(batchOf(['a'])).fill(1, 17, 21), ErrorCode.CORRUPT_MESSAGE],
  ['a flipped bit', () => Buffer.from(batchOf(['abc'])).fill(9, 66, 67), ErrorCode.CORRUPT_MESSAGE],
  ['a count of 0', () => changed(batchOf(['a']), (v) => v.setInt32(57, 0)), ErrorCode.INVALID_RECORD],
  ['a count too high', () => changed(batchOf(['a']), (v) => v.setInt32(57, 2)), ErrorCode.INVALID_RECORD],
  [
    'consistent counts that are not those of the records',
    () =>
      changed(batchOf(['a']), (v) => {
        v.setInt32(23, 4)
        v.setInt32(57, 5)
      }),
    ErrorCode.INVALID_RECORD,
  ],
  ['a control batch', () => changed(batchOf(['a']), (v) => v.setInt16(21, 0x20)), ErrorCode.INVALID_RECORD],
  [
    'a transactional batch without a producer',
    () => batchOf(['a'], { transactional: true }),
    ErrorCode.INVALID_RECORD,
  ],
  [
    'a transactional batch of a request without a transactional id',
    () => batchOf(['a'], { producerId: 1, producerEpoch: 0, baseSequence: 0, transactional: true }),
    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  ],
  [
    'a producer id without a sequence',
    () => batchOf(['a'], { producerId: 1, producerEpoch: 0, baseSequence: -1 }),
    ErrorCode.INVALID_RECORD,
  ],
  [
    'an unknown codec',
    () => changed(batchOf(['a']), (v) => v.setInt16(21, 5)),
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  ],
  [
    "the broker's timestamp type",
    () => changed(batchOf(['a']), (v) => v.setInt16(21, 8)),
    ErrorCode.INVALID_TIMESTAMP,
  ],
  ['a batch too large', () => batchOf(['a'.repeat(1_048_588)]), ErrorCode.MESSAGE_TOO_LARGE],
  [
    'a timestamp from the far future',
    () => encodeRecordBatch([{ value: 'a', timestamp: Date.now() + 7_200_000 }]),
    ErrorCode.INVALID_TIMESTAMP,
  ],
])('%s: refused with a sentence, and the next batch is taken', async (_, makeRecords, errorCode) => {
  const { responses } = await client.request(
    produce,
    9,
    produceRequest('words', [{ index: 0, records: makeRecords() }]),
  )
  expect(responses[0]!.partitionResponses[0]).toMatchObject({ errorCode, baseOffset: -1n })
  expect(responses[0]!.partitionResponses[0]!.errorMessage).toMatch(/\.$/)
  expect(await produceBatch(client, 'words', batchOf(['next']))).toMatchObject({ baseOffset: 0n })
})

test('compressed batches are taken as they are; zstd from version 7 on', async () => {
  await loadCodec(4)
  const batch = batchOf(['compressed', 'twice'], { compression: 'zstd' })
  expect(await produceBatch(client, 'words', batch, 6)).toMatchObject({
    errorCode: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  })
  expect(await produceBatch(client, 'words', batch, 7)).toMatchObject({ errorCode: 0 })
  const { records } = await fetchPartition(client, 'words', 0)
  expect(valuesOf(records).map(({ value }) => value)).toEqual(['compressed', 'twice'])
})

test('a maximum timestamp that is not that of the records is put right', async () => {
  const timestamp = Date.now()
  const batch = changed(encodeRecordBatch([{ value: 'a', timestamp }]), (view) => view.setBigInt64(35, 17n))
  expect(await produceBatch(client, 'words', batch)).toMatchObject({ errorCode: 0 })
  const { records } = await fetchPartition(client, 'words', 0)
  expect(Buffer.from(records!).readBigInt64BE(35)).toBe(BigInt(timestamp))
  expect(valuesOf(records)).toEqual([{ offset: 0, value: 'a' }])
})

test("settings of the topic: the broker's time, limits of time and size", async () => {
  await createTopic(client, 'arrivals', { configs: { 'message.timestamp.type': 'LogAppendTime' } })
  const before = BigInt(Date.now())
  const answer = await produceBatch(client, 'arrivals', encodeRecordBatch([{ value: 'a', timestamp: 1 }]))
  expect(answer.logAppendTimeMs).toBeGreaterThanOrEqual(before)
  const { records } = await fetchPartition(client, 'arrivals', 0)
  expect(Buffer.from(records!).readBigInt64BE(35)).toBe(answer.logAppendTimeMs)

  await createTopic(client, 'strict', {
    configs: { 'message.timestamp.before.max.ms': '1000', 'max.message.bytes': '500' },
  })
  const old = encodeRecordBatch([{ value: 'a', timestamp: Date.now() - 5000 }])
  expect(await produceBatch(client, 'strict', old)).toMatchObject({ errorCode: ErrorCode.INVALID_TIMESTAMP })
  const large = batchOf(['a'.repeat(500)])
  expect(await produceBatch(client, 'strict', large)).toMatchObject({
    errorCode: ErrorCode.MESSAGE_TOO_LARGE,
  })
})

test('a repeated batch of an idempotent producer is answered with its first offset', async () => {
  const batch = (epoch: number, baseSequence: number) =>
    batchOf(['a', 'b'], { producerId: 7, producerEpoch: epoch, baseSequence })
  expect(await produceBatch(client, 'words', batch(0, 0))).toMatchObject({ errorCode: 0, baseOffset: 0n })
  expect(await produceBatch(client, 'words', batch(0, 2))).toMatchObject({ errorCode: 0, baseOffset: 2n })
  expect(await produceBatch(client, 'words', batch(0, 0))).toMatchObject({ errorCode: 0, baseOffset: 0n })
  expect(await produceBatch(client, 'words', batch(0, 9))).toMatchObject({
    errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  })
  expect(await produceBatch(client, 'words', batch(1, 0))).toMatchObject({ errorCode: 0, baseOffset: 4n })
  expect(await produceBatch(client, 'words', batch(0, 4))).toMatchObject({
    errorCode: ErrorCode.INVALID_PRODUCER_EPOCH,
  })
})

test('acks that do not exist are refused, for every partition', async () => {
  const { responses } = await client.request(
    produce,
    9,
    produceRequest('words', [{ index: 0, records: batchOf(['a']) }], { acks: 2 }),
  )
  expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.INVALID_REQUIRED_ACKS)
})

test('acks=0 gets no answer, and a closed connection when something is refused', async () => {
  client.send(produce, 9, produceRequest('words', [{ index: 0, records: batchOf(['a']) }], { acks: 0 }))
  expect(await produceBatch(client, 'words', batchOf(['b']))).toMatchObject({ baseOffset: 1n })
  client.send(produce, 9, produceRequest('missing', [{ index: 0, records: batchOf(['a']) }], { acks: 0 }))
  await client.closed
})

test('versions 0 to 2 are advertised but close the connection', async () => {
  const frame = Buffer.alloc(18)
  frame.writeInt32BE(14, 0)
  frame.writeInt16BE(2, 6)
  frame.writeInt16BE(-1, 12)
  client.sendBytes(frame)
  await client.closed
})

test('a full disk is a retriable error for that batch, and reads go on', async () => {
  const memory = await MemoryLogStore.open()
  let isFull = false
  const store = withOverrides(memory, {
    append: (batches) =>
      isFull
        ? Promise.resolve(batches.map(() => ({ error: new StorageError('DISK_FULL', 'no room') })))
        : memory.append(batches),
  })
  await using full = await Broker.start({ port: 0, store })
  const producer = await RawClient.connect(full)
  await createTopic(producer, 'words')
  await produceBatch(producer, 'words', batchOf(['before']))
  isFull = true
  expect(await produceBatch(producer, 'words', batchOf(['x']))).toMatchObject({
    errorCode: ErrorCode.KAFKA_STORAGE_ERROR,
    errorMessage: 'no room',
  })
  expect(valuesOf((await fetchPartition(producer, 'words', 0)).records)).toHaveLength(1)
  isFull = false
  expect(await produceBatch(producer, 'words', batchOf(['after']))).toMatchObject({ baseOffset: 1n })
})

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'a compacted topic refuses a record without a key and says which: %s',
  async (compression) => {
    await createTopic(client, 'table', { configs: { 'cleanup.policy': 'compact' } })
    await loadCodec(compression)
    const keyed = [{ key: 'a', value: '1' }, { key: 'b' }]
    expect(await produceBatch(client, 'table', encodeRecordBatch(keyed, { compression }))).toMatchObject({
      errorCode: ErrorCode.NONE,
    })
    const unkeyed = encodeRecordBatch([...keyed, { value: 'no key' }], { compression })
    expect(await produceBatch(client, 'table', unkeyed)).toMatchObject({
      errorCode: ErrorCode.INVALID_RECORD,
      recordErrors: [{ batchIndex: 2, batchIndexErrorMessage: expect.stringMatching(/Record 2 .* no key/) }],
    })
    expect(await produceBatch(client, 'words', unkeyed)).toMatchObject({ errorCode: ErrorCode.NONE })
  },
)

test('a batch larger than segment.bytes', async () => {
  await createTopic(client, 'small', { configs: { 'segment.bytes': '200' } })
  expect(await produceBatch(client, 'small', batchOf(['x'.repeat(300)]))).toMatchObject({
    errorCode: ErrorCode.RECORD_LIST_TOO_LARGE,
    errorMessage: expect.stringMatching(/segment.bytes allows 200/),
  })
  expect(await produceBatch(client, 'small', batchOf(['x']))).toMatchObject({ baseOffset: 0n })
})
