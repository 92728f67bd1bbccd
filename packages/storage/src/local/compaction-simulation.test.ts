import { describe, expect, it } from 'vitest'
import { simulateCompaction } from '../testing/compaction-simulation.ts'

const FIRST_SEED = Number(process.env.STREAMBUS_SIMULATION_SEED ?? 1)
const SEEDS = Number(process.env.STREAMBUS_SIMULATION_SEEDS ?? 60)

describe('compaction and merging on a simulated disk', () => {
  const total: Record<string, number> = {}

  it(`lose nothing that counts, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      try {
        const { counts } = await simulateCompaction(seed)
        for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count
      } catch (error) {
        throw new Error(`seed ${seed} failed: run it alone with STREAMBUS_SIMULATION_SEED=${seed}`, {
          cause: error,
        })
      }
    }
  })

  it('come to an end where a part of a log is merged of which no batch is left', async () => {
    // Of the histories of this engine the one that went on merging the same files for ever.
    expect((await simulateCompaction(194)).counts['steps of maintenance']).toBeGreaterThan(0)
  })

  it('does the same again with the same seed', async () => {
    const first = await simulateCompaction(FIRST_SEED)
    const again = await simulateCompaction(FIRST_SEED)
    expect(again.trace).toEqual(first.trace)
    expect(again.counts).toEqual(first.counts)
  })

  it('met what it is there for', () => {
    for (const what of ['crashes', 'clean closes', 'compacted', 'steps of maintenance']) {
      expect(total[what] ?? 0, what).toBeGreaterThan(0)
    }
  })
})
