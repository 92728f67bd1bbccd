import { describe, expect, it } from 'vitest'
import { sabotages } from './sabotage.ts'
import { type SimulationOptions, simulate } from './simulation.ts'

const FIRST_SEED = Number(process.env.STREAMBUS_SIMULATION_SEED ?? 1)
const SEEDS = Number(process.env.STREAMBUS_SIMULATION_SEEDS ?? 30)
const SEEDS_AT_ONCE = 10
/** Of one seed, beginning with the first one; `npm run sim -- --crash-at-every-append` does all of them. */
const APPENDS_TO_DIE_AT = 25

/** Throws what was violated, and how to see it again. */
async function run(seed: number, options: SimulationOptions = {}) {
  const outcome = await simulate(seed, options)
  if (outcome.failure !== undefined) {
    const crashAt = options.crashAt === undefined ? '' : ` --crash-at ${[...options.crashAt].join()}`
    throw new Error(`seed ${seed} failed: npm run sim -- --seed ${seed}${crashAt} --trace`, {
      cause: outcome.failure,
    })
  }
  return outcome
}

describe('Groups and transactions in a simulated world', () => {
  it('do the same again with the same seed', async () => {
    for (const seed of [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]) {
      const first = await simulate(seed)
      const again = await simulate(seed, { traceLines: 10 })
      expect(again.traceHash).toBe(first.traceHash)
      expect(again.counts).toEqual(first.counts)
    }
  })

  const total = new Map<string, number>()

  for (let from = FIRST_SEED; from < FIRST_SEED + SEEDS; from += SEEDS_AT_ONCE) {
    const to = Math.min(from + SEEDS_AT_ONCE, FIRST_SEED + SEEDS)
    it(`keep their promises, seeds ${from} to ${to - 1}`, async () => {
      for (let seed = from; seed < to; seed++) {
        const { counts } = await run(seed)
        for (const [what, count] of counts) total.set(what, (total.get(what) ?? 0) + count)
      }
    })
  }

  it('met what the simulation is there for', () => {
    for (const what of [
      'deaths of the broker',
      'stops of the broker',
      'full disks',
      'a group rebalances',
      'a member was not heard of any more',
      'a transaction took too long',
      // Told to rebalance, put out, of an old generation, refused by an old epoch, asked to come back later.
      'Heartbeat 27',
      'Heartbeat 25',
      'OffsetCommit 22',
      'EndTxn 90',
      'Produce 47',
      'InitProducerId 51',
    ]) {
      expect(total.get(what) ?? 0, what).toBeGreaterThan(0)
    }
  })

  it('survive the death of the broker at every append', async () => {
    for (let append = 1; append <= APPENDS_TO_DIE_AT; append++) {
      await run(FIRST_SEED, { crashAt: new Set([append]) })
    }
  })

  it.each(sabotages)('are told from those over a disk that %s', async (sabotage) => {
    let failures = 0
    for (let seed = 1; seed <= 60 && failures === 0; seed++) {
      const { failure } = await simulate(seed, { sabotage })
      if (failure?.name === 'SimulationFailure') failures++
    }
    expect(failures).toBe(1)
  })
})
