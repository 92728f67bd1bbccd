import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LocalLogStore } from './local/local-log-store.ts'
import type { LogId, LogStore } from './log-store.ts'
import { MemoryLogStore } from './memory/memory-log-store.ts'
import { appendOne, batchOf, markerOf } from './testing/batches.ts'
import { makeDataFolder, removeDataFolder } from './testing/data-folder.ts'
import { committedValuesOf } from './testing/read-committed.ts'

const DAY_MS = 24 * 3600 * 1000

for (const engine of ['local', 'memory'] as const) {
  describe(`producers that are silent for a day, in the ${engine} engine`, () => {
    let folder: string
    let store: LogStore
    let log: LogId
    let otherLog: LogId
    let nowMs: number

    beforeEach(async () => {
      nowMs = 1_700_000_000_000
      folder = await makeDataFolder()
      const clock = () => nowMs
      store =
        engine === 'local'
          ? await LocalLogStore.open({ dataDir: folder, clock })
          : await MemoryLogStore.open({ clock })
      const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
      log = logs[0]!
      otherLog = logs[1]!
    })

    afterEach(async () => {
      await store.close()
      await removeDataFolder(folder)
    })

    function produced(producerId: number, baseSequence: number, transactional = false): Uint8Array {
      return batchOf(['v'], { producerId, producerEpoch: 0, baseSequence, transactional })
    }

    /** Enough writes elsewhere for a pass over all producers. */
    async function writeElsewhere(): Promise<void> {
      for (let index = 0; index < 5; index++) await appendOne(store, otherLog, batchOf(['x']))
    }

    it('are forgotten while others write', async () => {
      for (let producerId = 1; producerId <= 2000; producerId++) {
        void store.append([{ logId: log, bytes: produced(producerId, 0) }])
      }
      await appendOne(store, log, batchOf(['last']))
      nowMs += DAY_MS
      await writeElsewhere()
      const [stillKnown] = await store.append([{ logId: log, bytes: produced(1500, 7) }])
      expect(stillKnown?.error?.code).toBe('OUT_OF_ORDER_SEQUENCE')
      await appendOne(store, log, produced(1700, 1))
      nowMs += 11 * 60 * 1000
      await writeElsewhere()
      expect((await appendOne(store, log, produced(1500, 7))).duplicate).toBe(false)
      const [alive] = await store.append([{ logId: log, bytes: produced(1700, 7) }])
      expect(alive?.error?.code).toBe('OUT_OF_ORDER_SEQUENCE')
      const known = (await store.producers(log)).map(({ producerId }) => producerId)
      expect(known.sort()).toEqual([1500, 1700])
    })

    it('are not listed any more, also when nobody writes', async () => {
      await appendOne(store, log, produced(1, 0))
      nowMs += DAY_MS + 1
      expect(await store.producers(log)).toEqual([])
    })

    it('are kept as long as they have a transaction open', async () => {
      await appendOne(store, log, produced(1, 0, true))
      nowMs += 2 * DAY_MS
      await writeElsewhere()
      expect(await store.producers(log)).toMatchObject([{ producerId: 1, currentTransactionFirstOffset: 0 }])
      await appendOne(store, log, markerOf('abort', { producerId: 1, producerEpoch: 0 }))
      expect(await committedValuesOf(store, log)).toEqual([])
      expect(await store.producers(log)).toHaveLength(1)
      nowMs += DAY_MS + 1
      expect(await store.producers(log)).toEqual([])
    })
  })
}
