import { expect, test } from 'vitest'
import { compareThirds } from './flatness.ts'
import type { Interval } from './intervals.ts'

const STEADY: Omit<Interval, 'endSeconds'> = {
  residentBytes: 300e6,
  heapBytes: 20e6,
  externalBytes: 200e6,
  brokerCores: 1,
  otherCores: 0,
  files: 40,
  diskBytes: 4e9,
  handles: 60,
  probe: { p50Ms: 5, p99Ms: 20, maxMs: 40 },
  inBytesPerSecond: 400e6,
  outBytesPerSecond: 400e6,
  lagRecords: 1_000,
  retainedRecords: 3_000_000,
  compactedBytes: 30e6,
}

/** Half an hour of intervals, each the steady one but for what `at` says, which is given 0 at the start and 1 at the end. */
function soakOf(at: (progress: number, index: number) => Partial<Interval>): Interval[] {
  return Array.from({ length: 180 }, (_, index) => ({
    ...STEADY,
    endSeconds: 10 * (index + 1),
    ...at(index / 179, index),
  }))
}

function notFlat(intervals: readonly Interval[]): string[] {
  return compareThirds(intervals)
    .filter(({ isFlat }) => isFlat !== true)
    .map(({ name }) => name)
}

test('a broker that stays as it is, is flat', () => {
  expect(notFlat(soakOf(() => ({})))).toEqual([])
})

test('what grows from beginning to end is found, each by its own name', () => {
  const from = (first: number, progress: number) => first * (1 + progress)
  expect(notFlat(soakOf((progress) => ({ residentBytes: from(300e6, progress) })))).toEqual([
    'resident memory',
  ])
  expect(notFlat(soakOf((progress) => ({ files: from(40, progress) })))).toEqual(['files'])
  expect(notFlat(soakOf((progress) => ({ diskBytes: from(4e9, progress) })))).toEqual(['bytes on the disk'])
  expect(notFlat(soakOf((progress) => ({ handles: from(60, progress) })))).toEqual(['open handles'])
  const slower = (progress: number) => ({ probe: { p50Ms: 5, p99Ms: from(20, 20 * progress), maxMs: 90 } })
  expect(notFlat(soakOf(slower))).toEqual(['probe p99'])
})

test('throughput that falls is not flat, throughput that rises is', () => {
  expect(notFlat(soakOf((progress) => ({ inBytesPerSecond: 400e6 * (1 - progress / 2) })))).toEqual([
    'bytes in per second',
  ])
  expect(notFlat(soakOf((progress) => ({ inBytesPerSecond: 400e6 * (1 + progress) })))).toEqual([])
})

test('the first third is the warm-up, whatever it is', () => {
  const warmingUp = (progress: number) => (progress < 0.3 ? { residentBytes: 1e9 * progress, files: 1 } : {})
  expect(notFlat(soakOf(warmingUp))).toEqual([])
})

test('what goes up and down around the same middle is flat, and so are single intervals that stand out', () => {
  const sawtooth = (_: number, index: number) => ({ files: 20 + (index % 12) * 4 })
  expect(notFlat(soakOf(sawtooth))).toEqual([])
  const disturbed = (_: number, index: number) =>
    index % 10 === 0 ? { probe: { p50Ms: 500, p99Ms: 2_000, maxMs: 3_000 } } : {}
  expect(notFlat(soakOf(disturbed))).toEqual([])
})

test('the limit itself is flat, and what lies above it is not', () => {
  const last = (files: number) => soakOf((progress) => ({ files: progress > 0.66 ? files : 100 }))
  expect(notFlat(last(115))).toEqual([])
  expect(notFlat(last(116))).toEqual(['files'])
})

test('what was nothing and becomes something is not flat', () => {
  expect(notFlat(soakOf((progress) => ({ files: progress > 0.66 ? 1 : 0 })))).toEqual(['files'])
})

test('a figure that the machine does not tell is neither flat nor grown', () => {
  const comparisons = compareThirds(soakOf(() => ({ residentBytes: null })))
  expect(comparisons.find(({ name }) => name === 'resident memory')).toMatchObject({
    ratio: null,
    isFlat: null,
  })
})

test('too few intervals are refused', () => {
  expect(() => compareThirds(soakOf(() => ({})).slice(0, 5))).toThrow('5 intervals are too few to compare')
})
