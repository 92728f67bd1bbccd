/** The chaos test of the SDK. See `--help`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { freePorts } from '../../peers/server-process.ts'
import { ChaosRun } from './chaos-run.ts'
import { runSelfTest } from './self-test.ts'
import { STALL_BOUND_MS } from './settings.ts'

const SELF_TEST_BOUND_MS = 3_000
const MAX_PRINTED_FAULTS = 20

const help = `npm run chaos -- [options]

Lets producers, groups of consumers and processors work over a network that breaks connections, loses and holds bytes,
with a broker that is stopped and killed again and again, with slow and failing handlers, while members come and go.
Every message has to be handled at least once, in the order of its key, and put out by the processors exactly once;
and no partition may go longer than ${STALL_BOUND_MS / 1_000} s without progress while nothing is in its way.
Exit code 1 when anything failed.

  --minutes N  how long, about (1)
  --seed N     of what goes wrong; printed by every run
  --rate N     messages a second (100)
  --keep       keep the data folder, also where all is well
  --self-test  change what happened, and stop a group, which must be found`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      rate: { type: 'string', default: '100' },
      keep: { type: 'boolean', default: false },
      'self-test': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${help}\n`)
    return
  }
  const minutes = Number(values.minutes)
  const seed = Number(values.seed)
  const messagesPerSecond = Number(values.rate)
  if (!(minutes > 0) || !(messagesPerSecond > 0) || !Number.isInteger(seed)) {
    throw new Error('--minutes and --rate take numbers above 0, --seed a whole number')
  }
  // It would add 80 ms to every start of the broker.
  delete process.env.NODE_EXTRA_CA_CERTS
  const folder = await mkdtemp(`${tmpdir()}/streambus-chaos-`)
  const [port] = await freePorts(1)
  process.stdout.write(`seed ${seed}, ${minutes} minutes, ${messagesPerSecond} messages/s, ${folder}\n`)
  const isSelfTest = values['self-test']
  const run = await ChaosRun.start({
    dataDir: `${folder}/data`,
    logFile: `${folder}/clients.log`,
    port: port!,
    seed,
    messagesPerSecond,
    ...(isSelfTest ? { stallBoundMs: SELF_TEST_BOUND_MS } : {}),
  })
  let isGood: boolean
  if (isSelfTest) {
    const { passed, failed } = await runSelfTest(run)
    await run.abandon()
    process.stdout.write(`${passed} passed, ${failed} failed\n`)
    isGood = failed === 0
  } else {
    isGood = await perform(run, minutes)
  }
  if (values.keep || !isGood) process.stdout.write(`data kept in ${folder}\n`)
  else await rm(folder, { recursive: true, force: true })
  // After a failure there may be those who wait for ever.
  process.exit(isGood ? 0 : 1)
}

async function perform(run: ChaosRun, minutes: number): Promise<boolean> {
  const startedMs = performance.now()
  const seconds = () => ((performance.now() - startedMs) / 1_000).toFixed(0)
  while (performance.now() - startedMs < minutes * 60_000 && run.allFaults.length === 0) {
    const happened = await run.round()
    const { ms, lane } = run.watch.takeLongest()
    process.stdout.write(
      `${seconds()} s, round ${run.rounds}: ${run.places.output.count} put out, at most ${ms} ms without progress (${lane}); ${happened}\n`,
    )
  }
  if (run.allFaults.length === 0) await run.finish()
  const faults = run.allFaults
  for (const fault of faults.slice(0, MAX_PRINTED_FAULTS)) process.stdout.write(`FAIL ${fault}\n`)
  if (faults.length === 0) await run.close()
  else await run.abandon()
  const repeats = [...run.places.handled.values()].map(({ name, repeats }) => `${repeats} again by ${name}`)
  process.stdout.write(
    `${seconds()} s, ${run.rounds} rounds, ${run.troubles} troubles; ${run.load.sent} messages sent, ` +
      `${run.places.output.count} put out, ${repeats.join(', ')}\n` +
      `longest without progress: ${run.watch.longest.ms} of ${STALL_BOUND_MS} ms (${run.watch.longest.lane})\n` +
      `${faults.length === 0 ? 'passed' : 'failed'}\n`,
  )
  return faults.length === 0
}

// Ending by `exit` takes the broker along; a signal's default would leave it running.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
main().catch((error: Error) => {
  process.stderr.write(`chaos: ${error.stack}\n`)
  process.exit(1)
})
