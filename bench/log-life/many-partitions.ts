/** What a store with many partitions in many files needs: memory, open files, and time for what looks at all of them. */
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalLogStore, LogId } from '@streambus/storage'
import { keyedBatches, lasting, MB, MeasuredStore, maintainAll } from './store.ts'

const PARTITIONS = 20_000
const TOTAL_BYTES = 20_000 * MB
/** Ten records of 1 KB: a file of 256 MiB has a part of each partition. */
const BATCH = { keys: 1_000, valueBytes: 1_000, recordsPerBatch: 10, batches: 100 }
const APPENDED_AT_ONCE = 200
const CALLS_AT_ONCE = 4
const READS = 2_000
/** As the broker checks them. */
const CHECKED_AT_ONCE = 256

export interface Footprint {
  readonly rssMb: number
  readonly heapMb: number
  /** Memory outside of the heap: buffers, and the numbers of the index. */
  readonly buffersMb: number
  readonly files: number
  readonly openFiles: number
}

export interface ManyPartitionsFigures {
  readonly filled: Footprint
  readonly merged: Footprint
  readonly reopened: Footprint
  readonly afterReads: Footprint
  readonly emptyRssMb: number
  readonly fillMbPerSecond: number
  readonly mergeMbPerSecond: number
  readonly reopenMs: number
  readonly readMs: { readonly median: number; readonly p99: number }
  readonly firstCheckMs: number
  readonly nextCheckMs: number
}

export async function measureManyPartitions(): Promise<ManyPartitionsFigures> {
  await using measured = new MeasuredStore('many-partitions')
  let store = await measured.open()
  const { dataDir } = measured
  const emptyRssMb = process.memoryUsage.rss() / MB
  const { logs } = await store.createTopic({ name: 't', partitions: PARTITIONS })
  let startedMs = performance.now()
  const bytes = await fillInPasses(store, logs)
  const fillMbPerSecond = bytes / MB / secondsSince(startedMs)
  const filled = await footprint(dataDir)
  startedMs = performance.now()
  await maintainAll(store, lasting)
  const mergeMbPerSecond = bytes / MB / secondsSince(startedMs)
  await store.maintain({ maxBytes: Number.POSITIVE_INFINITY })
  const merged = await footprint(dataDir)
  await store.close()
  startedMs = performance.now()
  store = await measured.open()
  const reopenMs = performance.now() - startedMs
  const reopened = await footprint(dataDir)
  const readMs = await readAtRandom(store, logs)
  const firstCheckMs = await checkRetention(store, logs)
  const nextCheckMs = await checkRetention(store, logs)
  const afterReads = await footprint(dataDir)
  return {
    filled,
    merged,
    reopened,
    afterReads,
    emptyRssMb,
    fillMbPerSecond,
    mergeMbPerSecond,
    reopenMs,
    readMs,
    firstCheckMs,
    nextCheckMs,
  }
}

/** A batch to each partition, then the next one to each. */
async function fillInPasses(store: LocalLogStore, logs: readonly LogId[]): Promise<number> {
  const batchAt = keyedBatches(BATCH)
  const outstanding = new Set<Promise<void>>()
  let sent = 0
  for (let number = 0; sent < TOTAL_BYTES; ) {
    const batches = Array.from({ length: APPENDED_AT_ONCE }, () => {
      const bytes = batchAt(number)
      sent += bytes.byteLength
      return { logId: logs[number++ % logs.length]!, bytes }
    })
    const append = store.append(batches).then((results) => {
      outstanding.delete(append)
      for (const { error } of results) if (error !== null) throw error
    })
    outstanding.add(append)
    if (outstanding.size >= CALLS_AT_ONCE) await Promise.race(outstanding)
  }
  await Promise.all(outstanding)
  return sent
}

/** One batch of a partition, from anywhere in it: milliseconds until it is there. */
async function readAtRandom(
  store: LocalLogStore,
  logs: readonly LogId[],
): Promise<ManyPartitionsFigures['readMs']> {
  const target = new Uint8Array(64 * 1024)
  const tookMs: number[] = []
  for (let number = 0; number < READS; number++) {
    const logId = logs[Math.floor(Math.random() * logs.length)]!
    const [state] = await store.state([logId])
    const offset = Math.floor(Math.random() * state!.highWatermark)
    const startedMs = performance.now()
    const [result] = await store.read([{ logId, offset, maxBytes: 1 }], { maxBytes: 1 })
    if (result!.error !== null) throw result!.error
    const { records } = result!
    for (let filled = 0; filled < records.byteLength; )
      filled += await records.readInto(target.subarray(filled))
    records.close()
    tookMs.push(performance.now() - startedMs)
  }
  tookMs.sort((a, b) => a - b)
  return { median: tookMs[READS / 2]!, p99: tookMs[Math.floor(READS * 0.99)]! }
}

/** Asks of each partition what is past its retention, which is nothing. */
async function checkRetention(store: LocalLogStore, logs: readonly LogId[]): Promise<number> {
  const startedMs = performance.now()
  const limits = { expiredBeforeMs: 1_600_000_000_000, keepBytes: Number.POSITIVE_INFINITY }
  for (let at = 0; at < logs.length; at += CHECKED_AT_ONCE) {
    const checked = logs.slice(at, at + CHECKED_AT_ONCE)
    await Promise.all(checked.map((logId) => store.expiredUpTo(logId, limits)))
  }
  return performance.now() - startedMs
}

/** Open files as Linux tells of them. */
async function footprint(dataDir: string): Promise<Footprint> {
  global.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const open = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return {
    rssMb: rss / MB,
    heapMb: heapUsed / MB,
    buffersMb: external / MB,
    files: (await readdir(join(dataDir, 'log'))).length,
    openFiles: open.filter((path) => path.startsWith(dataDir)).length,
  }
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1_000
}
