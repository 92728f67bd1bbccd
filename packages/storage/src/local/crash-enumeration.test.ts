import { describe, expect, it } from 'vitest'
import { enumerateCrashes } from '../testing/crash-enumeration.ts'
import { shortHistories } from '../testing/short-histories.ts'

describe('LocalLogStore and a crash after every operation of a short history', () => {
  // The others, single changes and crashes of the start: npm run sim:storage -- --exhaustive.
  const plain = shortHistories.filter(
    ({ options }) => options.durability === 'fsync' && options.prepareFiles === 'never',
  )
  for (const history of plain) {
    it(`finds what it acknowledged: ${history.name}`, async () => {
      const options = { sectorBytes: 4096, maxSingles: 0, crashesStarts: false } as const
      const { crashPoints, starts } = await enumerateCrashes(history, options)
      expect(crashPoints).toBeGreaterThan(20)
      expect(starts).toBe(3 * (crashPoints + 1))
    })
  }
})
