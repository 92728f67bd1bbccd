/**
 * Hostile bytes for every decoder: random, cut off, with bits flipped, with huge integers written over them,
 * spliced together. Only ProtocolError may come out, and memory stays within bounds. The seed is printed; the
 * same FUZZ_SEED replays the same bytes. FUZZ_RUNS raises the number of mutations for each sample.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { apis } from './apis.ts'
import { batchesIn } from './batch-header.ts'
import { decodeRequest, decodeRequestHeader, decodeResponse, encodeRequest, encodeResponse } from './codec.ts'
import { compressionNames, loadCodec, loadedCodec } from './compression/codec.ts'
import { portableLz4 } from './compression/lz4.ts'
import { portableSnappy, xerialSnappy } from './compression/snappy.ts'
import { loadWasmZstd } from './compression/zstd.ts'
import {
  consumerProtocolAssignment,
  consumerProtocolSubscription,
  decodeConsumerAssignment,
  decodeConsumerSubscription,
  decodeSubscribedTopics,
} from './consumer-protocol.ts'
import { readControlRecord } from './control-record.ts'
import {
  decodeCoordinatorKey,
  decodeCoordinatorValue,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  type RecordFormats,
} from './coordinator-records/coordinator-record.ts'
import { groupRecords } from './coordinator-records/group-records.ts'
import type { RecordFormat } from './coordinator-records/record-format.ts'
import { transactionRecords } from './coordinator-records/transaction-records.ts'
import { FrameDecoder } from './frame-decoder.ts'
import { ProtocolError } from './protocol-error.ts'
import { checkRecords, decodeRecords, encodeRecordBatch } from './record-batch.ts'
import { encodeStandalone } from './standalone-message.ts'
import { frameOf, wireBytes } from './testing/frame-of.ts'
import { anyMessage } from './testing/message-arbitrary.ts'

const seed = Number(process.env.FUZZ_SEED ?? Math.trunc(Math.random() * 2 ** 31))
const runs = Number(process.env.FUZZ_RUNS ?? 60)
const maxBytes = 256 * 1024
console.log(`fuzz: FUZZ_SEED=${seed} FUZZ_RUNS=${runs}`)

/** Mulberry32: 32 bits of state are enough to pick mutations, and one number replays them. */
let state = seed
function random(below: number): number {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return Math.trunc((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
}

const telling = [
  0,
  1,
  0x7f,
  0x80,
  0xff,
  0x7fff,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xffffffff,
  100 * 1024 * 1024,
]

const mutations: ((sample: Buffer) => Buffer)[] = [
  () => Buffer.from(Array.from({ length: random(80) }, () => random(256))),
  (sample) => sample.subarray(0, random(sample.length + 1)),
  (sample) => Buffer.concat([sample, sample.subarray(0, random(sample.length + 1))]),
  (sample) => {
    const flipped = Buffer.from(sample)
    for (let i = random(4); i >= 0; i--) flipped[random(sample.length)]! ^= 1 << random(8)
    return flipped
  },
  (sample) => {
    const overwritten = Buffer.from(sample)
    for (let i = random(3); i >= 0; i--) {
      const width = [1, 2, 4][random(3)]!
      if (sample.length < width) continue
      const value = telling[random(telling.length)]! % 2 ** (8 * width)
      overwritten.writeUIntBE(value, random(sample.length - width + 1), width)
    }
    return overwritten
  },
  (sample) => {
    const at = random(sample.length + 1)
    const from = random(sample.length + 1)
    return Buffer.concat([sample.subarray(0, at), sample.subarray(from)])
  },
]

/** Runs a decoder on a sample and its mutations. Only ProtocolError may come out. */
function attack(sample: Buffer, decode: (bytes: Buffer) => void, times = runs): void {
  for (let i = 0; i < times; i++) {
    const bytes = mutations[random(mutations.length)]!(sample)
    try {
      decode(bytes)
    } catch (error) {
      if (error instanceof ProtocolError) continue
      throw new Error(`FUZZ_SEED=${seed}: ${bytes.toString('hex')}`, { cause: error })
    }
  }
}

beforeAll(async () => {
  for (const name of compressionNames) await loadCodec(name)
})

describe('hostile bytes', () => {
  test.each(apis.map((api) => [api.name, api] as const))('%s', (_name, api) => {
    for (let version = api.request.minVersion; version <= api.request.maxVersion; version++) {
      for (const body of fc.sample(anyMessage(api.request, version), { seed, numRuns: 2 })) {
        const sample = frameOf(encodeRequest(api, version, { correlationId: 1, clientId: 'fuzz' }, body))
        attack(sample, (bytes) => {
          const { bodyOffset } = decodeRequestHeader(bytes)
          decodeRequest(api, version, bytes, bodyOffset)
        })
      }
    }
    for (let version = api.response.minVersion; version <= api.response.maxVersion; version++) {
      for (const body of fc.sample(anyMessage(api.response, version), { seed, numRuns: 2 })) {
        const sample = frameOf(encodeResponse(api, version, 1, body))
        attack(sample, (bytes) => decodeResponse(api, version, bytes))
      }
    }
  })

  test.each(
    [groupRecords, transactionRecords].flatMap((log) =>
      log.formats.map((format): [string, RecordFormat, RecordFormats] => [format.kind, format, log]),
    ),
  )('%s records', (_kind, format, log) => {
    for (const key of fc.sample(anyMessage(format.key, 0), { seed, numRuns: 4 })) {
      attack(Buffer.from(encodeCoordinatorKey(format, key)), (bytes) => decodeCoordinatorKey(log, bytes))
    }
    for (let version = format.value.minVersion; version <= format.value.maxVersion; version++) {
      for (const value of fc.sample(anyMessage(format.value, version), { seed, numRuns: 4 })) {
        const sample = Buffer.from(encodeCoordinatorValue(format, version, value))
        attack(sample, (bytes) => decodeCoordinatorValue(format, bytes))
      }
    }
  })

  test('subscriptions and assignments of consumers', () => {
    for (const schema of [consumerProtocolSubscription, consumerProtocolAssignment]) {
      for (let version = schema.minVersion; version <= schema.maxVersion; version++) {
        for (const body of fc.sample(anyMessage(schema, version), { seed, numRuns: 4 })) {
          const sample = Buffer.from(encodeStandalone({ name: 'sample', schema, version }, version, body))
          attack(sample, decodeConsumerSubscription)
          attack(sample, decodeConsumerAssignment)
          attack(sample, decodeSubscribedTopics)
        }
      }
    }
  })

  test('a stream of frames: no more is held than has arrived', () => {
    const [api] = apis
    const samples = fc.sample(anyMessage(api!.request, 9), { seed, numRuns: 20 })
    const stream = Buffer.concat(
      samples.map((body) => wireBytes(encodeRequest(api!, 9, { correlationId: 1, clientId: null }, body))),
    )
    attack(
      stream,
      (bytes) => {
        const decoder = new FrameDecoder({ maxFrameBytes: maxBytes })
        for (let at = 0; at < bytes.length; ) {
          const size = 1 + random(bytes.length)
          decoder.push(bytes.subarray(at, at + size), (frame) => {
            expect(frame.length).toBeLessThanOrEqual(maxBytes)
          })
          at += size
          expect(decoder.bufferedBytes).toBeLessThanOrEqual(bytes.length)
        }
      },
      20 * runs,
    )
  })

  test.each(compressionNames)('record batches, %s', (compression) => {
    const records = Array.from({ length: 20 }, (_, i) => ({
      key: i % 3 === 0 ? null : `key-${i}`,
      value: 'some value '.repeat(i),
      timestamp: 1_700_000_000_000 + i,
      headers: i % 4 === 0 ? [{ key: 'header', value: i % 8 === 0 ? null : 'x' }] : [],
    }))
    const sample = Buffer.from(encodeRecordBatch(records, { compression }))
    attack(
      sample,
      (bytes) => {
        for (const { position, byteLength } of batchesIn(bytes)) {
          const batch = bytes.subarray(position, position + byteLength)
          for (const record of decodeRecords(batch, { maxDecompressedBytes: maxBytes })) {
            expect(record.headers.length + (record.value?.length ?? 0)).toBeLessThanOrEqual(maxBytes)
            expect(typeof (record.offset + record.timestamp)).toBe('bigint')
            readControlRecord(record)
          }
        }
      },
      20 * runs,
    )
    attack(
      sample,
      (bytes) => checkRecords(bytes, 0, bytes.length, { maxDecompressedBytes: maxBytes }),
      20 * runs,
    )
  })

  test('compressed data: no more comes out than is accepted', async () => {
    const content = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i % 7 === 0 ? random(256) : i % 50)))
    const decompressors = [
      ...compressionNames.slice(1).map((_, i) => loadedCodec(i + 1)),
      xerialSnappy(portableSnappy),
      portableLz4,
      await loadWasmZstd(),
    ]
    for (const { compress, decompress } of decompressors) {
      for (const sample of [content, Buffer.alloc(100_000, 'z')]) {
        attack(
          Buffer.from(compress(sample)),
          (bytes) => expect(decompress(bytes, maxBytes).length).toBeLessThanOrEqual(maxBytes),
          10 * runs,
        )
      }
    }
  })

  test('takes no memory that stays', () => {
    global.gc?.()
    expect(process.memoryUsage().rss).toBeLessThan(1024 * 1024 * 1024)
  })
})
