import { expect, test } from 'vitest'
import { simulate } from './simulation.ts'

test('a seed decides everything', async () => {
  const first = await simulate(1)
  const second = await simulate(1)
  expect(second.traceHash).toBe(first.traceHash)
  expect(second.steps).toBe(first.steps)
  const other = await simulate(2)
  expect(other.traceHash).not.toBe(first.traceHash)
})
