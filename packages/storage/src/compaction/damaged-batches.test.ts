/**
 * Damaged batches: with their own checksum, and with a new one over the damage, as if a producer had sent them
 * so. Only StorageError CORRUPT_BATCH may come out, and the map must not have changed.
 */
import {
  BATCH_HEADER_BYTES,
  batchHeader,
  changeBatchHeader,
  compressionNames,
  encodeRecordBatch,
  loadCodec,
} from '@streambus/protocol'
import { beforeAll, describe, expect, it } from 'vitest'
import { StorageError } from '../log-store.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { loadCodecOf } from './checked-batch.ts'
import { compactBatch } from './compact-batch.ts'
import { fillKeyOffsets } from './fill-key-offsets.ts'
import { KeyOffsets } from './key-offsets.ts'

const seed = Number(process.env.FUZZ_SEED ?? Math.trunc(Math.random() * 2 ** 31))
const RUNS = 1500
const SEED = new Uint8Array(16).fill(9)

beforeAll(async () => {
  for (const name of compressionNames) await loadCodec(name)
})

function sampleOf(compression: (typeof compressionNames)[number]): Buffer {
  const records = Array.from({ length: 20 }, (_, index) => ({
    key: index === 3 ? null : `key ${index % 7}`,
    value: index % 5 === 0 ? null : `value ${index} `.repeat(index),
    timestamp: 1_700_000_000_000 + index * 100,
    headers: index % 4 === 0 ? [{ key: 'h', value: 'x' }] : [],
  }))
  return Buffer.from(encodeRecordBatch(records, { compression, baseOffset: 1000 }))
}

function damaged(random: SeededRandom, sample: Buffer): Buffer {
  const bytes = Buffer.from(sample)
  switch (random.below(4)) {
    case 0:
      for (let flips = random.between(1, 4); flips > 0; flips--) {
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      }
      return bytes
    case 1:
      return bytes.subarray(0, random.below(bytes.length))
    case 2: {
      const at = random.between(17, bytes.length - 4)
      bytes.writeInt32BE(random.pick([-1, 0, 0x7fffffff, -0x80000000, 0x01010101]), at)
      return bytes
    }
    default:
      return Buffer.concat([bytes, bytes.subarray(random.below(bytes.length))])
  }
}

/** The same damage with a length and a checksum that are right. */
function resealed(bytes: Buffer): Buffer | null {
  if (bytes.length < BATCH_HEADER_BYTES) return null
  const sealed = Buffer.from(bytes)
  sealed[16] = 2
  changeBatchHeader(sealed, 0, { batchLength: sealed.length - 12 })
  return sealed
}

describe('a damaged batch', () => {
  it.each(compressionNames)(
    `is refused and has no effect, codec %s (FUZZ_SEED=${seed})`,
    async (compression) => {
      const random = new SeededRandom(seed)
      const sample = sampleOf(compression)
      const refused = { asDamaged: 0, asSent: 0 }
      for (let run = 0; run < RUNS; run++) {
        const bytes = damaged(random, sample)
        // Neither the base offset nor the leader epoch is covered by the checksum.
        if (bytes.equals(sample) || bytes.subarray(16).equals(sample.subarray(16))) continue
        if (await isRefused(bytes)) refused.asDamaged++
        else throw new Error(`taken in spite of its checksum: ${bytes.toString('hex')}`)
        const sent = resealed(bytes)
        if (sent !== null && (await isRefused(sent))) refused.asSent++
      }
      expect(refused.asDamaged).toBeGreaterThan(RUNS / 2)
      expect(refused.asSent).toBeGreaterThan(RUNS / 10)
    },
  )

  it('names the batch by its offset', async () => {
    const bytes = sampleOf('none')
    bytes[80]! ^= 1
    const map = new KeyOffsets(1024, SEED)
    expect(() => fillKeyOffsets(map, bytes, 'plain')).toThrow(
      /the batch at offset 1000 cannot be compacted: .*CRC/,
    )
  })

  it('of a codec that does not exist is refused when it is read', async () => {
    const bytes = resealed(sampleOf('gzip'))!
    bytes[22]! |= 7
    const sealed = resealed(bytes)!
    await loadCodecOf(sealed)
    expect(await isRefused(sealed)).toBe(true)
  })
})

async function isRefused(bytes: Buffer): Promise<boolean> {
  const map = new KeyOffsets(8192, SEED)
  const pass = { map, knownUpTo: 2 ** 40, startOffset: 0, nowMs: 0, deleteRetentionMs: 0 }
  const isControl = bytes.length >= BATCH_HEADER_BYTES && batchHeader.isControl(bytes, 0)
  const fate = isControl ? 'marker' : 'committed'
  const outcomes = [() => fillKeyOffsets(map, bytes, fate), () => compactBatch(bytes, fate, pass)].map(
    (call) => {
      try {
        call()
        return false
      } catch (error) {
        if (!(error instanceof StorageError) || error.code !== 'CORRUPT_BATCH') throw error
        return true
      }
    },
  )
  expect(outcomes[0]).toBe(outcomes[1])
  if (outcomes[0]) expect(map.size).toBe(0)
  return outcomes[0]!
}
