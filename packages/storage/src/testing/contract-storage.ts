import { beforeEach, describe, expect, it } from 'vitest'
import type { CompactionPolicy, KeepingPolicy, LogId, LogStore } from '../log-store.ts'
import { appendOne, codeOf } from './batches.ts'
import { type ContractSuite, NO_LOG, stateOf } from './contract-suite.ts'
import { keyedBatch } from './keyed-records.ts'

/** What the contract says of what a store tells of its background work. */
export function describeStorage(suite: () => ContractSuite): void {
  let store: LogStore
  let log: LogId
  let otherLog: LogId

  beforeEach(() => {
    ;({ store, log, otherLog } = suite())
  })

  const compaction: CompactionPolicy = {
    minDirtyRatio: 0,
    minLagMs: 0,
    maxLagMs: 1e15,
    deleteRetentionMs: 1e9,
  }
  const policy: KeepingPolicy = {
    compaction,
    segmentBytes: 1,
    segmentMs: 1,
    retentionMs: Number.POSITIVE_INFINITY,
    retentionBytes: Number.POSITIVE_INFINITY,
  }

  describe('what is told of background work', () => {
    it('is nothing where nothing was done', async () => {
      expect(store.maintenanceMetrics()).toMatchObject({
        liveBytes: 0,
        compaction: { passes: 0, writtenBytes: 0 },
        merging: { passes: 0, writtenBytes: 0 },
        backlog: { logsToCompact: 0, bytesToCompact: 0, filesToMerge: 0, bytesToMerge: 0 },
        failures: 0,
        lastFailure: null,
      })
      expect(await store.storageOf(log, null)).toEqual({
        files: 0,
        segments: 0,
        heldBytes: 0,
        compaction: null,
      })
      expect((await store.storageOf(log, compaction)).compaction).toEqual({
        dirtyBytes: 0,
        dirtyRatio: 0,
        lastPassAtMs: null,
        waitsFor: 'records',
      })
      expect(await codeOf(store.storageOf(NO_LOG, null))).toBe('UNKNOWN_LOG')
    })

    it('counts passes and what they wrote, and what of a log no pass has seen', async () => {
      for (const logId of [log, otherLog]) {
        for (let round = 0; round < 20; round++) await appendOne(store, logId, keyedBatch(['a=1', 'b=2']))
        await appendOne(store, logId, keyedBatch(['newest=x']))
      }
      const { sizeBytes } = await stateOf(store, log)
      const before = await store.storageOf(log, compaction)
      expect(before.compaction).toMatchObject({ dirtyBytes: sizeBytes, lastPassAtMs: null })
      expect(before.heldBytes).toBe(sizeBytes)
      expect(store.maintenanceMetrics().liveBytes).toBe(2 * sizeBytes)
      await store.maintain({ maxBytes: 1 }, () => policy)
      const { logsToCompact, bytesToCompact } = store.maintenanceMetrics().backlog
      expect(logsToCompact).toBe(2)
      expect(bytesToCompact).toBeGreaterThan(sizeBytes)
      while ((await store.maintain({ maxBytes: 1e9 }, () => policy)).isMore);
      const newest = keyedBatch(['newest=x']).byteLength
      const after = await store.storageOf(log, compaction)
      expect(after.compaction).toMatchObject({ dirtyBytes: newest, dirtyRatio: 0, waitsFor: 'records' })
      expect(after.compaction!.lastPassAtMs).not.toBeNull()
      const metrics = store.maintenanceMetrics()
      expect(metrics.compaction.passes).toBe(2)
      expect(metrics.compaction.writtenBytes).toBeGreaterThan(0)
      expect(metrics.backlog).toMatchObject({ logsToCompact: 0, bytesToCompact: 0 })
      expect(metrics.liveBytes).toBe(2 * (await stateOf(store, log)).sizeBytes)
    })
  })
}
