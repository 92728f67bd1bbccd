/** A log of which nothing is compacted yet: input per second, and memory. */
import { compacting, fill, keyedBatches, MB, MeasuredStore, maintainAll } from './store.ts'

const INPUT_BYTES = 1_000 * MB
const SAMPLE_MS = 20

export interface CompactionFigures {
  readonly mbPerSecond: number
  readonly memoryMb: number
}

export async function measureCompaction(): Promise<CompactionFigures> {
  await using measured = new MeasuredStore('compaction')
  let store = await measured.open()
  const { logs } = await store.createTopic({ name: 't', partitions: 1 })
  const batchAt = keyedBatches({ keys: 1_000_000, valueBytes: 200, recordsPerBatch: 250, batches: 4_000 })
  await fill(store, logs, batchAt, INPUT_BYTES)
  store = await measured.reopen()
  const [before] = await store.state(logs)
  global.gc?.()
  const residentBytes = process.memoryUsage.rss()
  let highestBytes = residentBytes
  const sampling = setInterval(() => {
    highestBytes = Math.max(highestBytes, process.memoryUsage.rss())
  }, SAMPLE_MS)
  const startedMs = performance.now()
  await maintainAll(store, compacting)
  const seconds = (performance.now() - startedMs) / 1_000
  clearInterval(sampling)
  const [after] = await store.state(logs)
  if (after!.sizeBytes > before!.sizeBytes / 2) throw new Error('nothing was compacted')
  return {
    mbPerSecond: before!.sizeBytes / MB / seconds,
    memoryMb: (highestBytes - residentBytes) / MB,
  }
}
