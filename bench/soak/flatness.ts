/**
 * Whether a broker stays as it is: the first third of a soak is its warm-up, and the median of the last third is
 * compared with that of the second. What leaks, fragments or slows down grows from third to third; medians leave single
 * intervals out, in which something else had the machine.
 */

import { median } from '../median.ts'
import type { Interval } from './intervals.ts'

interface Measure {
  readonly name: string
  readonly figureOf: (interval: Interval) => number | null
  /** What the last third may be of the second, at most or at least. */
  readonly limit: { readonly atMost: number } | { readonly atLeast: number }
}

const measures: readonly Measure[] = [
  { name: 'resident memory', figureOf: ({ residentBytes }) => residentBytes, limit: { atMost: 1.15 } },
  { name: 'files', figureOf: ({ files }) => files, limit: { atMost: 1.15 } },
  { name: 'bytes on the disk', figureOf: ({ diskBytes }) => diskBytes, limit: { atMost: 1.15 } },
  { name: 'open handles', figureOf: ({ handles }) => handles, limit: { atMost: 1.15 } },
  { name: 'probe p99', figureOf: ({ probe }) => probe.p99Ms, limit: { atMost: 1.5 } },
  {
    name: 'bytes in per second',
    figureOf: ({ inBytesPerSecond }) => inBytesPerSecond,
    limit: { atLeast: 0.8 },
  },
]

export const MIN_INTERVALS = 6

export interface Comparison {
  readonly name: string
  /** Last third over second third. Null where one of the intervals has no figure. */
  readonly ratio: number | null
  readonly limit: string
  readonly isFlat: boolean | null
}

/** Throws where there are too few intervals to compare. */
export function compareThirds(intervals: readonly Interval[]): Comparison[] {
  if (intervals.length < MIN_INTERVALS) {
    throw new Error(`${intervals.length} intervals are too few to compare, ${MIN_INTERVALS} are needed`)
  }
  const third = intervals.length / 3
  const second = intervals.slice(Math.round(third), Math.round(2 * third))
  const last = intervals.slice(Math.round(2 * third))
  return measures.map(({ name, figureOf, limit }) => {
    const [before, after] = [second, last].map((part) => median(part.map(figureOf)))
    const ratio = before == null || after == null ? null : before === after ? 1 : after / before
    if ('atMost' in limit) {
      return {
        name,
        ratio,
        limit: `≤ ${limit.atMost}`,
        isFlat: ratio === null ? null : ratio <= limit.atMost,
      }
    }
    return {
      name,
      ratio,
      limit: `≥ ${limit.atLeast}`,
      isFlat: ratio === null ? null : ratio >= limit.atLeast,
    }
  })
}

/** For the help. */
export function describeRule(): string {
  const limits = measures.map(({ name, limit }) =>
    'atMost' in limit ? `${name} ≤ ${limit.atMost}` : `${name} ≥ ${limit.atLeast}`,
  )
  return `The first third of the intervals is the warm-up. Flat is when the median of the last third, divided by the median\nof the second, is: ${limits.join(', ')}.`
}
