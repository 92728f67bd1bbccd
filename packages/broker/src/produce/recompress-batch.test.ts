import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  batchCrc,
  batchHeader,
  changeBatchHeader,
  compressionIds,
  compressionNames,
  decodeRecords,
  ErrorCode,
  encodeRecordBatch,
  loadCodec,
  type RecordBatchOptions,
  type RecordInput,
} from '@streambus/protocol'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import type { TopicSettings } from '../settings/topic-settings.ts'
import { TopicSettingsTable } from '../settings/topic-settings.ts'
import { refuseBatch } from './batch-check.ts'
import { recompressBatch } from './recompress-batch.ts'

const NOW_MS = 1_700_000_000_000
const types = ['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'] as const
type Type = (typeof types)[number]
const idOf = (type: Type) => (type === 'uncompressed' ? 0 : compressionIds[type])

beforeAll(async () => {
  await Promise.all(compressionNames.map(loadCodec))
})

function settingsWith(type: Type, configs: Record<string, string> = {}): TopicSettings {
  const table = new TopicSettingsTable(16 * 1024 ** 2)
  const all = { 'compression.type': type, ...configs }
  expect(table.check(Object.entries(all).map(([name, value]) => ({ name, value })))).toEqual({ configs: all })
  return table.of({ id: 't', name: 't', logs: [], configs: all } as never)
}

const recordsOf = (batch: Uint8Array) =>
  [...decodeRecords(batch, { verifyCrc: true })].map(({ offset, timestamp, key, value, headers }) => ({
    offset,
    timestamp,
    key: key && Buffer.from(key).toString('hex'),
    value: value && Buffer.from(value).toString('hex'),
    headers: headers.map((header) => [header.key, header.value && Buffer.from(header.value).toString('hex')]),
  }))

/** Everything in the header that has to stay. */
const headerOf = (batch: Uint8Array) => {
  const { byteLength: _, batchLength: __, codec: ___, crc: ____, attributes: _____, ...fields } = batchHeader
  return Object.fromEntries(Object.entries(fields).map(([name, read]) => [name, read(batch, 0)]))
}

const content = fc.option(
  fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.tuple(fc.string({ minLength: 1, maxLength: 9 }), fc.nat(40_000)).map(([unit, size]) => {
      return Buffer.alloc(size, unit)
    }),
  ),
)
const anyRecord: fc.Arbitrary<RecordInput> = fc.record({
  key: content,
  value: content,
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 9 }), value: content }), { maxLength: 3 }),
  timestamp: fc.oneof(fc.constant(-1), fc.integer({ min: NOW_MS - 1e9, max: NOW_MS })),
})
const anyProducer: fc.Arbitrary<RecordBatchOptions> = fc.oneof(
  fc.constant({}),
  fc.record({
    producerId: fc.nat(),
    producerEpoch: fc.nat(32_767),
    baseSequence: fc.nat(),
    transactional: fc.boolean(),
  }),
)

test.each(types.flatMap((from) => types.filter((to) => to !== from).map((to) => [from, to] as const)))(
  'from %s to %s: records and header stay what they were',
  async (from, to) => {
    const settings = settingsWith(to)
    const compression = compressionNames[idOf(from)]!
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyRecord, { minLength: 1, maxLength: 12 }),
        anyProducer,
        async (records, producer) => {
          const batch = encodeRecordBatch(records, { ...producer, compression })
          expect(refuseBatch(batch, 12, settings, NOW_MS)).toBeUndefined()
          const { bytes, refusal } = await recompressBatch(batch, settings, NOW_MS)
          expect(refusal).toBeUndefined()
          expect(batchHeader.codec(bytes!, 0)).toBe(idOf(to))
          expect(batchHeader.byteLength(bytes!, 0)).toBe(bytes!.length)
          expect(recordsOf(bytes!)).toEqual(recordsOf(batch))
          expect(headerOf(bytes!)).toEqual(headerOf(batch))
        },
      ),
      { numRuns: 25 },
    )
  },
)

/** A batch that claims one record and has these bytes in place of compressed ones. */
function batchWith(compressed: Uint8Array, type: Type): Uint8Array {
  const header = encodeRecordBatch([{ value: 'x', timestamp: NOW_MS }]).subarray(0, BATCH_HEADER_BYTES)
  const batch = Buffer.concat([header, compressed])
  changeBatchHeader(batch, 0, { codec: idOf(type), batchLength: batch.length - BATCH_LENGTH_OVERHEAD })
  return batch
}

test.each(types)('garbage that claims to be %s is refused as malformed', async (type) => {
  const settings = settingsWith(type === 'zstd' ? 'gzip' : 'zstd')
  const good = encodeRecordBatch(
    Array.from({ length: 300 }, (_, i) => ({ key: `${i}`, value: `value ${i * 7919}`, timestamp: NOW_MS })),
    { compression: compressionNames[idOf(type)]! },
  ).subarray(BATCH_HEADER_BYTES)
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(good.length - 1).map((length) => good.subarray(0, length)),
        fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
          const copy = Buffer.from(good)
          copy[at]! ^= flip
          return copy
        }),
      ),
      async (compressed) => {
        const batch = batchWith(compressed, type)
        expect(refuseBatch(batch, 12, settings, NOW_MS)).toBeUndefined()
        const { refusal } = await recompressBatch(batch, settings, NOW_MS)
        expect(refusal).toEqual({
          errorCode: ErrorCode.INVALID_RECORD,
          errorMessage: expect.stringMatching(/^The records of the batch are malformed: .*\.$/),
        })
      },
    ),
    { numRuns: 100 },
  )
})

test.each(types.slice(1))('a bomb of %s is refused without the memory it asks for', async (type) => {
  const codec = await loadCodec(idOf(type))
  const settings = settingsWith('uncompressed', { 'max.message.bytes': '16777216' })
  const bomb = batchWith(codec.compress(Buffer.alloc(100_000_000)), type)
  const before = process.memoryUsage().arrayBuffers
  const { refusal } = await recompressBatch(bomb, settings, NOW_MS)
  expect(refusal).toMatchObject({
    errorCode: ErrorCode.MESSAGE_TOO_LARGE,
    errorMessage: 'The records of the batch take more than 67108864 bytes when they are decompressed.',
  })
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(160_000_000)
})

test.each(types)('the size that is stored counts as well as the one that was sent: %s', async (type) => {
  const settings = settingsWith(type, { 'max.message.bytes': '2000' })
  const records = [{ value: 'x'.repeat(5000), timestamp: NOW_MS }]
  const plain = encodeRecordBatch(records)
  expect(refuseBatch(plain, 12, settings, NOW_MS)).toMatchObject({ errorCode: ErrorCode.MESSAGE_TOO_LARGE })
  const small = encodeRecordBatch(records, { compression: type === 'gzip' ? 'zstd' : 'gzip' })
  expect(refuseBatch(small, 12, settings, NOW_MS)).toBeUndefined()
  const { bytes, refusal } = await recompressBatch(small, settings, NOW_MS)
  if (type === 'uncompressed') {
    expect(refusal).toMatchObject({
      errorCode: ErrorCode.MESSAGE_TOO_LARGE,
      errorMessage: expect.stringMatching(/^The batch has 50\d\d bytes, .* allows 2000\.$/),
    })
  } else expect(recordsOf(bytes!)).toEqual(recordsOf(plain))
})

test('every record is looked at: its key, its time, and a largest timestamp that is wrong', async () => {
  const compression = 'gzip'
  const table = settingsWith('zstd', { 'cleanup.policy': 'compact' })
  const unkeyed = encodeRecordBatch([{ key: 'a' }, { value: 'b' }], { compression })
  expect((await recompressBatch(unkeyed, table, NOW_MS)).refusal).toMatchObject({ recordIndex: 1 })

  const settings = settingsWith('zstd')
  const early = encodeRecordBatch([{ timestamp: NOW_MS }, { timestamp: NOW_MS + 9_000_000 }], { compression })
  changeBatchHeader(early, 0, { maxTimestamp: NOW_MS })
  expect((await recompressBatch(early, settings, NOW_MS)).refusal).toMatchObject({
    errorCode: ErrorCode.INVALID_TIMESTAMP,
  })
  const wrong = encodeRecordBatch([{ timestamp: NOW_MS - 5 }, { timestamp: NOW_MS - 9 }], { compression })
  changeBatchHeader(wrong, 0, { maxTimestamp: NOW_MS })
  const { bytes } = await recompressBatch(wrong, settings, NOW_MS)
  expect(batchHeader.maxTimestamp(bytes!, 0)).toBe(NOW_MS - 5)
  expect(batchCrc(bytes!, 0, bytes!.length)).toBe(batchHeader.crc(bytes!, 0))
})

test.each([
  ['gzip', 'compression.gzip.level', '1', '9'],
  ['zstd', 'compression.zstd.level', '1', '19'],
] as const)('the level of %s is that of the topic', async (type, name, low, high) => {
  const words = Array.from({ length: 5000 }, (_, i) => ({
    value: `{"id":${i},"user":"u${(i * 7919) % 997}"}`,
  }))
  const batch = encodeRecordBatch(words)
  const sizes: number[] = []
  for (const level of [low, high]) {
    const { bytes } = await recompressBatch(batch, settingsWith(type, { [name]: level }), NOW_MS)
    expect(recordsOf(bytes!)).toEqual(recordsOf(batch))
    sizes.push(bytes!.length)
  }
  expect(sizes[1]).toBeLessThan(sizes[0]!)
})
