import { open as openFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { KEEP_EVERYTHING, type KeepingPolicy, type LogId, type LogStore } from '../log-store.ts'
import { batchOf, valuesOf } from '../testing/batches.ts'
import { localStores } from '../testing/local-stores.ts'
import { INDEX_HEADER_BYTES } from './index-file.ts'
import type { LocalLogStoreOptions } from './local-log-store.ts'

/** More than two blocks of a directory have. */
const LOGS = 800
const ROUNDS = 12
const TIMESTAMP_MS = 1_700_000_000_000
/** The newest rounds are read from memory otherwise, and so would be all of an index. */
const SMALL: Partial<LocalLogStoreOptions> = {
  cacheBytes: 256 * 1024,
  fileBytes: 512 * 1024,
  indexCacheBytes: 20 * 1024,
}
const EVERYTHING = { maxBytes: Number.POSITIVE_INFINITY }
const lasting = (): KeepingPolicy => KEEP_EVERYTHING

describe('a store with many logs in each of its files', () => {
  const stores = localStores(SMALL)

  async function filled(store: LogStore, rounds = ROUNDS): Promise<readonly LogId[]> {
    const { logs } = await store.createTopic({ name: 't', partitions: LOGS })
    for (let round = 0; round < rounds; round++) {
      const options = { timestamps: [TIMESTAMP_MS + round] }
      const results = await store.append(
        logs.map((logId) => ({ logId, bytes: batchOf([`${logId}:${round};${'v'.repeat(400)}`], options) })),
      )
      expect(results.filter(({ error }) => error !== null)).toEqual([])
    }
    return logs
  }

  /** Of every seventh log. */
  async function expectValues(store: LogStore, logs: readonly LogId[], from = 0): Promise<void> {
    for (let at = 0; at < logs.length; at += 7) {
      const logId = logs[at]!
      const values = (await valuesOf(store, logId, from)).map((value) => value.split(';')[0])
      expect(values).toEqual(Array.from({ length: ROUNDS - from }, (_, round) => `${logId}:${from + round}`))
    }
  }

  it('finds the records of each, in log files, in segments, and after a restart', async () => {
    const store = await stores.open(stores.folder)
    const logs = await filled(store)
    await expectValues(store, logs)
    await store.close()
    const again = await stores.open(stores.folder)
    await expectValues(again, logs)
    expect(await again.maintain(EVERYTHING, lasting)).toMatchObject({ isMore: false })
    await expectValues(again, logs)
    await expectValues(again, logs, 5)
    await again.close()
    expect(await readdir(join(stores.folder, 'log'))).toContain('00000000000000000001.segment')
    await expectValues(await stores.open(stores.folder), logs)
  })

  it('says of each up to where it is expired, and again when more of it is', async () => {
    const store = await stores.open(stores.folder)
    const logs = await filled(store)
    await store.maintain(EVERYTHING, lasting)
    for (const round of [0, 3, 3, 8]) {
      const limits = { expiredBeforeMs: TIMESTAMP_MS + round, keepBytes: Number.POSITIVE_INFINITY }
      for (let at = 0; at < logs.length; at += 7) {
        const logId = logs[at]!
        expect(await store.expiredUpTo(logId, limits)).toBe(round)
        await store.advanceStart(logId, round)
      }
    }
    await expectValues(store, logs, 8)
  })

  it('rewrites a segment of which most logs are deleted, and leaves one alone of which few are', async () => {
    const store = await stores.open(stores.folder)
    await filled(store)
    const { logs: others } = await store.createTopic({ name: 'others', partitions: 2 })
    const value = 'o'.repeat(40_000)
    for (let round = 0; round < 20; round++) {
      await store.append(others.map((logId) => ({ logId, bytes: batchOf([value]) })))
    }
    await store.maintain(EVERYTHING, lasting)
    const { id } = store.topics.byName('t')!
    const segments = async () =>
      (await readdir(join(stores.folder, 'log'))).filter((name) => name.endsWith('.segment'))
    const before = await segments()
    await store.deleteTopic(id)
    await store.maintain(EVERYTHING, lasting)
    await store.maintain({ maxBytes: 0 })
    expect(await segments()).not.toEqual(before)
    for (const logId of others) expect(await valuesOf(store, logId)).toHaveLength(20)
  })

  it('tells of damage in the directory of an index that came after the start, and reads what is intact', async () => {
    const store = await stores.open(stores.folder)
    const logs = await filled(store)
    await store.close()
    const again = await stores.open(stores.folder)
    const path = join(stores.folder, 'log', '00000000000000000001.index')
    const file = await openFile(path, 'r+')
    // The number of batches of the first log.
    await file.write(new Uint8Array([77]), 0, 1, INDEX_HEADER_BYTES + 8)
    await file.close()
    const read = async (logId: LogId) =>
      (await again.read([{ logId, offset: 0, maxBytes: 1 }], { maxBytes: 1 }))[0]!.error
    expect(await read(logs[3]!)).toMatchObject({
      code: 'READ_FAILED',
      message: `${path} is damaged at byte ${INDEX_HEADER_BYTES}: delete it and restart, and it is built again from the log file`,
    })
    expect(await read(logs[500]!)).toBeNull()
  })
})
