import { describe, expect, it } from 'vitest'
import { CompactionSimulation } from '../testing/compaction-simulation.ts'

const FIRST_SEED = Number(process.env.STREAMBUS_SIMULATION_SEED ?? 1)
const SEEDS = Number(process.env.STREAMBUS_SIMULATION_SEEDS ?? 60)

describe('compaction and merging on a simulated disk', () => {
  const total: Record<string, number> = {}

  it(`lose nothing that counts, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const simulation = new CompactionSimulation(seed)
      try {
        await simulation.run()
      } catch (error) {
        throw new Error(`seed ${seed} failed: run it alone with STREAMBUS_SIMULATION_SEED=${seed}`, {
          cause: error,
        })
      }
      for (const [what, count] of Object.entries(simulation.counts)) total[what] = (total[what] ?? 0) + count
    }
  })

  it('met what it is there for', () => {
    if (process.env.STREAMBUS_SIMULATION_SEEDS !== undefined) console.log(total)
    for (const what of ['crashes', 'closes', 'compacted', 'steps of maintenance']) {
      expect(total[what] ?? 0, what).toBeGreaterThan(0)
    }
  })
})
