import { beforeEach, describe, expect, it } from 'vitest'
import type { LogId, LogStore, RetentionLimits } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, markerOf } from './batches.ts'
import { type ContractSuite, stateOf } from './contract-suite.ts'

/** What the contract says of records that their retention does not want any more. */
export function describeRetention(suite: () => ContractSuite): void {
  let store: LogStore
  let log: LogId

  beforeEach(() => {
    ;({ store, log } = suite())
  })

  const at = (timestampMs: number, values: readonly string[] = ['x']) =>
    appendOne(store, log, batchOf(values, { timestamps: [timestampMs] }))
  const upTo = (limits: Partial<RetentionLimits>) =>
    store.expiredUpTo(log, {
      expiredBeforeMs: Number.NEGATIVE_INFINITY,
      keepBytes: Number.POSITIVE_INFINITY,
      ...limits,
    })

  describe('retention', () => {
    it('by time ends before the first batch that has a record young enough', async () => {
      await at(1000)
      await at(3000, ['a', 'b'])
      await at(2000)
      await at(1500)
      expect(await upTo({})).toBe(0)
      expect(await upTo({ expiredBeforeMs: 1000 })).toBe(0)
      expect(await upTo({ expiredBeforeMs: 1001 })).toBe(1)
      expect(await upTo({ expiredBeforeMs: 3000 })).toBe(1)
      expect(await upTo({ expiredBeforeMs: 3001 })).toBe(5)
    })

    it('by bytes leaves at least as many as are to be kept', async () => {
      for (let index = 0; index < 10; index++) await appendOne(store, log, batchOfSize(1000, `${index};`))
      expect(await upTo({ keepBytes: 10_000 })).toBe(0)
      expect(await upTo({ keepBytes: 9_001 })).toBe(0)
      expect(await upTo({ keepBytes: 9_000 })).toBe(1)
      expect(await upTo({ keepBytes: 2_500 })).toBe(7)
      expect(await upTo({ keepBytes: 0 })).toBe(10)
    })

    it('begins where the log does', async () => {
      for (let index = 0; index < 10; index++) {
        await appendOne(store, log, batchOfSize(1000, `${index};`, { timestamps: [1000 * index] }))
      }
      await store.advanceStart(log, 4)
      expect(await upTo({ expiredBeforeMs: 3000 })).toBe(4)
      expect(await upTo({ expiredBeforeMs: 5500 })).toBe(6)
      expect(await upTo({ keepBytes: 3_000 })).toBe(7)
      expect(await upTo({ keepBytes: 6_000 })).toBe(4)
    })

    it('goes through many files', async () => {
      for (let index = 0; index < 200; index++) {
        await appendOne(store, log, batchOfSize(8_000, `${index};`, { timestamps: [1000 * index] }))
      }
      for (const offset of [0, 1, 50, 99, 150, 199, 200]) {
        expect(await upTo({ expiredBeforeMs: 1000 * offset })).toBe(offset)
        expect(await upTo({ keepBytes: 8_000 * (200 - offset) })).toBe(offset)
      }
      await store.advanceStart(log, await upTo({ expiredBeforeMs: 120_000 }))
      const { logStartOffset, sizeBytes } = await stateOf(store, log)
      expect({ logStartOffset, sizeBytes }).toEqual({ logStartOffset: 120, sizeBytes: 80 * 8_000 })
    })

    it('leaves what belongs to an open transaction, and markers go with what is around them', async () => {
      const producer = { producerId: 1, producerEpoch: 0 }
      await at(1000)
      await appendOne(store, log, batchOf(['t'], { ...producer, baseSequence: 0, transactional: true }))
      await at(1000)
      expect(await upTo({ expiredBeforeMs: 5000, keepBytes: 0 })).toBe(1)
      await appendOne(store, log, markerOf('commit', producer))
      expect(await upTo({ expiredBeforeMs: 5000 })).toBe(3)
      await at(1000)
      expect(await upTo({ expiredBeforeMs: 5000 })).toBe(5)
    })

    it('of records whose producer gave no time waits for the next one that has one', async () => {
      await at(-1)
      await at(-1)
      expect(await upTo({ expiredBeforeMs: 5000 })).toBe(0)
      await at(1000)
      await at(-1)
      expect(await upTo({ expiredBeforeMs: 1000 })).toBe(0)
      expect(await upTo({ expiredBeforeMs: 5000 })).toBe(3)
      expect(await upTo({ keepBytes: 0 })).toBe(4)
    })

    it('of files in which no record has a time is their start', async () => {
      for (let index = 0; index < 100; index++) {
        await appendOne(store, log, batchOfSize(8_000, `${index};`, { timestamps: [-1] }))
      }
      expect(await upTo({ expiredBeforeMs: 5000 })).toBe(0)
      expect(await upTo({ expiredBeforeMs: 5000, keepBytes: 8_000 })).toBe(99)
    })

    it('of an empty log is its start', async () => {
      expect(await upTo({ expiredBeforeMs: 5000, keepBytes: 0 })).toBe(0)
    })
  })
}
