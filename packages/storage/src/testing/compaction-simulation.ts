import { loadCodec } from '@streambus/protocol'
import { LocalLogStore } from '../local/local-log-store.ts'
import { type KeepingPolicy, type LogId, type Offset, StorageError, type Topic } from '../log-store.ts'
import { markerOf } from './batches.ts'
import { compactionFault, type KeyedRecord } from './compaction-model.ts'
import { check } from './crash-failure.ts'
import type { SimulationOutcome, SimulationProgress } from './crash-simulation.ts'
import { keyedBatch, readKeyed } from './keyed-records.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedFileSystem } from './simulated-file-system.ts'

/**
 * Runs the local engine on a simulated disk while it compacts and merges, with crashes and faults at any operation, and
 * compares what is left with a model after every start: the last record of each key, everything that is not decided yet,
 * tombstones as long as they have to stay, and nothing else than what was written, at its offset.
 *
 * One thing is done at a time, so that at a crash at most one batch is in doubt.
 */
const DATA_DIR = '/data'
const START_MS = 1_700_000_000_000
const KEYS = 12
const PRODUCER = { producerId: 7, producerEpoch: 0 }
const CRASHED = Symbol('crashed')

/** A log as it should be. */
interface ModelLog {
  readonly id: LogId
  readonly isCompacted: boolean
  written: KeyedRecord[]
  endOffset: Offset
  startOffset: Offset
  /** Records of the transaction that is open. */
  open: KeyedRecord[] | null
  /** What would be different if the last operation, which was not answered, came about. */
  inDoubt: (() => void) | null
  doubtfulOffsets: number
}

class CompactionSimulation {
  readonly #random: SeededRandom
  readonly #policy: NonNullable<KeepingPolicy['compaction']>
  readonly #fileBytes: number
  #fileSystem: SimulatedFileSystem
  #nowMs = START_MS
  #ids = 0
  #logs: ModelLog[] = []
  #mayFail = false
  readonly counts: Record<string, number> = {}
  readonly faults: Record<string, number> = {}
  readonly #trace: string[] = []

  constructor(seed: number) {
    const random = new SeededRandom(seed)
    this.#random = random
    this.#policy = {
      minDirtyRatio: random.pick([0, 0.3]),
      minLagMs: random.pick([0, 0, 500]),
      maxLagMs: random.pick([300, 1e12]),
      deleteRetentionMs: random.pick([0, 500, 1e12]),
    }
    this.#fileBytes = random.pick([12, 24, 48]) * 1024
    this.#fileSystem = new SimulatedFileSystem(random, {
      sectorBytes: random.pick([512, 4096]),
      slowShare: random.pick([0, 0, 0.05]),
      shortShare: random.pick([0, 0.2]),
    })
  }

  get trace(): readonly string[] {
    return [...this.#trace, ...this.#fileSystem.trace]
  }

  async run(): Promise<void> {
    await loadCodec('gzip')
    const runs = this.#random.between(2, 6)
    for (let run = 0; run < runs; run++) await this.#runStore(run === runs - 1)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  async #runStore(isLast: boolean): Promise<void> {
    const random = this.#random
    const fileSystem = this.#fileSystem
    this.#mayFail = false
    if (!isLast) fileSystem.crashAfter(random.pick([20, 100, 300, 900]) + random.below(200))
    const outcome = await Promise.race([this.#useStore(), fileSystem.crashed.then(() => CRASHED)])
    while (fileSystem.pendingCount > 0 && !fileSystem.isCrashed) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#trace.push(...fileSystem.trace)
    for (const [kind, count] of Object.entries(fileSystem.faults)) {
      this.faults[kind] = (this.faults[kind] ?? 0) + count
    }
    this.#count(outcome === CRASHED ? 'crashes' : 'clean closes')
    this.#fileSystem = fileSystem.restart(random.chance(0.7))
  }

  async #useStore(): Promise<void> {
    const random = this.#random
    const fileSystem = this.#fileSystem
    const store = await LocalLogStore.open({
      dataDir: DATA_DIR,
      fileSystem,
      clock: () => ++this.#nowMs,
      newId: () => `id-${String(++this.#ids).padStart(19, '0')}`,
      cacheBytes: 64 * 1024,
      fileBytes: this.#fileBytes,
      indexCacheBytes: random.pick([0, 100_000]),
      prepareFiles: 'never',
    })
    await this.#settle(store)
    for (const log of this.#logs) await this.#compare(store, log)
    const steps = random.between(30, 250)
    try {
      for (let step = 0; step < steps; step++) await this.#act(store)
      for (const log of this.#logs) await this.#compare(store, log)
    } catch (error) {
      if (!(error instanceof StorageError) || !this.#mayFail) throw error
      this.#count(`failed: ${error.code}`)
    }
    fileSystem.liftLimit()
    fileSystem.endFaults()
    await store.close().catch((error: unknown) => {
      check(this.#mayFail, () => `the close failed: ${String(error)}`)
    })
  }

  /** What was in doubt came about, or it did not. */
  async #settle(store: LocalLogStore): Promise<void> {
    const topics = [...store.topics.all()]
    if (topics.length < 2) {
      // The topics were in doubt themselves; nothing was written to them.
      this.#logs = []
      for (const name of ['table', 'stream']) {
        const topic =
          topics.find((one) => one.name === name) ?? (await store.createTopic({ name, partitions: 2 }))
        for (const id of topic.logs) this.#logs.push(newLog(id, name === 'table'))
      }
    }
    const states = await store.state(this.#logs.map(({ id }) => id))
    for (const [index, log] of this.#logs.entries()) {
      const { highWatermark, logStartOffset } = states[index]!
      if (log.inDoubt !== null && highWatermark === log.endOffset + log.doubtfulOffsets) log.inDoubt()
      log.inDoubt = null
      check(
        highWatermark === log.endOffset,
        () => `log ${log.id} ends at ${highWatermark} instead of ${log.endOffset}`,
      )
      // A cut may have been in doubt: only a later start can be right.
      check(
        logStartOffset >= log.startOffset,
        () => `log ${log.id} starts at ${logStartOffset} instead of ${log.startOffset}`,
      )
      log.startOffset = logStartOffset
    }
  }

  async #act(store: LocalLogStore): Promise<void> {
    const random = this.#random
    const log = random.pick(this.#logs)
    const choice = random.below(100)
    if (choice < 50) return await this.#append(store, log)
    if (choice < 60) return await this.#end(store, log)
    if (choice < 85) return await this.#maintain(store)
    if (choice < 88) return await this.#cut(store, log)
    if (choice < 96) return await this.#compare(store, log)
    if (choice < 97) {
      this.#mayFail = true
      this.#fileSystem.limitRoom(random.below(16) * 4096)
    } else if (choice < 98) {
      this.#mayFail = true
      this.#fileSystem.failOne(
        random.pick(['read', 'write', 'sync', 'open', 'remove']),
        random.between(1, 20),
      )
    } else this.#fileSystem.liftLimit()
  }

  async #append(store: LocalLogStore, log: ModelLog): Promise<void> {
    const random = this.#random
    const texts = Array.from({ length: random.between(1, 6) }, () => {
      const key = `k${random.below(KEYS)}`
      return random.chance(0.15) ? key : `${key}=${random.below(1000)}${'.'.repeat(random.below(300))}`
    })
    const transactional = log.open !== null || random.chance(0.2)
    const timestampMs = this.#nowMs
    const bytes = keyedBatch(texts, {
      timestampMs,
      ...(transactional ? { ...PRODUCER, baseSequence: -1, transactional } : {}),
      ...(random.chance(0.2) ? { compression: 'gzip' } : {}),
    })
    const records = texts.map((text, index): KeyedRecord => {
      const equals = text.indexOf('=')
      const key = equals < 0 ? text : text.slice(0, equals)
      const value = equals < 0 ? null : text.slice(equals + 1)
      return { offset: log.endOffset + index, key, value, timestampMs, isAborted: false }
    })
    await this.#write(store, log, bytes, records.length, () => {
      log.written.push(...records)
      if (transactional) log.open = [...(log.open ?? []), ...records]
    })
  }

  async #end(store: LocalLogStore, log: ModelLog): Promise<void> {
    const { open } = log
    if (open === null) return
    const type = this.#random.pick(['commit', 'abort'] as const)
    await this.#write(store, log, markerOf(type, PRODUCER), 1, () => {
      log.open = null
      if (type === 'commit') return
      const aborted = new Set(open)
      log.written = log.written.map((one) => (aborted.has(one) ? { ...one, isAborted: true } : one))
    })
  }

  async #write(
    store: LocalLogStore,
    log: ModelLog,
    bytes: Uint8Array,
    offsets: number,
    written: () => void,
  ): Promise<void> {
    log.doubtfulOffsets = offsets
    log.inDoubt = () => {
      written()
      log.endOffset += offsets
    }
    const [result] = await store.append([{ logId: log.id, bytes }])
    if (result!.error === null) {
      check(result!.baseOffset === log.endOffset, () => `offset ${result!.baseOffset} was given`)
      log.inDoubt()
    } else if (result!.error.inDoubt) throw result!.error
    log.inDoubt = null
    if (result!.error !== null) throw result!.error
  }

  async #maintain(store: LocalLogStore): Promise<void> {
    const keeping: KeepingPolicy = {
      compaction: null,
      segmentBytes: this.#random.pick([4, 16, 1000]) * 1024,
      segmentMs: this.#random.pick([20, 1e12]),
      retentionMs: Number.POSITIVE_INFINITY,
      retentionBytes: Number.POSITIVE_INFINITY,
    }
    const policyOf = ({ name }: Topic) =>
      name === 'table' ? { ...keeping, compaction: this.#policy } : keeping
    try {
      const { bytes } = await store.maintain({ maxBytes: this.#random.pick([1, 20_000, 1e9]) }, policyOf)
      if (bytes > 0) this.#count('steps of maintenance')
    } catch (error) {
      if (!(error instanceof StorageError) || !this.#mayFail) throw error
      this.#count(`failed maintenance: ${error.code}`)
      if (error.code === 'WRITER_FAILED') throw error
    }
  }

  async #cut(store: LocalLogStore, log: ModelLog): Promise<void> {
    const to = this.#random.between(log.startOffset, log.endOffset)
    log.startOffset = (await store.advanceStart(log.id, to)).startOffset
  }

  async #compare(store: LocalLogStore, log: ModelLog): Promise<void> {
    const [state] = await store.state([log.id])
    const { logStartOffset, lastStableOffset, highWatermark } = state!
    const firstOpen = log.open?.[0]?.offset
    const expected = firstOpen === undefined ? highWatermark : Math.max(firstOpen, logStartOffset)
    check(
      lastStableOffset === expected,
      () => `last stable offset ${lastStableOffset} instead of ${expected}`,
    )
    const { records } = await readKeyed(store, log.id, logStartOffset)
    const found = records.map((record) => ({ ...record, isAborted: false }))
    const live = log.written.filter(({ offset }) => offset >= logStartOffset)
    const fault = log.isCompacted
      ? compactionFault(live, found, {
          startOffset: logStartOffset,
          lastStableOffset,
          nowMs: this.#nowMs,
          policy: this.#policy,
        })
      : streamFault(live, found)
    check(fault === null, () => `log ${log.id}: ${fault}`)
    if (found.length < live.length) this.#count('compacted')
    const from = this.#random.between(logStartOffset, highWatermark)
    const rest = await readKeyed(store, log.id, from, { maxBytes: this.#random.pick([1, 500, 1e6]) })
    check(
      JSON.stringify(rest.records) === JSON.stringify(records.filter(({ offset }) => offset >= from)),
      () => `from ${from} on log ${log.id} reads otherwise than from its start`,
    )
    const committed = (await readKeyed(store, log.id, logStartOffset, { readCommitted: true })).records
    const wanted = records.filter(
      ({ offset }) => offset < lastStableOffset && !live.find((one) => one.offset === offset)?.isAborted,
    )
    check(
      JSON.stringify(committed) === JSON.stringify(wanted),
      () => `readers of what is committed find something else in log ${log.id}`,
    )
  }
}

/** Throws what was violated; `progress` has what was done until then. */
export async function simulateCompaction(
  seed: number,
  progress: SimulationProgress = { trace: [] },
): Promise<SimulationOutcome> {
  const simulation = new CompactionSimulation(seed)
  try {
    await simulation.run()
  } finally {
    progress.trace = simulation.trace
  }
  return { trace: progress.trace, counts: simulation.counts, faults: simulation.faults }
}

function newLog(id: LogId, isCompacted: boolean): ModelLog {
  return {
    id,
    isCompacted,
    written: [],
    endOffset: 0,
    startOffset: 0,
    open: null,
    inDoubt: null,
    doubtfulOffsets: 0,
  }
}

function streamFault(written: readonly KeyedRecord[], found: readonly KeyedRecord[]): string | null {
  const text = (records: readonly KeyedRecord[]) =>
    records.map(({ offset, key, value }) => [offset, key, value])
  return JSON.stringify(text(written)) === JSON.stringify(text(found))
    ? null
    : 'its records are not those written'
}
