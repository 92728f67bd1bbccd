import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { LogId, LogStore } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, bytesOf, readLog, recordsIn, valuesOf } from '../testing/batches.ts'
import { contentsOf } from '../testing/data-folder.ts'
import { localStores } from '../testing/local-stores.ts'
import type { LocalLogStore, LocalLogStoreOptions } from './local-log-store.ts'

const SMALL: Partial<LocalLogStoreOptions> = {
  cacheBytes: 256 * 1024,
  fileBytes: 256 * 1024,
  indexCacheBytes: 1024,
}
const BATCH_BYTES = 16 * 1024

describe('LocalLogStore after a restart', () => {
  const stores = localStores()
  const { open, copyOf } = stores

  /** Two ways to stop: `close`, and a copy of the folder while the store is open. */
  async function stopCleanly(store: LocalLogStore): Promise<string> {
    await store.close()
    return stores.folder
  }

  async function fill(store: LogStore, logs: readonly LogId[], count: number): Promise<void> {
    const calls: Promise<unknown>[] = []
    for (let index = 0; index < count; index++) {
      const timestamps = [1000 + index]
      for (const log of logs) {
        calls.push(appendOne(store, log, batchOfSize(BATCH_BYTES, `v${index};`, { timestamps })))
      }
    }
    await Promise.all(calls)
  }

  function labels(values: readonly string[]): string[] {
    return values.map((value) => value.split(';')[0]!)
  }

  const upTo = (count: number, from = 0) =>
    Array.from({ length: count - from }, (_, index) => `v${from + index}`)

  for (const [manner, stop] of [
    ['a clean close', stopCleanly],
    ['an unclean stop', copyOf],
  ] as const) {
    it(`has everything as it was after ${manner}`, async () => {
      const store = await open(stores.folder)
      const words = await store.createTopic({ name: 'words', partitions: 1, configs: { a: '1' } })
      const gone = await store.createTopic({ name: 'gone', partitions: 2 })
      const log = words.logs[0]!
      await store.createPartitions(words.id, 3)
      await store.configureTopic(words.id, { b: '2' })
      const produced = Array.from({ length: 7 }, (_, index) =>
        batchOf([`p${index}`], { producerId: 9, producerEpoch: 2, baseSequence: index }),
      )
      for (const bytes of produced) await appendOne(store, log, bytes)
      await appendOne(store, gone.logs[0]!, batchOf(['x']))
      await store.deleteTopic(gone.id)
      await store.advanceStart(log, 2)
      const owner = await store.claim(log)
      const ids = await store.allocateProducerIds(10)
      const before = {
        clusterId: store.clusterId,
        topics: [...store.topics.all()],
        states: await store.state(store.topics.byName('words')!.logs),
        producers: await store.producers(log),
      }

      const again = await open(await stop(store))
      expect(again.clusterId).toBe(before.clusterId)
      expect([...again.topics.all()]).toEqual(before.topics)
      expect(again.topics.byName('gone')).toBeUndefined()
      expect(again.topics.byName('words')!.configs).toEqual({ b: '2' })
      expect(await again.state(again.topics.byName('words')!.logs)).toEqual(before.states)
      expect(await valuesOf(again, log, 2)).toEqual(['p2', 'p3', 'p4', 'p5', 'p6'])
      const [known] = await again.producers(log)
      expect({ ...known, lastTimestampMs: 0 }).toEqual({ ...before.producers[0], lastTimestampMs: 0 })
      for (const index of [2, 3, 4, 5, 6]) {
        expect(await appendOne(again, log, produced[index]!)).toMatchObject({
          baseOffset: index,
          duplicate: true,
        })
      }
      const [old] = await again.append([{ logId: log, bytes: produced[1]! }])
      expect(old?.error?.code).toBe('OUT_OF_ORDER_SEQUENCE')
      const stale = batchOf(['late'], { producerId: 9, producerEpoch: 1, baseSequence: 0 })
      const [fenced] = await again.append([{ logId: log, bytes: stale }])
      expect(fenced?.error?.code).toBe('INVALID_PRODUCER_EPOCH')
      const [late] = await again.append([
        { logId: log, bytes: batchOf(['late']), ownerEpoch: owner.epoch - 1 },
      ])
      expect(late?.error?.code).toBe('FENCED_OWNER')
      expect((await again.claim(log)).epoch).toBeGreaterThan(owner.epoch)
      expect((await again.allocateProducerIds(1)).first).toBeGreaterThanOrEqual(ids.first + ids.count)
      const renewed = await again.createTopic({ name: 'gone', partitions: 2 })
      for (const id of renewed.logs) expect([...gone.logs, ...before.topics[0]!.logs]).not.toContain(id)
      expect((await appendOne(again, log, batchOf(['next']))).baseOffset).toBe(7)
    })

    it(`reads over many files, and goes on, after ${manner}`, async () => {
      const store = await open(stores.folder, SMALL)
      const { logs } = await store.createTopic({ name: 'words', partitions: 3 })
      await fill(store, logs, 60)
      for (const log of logs) expect(labels(await valuesOf(store, log))).toEqual(upTo(60))

      const again = await open(await stop(store), SMALL)
      await fill(again, logs, 5)
      for (const log of logs) {
        expect(labels(await valuesOf(again, log))).toEqual([...upTo(60), ...upTo(5)])
        expect(labels(await valuesOf(again, log, 33))).toEqual([...upTo(60, 33), ...upTo(5)])
        expect(await again.offsetForTime(log, 1041)).toMatchObject({ offset: 41, timestampMs: 1041 })
        expect(await again.offsetForTime(log, 'max')).toMatchObject({ offset: 59, timestampMs: 1059 })
      }
      const [state] = await again.state([logs[0]!])
      expect(state).toMatchObject({ highWatermark: 65, sizeBytes: 65 * BATCH_BYTES })
      const logFiles = (await readdir(join(again.location, 'log'))).filter((name) => name.endsWith('.log'))
      expect(logFiles.length).toBeGreaterThan(10)
    })
  }

  it('reads several logs from cold files in one answer, in pieces', async () => {
    const store = await open(stores.folder, SMALL)
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    await fill(store, logs, 60)
    const results = await store.read(
      logs.map((logId) => ({ logId, offset: 7, maxBytes: 20 * BATCH_BYTES })),
      { maxBytes: 1e9 },
    )
    for (const result of results) {
      if (result.error !== null) throw result.error
      const found = recordsIn(await bytesOf(result.records, 5000))
      expect(labels(found.map(({ value }) => value))).toEqual(upTo(27, 7))
    }
  })

  it('keeps a read of cold files going while their topic is deleted, and removes the files when it is over', async () => {
    const store = await open(stores.folder, SMALL)
    const { id, logs } = await store.createTopic({ name: 'words', partitions: 1 })
    await fill(store, logs, 60)
    const other = await store.createTopic({ name: 'other', partitions: 1 })
    const [result] = await store.read([{ logId: logs[0]!, offset: 0, maxBytes: 1e9 }], { maxBytes: 1e9 })
    if (result?.error !== null) throw new Error('refused')
    const first = new Uint8Array(10_000)
    const firstBytes = await result.records.readInto(first)
    await store.deleteTopic(id)
    await fill(store, other.logs, 40)
    await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
    const rest = await bytesWithout(result.records, firstBytes)
    const found = recordsIn(Buffer.concat([first.subarray(0, firstBytes), rest]))
    expect(labels(found.map(({ value }) => value))).toEqual(upTo(60))
    result.records.close()
    await store.maintain({ maxBytes: 0 })
    const logFiles = (await readdir(join(stores.folder, 'log'))).filter((name) => name.endsWith('.log'))
    expect(logFiles).not.toContain('00000000000000000001.log')
  })

  async function bytesWithout(
    records: { byteLength: number; readInto(target: Uint8Array): number | Promise<number> },
    taken: number,
  ) {
    const rest = new Uint8Array(records.byteLength - taken)
    for (let filled = 0; filled < rest.byteLength; ) filled += await records.readInto(rest.subarray(filled))
    return rest
  }

  it('gives the files of deleted topics and of records before the start back', async () => {
    const store = await open(stores.folder, SMALL)
    const kept = await store.createTopic({ name: 'kept', partitions: 1 })
    const deleted = await store.createTopic({ name: 'deleted', partitions: 1 })
    await fill(store, [kept.logs[0]!, deleted.logs[0]!], 40)
    const count = async () =>
      (await readdir(join(stores.folder, 'log'))).filter((name) => name.endsWith('.log')).length
    const before = await count()
    await store.deleteTopic(deleted.id)
    await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
    expect(await count()).toBe(before)
    await store.advanceStart(kept.logs[0]!, 30)
    await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
    expect(await count()).toBeLessThan(before / 2)
    expect(labels(await valuesOf(store, kept.logs[0]!, 30))).toEqual(upTo(40, 30))
    await store.close()
    const names = await readdir(join(stores.folder, 'log'))
    for (const name of names.filter((name) => name.endsWith('.index'))) {
      expect(names).toContain(name.replace('.index', '.log'))
    }
    const again = await open(stores.folder, SMALL)
    expect(labels(await valuesOf(again, kept.logs[0]!, 30))).toEqual(upTo(40, 30))
    await again.deleteTopic(kept.id)
    await again.maintain({ maxBytes: Number.POSITIVE_INFINITY })
    expect(await count()).toBe(1)
  })

  it('gives the files of records before the start back when nothing else asks for it', async () => {
    const store = await open(stores.folder, SMALL)
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    await fill(store, logs, 60)
    await store.advanceStart(logs[0]!, 60)
    await store.close()
    const names = await readdir(join(stores.folder, 'log'))
    expect(names.filter((name) => name.endsWith('.log')).length).toBeLessThanOrEqual(2)
  })

  it('gives a file back that was full only after its records were gone', async () => {
    const store = await open(stores.folder, SMALL)
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    const [early, late] = [logs[0]!, logs[1]!]
    await fill(store, [early], 3)
    await store.advanceStart(early, 3)
    await fill(store, [late], 40)
    await store.advanceStart(late, 40)
    await store.close()
    const names = await readdir(join(stores.folder, 'log'))
    expect(names.filter((name) => name.endsWith('.log')).length).toBeLessThanOrEqual(2)
    expect(names).not.toContain('00000000000000000001.log')
  })

  it('builds missing and damaged indexes again', async () => {
    const store = await open(stores.folder, SMALL)
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    await fill(store, logs, 60)
    await store.close()
    const before = await contentsOf(stores.folder)
    const indexes = (await readdir(join(stores.folder, 'log')))
      .filter((name) => name.endsWith('.index'))
      .sort()
    expect(indexes.length).toBeGreaterThan(4)
    await rm(join(stores.folder, 'log', indexes[0]!))
    await writeFile(join(stores.folder, 'log', indexes[1]!), 'garbage')
    const directory = Buffer.from(before.get(`log/${indexes[2]}`)!, 'base64')
    directory[40]! ^= 1
    await writeFile(join(stores.folder, 'log', indexes[2]!), directory)
    const warnings: string[] = []
    const log = {
      info() {},
      warn: (_: unknown, message: string) => void warnings.push(message),
      error() {},
    }
    const again = await open(stores.folder, { ...SMALL, log })
    expect(warnings).toHaveLength(3)
    for (const logId of logs) expect(labels(await valuesOf(again, logId))).toEqual(upTo(60))
    await again.close()
    const after = await contentsOf(stores.folder)
    for (const name of indexes) expect(after.get(`log/${name}`)).toBe(before.get(`log/${name}`))
  })

  it('says which index is damaged when it notices only while reading', async () => {
    const store = await open(stores.folder, SMALL)
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    await fill(store, logs, 40)
    await store.close()
    const path = join(stores.folder, 'log', '00000000000000000001.index')
    const bytes = Buffer.from(
      (await contentsOf(stores.folder)).get('log/00000000000000000001.index')!,
      'base64',
    )
    bytes[bytes.byteLength - 1]! ^= 1
    await writeFile(path, bytes)
    const again = await open(stores.folder, SMALL)
    const [result] = await again.read([{ logId: logs[0]!, offset: 0, maxBytes: 1e6 }], { maxBytes: 1e6 })
    expect(result?.error?.code).toBe('READ_FAILED')
    expect(result?.error?.message).toContain(path)
    expect(labels((await readLog(again, logs[0]!, 30)).map(({ value }) => value))).toEqual(upTo(40, 30))
  })

  it('is not misled by files that were prepared and not used', async () => {
    const store = await open(stores.folder, { ...SMALL, prepareFiles: 'always' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    for (let index = 0; index < 30; index++) {
      await appendOne(store, logs[0]!, batchOf([`v${index};`]))
      if (index % 10 === 9) {
        const again = await open(await copyOf(store), SMALL)
        expect(labels(await valuesOf(again, logs[0]!))).toEqual(upTo(index + 1))
      }
    }
  })

  it('starts again after any number of unclean stops in a row', async () => {
    let path = stores.folder
    let expected: string[] = []
    for (let round = 0; round < 6; round++) {
      const store = await open(path, SMALL)
      const topic =
        store.topics.byName('words') ?? (await store.createTopic({ name: 'words', partitions: 1 }))
      expect(labels(await valuesOf(store, topic.logs[0]!))).toEqual(expected)
      await fill(store, topic.logs, 12)
      expected = [...expected, ...upTo(12)]
      path = await copyOf(store)
    }
  })
})
