/**
 * How long an acknowledgement takes at a steady load, while nothing is done in the background and while merging or
 * compaction is at work as the broker lets it: turn by turn in one run, so that a noisy machine is as noisy for both.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type KeepingPolicy, type LocalLogStore, type LogId, restAfterMs } from '@streambus/storage'
import { median } from '../median.ts'
import { compacting, fill, keyedBatches, lasting, MB, MeasuredStore } from './store.ts'

const PARTITIONS = 50
const BACKGROUND_BYTES = 3_000 * MB
const APPENDS_PER_SECOND = 500
const APPENDED_BYTES = 4_000
/** As the broker does it: so much at once, then a rest. */
const STEP_BYTES = 4 * 1024 ** 2
const TURN_MS = 400
const TURNS = 30
/** A disk that stalls once is not to decide: each figure is the median over groups of so many turns. */
const TURNS_OF_GROUP = 6

export interface AcknowledgementFigures {
  readonly merging: Latencies
  readonly compacting: Latencies
}

export interface Latencies {
  readonly aloneP99Ms: number
  readonly p99Ms: number
  /** Read and written by what is in the background, while it was its turn. */
  readonly backgroundMbPerSecond: number
}

export async function measureAcknowledgement(): Promise<AcknowledgementFigures> {
  await using measured = new MeasuredStore('acknowledgement')
  const store = await measured.open()
  const { logs } = await store.createTopic({ name: 'load', partitions: PARTITIONS })
  const { logs: keyed } = await store.createTopic({ name: 'keyed', partitions: 1 })
  const batchAt = keyedBatches({ keys: 500_000, valueBytes: 400, recordsPerBatch: 40, batches: 500 })
  await fill(store, [...logs, ...keyed], batchAt, BACKGROUND_BYTES)
  const merging = await measure(store, logs, lasting)
  await fill(store, keyed, batchAt, BACKGROUND_BYTES)
  const keyedOnly = (topic: { name: string }) => (topic.name === 'keyed' ? compacting() : soonGone())
  return { merging, compacting: await measure(store, logs, keyedOnly) }
}

const soonGone = (): KeepingPolicy => ({ ...lasting(), retentionMs: 0 })

async function measure(
  store: LocalLogStore,
  logs: readonly LogId[],
  policyOf: (topic: { name: string }) => KeepingPolicy,
): Promise<Latencies> {
  const load = new SteadyLoad(store, logs)
  const alone: number[][] = []
  const beside: number[][] = []
  let bytes = 0
  let workedMs = 0
  await load.during(sleep(TURN_MS))
  for (let turn = 0; turn < TURNS; turn++) {
    const aloneMs = await load.during(sleep(TURN_MS))
    const startedMs = performance.now()
    const work = maintainFor(store, policyOf, TURN_MS)
    const besideMs = await load.during(work)
    const done = await work
    if (done.bytes === 0) break
    if (turn % TURNS_OF_GROUP === 0) {
      alone.push([])
      beside.push([])
    }
    alone.at(-1)!.push(...aloneMs)
    beside.at(-1)!.push(...besideMs)
    bytes += done.bytes
    workedMs += performance.now() - startedMs
  }
  if (bytes === 0) throw new Error('there was nothing to do in the background')
  return {
    aloneP99Ms: median(alone.map(p99))!,
    p99Ms: median(beside.map(p99))!,
    backgroundMbPerSecond: bytes / MB / (workedMs / 1_000),
  }
}

async function maintainFor(
  store: LocalLogStore,
  policyOf: (topic: { name: string }) => KeepingPolicy,
  durationMs: number,
): Promise<{ bytes: number }> {
  const endMs = performance.now() + durationMs
  let bytes = 0
  for (;;) {
    const startedMs = performance.now()
    const step = await store.maintain({ maxBytes: STEP_BYTES }, policyOf)
    bytes += step.bytes
    const nowMs = performance.now()
    if (!step.isMore || nowMs >= endMs) return { bytes }
    await sleep(restAfterMs(step, nowMs - startedMs))
  }
}

/** Appends at a fixed rate. */
class SteadyLoad {
  readonly #store: LocalLogStore
  readonly #logs: readonly LogId[]
  readonly #batchAt = keyedBatches({
    keys: 1_000,
    valueBytes: APPENDED_BYTES - 100,
    recordsPerBatch: 1,
    batches: 10,
  })
  #number = 0

  constructor(store: LocalLogStore, logs: readonly LogId[]) {
    this.#store = store
    this.#logs = logs
  }

  /** Milliseconds that each append took, from when it was due, of those due before the work is over. */
  async during(work: Promise<unknown>): Promise<number[]> {
    let isOver = false
    const over = work.finally(() => {
      isOver = true
    })
    const latencies: number[] = []
    const outstanding: Promise<void>[] = []
    const startedMs = performance.now()
    for (let sent = 0; !isOver; sent++) {
      const dueMs = startedMs + (sent * 1_000) / APPENDS_PER_SECOND
      const waitMs = dueMs - performance.now()
      if (waitMs > 0) await sleep(waitMs)
      const logId = this.#logs[this.#number % this.#logs.length]!
      const append = this.#store.append([{ logId, bytes: this.#batchAt(this.#number++) }])
      outstanding.push(
        append.then(([result]) => {
          if (result!.error !== null) throw result!.error
          latencies.push(performance.now() - dueMs)
        }),
      )
    }
    await Promise.all(outstanding)
    await over
    return latencies
  }
}

function p99(latencies: number[]): number {
  latencies.sort((a, b) => a - b)
  return latencies[Math.floor(latencies.length * 0.99)]!
}
