import { describe, expect, it } from 'vitest'
import { type CompactedLog, compactionFault, type KeyedRecord, mustRemain } from './compaction-model.ts'

const log: CompactedLog = {
  startOffset: 0,
  lastStableOffset: 100,
  nowMs: 10_000,
  policy: { minLagMs: 0, deleteRetentionMs: 1000 },
}

function record(offset: number, key: string | null, more: Partial<KeyedRecord> = {}): KeyedRecord {
  return { offset, key, value: `${key}${offset}`, timestampMs: 0, isAborted: false, ...more }
}

describe('what a compaction must leave', () => {
  it('is the last record of each key, and every record without one', () => {
    const written = [record(0, 'a'), record(1, 'b'), record(2, 'a'), record(3, null), record(4, null)]
    expect([...mustRemain(written, log)].sort()).toEqual([1, 2, 3, 4])
  })

  it('is everything from the last stable offset on, and what only that would replace', () => {
    const written = [record(0, 'a'), record(1, 'a'), record(2, 'a'), record(3, 'a')]
    expect([...mustRemain(written, { ...log, lastStableOffset: 2 })].sort()).toEqual([1, 2, 3])
  })

  it('is everything that is younger than the lag', () => {
    const written = [record(0, 'a'), record(1, 'a', { timestampMs: 9500 }), record(2, 'a')]
    const policy = { ...log.policy, minLagMs: 1000 }
    expect([...mustRemain(written, { ...log, policy })].sort()).toEqual([1, 2])
  })

  it('is a tombstone until its time is over, but not what it deleted', () => {
    const written = [record(0, 'a'), record(1, 'a', { value: null, timestampMs: 9500 })]
    expect([...mustRemain(written, log)]).toEqual([1])
    expect([...mustRemain(written, { ...log, nowMs: 10_500 })]).toEqual([])
  })

  it('is no record of an aborted transaction, which replaces none', () => {
    const written = [record(0, 'a'), record(1, 'a', { isAborted: true })]
    expect([...mustRemain(written, log)]).toEqual([0])
  })

  it('is nothing before the start of the log', () => {
    const written = [record(0, 'a'), record(1, 'b')]
    expect([...mustRemain(written, { ...log, startOffset: 1 })]).toEqual([1])
  })

  it('is found to be gone, changed, moved or made up', () => {
    const written = [record(0, 'a'), record(1, 'b'), record(2, 'a')]
    const [a, b, last] = written as [KeyedRecord, KeyedRecord, KeyedRecord]
    expect(compactionFault(written, written, log)).toBeNull()
    expect(compactionFault(written, [b, last], log)).toBeNull()
    expect(compactionFault(written, [a, b], log)).toContain('at 2 is gone')
    expect(compactionFault(written, [b, { ...last, value: 'other' }], log)).toContain('at 2 has changed')
    expect(compactionFault(written, [last, b], log)).toContain('offset 1 follows 2')
    expect(compactionFault(written, [b, last, record(7, 'a')], log)).toContain('at 7, which was not written')
  })
})
