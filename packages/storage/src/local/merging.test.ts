import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { batchHeader } from '@streambus/protocol'
import { describe, expect, it } from 'vitest'
import { KEEP_EVERYTHING, type KeepingPolicy, type LogId, type LogStore, type TopicId } from '../log-store.ts'
import { appendOne, batchOfSize, readLog } from '../testing/batches.ts'
import { localStores } from '../testing/local-stores.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { SimulatedFileSystem } from '../testing/simulated-file-system.ts'
import type { FileSystem } from './file-system.ts'
import { LocalLogStore, type LocalLogStoreOptions } from './local-log-store.ts'
import { nodeFileSystem } from './node-file-system.ts'

const SMALL: Partial<LocalLogStoreOptions> = {
  cacheBytes: 256 * 1024,
  fileBytes: 256 * 1024,
  indexCacheBytes: 1024,
}
const BATCH_BYTES = 8 * 1024
const EVERYTHING = { maxBytes: Number.POSITIVE_INFINITY }
const lasting = (): KeepingPolicy => KEEP_EVERYTHING

describe('merging of log files', () => {
  const stores = localStores(SMALL)
  const { open, copyOf } = stores

  async function fill(store: LogStore, logs: readonly LogId[], count: number): Promise<void> {
    const calls: Promise<unknown>[] = []
    for (let index = 0; index < count; index++) {
      for (const log of logs) calls.push(appendOne(store, log, batchOfSize(BATCH_BYTES, `${log}:${index};`)))
    }
    await Promise.all(calls)
  }

  async function contents(store: LogStore, logs: readonly LogId[]): Promise<unknown[]> {
    const found: unknown[] = []
    for (const log of logs)
      found.push((await readLog(store, log, 0)).map(({ offset, value }) => [offset, value.slice(0, 12)]))
    return found
  }

  async function names(dataDir: string): Promise<string[]> {
    return (await readdir(join(dataDir, 'log'))).map((name) => name.replace(/^0+/, '')).sort()
  }

  it('puts the batches of each log together, and gives back the files they were scattered over', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 5 })
    await fill(store, logs, 40)
    const before = await contents(store, logs)
    const filesBefore = await names(stores.folder)
    expect(await store.maintain(EVERYTHING, lasting)).toMatchObject({ isMore: false })
    await store.maintain({ maxBytes: 0 })
    const after = await names(stores.folder)
    expect(after).toContain('1.segment')
    expect(after).not.toContain('1.log')
    expect(after.filter((name) => name.endsWith('.log')).length).toBeLessThan(
      filesBefore.filter((name) => name.endsWith('.log')).length,
    )
    expect(await contents(store, logs)).toEqual(before)
    const { merging, segments, logFiles, fileBytes, liveBytes, backlog } = store.maintenanceMetrics()
    expect({ segments, logFiles }).toEqual({
      segments: after.filter((name) => name.endsWith('.segment')).length,
      logFiles: after.filter((name) => name.endsWith('.log')).length,
    })
    expect(merging.passes).toBeGreaterThan(0)
    expect(merging.writtenBytes).toBeGreaterThan(merging.passes * BATCH_BYTES)
    expect(liveBytes).toBe(200 * BATCH_BYTES)
    expect(fileBytes).toBeGreaterThan(liveBytes)
    expect(backlog).toEqual({ logsToCompact: 0, bytesToCompact: 0, filesToMerge: 0, bytesToMerge: 0 })
    const storage = await store.storageOf(logs[0]!, null)
    expect(storage).toMatchObject({ heldBytes: 40 * BATCH_BYTES, compaction: null })
    expect(storage.segments).toBe(segments)
    await fill(store, logs, 3)
    const more = await contents(store, logs)
    const copy = await copyOf(store)
    expect(await contents(await open(copy), logs)).toEqual(more)
    await store.close()
    const again = await open(stores.folder)
    expect(await contents(again, logs)).toEqual(more)
    expect(await again.maintain(EVERYTHING, lasting)).toMatchObject({ isMore: false })
    expect(await contents(again, logs)).toEqual(more)
  })

  it('leaves alone what one log fills, what goes soon, and what nobody speaks of', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 1 })
    await fill(store, logs, 200)
    expect(await store.maintain(EVERYTHING, lasting)).toEqual({ bytes: 0, isMore: false })
    const short = await store.createTopic({ name: 'short', partitions: 5 })
    await fill(store, short.logs, 40)
    const soonGone = () => ({ ...lasting(), retentionMs: 60_000 })
    expect(await store.maintain(EVERYTHING, soonGone)).toEqual({ bytes: 0, isMore: false })
    expect(await store.maintain(EVERYTHING)).toEqual({ bytes: 0, isMore: false })
  })

  it('moves what is left of files that are mostly deleted, and then gives their space back', async () => {
    const store = await open(stores.folder)
    const { id, logs: doomed } = await store.createTopic({ name: 'large', partitions: 1 })
    const { logs: kept } = await store.createTopic({ name: 'small', partitions: 1 })
    for (let round = 0; round < 20; round++) {
      await fill(store, doomed, 8)
      await fill(store, kept, 1)
    }
    const before = await contents(store, kept)
    expect(await store.maintain(EVERYTHING, lasting)).toEqual({ bytes: 0, isMore: false })
    await store.deleteTopic(id)
    await store.maintain(EVERYTHING, lasting)
    await store.maintain({ maxBytes: 0 })
    expect((await names(stores.folder)).filter((name) => name.endsWith('.log'))).toHaveLength(1)
    expect(await contents(store, kept)).toEqual(before)
  })

  it('makes one of small segments, so that they do not pile up where little is left of each file', async () => {
    const store = await open(stores.folder)
    const { logs: passing } = await store.createTopic({ name: 'passing', partitions: 1 })
    const { logs: kept } = await store.createTopic({ name: 'kept', partitions: 2 })
    const segmentsOf = async () => (await names(stores.folder)).filter((name) => name.endsWith('.segment'))
    let mostSegments = 0
    for (let round = 0; round < 30; round++) {
      await fill(store, passing, 32)
      for (const log of kept) await appendOne(store, log, batchOfSize(500, `${log}:${round};`))
      await store.advanceStart(passing[0]!, (await store.state(passing))[0]!.highWatermark)
      await store.maintain(EVERYTHING, lasting)
      await store.maintain({ maxBytes: 0 })
      mostSegments = Math.max(mostSegments, (await segmentsOf()).length)
    }
    expect(await segmentsOf()).not.toContain('1.segment')
    // Of n made one by one, three of each size at most.
    expect(mostSegments).toBeGreaterThan(1)
    expect(mostSegments).toBeLessThan(8)
    const before = await contents(store, kept)
    expect(before[0]).toHaveLength(30)
    expect(await contents(await open(await copyOf(store)), kept)).toEqual(before)
  })

  /** A log that has a small batch in each of 30 files, and the topics that have all else in one of them. */
  async function scattered(
    store: LogStore,
  ): Promise<{ kept: readonly LogId[]; passing: readonly TopicId[] }> {
    const { logs: kept } = await store.createTopic({ name: 'kept', partitions: 1 })
    const passing: TopicId[] = []
    for (let round = 0; round < 30; round++) {
      const { id, logs } = await store.createTopic({ name: `passing-${round}`, partitions: 1 })
      passing.push(id)
      await appendOne(store, kept[0]!, batchOfSize(500, `${round};`))
      await fill(store, logs, 32)
    }
    return { kept, passing }
  }

  it('makes one of small segments also where they were not made in the order of what is in them', async () => {
    const store = await open(stores.folder)
    const { kept, passing } = await scattered(store)
    const before = await contents(store, kept)
    const isEven = (_: TopicId, round: number) => round % 2 === 0
    const isOdd = (_: TopicId, round: number) => round % 2 === 1
    // First what is left lies apart, then what lies between follows.
    for (const id of [...passing.filter(isEven), ...passing.filter(isOdd)]) {
      await store.deleteTopic(id)
      await store.maintain(EVERYTHING, lasting)
    }
    await store.maintain({ maxBytes: 0 })
    expect(store.maintenanceMetrics().merging.passes).toBeGreaterThan(20)
    expect(store.maintenanceMetrics().segments).toBeLessThan(4)
    expect(await contents(store, kept)).toEqual(before)
    expect(await contents(await open(await copyOf(store)), kept)).toEqual(before)
  })

  it('makes one of small segments also where there is always a file of which little is left', async () => {
    const store = await open(stores.folder)
    const { kept, passing } = await scattered(store)
    const before = await contents(store, kept)
    let mostSegments = 0
    for (const id of passing) {
      await store.deleteTopic(id)
      // One job ends, and the next begins.
      await store.maintain({ maxBytes: 1 }, lasting)
      await store.maintain({ maxBytes: 0 })
      mostSegments = Math.max(mostSegments, store.maintenanceMetrics().segments)
    }
    expect(store.maintenanceMetrics().merging.passes).toBeGreaterThan(10)
    expect(mostSegments).toBeLessThan(6)
    expect(await contents(store, kept)).toEqual(before)
  })

  it('looks at small segments that do not fit together once, until there are others', async () => {
    const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
    const store = await LocalLogStore.open({ dataDir: '/data', fileSystem, ...SMALL, indexCacheBytes: 0 })
    const { kept, passing } = await scattered(store)
    const readsOf = async (work: () => Promise<unknown>): Promise<number> => {
      const before = fileSystem.trace.length
      await work()
      await store.maintain(EVERYTHING, lasting)
      await store.maintain({ maxBytes: 0 })
      return fileSystem.trace.slice(before).filter((line) => /^read .*segment/.test(line)).length
    }
    for (const [round, id] of passing.entries()) {
      if (round % 3 === 0) await readsOf(() => store.deleteTopic(id))
    }
    expect(store.maintenanceMetrics().segments).toBeGreaterThan(4)
    // Full files come, which are nothing to merge.
    const { logs } = await store.createTopic({ name: 'more', partitions: 1 })
    expect(await readsOf(() => fill(store, logs, 64))).toBeGreaterThanOrEqual(4)
    expect(await readsOf(() => fill(store, logs, 64))).toBe(0)
    expect(await readsOf(() => store.deleteTopic(passing[1]!))).toBeGreaterThanOrEqual(4)
    expect((await contents(store, kept))[0]).toHaveLength(30)
    await store.close()
  })

  for (const [minutes, isMerged] of [
    [2, false],
    [1_440, true],
  ] as const) {
    it(`${isMerged ? 'merges' : 'leaves'} what came in ${minutes} minutes where retention.bytes is three times that`, async () => {
      let nowMs = 1e12
      const store = await open(stores.folder, { ...SMALL, clock: () => nowMs })
      const { logs } = await store.createTopic({ name: 't', partitions: 5 })
      for (let index = 0; index < 40; index++) {
        for (const log of logs) {
          await appendOne(store, log, batchOfSize(BATCH_BYTES, `${log}:${index};`, { timestamps: [nowMs] }))
        }
        nowMs += (minutes * 60_000) / 40
      }
      const limited = () => ({ ...lasting(), retentionBytes: 3 * 40 * BATCH_BYTES })
      expect((await store.maintain(EVERYTHING, limited)).bytes > 0).toBe(isMerged)
    })
  }

  it('works in steps, and gives up a job that is under way when the store closes', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 5 })
    await fill(store, logs, 40)
    const before = await contents(store, logs)
    const { bytes, isMore } = await store.maintain({ maxBytes: 1 }, lasting)
    expect(bytes).toBeGreaterThan(0)
    expect(isMore).toBe(true)
    const { merging, backlog } = store.maintenanceMetrics()
    expect(merging).toEqual({ passes: 0, writtenBytes: 0 })
    expect(backlog.filesToMerge).toBeGreaterThan(1)
    expect(backlog.bytesToMerge).toBeGreaterThan(256 * 1024)
    await store.close()
    expect((await names(stores.folder)).filter((name) => name.endsWith('.segment'))).toEqual([])
    const again = await open(stores.folder)
    let steps = 0
    while ((await again.maintain({ maxBytes: 1 }, lasting)).isMore) steps++
    expect(steps).toBeGreaterThan(1)
    expect((await names(stores.folder)).filter((name) => name.endsWith('.segment'))).not.toEqual([])
    expect(await contents(again, logs)).toEqual(before)
  })

  it('moves what is left of files that lie apart in one go, where each log goes on from one to the next', async () => {
    const store = await open(stores.folder)
    const { logs: kept } = await store.createTopic({ name: 'kept', partitions: 2 })
    const { id, logs: passing } = await store.createTopic({ name: 'passing', partitions: 1 })
    // In every fifth file one of them has a batch.
    for (let file = 0; file < 40; file++) {
      if (file % 5 === 0) await fill(store, [kept[(file / 5) % 2]!], 1)
      await fill(store, passing, 30)
    }
    const before = await contents(store, kept)
    await store.deleteTopic(id)
    await store.maintain({ maxBytes: 0 })
    const apart = (await names(stores.folder))
      .filter((name) => name.endsWith('.log'))
      .map((name) => parseInt(name, 10))
    expect(apart.length).toBeGreaterThan(4)
    expect(Math.max(...apart) - Math.min(...apart)).toBeGreaterThan(2 * apart.length)
    await store.maintain(EVERYTHING, lasting)
    await store.maintain({ maxBytes: 0 })
    const { merging, logFiles, segments } = store.maintenanceMetrics()
    expect({ passes: merging.passes, segments }).toEqual({ passes: 1, segments: 1 })
    expect(logFiles).toBeLessThan(3)
    expect(await contents(store, kept)).toEqual(before)
  })

  it('in small steps gives back what it replaced a little at a time, as when it is done at once', async () => {
    const shrunkBy = async (maxBytes: number) => {
      const fileSystem = new SimulatedFileSystem(new SeededRandom(1))
      // By this clock no turn of the event loop is long: then steps would be larger.
      const clock = () => 1_700_000_000_000
      const store = await LocalLogStore.open({ dataDir: '/data', ...SMALL, fileSystem, clock })
      const { logs } = await store.createTopic({ name: 't', partitions: 5 })
      await fill(store, logs, 40)
      const traceBefore = fileSystem.trace.length
      while ((await store.maintain({ maxBytes }, lasting)).isMore);
      await store.maintain({ maxBytes: 0 })
      expect(fileSystem.filesIn('/data/log').filter((name) => /0[1-4]\.log$/.test(name))).toEqual([])
      await store.close()
      return fileSystem.trace.slice(traceBefore).filter((line) => /^truncate .*0[1-4]\.log /.test(line))
    }
    const atOnce = await shrunkBy(Number.POSITIVE_INFINITY)
    expect(atOnce.length).toBeGreaterThan(4)
    expect(await shrunkBy(1)).toEqual(atOnce)
  })

  it('lets go of everything when the segment under way cannot be closed at the end', async () => {
    let openFiles = 0
    const fileSystem: FileSystem = {
      ...nodeFileSystem,
      async open(path, options) {
        const file = await nodeFileSystem.open(path, options)
        openFiles++
        const close = async () => {
          openFiles--
          await file.close()
          if (path.endsWith('.segment')) throw new Error('EIO: close')
        }
        return {
          read: file.read.bind(file),
          write: file.write.bind(file),
          sync: file.sync.bind(file),
          sizeBytes: file.sizeBytes.bind(file),
          truncate: file.truncate.bind(file),
          close,
        }
      },
    }
    const store = await LocalLogStore.open({ dataDir: stores.folder, ...SMALL, fileSystem })
    const { logs } = await store.createTopic({ name: 't', partitions: 5 })
    await fill(store, logs, 40)
    await store.maintain({ maxBytes: 1 }, lasting)
    const last = appendOne(store, logs[0]!, batchOfSize(BATCH_BYTES, 'last'))
    await expect(store.close()).rejects.toMatchObject({ code: 'WRITER_FAILED' })
    await last
    expect(openFiles).toBe(0)
    expect((await names(stores.folder)).filter((name) => name.endsWith('.segment'))).toEqual([])
    const again = await open(stores.folder)
    expect(await readLog(again, logs[0]!, 0)).toHaveLength(41)
  })

  it('does not disturb those who are reading the files it replaces', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 't', partitions: 5 })
    await fill(store, logs, 40)
    const [result] = await store.read([{ logId: logs[2]!, offset: 0, maxBytes: 1e9 }], { maxBytes: 1e9 })
    if (result?.error !== null) throw new Error('not readable')
    await store.maintain(EVERYTHING, lasting)
    await store.maintain({ maxBytes: 0 })
    const bytes = new Uint8Array(result.records.byteLength)
    for (let filled = 0; filled < bytes.byteLength; )
      filled += await result.records.readInto(bytes.subarray(filled))
    result.records.close()
    expect(bytes.byteLength).toBe(40 * BATCH_BYTES)
    expect(batchHeader.baseOffset(bytes, 39 * BATCH_BYTES)).toBe(39)
    // The files go when the last of them has read them.
    await store.maintain({ maxBytes: 0 })
    expect(await names(stores.folder)).not.toContain('1.log')
  })
})
