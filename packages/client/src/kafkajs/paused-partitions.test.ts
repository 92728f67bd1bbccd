import { expect, test } from 'vitest'
import { PausedPartitions } from './paused-partitions.ts'

const paused = (state: PausedPartitions) =>
  [0, 1, 2].filter((partition) => state.has({ topic: 't', partition }))

test('partitions and whole topics are paused, with exceptions, until they are resumed', () => {
  const state = new PausedPartitions()
  state.set('t', [1], true)
  expect(paused(state)).toEqual([1])
  state.set('t', undefined, true)
  expect(paused(state)).toEqual([0, 1, 2])
  state.set('t', [2], false)
  expect(paused(state)).toEqual([0, 1])
  state.set('t', [2], true)
  expect(paused(state)).toEqual([0, 1, 2])
  state.set('t', undefined, false)
  expect(paused(state)).toEqual([])
  expect(state.has({ topic: 'other', partition: 0 })).toBe(false)
})
