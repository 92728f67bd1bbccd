import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { WorkShare } from './work-share.ts'

const KIB = 1024

/** Pieces of 32 KiB that are done between two turns, when each turn takes so many milliseconds. */
async function piecesBetweenTurns(turnMs: number): Promise<number> {
  let nowMs = 0
  let turns = 0
  const share = new WorkShare(() => nowMs)
  let isOver = false
  const turning = (async () => {
    while (!isOver) {
      await turn()
      turns++
      nowMs += turnMs
    }
  })()
  for (let piece = 0; piece < 64; piece++) await share.worked(32 * KIB)
  const before = turns
  for (let piece = 0; piece < 640; piece++) await share.worked(32 * KIB)
  isOver = true
  await turning
  return 640 / (turns - before)
}

test('the work between two turns grows with what others do in a turn, within bounds', async () => {
  expect(await piecesBetweenTurns(0)).toBeCloseTo(1, 0)
  expect(await piecesBetweenTurns(1)).toBeCloseTo(1, 0)
  expect(await piecesBetweenTurns(3)).toBeGreaterThan(4)
  expect(await piecesBetweenTurns(100)).toBeGreaterThan(8)
  expect(await piecesBetweenTurns(100)).toBeLessThan(40)
})
