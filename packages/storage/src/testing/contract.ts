import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LogStore } from '../log-store.ts'
import { describeAppends } from './contract-append.ts'
import { describeCompaction } from './contract-compaction.ts'
import { describeReads } from './contract-read.ts'
import { describeRetention } from './contract-retention.ts'
import { describeStorage } from './contract-storage.ts'
import type { ContractSuite } from './contract-suite.ts'
import { describeTopics } from './contract-topics.ts'
import { describeTransactions } from './contract-transactions.ts'

/**
 * The contract of `LogStore` as tests: an engine is correct when it passes. Sizes stay small, so that an
 * engine may be opened with caches and files of a few hundred KiB and be read from behind them.
 */
export interface ContractEngine {
  open(): Promise<LogStore>
  /** After each test, when the store is closed. */
  cleanUp(): Promise<void>
}

export function describeLogStore(engineName: string, engine: ContractEngine): void {
  describe(`LogStore contract: ${engineName}`, () => {
    let suite: ContractSuite

    beforeEach(async () => {
      const store = await engine.open()
      const topic = await store.createTopic({ name: 'words', partitions: 2 })
      suite = { store, topic, log: topic.logs[0]!, otherLog: topic.logs[1]! }
    })

    afterEach(async () => {
      await suite.store.close()
      await engine.cleanUp()
    })

    describeAppends(() => suite)
    describeReads(() => suite)
    describeTopics(() => suite)
    describeTransactions(() => suite)
    describeCompaction(() => suite)
    describeRetention(() => suite)
    describeStorage(() => suite)

    it('has an identity, a place and a bound', () => {
      const { store } = suite
      expect(store.clusterId).toMatch(/^[A-Za-z0-9_-]{22}$/)
      expect(store.location).not.toBe('')
      expect(['fsync', 'os', 'memory']).toContain(store.durability)
      expect(store.maxBatchBytes).toBeGreaterThan(0)
    })
  })
}
