import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../testing/seeded-random.ts'
import { LogRanges, NO_FILE } from './log-ranges.ts'

type Range = readonly [firstOffset: number, endOffset: number, file: number]

function rangesOf(ranges: LogRanges): Range[] {
  return Array.from({ length: ranges.count }, (_, index) => [
    ranges.startOf(index),
    ranges.endOf(index),
    ranges.fileOf(index),
  ])
}

function listOf(...added: Range[]): LogRanges {
  const ranges = new LogRanges()
  for (const [firstOffset, endOffset, file] of added) ranges.replace(firstOffset, endOffset, file)
  return ranges
}

describe('the ranges of a log', () => {
  it('continue each other, and the one with an offset is found', () => {
    const ranges = listOf([5, 10, 1], [10, 25, 2], [25, 26, 3])
    expect(rangesOf(ranges)).toEqual([
      [5, 10, 1],
      [10, 25, 2],
      [25, 26, 3],
    ])
    expect([0, 5, 9, 10, 24, 25, 26].map((offset) => ranges.after(offset))).toEqual([0, 0, 0, 1, 1, 2, 3])
  })

  it('are replaced by one that covers them, and by no other', () => {
    const ranges = listOf([0, 10, 1], [10, 20, 2], [20, 30, 3], [30, 40, 4])
    expect(ranges.replace(10, 30, 5)).toEqual([2, 3])
    expect(rangesOf(ranges)).toEqual([
      [0, 10, 1],
      [10, 30, 5],
      [30, 40, 4],
    ])
  })

  it('say where no file has what lies between, until one comes that has it', () => {
    const ranges = listOf([100, 110, 1], [120, 130, 2])
    ranges.replace(0, 50, 3)
    const hole = (firstOffset: number, endOffset: number): Range => [firstOffset, endOffset, NO_FILE]
    expect(rangesOf(ranges)).toEqual([
      [0, 50, 3],
      hole(50, 100),
      [100, 110, 1],
      hole(110, 120),
      [120, 130, 2],
    ])
    expect(ranges.replace(60, 70, 4)).toEqual([])
    expect(rangesOf(ranges).slice(0, 4)).toEqual([[0, 50, 3], hole(50, 60), [60, 70, 4], hole(70, 100)])
    expect(ranges.replace(50, 120, 5)).toEqual([4, 1])
    expect(rangesOf(ranges)).toEqual([
      [0, 50, 3],
      [50, 120, 5],
      [120, 130, 2],
    ])
  })

  it('go from the front', () => {
    const ranges = listOf([0, 10, 1], [10, 20, 2])
    expect(ranges.shift()).toBe(1)
    expect(rangesOf(ranges)).toEqual([[10, 20, 2]])
    ranges.replace(20, 30, 3)
    expect(ranges.shift()).toBe(2)
    expect(rangesOf(ranges)).toEqual([[20, 30, 3]])
  })

  it('hold any offset and any number of files', () => {
    const far = Number.MAX_SAFE_INTEGER - 10
    const all: Range[] = [
      [0, 10, 1],
      [10, 70_000, 70_000],
      [70_000, 2 ** 32 + 5, 2],
      [2 ** 32 + 5, far, 3],
    ]
    expect(rangesOf(listOf(...all))).toEqual(all)
    const late = listOf([far - 100, far, 1])
    late.replace(far - 200, far - 100, 2)
    expect(rangesOf(late)).toEqual([
      [far - 200, far - 100, 2],
      [far - 100, far, 1],
    ])
  })

  it('forget the timestamp at the start when something else takes its place, and not when something is added', () => {
    const ranges = listOf([0, 10, 1], [10, 20, 2])
    ranges.timestampOffset = 3
    ranges.replace(20, 30, 3)
    expect(ranges.timestampOffset).toBe(3)
    ranges.replace(0, 20, 4)
    expect(ranges.timestampOffset).toBe(-1)
  })

  for (const seed of [1, 2, 3, 4]) {
    it(`have the file of every offset after any number of changes (seed ${seed})`, () => {
      const random = new SeededRandom(seed)
      const ranges = new LogRanges()
      /** By offset / 10. */
      let files: number[] = []
      let start = 0
      for (let file = 1; file < 400; file++) {
        const choice = random.below(4)
        if (choice < 2 || files.length - start < 2) {
          const length = 1 + random.below(3)
          ranges.replace(files.length * 10, (files.length + length) * 10, file)
          files = [...files, ...Array.from({ length }, () => file)]
        } else if (choice === 2) {
          const dropped = ranges.shift()
          expect(dropped).toBe(files[start])
          while (files[start] === dropped) start++
        } else {
          // Whole ranges are replaced.
          let from = start + random.below(files.length - start)
          while (from > start && files[from - 1] === files[from]) from--
          let to = Math.min(files.length, from + 1 + random.below(8))
          while (to < files.length && files[to] === files[to - 1]) to++
          const replaced = [...new Set(files.slice(from, to))]
          expect(ranges.replace(from * 10, to * 10, file)).toEqual(replaced)
          files.fill(file, from, to)
        }
        const found = files.map((_, at) => {
          const index = ranges.after(at * 10 + random.below(10))
          return index < ranges.count ? ranges.fileOf(index) : NO_FILE
        })
        expect(found.slice(start)).toEqual(files.slice(start))
      }
    })
  }
})
