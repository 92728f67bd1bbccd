import { expect, test } from 'vitest'
import { ReplayPlace } from './replay-place.ts'

test('offsets that were replayed out of turn are remembered until their turn comes', () => {
  const place = new ReplayPlace(3)
  for (const offset of [7, 5, 6, 10, 1]) place.add(offset)
  expect(place.next).toBe(3)
  expect(place.metadata).toBe('replayed 5-7,10')
  const read = new ReplayPlace(place.next, place.metadata)
  expect([2, 3, 4, 5, 6, 7, 8, 10, 11].filter((offset) => read.has(offset))).toEqual([2, 5, 6, 7, 10])
  expect(read.countFrom(0)).toBe(7)
  expect(read.countFrom(6)).toBe(3)
  read.add(3)
  read.add(4)
  expect(read).toMatchObject({ next: 8, metadata: 'replayed 10' })
  read.advanceTo(10)
  expect(read).toMatchObject({ next: 11, metadata: '' })
})

test('metadata that is not of a replay says nothing', () => {
  for (const metadata of ['', 'by hand', '5-7', 'replayed x,9-3,1-99999999999']) {
    expect(new ReplayPlace(2, metadata)).toMatchObject({ next: 2, metadata: '' })
  }
})
