/**
 * The crash test of the real process. See `--help`.
 *
 * A killed process leaves the page cache behind, so this shows that acknowledged records are out of the
 * process, in order and found again; loss of power is the business of the storage tests.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { freePorts } from '../../peers/server-process.ts'
import { BrokerUnderTest } from './broker-under-test.ts'
import { CrashRun } from './crash-run.ts'
import { Random } from './random.ts'
import { runSelfTest } from './self-test.ts'

/** Of the kills, the last this share happens to a broker that acknowledges from the page cache. */
const OS_DURABILITY_SHARE = 0.2

const help = `npm run crash -- [options]

Kills the broker with SIGKILL again and again, under load, while it starts and while topics come and go, and after
every restart reads everything back and compares it with what was acknowledged: records, committed offsets of
groups, transactions. Ends with 'N passed, M failed'; exit code 1 when anything failed.

  --kills N    how often (50); the last fifth of them with --durability os
  --seed N     of the load and the moments of the kills; printed by every run
  --keep       keep the data folder, also where all is well
  --self-test  damage the data on purpose, which must be found`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      keep: { type: 'boolean', default: false },
      'self-test': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${help}\n`)
    return
  }
  const kills = Number(values.kills)
  const seed = Number(values.seed)
  if (!(kills >= 1) || !Number.isInteger(seed)) throw new Error('--kills and --seed take whole numbers')
  // It would add 80 ms to every start of the broker.
  delete process.env.NODE_EXTRA_CA_CERTS
  const startedMs = performance.now()
  const folder = await mkdtemp(`${tmpdir()}/streambus-crash-`)
  process.stdout.write(`seed ${seed}, ${kills} kills, ${folder}\n`)
  let passed = 0
  let failed = 0
  const random = new Random(seed)
  const phases = values['self-test']
    ? [{ durability: 'fsync', kills: 2 } as const]
    : ([
        { durability: 'fsync', kills: kills - Math.round(kills * OS_DURABILITY_SHARE) },
        { durability: 'os', kills: Math.round(kills * OS_DURABILITY_SHARE) },
      ] as const)
  for (const { durability, kills: killsOfPhase } of phases) {
    if (killsOfPhase === 0) continue
    const [port] = await freePorts(1)
    const broker = new BrokerUnderTest({ dataDir: `${folder}/${durability}`, port: port!, durability })
    const run = new CrashRun(broker, port!, random)
    try {
      process.stdout.write(`durability ${durability}\n`)
      await run.perform(killsOfPhase)
      if (values['self-test']) {
        const verdict = await runSelfTest(run, port!)
        passed += verdict.passed
        failed += verdict.failed
      }
    } finally {
      await broker.kill9()
    }
    passed += run.passed
    failed += run.failed
  }
  if (values.keep || failed > 0) process.stdout.write(`data kept in ${folder}\n`)
  else await rm(folder, { recursive: true, force: true })
  process.stdout.write(`${((performance.now() - startedMs) / 1000).toFixed(0)} s, seed ${seed}\n`)
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  process.exitCode = failed === 0 ? 0 : 1
}

// Ending by `exit` takes the servers along; a signal's default would leave them running.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
main().catch((error: Error) => {
  process.stderr.write(`crash: ${error.message}\n`)
  process.exitCode = 1
})
