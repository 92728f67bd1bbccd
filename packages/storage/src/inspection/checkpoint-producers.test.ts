import { describe, expect, it } from 'vitest'
import type { LocalLogStore } from '../local/local-log-store.ts'
import type { KeepingPolicy, LogId } from '../log-store.ts'
import { appendOne, markerOf } from '../testing/batches.ts'
import { keyedBatch } from '../testing/keyed-records.ts'
import { localStores } from '../testing/local-stores.ts'
import { SeededRandom } from '../testing/seeded-random.ts'
import { checkDataFolder } from './check-data-folder.ts'

const SMALL = { cacheBytes: 256 * 1024, fileBytes: 64 * 1024, indexCacheBytes: 1024 }
const DAY_MS = 24 * 3600 * 1000
const compacted = (): KeepingPolicy => ({
  compaction: { minDirtyRatio: 0.1, minLagMs: 0, maxLagMs: 1e15, deleteRetentionMs: 0 },
  segmentBytes: 32 * 1024,
  segmentMs: Number.POSITIVE_INFINITY,
  retentionMs: Number.POSITIVE_INFINITY,
  retentionBytes: Number.POSITIVE_INFINITY,
})
const kept = (): KeepingPolicy => ({ ...compacted(), compaction: null })

/** Idempotent and transactional producers, some of whom begin another epoch, and what is theirs in two logs. */
class Producers {
  readonly #random: SeededRandom
  readonly #states = new Map<string, { epoch: number; sequence: number; isOpen: boolean }>()

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** Forgotten, as a day of silence has it: sequences may begin anywhere. */
  forget(): void {
    for (const state of this.#states.values()) state.epoch += 1
    for (const state of this.#states.values()) state.sequence = 0
  }

  async write(store: LocalLogStore, log: LogId): Promise<void> {
    const random = this.#random
    const producerId = random.between(1, 6)
    const state = this.#states.get(`${log} ${producerId}`) ?? { epoch: 0, sequence: 0, isOpen: false }
    this.#states.set(`${log} ${producerId}`, state)
    const isTransactional = producerId > 2
    if (state.isOpen && random.chance(0.4)) {
      const end = { producerId, producerEpoch: state.epoch }
      await appendOne(store, log, markerOf(random.chance(0.5) ? 'abort' : 'commit', end))
      state.isOpen = false
      return
    }
    if (!state.isOpen && random.chance(0.1)) {
      state.epoch++
      state.sequence = 0
    }
    const records = Array.from(
      { length: random.between(1, 4) },
      () => `k${random.between(0, 30)}=${'x'.repeat(random.between(0, 900))}`,
    )
    const bytes = keyedBatch(records, {
      producerId,
      producerEpoch: state.epoch,
      baseSequence: state.sequence,
      transactional: isTransactional,
    })
    await appendOne(store, log, bytes)
    state.sequence += records.length
    state.isOpen ||= isTransactional
  }
}

describe('a checkpoint beside the producers of its log', () => {
  const stores = localStores(SMALL)

  it.each([1, 2, 3, 4, 5, 6])('has nothing wrong, whatever was done since, seed %i', async (seed) => {
    const random = new SeededRandom(seed)
    let nowMs = 1_700_000_000_000
    const open = () => stores.open(stores.folder, { ...SMALL, clock: () => nowMs })
    let store = await open()
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    const producers = new Producers(random)
    for (let round = 0; round < 6; round++) {
      for (let index = 0; index < 120; index++) await producers.write(store, random.pick(logs))
      if (random.chance(0.5)) await store.maintain({ maxBytes: 1e9 }, random.pick([compacted, kept]))
      if (random.chance(0.3)) {
        const [state] = await store.state([logs[0]!])
        await store.advanceStart(logs[0]!, random.between(state!.logStartOffset, state!.lastStableOffset))
      }
      const crashed = await checkDataFolder(await stores.copyOf(store))
      await store.close()
      const closed = await checkDataFolder(stores.folder)
      expect([crashed.findings, closed.findings]).toEqual([[], []])
      if (random.chance(0.3)) {
        nowMs += 2 * DAY_MS
        producers.forget()
      }
      store = await open()
    }
  })
})
