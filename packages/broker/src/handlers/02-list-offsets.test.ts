import {
  batchCrc,
  batchHeader,
  ErrorCode,
  encodeRecordBatch,
  listOffsets,
  loadCodec,
} from '@streambus/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic, produceBatch } from '../testing/requests.ts'

let broker: Broker
let client: RawClient
const startMs = Date.now() - 10_000

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  for (const delays of [[0, 5], [20, 10], [15]]) {
    const records = delays.map((delay) => ({ value: `${delay}`, timestamp: startMs + delay }))
    await produceBatch(client, 'words', encodeRecordBatch(records))
  }
})

afterEach(async () => {
  client.close()
  await broker.close()
})

async function ask(
  timestamp: number,
  version = 7,
  partition: { partitionIndex?: number; currentLeaderEpoch?: number } = {},
) {
  const { topics } = await client.request(listOffsets, version, {
    replicaId: -1,
    topics: [
      {
        name: 'words',
        partitions: [{ partitionIndex: 0, timestamp: BigInt(timestamp), ...partition }],
      },
    ],
  })
  return topics[0]!.partitions[0]!
}

test('the ends of the log, in every version', async () => {
  for (let version = 1; version <= 11; version++) {
    expect(await ask(-1, version)).toMatchObject({ errorCode: 0, offset: 5n, timestamp: -1n })
    expect(await ask(-2, version)).toMatchObject({ errorCode: 0, offset: 0n, timestamp: -1n })
  }
  expect(await ask(-1, 0)).toMatchObject({ errorCode: 0, oldStyleOffsets: [5n] })
  expect(await ask(startMs + 1000, 0)).toMatchObject({ errorCode: 0, oldStyleOffsets: [] })
})

test('the first record at or after a timestamp; past the end there is none and no error', async () => {
  expect(await ask(startMs)).toMatchObject({ offset: 0n, timestamp: BigInt(startMs), leaderEpoch: 0 })
  expect(await ask(startMs + 3)).toMatchObject({ offset: 1n, timestamp: BigInt(startMs + 5) })
  expect(await ask(startMs + 11)).toMatchObject({ offset: 2n, timestamp: BigInt(startMs + 20) })
  expect(await ask(startMs + 21)).toMatchObject({ errorCode: 0, offset: -1n, timestamp: -1n })
})

test.each([
  [-3, 7, { errorCode: 0, offset: 2n, timestamp: BigInt(startMs + 20) }],
  [-3, 6, { errorCode: ErrorCode.UNSUPPORTED_VERSION }],
  [-4, 8, { errorCode: 0, offset: 0n }],
  [-4, 7, { errorCode: ErrorCode.UNSUPPORTED_VERSION }],
  [-5, 9, { errorCode: 0, offset: -1n }],
  [-5, 8, { errorCode: ErrorCode.UNSUPPORTED_VERSION }],
  [-6, 11, { errorCode: 0, offset: -1n }],
  [-6, 10, { errorCode: ErrorCode.UNSUPPORTED_VERSION }],
  [-7, 11, { errorCode: ErrorCode.UNSUPPORTED_VERSION }],
])('special timestamp %i in version %i', async (timestamp, version, expected) => {
  expect(await ask(timestamp, version)).toMatchObject(expected)
})

test('unknown partitions, other leader epochs and partitions named twice', async () => {
  expect(await ask(-1, 7, { partitionIndex: 3 })).toMatchObject({
    errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  })
  expect(await ask(-1, 7, { currentLeaderEpoch: 3 })).toMatchObject({
    errorCode: ErrorCode.UNKNOWN_LEADER_EPOCH,
  })
  const partition = { partitionIndex: 0, timestamp: -1n }
  const { topics } = await client.request(listOffsets, 7, {
    replicaId: -1,
    topics: [{ name: 'words', partitions: [partition, partition] }],
  })
  expect(topics[0]!.partitions.map(({ errorCode }) => errorCode)).toEqual([
    ErrorCode.INVALID_REQUEST,
    ErrorCode.INVALID_REQUEST,
  ])
})

test('a batch that cannot be decompressed is an error of lookups by time that need it, and of nothing else', async () => {
  await loadCodec('gzip')
  const broken = encodeRecordBatch([{ value: 'x', timestamp: startMs + 50 }], { compression: 'gzip' })
  broken.fill(0, 61)
  new DataView(broken.buffer, broken.byteOffset).setUint32(17, batchCrc(broken, 0, broken.byteLength))
  expect(batchHeader.maxTimestamp(broken, 0)).toBe(startMs + 50)
  expect(await produceBatch(client, 'words', broken)).toMatchObject({ errorCode: 0, baseOffset: 5n })

  expect(await ask(startMs + 40)).toMatchObject({ errorCode: ErrorCode.CORRUPT_MESSAGE })
  expect(await ask(-3)).toMatchObject({ errorCode: ErrorCode.CORRUPT_MESSAGE })
  expect(await ask(startMs + 15)).toMatchObject({ errorCode: 0, offset: 2n })
  expect(await ask(-1)).toMatchObject({ errorCode: 0, offset: 6n })
})
