import type { LogCompaction, LogStorage } from '@streambus/client'
import { expect, test } from 'vitest'
import { storageTable } from './topic-storage.ts'

const NOW_MS = Date.parse('2026-11-28T00:00:00Z')
const HOUR_MS = 3_600_000
const PARTITIONS = [
  { partition: 0, earliest: 100 },
  { partition: 1, earliest: 0 },
]
const STREAMBUS: LogStorage = { files: 3, segments: 2, heldBytes: 2048, expiredTo: null, compaction: null }

function rowsOf(
  [one, other]: readonly [LogStorage | null, LogStorage | null],
  settings: Readonly<Record<string, string>>,
  oldestMs: number | null = NOW_MS - HOUR_MS,
): string[][] {
  const storage = [
    { partition: 0, oldestTimestampMs: oldestMs, log: one },
    { partition: 1, oldestTimestampMs: null, log: other },
  ]
  const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
  const text = storageTable(PARTITIONS, storage, configs, NOW_MS)
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/))
}

test('of any broker the oldest record is shown, and when retention takes it', () => {
  const DELETE = { 'cleanup.policy': 'delete' }
  const oldest = '2026-11-27T23:00:00.000Z'
  expect(rowsOf([null, null], { ...DELETE, 'retention.ms': String(2 * HOUR_MS) })).toEqual([
    ['Partition', 'Oldest record', 'Goes'],
    ['0', oldest, '2026-11-28T01:00:00.000Z'],
    ['1', '-', '-'],
  ])
  expect(rowsOf([null, null], { ...DELETE, 'retention.ms': '1000' })[1]).toEqual(['0', oldest, 'next check'])
  for (const settings of [{ ...DELETE, 'retention.ms': '-1' }, { 'cleanup.policy': 'compact' }, {}]) {
    expect(rowsOf([null, null], settings)).toEqual([
      ['Partition', 'Oldest record'],
      ['0', oldest],
      ['1', '-'],
    ])
  }
})

test('a time that is no date is shown as it is', () => {
  expect(rowsOf([null, null], {}, 2 ** 60)[1]).toEqual(['0', String(2 ** 60)])
})

test('of StreamBus files are shown, and how many records the next check takes', () => {
  const settings = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '1000' }
  expect(rowsOf([{ ...STREAMBUS, expiredTo: 1350 }, null], settings)).toEqual([
    ['Partition', 'Oldest record', 'Past retention', 'Files', 'Segments', 'In files'],
    ['0', '2026-11-27T23:00:00.000Z', '1250', '3', '2', '2.0 KiB'],
    ['1', '-', '-', '-', '-', '-'],
  ])
})

test.each([
  ['turn', 'its turn'],
  ['ratio', '50% not compacted, now 31%'],
  ['lag', 'records to be older'],
  ['transaction', 'the end of a transaction'],
  ['file', 'the log file to be full'],
  ['repair', 'a repair: something cannot be read'],
  ['records', 'new records'],
  ['something newer', 'something newer'],
])('a compaction that waits for %s is said to wait for %s', (waitsFor, shown) => {
  const compaction: LogCompaction = { dirtyBytes: 1024, dirtyRatio: 0.319, lastPassAtMs: NOW_MS, waitsFor }
  const settings = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.5' }
  const [head, row, other] = rowsOf([{ ...STREAMBUS, compaction }, STREAMBUS], settings)
  expect(head!.slice(-3)).toEqual(['Not compacted', 'Last pass', 'Next pass waits for'])
  expect(row!.slice(-3)).toEqual(['1.0 KiB', '2026-11-28T00:00:00.000Z', shown])
  expect(other!.slice(-3)).toEqual(['-', '-', '-'])
})
