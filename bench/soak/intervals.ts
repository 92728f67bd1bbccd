/** What is measured of each interval of a soak, and the minutes they are told by. */

import { median } from '../median.ts'
import type { ProbeFigures } from './jobs.ts'

/** Null is what this machine does not tell. */
export interface Interval {
  /** From the beginning of the soak to the end of the interval. */
  readonly endSeconds: number
  readonly residentBytes: number | null
  /** What JavaScript's objects take of it, garbage included. */
  readonly heapBytes: number | null
  /** Buffers and what else lies beside the heap. */
  readonly externalBytes: number | null
  readonly brokerCores: number | null
  /** What processes had that have nothing to do with the soak. */
  readonly otherCores: number | null
  readonly files: number
  /** What the data folder takes of the disk. */
  readonly diskBytes: number
  readonly handles: number | null
  readonly probe: ProbeFigures
  readonly inBytesPerSecond: number
  readonly outBytesPerSecond: number
  readonly lagRecords: number
  /** Between the start and the end of all partitions of topics that are not compacted. */
  readonly retainedRecords: number
  /** What the broker says the compacted topic has. */
  readonly compactedBytes: number
}

export interface Column {
  readonly title: string
  readonly figureOf: (interval: Interval) => number | null
  /** What stands for several intervals. */
  readonly together: (figures: readonly (number | null)[]) => number | null
}

const MB = 1e6
const GB = 1e9

export const columns: readonly Column[] = [
  column('RSS MB', ({ residentBytes }) => inUnit(residentBytes, MB)),
  column('heap MB', ({ heapBytes }) => inUnit(heapBytes, MB)),
  column('buffers MB', ({ externalBytes }) => inUnit(externalBytes, MB)),
  column('cores', ({ brokerCores }) => brokerCores),
  column('files', ({ files }) => files),
  column('disk GB', ({ diskBytes }) => diskBytes / GB),
  column('handles', ({ handles }) => handles),
  column('p50 ms', ({ probe }) => probe.p50Ms),
  column('p99 ms', ({ probe }) => probe.p99Ms),
  column('max ms', ({ probe }) => probe.maxMs, largest),
  column('in MB/s', ({ inBytesPerSecond }) => inBytesPerSecond / MB),
  column('out MB/s', ({ outBytesPerSecond }) => outBytesPerSecond / MB),
  column('lag, records', ({ lagRecords }) => lagRecords),
  column('retained, million records', ({ retainedRecords }) => retainedRecords / 1e6),
  column('compacted MB', ({ compactedBytes }) => compactedBytes / MB),
  column('others, cores', ({ otherCores }) => otherCores),
]

/** The intervals that end within each minute, or within so many. */
export function byMinutes(intervals: readonly Interval[], minutes = 1): Interval[][] {
  const groups: Interval[][] = []
  for (const interval of intervals) {
    // An interval ends some milliseconds late.
    const index = Math.max(0, Math.ceil((interval.endSeconds - 1) / 60 / minutes) - 1)
    groups[index] ??= []
    groups[index].push(interval)
  }
  return groups
}

function column(title: string, figureOf: Column['figureOf'], together: Column['together'] = median): Column {
  return { title, figureOf, together }
}

function inUnit(value: number | null, unit: number): number | null {
  return value === null ? null : value / unit
}

function largest(figures: readonly (number | null)[]): number | null {
  return figures.reduce((most, figure) => (most === null || figure === null ? null : Math.max(most, figure)))
}
