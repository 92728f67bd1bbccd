/** How long it takes to be told that a large topic is deleted, and until its space is back. */
import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fill, keyedBatches, MB, MeasuredStore } from './store.ts'

const TOPIC_BYTES = 10_000 * MB
const LONGEST_MS = 60_000

export interface DeletionFigures {
  readonly answeredMs: number
  readonly spaceBackMs: number
}

export async function measureDeletion(): Promise<DeletionFigures> {
  await using measured = new MeasuredStore('deletion')
  const store = await measured.open()
  const { id, logs } = await store.createTopic({ name: 'large', partitions: 4 })
  const batchAt = keyedBatches({ keys: 1_000, valueBytes: 1_000, recordsPerBatch: 500, batches: 10 })
  await fill(store, logs, batchAt, TOPIC_BYTES)
  const freeBefore = await freeBytes(measured.dataDir)
  const startedMs = performance.now()
  await store.deleteTopic(id)
  const answeredMs = performance.now() - startedMs
  // The file being written stays.
  while ((await freeBytes(measured.dataDir)) - freeBefore < TOPIC_BYTES * 0.95) {
    if (performance.now() - startedMs > LONGEST_MS) throw new Error('the space did not come back')
    await sleep(10)
  }
  return { answeredMs, spaceBackMs: performance.now() - startedMs }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
