/** A soak: a broker under load, looked at once in each interval, until the time is over or something is wrong. */
import { setTimeout as delay } from 'node:timers/promises'
import { type RunningStreambus, startStreambus } from '../../peers/streambus.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { createTopic, endOffsets, startOffsets } from '../wire/topics.ts'
import { folderSize, memoryUsage, offsetsOf, ProcessWatch, topicBytes } from './broker-figures.ts'
import type { Interval } from './intervals.ts'
import { Loads } from './loads.ts'
import {
  brokerSettings,
  COMPACTED,
  consumedInGroup,
  consumed as consumedTopics,
  type SoakTopic,
  topics,
} from './soak-load.ts'

export interface SoakOptions {
  /** Of this soak alone; the broker's data and its log go there. */
  readonly folder: string
  readonly durationMs: number
  readonly intervalMs: number
  readonly signal: AbortSignal
  /** Called at the end of each interval. */
  readonly onInterval: (interval: Interval) => void
}

export interface SoakResult {
  readonly version: string
  /** By the consumers, each batch of it checked, to the end of everything that was written. */
  readonly bytesRead: number
}

const REPORT_MEMORY = new URL('report-memory.mjs', import.meta.url).href
const CATCH_UP_POLL_MS = 100
const CATCH_UP_TIMEOUT_MS = 60_000
const NOT_COMPACTED = topics.filter((topic) => topic !== COMPACTED)

/** Rejects when it is aborted, a consumer misses something, or any part of it fails. Nothing is left running. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const memoryFile = `${options.folder}/memory.json`
  const broker = await startStreambus({
    dataDir: `${options.folder}/data`,
    durability: 'fsync',
    args: Object.entries(brokerSettings).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
    nodeArgs: ['--import', REPORT_MEMORY],
    env: { SOAK_MEMORY_FILE: memoryFile },
  })
  const connection = await RawConnection.open(broker.port)
  try {
    for (const { name, partitions, configs } of topics) {
      await createTopic(connection, name, partitions, configs)
    }
    await using loads = new Loads()
    await loads.begin(broker.port)
    const run = new SoakRun(options, broker, connection, loads, memoryFile)
    return await Promise.race([run.run(), loads.failed])
  } finally {
    connection.close()
    await broker.stop()
  }
}

class SoakRun {
  readonly #options: SoakOptions
  readonly #broker: RunningStreambus
  readonly #connection: RawConnection
  readonly #loads: Loads
  readonly #memoryFile: string
  readonly #watch: ProcessWatch
  readonly #startedMs = performance.now()
  #intervalStartedMs = this.#startedMs
  #bytesRead = 0

  constructor(
    options: SoakOptions,
    broker: RunningStreambus,
    connection: RawConnection,
    loads: Loads,
    memoryFile: string,
  ) {
    this.#options = options
    this.#broker = broker
    this.#connection = connection
    this.#loads = loads
    this.#memoryFile = memoryFile
    this.#watch = new ProcessWatch(broker.pid)
  }

  async run(): Promise<SoakResult> {
    const { durationMs, intervalMs, signal, onInterval } = this.#options
    for (let endMs = intervalMs; endMs <= durationMs; endMs += intervalMs) {
      const waitMs = Math.max(0, this.#startedMs + endMs - performance.now())
      await delay(waitMs, undefined, { signal })
      onInterval(await this.#interval())
    }
    await this.#loads.stopProducing()
    await this.#catchUp()
    await this.#loads.stopConsuming()
    return { version: this.#broker.version, bytesRead: this.#bytesRead }
  }

  async #interval(): Promise<Interval> {
    const { consumed, produced, probe } = await this.#loads.figures()
    const nowMs = performance.now()
    const seconds = (nowMs - this.#intervalStartedMs) / 1000
    this.#intervalStartedMs = nowMs
    this.#bytesRead += consumed.bytes
    const memory = await memoryUsage(this.#memoryFile)
    return {
      endSeconds: (nowMs - this.#startedMs) / 1000,
      ...this.#watch.take(),
      heapBytes: memory?.heapUsed ?? null,
      externalBytes: memory?.external ?? null,
      ...(await folderSize(`${this.#options.folder}/data`)),
      probe,
      inBytesPerSecond: produced.bytes / seconds,
      outBytesPerSecond: consumed.bytes / seconds,
      lagRecords: (await this.#ends(consumedTopics)) - consumed.position,
      // The starts first: they may move meanwhile.
      retainedRecords: -(await this.#starts(NOT_COMPACTED)) + (await this.#ends(NOT_COMPACTED)),
      compactedBytes: await topicBytes(this.#connection, COMPACTED),
    }
  }

  #starts(of: readonly SoakTopic[]): Promise<number> {
    return offsetsOf(startOffsets, this.#connection, of)
  }

  #ends(of: readonly SoakTopic[]): Promise<number> {
    return offsetsOf(endOffsets, this.#connection, of)
  }

  /** What was written last is to be checked, too. Nothing is written any more. */
  async #catchUp(): Promise<void> {
    const end = await this.#ends(consumedTopics)
    const groupEnd = await this.#ends([consumedInGroup])
    const deadlineMs = performance.now() + CATCH_UP_TIMEOUT_MS
    for (;;) {
      const { bytes, position, groupPosition } = await this.#loads.consumed()
      this.#bytesRead += bytes
      if (position === end && groupPosition === groupEnd) return
      if (performance.now() > deadlineMs) {
        const behind = `${end - position} records, the group ${groupEnd - groupPosition}`
        throw new Error(`consumers are still behind after ${CATCH_UP_TIMEOUT_MS} ms: ${behind}`)
      }
      await delay(CATCH_UP_POLL_MS)
    }
  }
}
