/**
 * How long an acknowledgement takes at a steady load, without anything in the background and while merging or compaction
 * take all they are given.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { KeepingPolicy, LocalLogStore, LogId } from '@streambus/storage'
import { compacting, fill, keyedBatches, lasting, MB, MeasuredStore } from './store.ts'

const PARTITIONS = 50
const BACKGROUND_BYTES = 3_000 * MB
const APPENDS_PER_SECOND = 500
const APPENDED_BYTES = 4_000
/** As the broker does it: so much at once, then a pause. */
const STEP_BYTES = 4 * MB
const WARMUP_MS = 1_000
const MEASURE_MS = 8_000

export interface AcknowledgementFigures {
  readonly alone: Latencies
  readonly merging: Latencies
  readonly compacting: Latencies
}

export interface Latencies {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly backgroundMbPerSecond: number
}

export async function measureAcknowledgement(): Promise<AcknowledgementFigures> {
  await using measured = new MeasuredStore('acknowledgement')
  const store = await measured.open()
  const { logs } = await store.createTopic({ name: 'load', partitions: PARTITIONS })
  const { logs: keyed } = await store.createTopic({ name: 'keyed', partitions: 1 })
  const alone = await measure(store, logs, null)
  const batchAt = keyedBatches({ keys: 500_000, valueBytes: 400, recordsPerBatch: 40, batches: 500 })
  await fill(store, [...logs, ...keyed], batchAt, BACKGROUND_BYTES)
  const merging = await measure(store, logs, lasting)
  await fill(store, keyed, batchAt, BACKGROUND_BYTES)
  const keyedOnly = (topic: { name: string }) => (topic.name === 'keyed' ? compacting() : soonGone())
  return { alone, merging, compacting: await measure(store, logs, keyedOnly) }
}

const soonGone = (): KeepingPolicy => ({ ...lasting(), retentionMs: 0 })

async function measure(
  store: LocalLogStore,
  logs: readonly LogId[],
  policyOf: ((topic: { name: string }) => KeepingPolicy) | null,
): Promise<Latencies> {
  let isOver = false
  let backgroundBytes = 0
  const startedMs = performance.now()
  let backgroundMs = 0
  const background = (async () => {
    while (!isOver && policyOf !== null) {
      const { bytes, isMore } = await store.maintain({ maxBytes: STEP_BYTES }, policyOf)
      backgroundBytes += bytes
      if (bytes > 0) backgroundMs = performance.now() - startedMs
      await sleep(isMore ? 1 : 20)
    }
  })()
  const batchAt = keyedBatches({
    keys: 1_000,
    valueBytes: APPENDED_BYTES - 100,
    recordsPerBatch: 1,
    batches: 10,
  })
  const latencies: number[] = []
  const outstanding: Promise<void>[] = []
  for (let number = 0; performance.now() - startedMs < WARMUP_MS + MEASURE_MS; number++) {
    const dueMs = startedMs + (number * 1_000) / APPENDS_PER_SECOND
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    const sentMs = performance.now()
    const append = store.append([{ logId: logs[number % logs.length]!, bytes: batchAt(number) }])
    outstanding.push(
      append.then(([result]) => {
        if (result!.error !== null) throw result!.error
        if (sentMs - startedMs > WARMUP_MS) latencies.push(performance.now() - sentMs)
      }),
    )
  }
  await Promise.all(outstanding)
  isOver = true
  await background
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.floor(latencies.length * share)]!
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    backgroundMbPerSecond: backgroundMs === 0 ? 0 : backgroundBytes / MB / (backgroundMs / 1_000),
  }
}
