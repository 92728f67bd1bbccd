/**
 * A full disk whose owner deletes a topic: the deletion is taken although nothing else is, its space comes back, and
 * the same broker goes on. Also when it was started on the full disk. On ext4, else on tmpfs, as the process that
 * users run, where mounting is permitted; and everywhere in this process, with a quota through the filesystem that is given to the engine.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { Broker } from '../../packages/broker/src/index.ts'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  produceBatch,
  valuesOf,
} from '../../packages/broker/src/testing/requests.ts'
import { deleteTopics, errorByCode } from '../../packages/protocol/src/index.ts'
import { LocalLogStore } from '../../packages/storage/src/index.ts'
import { ensureBuilt, temporaryFolder } from '../cli/built-cli.ts'
import { startAttacked } from '../robustness/attacked-broker.ts'
import { withQuota } from '../robustness/quota-file-system.ts'
import { NOT_PERMITTED, smallExt4, smallTmpfs } from '../robustness/small-filesystem.ts'

const MEBIBYTE = 1024 * 1024
/** Two log files of the usual size, and a part of a third one. */
const MOUNTED_MIB = 640
const QUOTA_BYTES = 20 * MEBIBYTE
const QUOTA_FILE_BYTES = 4 * MEBIBYTE
const SMALL_BYTES = 2000
const LARGE_BYTES = 900_000
const SPACE_TIMEOUT_MS = 10_000

beforeAll(ensureBuilt, 120_000)

interface RunningOnDisk extends AsyncDisposable {
  readonly client: RawClient
  /** As a crash would, where the broker is a process of its own. */
  end(): Promise<void>
}

interface Disk extends AsyncDisposable {
  start(): Promise<RunningOnDisk>
}

async function onMount(): Promise<Disk | undefined> {
  const disk = (await smallExt4(MOUNTED_MIB)) ?? (await smallTmpfs(MOUNTED_MIB))
  if (disk === undefined) return undefined
  return {
    async start() {
      const broker = await startAttacked([], { dataDir: `${disk.mount.path}/data` })
      const client = await broker.connect()
      const end = async () => {
        client.close()
        await broker.stop('SIGKILL')
      }
      return { client, end, [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose]() }
    },
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  }
}

async function onQuota(): Promise<Disk> {
  const folder = await temporaryFolder()
  const fileSystem = withQuota(QUOTA_BYTES)
  return {
    async start() {
      const options = { dataDir: folder.path, fileSystem, fileBytes: QUOTA_FILE_BYTES }
      const broker = await Broker.start({ port: 0, store: await LocalLogStore.open(options) })
      const client = await RawClient.connect({ host: '127.0.0.1', port: broker.port })
      const end = async () => {
        client.close()
        await broker.close()
      }
      return { client, end, [Symbol.asyncDispose]: end }
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

function value(index: number, byteLength: number): Uint8Array {
  return batchOf([`${index}:`.padEnd(byteLength, '.')])
}

/** Produces until a record is refused for want of room; returns how many were acknowledged. */
async function fill(client: RawClient, topic: string, from: number, byteLength: number): Promise<number> {
  for (let index = from; ; index++) {
    const { errorCode, baseOffset } = await produceBatch(client, topic, value(index, byteLength))
    if (errorCode !== 0) {
      expect(errorByCode(errorCode)).toMatchObject({ name: 'KAFKA_STORAGE_ERROR', retriable: true })
      return index
    }
    expect(baseOffset).toBe(BigInt(index))
  }
}

async function checkAll(client: RawClient, topic: string, count: number): Promise<void> {
  for (let next = 0; next < count; ) {
    const { errorCode, records } = await fetchPartition(client, topic, next)
    expect(errorCode).toBe(0)
    const values = valuesOf(records)
    expect(values.length).toBeGreaterThan(0)
    for (const { offset, value: found } of values) {
      expect(`${offset} ${found.slice(0, found.indexOf(':'))}`).toBe(`${next} ${next}`)
      next++
    }
  }
}

async function deleteTopic(client: RawClient, name: string): Promise<number> {
  const { responses } = await client.request(deleteTopics, 5, {
    topicNames: [name],
    topics: [],
    timeoutMs: 1000,
  })
  return responses[0]!.errorCode
}

/** Produces one record as soon as there is room for it. */
async function produceWhenThereIsRoom(client: RawClient, topic: string, index: number): Promise<void> {
  const deadlineMs = performance.now() + SPACE_TIMEOUT_MS
  for (;;) {
    const { errorCode, baseOffset } = await produceBatch(client, topic, value(index, LARGE_BYTES))
    if (errorCode === 0) {
      expect(baseOffset).toBe(BigInt(index))
      return
    }
    if (performance.now() > deadlineMs) throw new Error('the deletion gave no space back')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe.each([
  { filesystem: 'ext4 on a loop device, or tmpfs', makeDisk: onMount },
  { filesystem: 'a quota through the injected filesystem', makeDisk: onQuota },
])('a full disk: $filesystem', ({ makeDisk }) => {
  test.for([{ restarts: false }, { restarts: true }])(
    'a topic can be deleted, and writing goes on (restarted on the full disk: $restarts)',
    { timeout: 120_000 },
    async ({ restarts }, context) => {
      const made = await makeDisk()
      if (made === undefined) return context.skip(NOT_PERMITTED)
      await using disk = made
      let kept: number
      {
        let running = await disk.start()
        await createTopic(running.client, 'kept')
        await createTopic(running.client, 'bulk')
        for (kept = 0; kept < 10; kept++) {
          const { errorCode } = await produceBatch(running.client, 'kept', value(kept, SMALL_BYTES))
          expect(errorCode).toBe(0)
        }
        const bulk = await fill(running.client, 'bulk', 0, LARGE_BYTES)
        expect(bulk).toBeGreaterThan(10)
        // To the last block.
        kept = await fill(running.client, 'kept', kept, SMALL_BYTES)
        if (restarts) {
          await running.end()
          running = await disk.start()
        }
        await using _running = running
        const { client } = running
        await checkAll(client, 'kept', kept)
        await checkAll(client, 'bulk', bulk)
        expect((await produceBatch(client, 'kept', value(kept, LARGE_BYTES))).errorCode).not.toBe(0)

        expect(await deleteTopic(client, 'bulk')).toBe(0)
        for (const end = kept + 5; kept < end; kept++) await produceWhenThereIsRoom(client, 'kept', kept)
        await checkAll(client, 'kept', kept)
        await running.end()
      }
      await using again = await disk.start()
      await checkAll(again.client, 'kept', kept)
      expect((await fetchPartition(again.client, 'bulk', 0)).errorCode).not.toBe(0)
      await again.end()
    },
  )
})
