/**
 * A disk that fills up: what could not be written is not acknowledged, reads go on, writes resume when there is
 * room, and a restart finds everything that was acknowledged. On tmpfs, and on ext4, where direct I/O is used.
 */
import { open, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  produceBatch,
  valuesOf,
} from '../../packages/broker/src/testing/requests.ts'
import { errorByCode, listOffsets, metadata } from '../../packages/protocol/src/index.ts'
import { cli, ensureBuilt } from '../cli/built-cli.ts'
import { type AttackedBroker, startAttacked } from '../robustness/attacked-broker.ts'
import { NOT_PERMITTED, smallExt4, smallTmpfs } from '../robustness/small-filesystem.ts'

const MEBIBYTE = 1024 * 1024
const tmpfs = () => smallTmpfs(24)
const ext4 = () => smallExt4(32)

beforeAll(ensureBuilt, 120_000)

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/** Writes until nothing more fits. */
async function fillUp(path: string): Promise<void> {
  const handle = await open(path, 'w')
  try {
    for (let size = MEBIBYTE; size >= 512; size /= 2) {
      for (;;) {
        try {
          await handle.writeFile(Buffer.alloc(size, 1))
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          break
        }
      }
    }
  } finally {
    await handle.close()
  }
}

/** One record per batch, whose value tells which one it is. */
function batch(index: number, valueBytes: number): Uint8Array {
  return batchOf([`${index}:`.padEnd(valueBytes, '.')])
}

/** Produces one record after the other until one is refused; returns the number acknowledged and the error. */
async function produceUntilRefused(
  client: RawClient,
  topic: string,
  from: number,
  valueBytes: number,
): Promise<{ acknowledged: number; errorCode: number; errorMessage: string | null }> {
  for (let index = from; index < from + 100_000; index++) {
    const answer = await produceBatch(client, topic, batch(index, valueBytes))
    if (answer.errorCode !== 0) {
      return { acknowledged: index, errorCode: answer.errorCode, errorMessage: answer.errorMessage ?? null }
    }
    expect(answer.baseOffset).toBe(BigInt(index))
  }
  throw new Error('the disk does not get full')
}

/** Reads everything and checks that each record is the one that was given this offset. */
async function readAll(client: RawClient, topic: string): Promise<number> {
  let next = 0
  for (;;) {
    const { errorCode, records } = await fetchPartition(client, topic, next)
    expect(errorCode).toBe(0)
    const values = valuesOf(records)
    if (values.length === 0) return next
    for (const { offset, value } of values) {
      expect(offset).toBe(next)
      expect(value.slice(0, value.indexOf(':'))).toBe(String(next))
      next++
    }
  }
}

function start(dataDir: string, durability: string): Promise<AttackedBroker> {
  return startAttacked(['--durability', durability, '--cache-bytes', String(8 * MEBIBYTE)], { dataDir })
}

describe.each([
  { filesystem: 'tmpfs', makeDisk: tmpfs, durability: 'fsync', valueBytes: 200_000 },
  { filesystem: 'ext4', makeDisk: ext4, durability: 'fsync', valueBytes: 200_000 },
  { filesystem: 'ext4', makeDisk: ext4, durability: 'os', valueBytes: 200_000 },
  { filesystem: 'ext4', makeDisk: ext4, durability: 'fsync', valueBytes: 3000 },
])('$filesystem, $durability, records of $valueBytes bytes', ({ makeDisk, durability, valueBytes }) => {
  test('writes stop with an error, reads go on, writes resume, nothing acknowledged is lost', async (context) => {
    const disk = await makeDisk()
    if (disk === undefined) return context.skip(NOT_PERMITTED)
    await using _disk = disk
    const { path } = disk.mount
    const ballast = join(path, 'ballast')
    // Small records come one at a time here: they get less of the disk to fill.
    const isSmall = valueBytes < 10_000
    if (isSmall) await writeFile(join(path, 'kept-ballast'), Buffer.alloc(20 * MEBIBYTE, 1))
    await writeFile(ballast, Buffer.alloc((isSmall ? 2 : 8) * MEBIBYTE, 1))
    const dataDir = join(path, 'data')
    let acknowledged: number
    {
      await using broker = await start(dataDir, durability)
      const client = await broker.connect()
      await createTopic(client, 'full')
      const full = await produceUntilRefused(client, 'full', 0, valueBytes)
      expect(full.acknowledged).toBeGreaterThan(5)
      expect(errorByCode(full.errorCode)).toMatchObject({ name: 'KAFKA_STORAGE_ERROR', retriable: true })
      acknowledged = full.acknowledged

      // Again and again, as clients do; the refused record never shows.
      for (let attempt = 0; attempt < 3; attempt++) {
        const again = await produceBatch(client, 'full', batch(acknowledged, valueBytes))
        if (again.errorCode === 0) acknowledged++
        else expect(errorByCode(again.errorCode)).toMatchObject({ name: 'KAFKA_STORAGE_ERROR' })
      }
      expect(await readAll(client, 'full')).toBe(acknowledged)
      const { topics } = await client.request(metadata, 9, { topics: null })
      expect(topics.map(({ name }) => name)).toEqual(['full'])
      const listed = await client.request(listOffsets, 6, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: 'full', partitions: [{ partitionIndex: 0, timestamp: -1n }] }],
      })
      expect(listed.topics[0]!.partitions[0]!.offset).toBe(BigInt(acknowledged))

      // The ballast is thrown overboard: the same broker, the same connection, the next offset.
      await rm(ballast)
      const next = await produceBatch(client, 'full', batch(acknowledged, valueBytes))
      expect(next).toMatchObject({ errorCode: 0, baseOffset: BigInt(acknowledged) })
      acknowledged++
      acknowledged = (await produceUntilRefused(client, 'full', acknowledged, valueBytes)).acknowledged
      expect(await readAll(client, 'full')).toBe(acknowledged)
      client.close()
      await broker.stop('SIGKILL')
    }
    {
      // The disk is still full when it starts again.
      await using broker = await start(dataDir, durability)
      const client = await broker.connect()
      expect(await readAll(client, 'full')).toBe(acknowledged)
      client.close()
      expect((await broker.stop()).code).toBe(0)
    }
    {
      await using broker = await start(dataDir, durability)
      const client = await broker.connect()
      expect(await readAll(client, 'full')).toBe(acknowledged)
      client.close()
    }
  }, 30_000)
})

test('a start on a full disk says so, and works when there is room', async (context) => {
  const disk = await ext4()
  if (disk === undefined) return context.skip(NOT_PERMITTED)
  await using _disk = disk
  const { path } = disk.mount
  await fillUp(join(path, 'ballast'))
  expect(await freeBytes(path)).toBeLessThan(4096)
  const result = await cli(['start', '--port', '0', '--data', join(path, 'data')])
  expect(result).toMatchObject({ code: 1, stdout: '' })
  expect(result.stderr).toMatch(/^error: no room to open the data folder [^\n]+\.\n$/)
  await rm(join(path, 'ballast'))
  await using broker = await start(join(path, 'data'), 'fsync')
  const client = await broker.connect()
  await createTopic(client, 'fits')
  expect(await produceBatch(client, 'fits', batch(0, 100))).toMatchObject({ errorCode: 0, baseOffset: 0n })
  client.close()
}, 30_000)
