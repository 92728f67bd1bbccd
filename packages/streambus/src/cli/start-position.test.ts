import { expect, test } from 'vitest'
import { startPosition } from './consume.ts'

test.each([
  ['beginning', 'earliest'],
  ['end', 'latest'],
  ['0', 0],
  ['17', 17],
  ['-3', -3],
  ['-0', 'latest'],
  ['@2026-11-23T10:00:00Z', new Date(Date.UTC(2026, 10, 23, 10))],
  ['@1795428000000', new Date(1795428000000)],
])('%s is understood', (text, position) => {
  expect(startPosition(text)).toEqual(position)
})

test.each(['', 'start', '1.5', '@', '@noon', '99999999999999999999'])('%j is refused', (text) => {
  expect(() => startPosition(text)).toThrow()
})
