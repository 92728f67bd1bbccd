/** Runs the simulation of the coordinators (packages/broker/src/testing/simulation). See `--help`. */
import { parseArgs } from 'node:util'
import { sabotages } from '../packages/broker/src/testing/simulation/sabotage.ts'
import {
  type SimulationOptions,
  type SimulationOutcome,
  simulate,
} from '../packages/broker/src/testing/simulation/simulation.ts'

const PROGRESS_MS = 5000
const FAILURE_LINES = 60
const MAX_FAILURES = 5

const help = `npm run sim -- [options]

Drives the coordinators of groups and transactions through random schedules in virtual time and checks what must
hold after each step. A failure prints its seed, what was violated, the last events, and how to run it again.
Exit code 1 when anything failed.

  --seconds N             for so long (60, where no number of seeds is given)
  --seeds N               for so many seeds
  --from N                beginning with this seed (default: another one each time)
  --seed N                this seed alone
  --trace                 print every event of it
  --crash-at N            the broker dies at that append
  --crash-at-every-append each seed again, once per append, with the broker dying at that one
  --sabotage WHAT         the disk gets something wrong, which must be found: ${sabotages.join(', ')}
  --counts                print at the end what came about how often
  --lines N               events printed of a failure (${FAILURE_LINES})
  --failures N            failures after which it stops (${MAX_FAILURES})`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string' },
      seeds: { type: 'string' },
      from: { type: 'string' },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      counts: { type: 'boolean', default: false },
      sabotage: { type: 'string' },
      lines: { type: 'string', default: String(FAILURE_LINES) },
      'crash-at': { type: 'string' },
      'crash-at-every-append': { type: 'boolean', default: false },
      failures: { type: 'string', default: String(MAX_FAILURES) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${help}\n`)
    return
  }
  const number = (name: string, text: string | undefined, fallback: number): number => {
    const value = text === undefined ? fallback : Number(text)
    if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} takes a whole number`)
    return value
  }
  const lines = number('lines', values.lines, FAILURE_LINES)
  const maxFailures = number('failures', values.failures, MAX_FAILURES)
  const crashAt =
    values['crash-at'] === undefined ? undefined : new Set([number('crash-at', values['crash-at'], 0)])
  const first = number('from', values.from ?? values.seed, 1 + (Date.now() % 1_000_000_000))
  const seconds = number('seconds', values.seconds, values.seeds === undefined ? 60 : Number.MAX_SAFE_INTEGER)
  const seeds = number('seeds', values.seeds, values.seed === undefined ? Number.MAX_SAFE_INTEGER : 1)

  const sabotage = sabotages.find((each) => each === values.sabotage)
  if (values.sabotage !== undefined && sabotage === undefined) {
    throw new Error(`--sabotage takes one of: ${sabotages.join(', ')}`)
  }
  const options = { ...(crashAt && { crashAt }), ...(sabotage && { sabotage }) }
  const run = new Run(lines, maxFailures)
  if (values.trace) {
    const outcome = await simulate(first, { ...options, traceLines: 1_000_000 })
    process.stdout.write(`${outcome.lines.join('\n')}\n`)
    run.count(outcome)
    if (outcome.failure !== undefined) process.stdout.write(`seed ${first}: ${outcome.failure.stack}\n`)
    process.exitCode = outcome.failure === undefined ? 0 : 1
    return
  }
  process.stdout.write(`from seed ${first}\n`)
  const endMs = performance.now() + seconds * 1000
  for (let seed = first; seed < first + seeds && performance.now() < endMs && !run.isOver; seed++) {
    const { appends } = await run.one(seed, options)
    if (!values['crash-at-every-append']) continue
    for (let append = 1; append <= appends && performance.now() < endMs && !run.isOver; append++) {
      await run.one(seed, { ...options, crashAt: new Set([append]) })
    }
  }
  run.report()
  if (values.counts) run.reportCounts()
  process.exitCode = run.failed === 0 ? 0 : 1
}

class Run {
  failed = 0
  readonly #lines: number
  readonly #maxFailures: number
  readonly #startedMs = performance.now()
  #printedMs = performance.now()
  readonly #counts = new Map<string, number>()
  #runs = 0
  #steps = 0
  #virtualMs = 0
  #appends = 0
  #starts = 0
  #transactions = 0

  constructor(lines: number, maxFailures: number) {
    this.#lines = lines
    this.#maxFailures = maxFailures
  }

  get isOver(): boolean {
    return this.failed >= this.#maxFailures
  }

  async one(seed: number, options: SimulationOptions): Promise<SimulationOutcome> {
    const { crashAt } = options
    const outcome = await simulate(seed, options)
    this.count(outcome)
    if (outcome.failure !== undefined) {
      this.failed++
      // The same again, this time in words.
      const { lines, failure, traceHash } = await simulate(seed, { ...options, traceLines: 2 * this.#lines })
      const again = `--seed ${seed}${crashAt === undefined ? '' : ` --crash-at ${[...crashAt].join()}`}`
      process.stdout.write(`${lines.slice(-this.#lines).join('\n')}\n`)
      process.stdout.write(`FAILED ${again} at step ${outcome.steps}: ${failure?.stack}\n`)
      if (traceHash !== outcome.traceHash)
        process.stdout.write('The second run went another way than the first.\n')
    }
    if (performance.now() - this.#printedMs > PROGRESS_MS) this.report()
    return outcome
  }

  count({ steps, virtualMs, appends, brokerStarts, transactions, counts }: SimulationOutcome): void {
    for (const [what, count] of counts) this.#counts.set(what, (this.#counts.get(what) ?? 0) + count)
    this.#runs++
    this.#steps += steps
    this.#virtualMs += virtualMs
    this.#appends += appends
    this.#starts += brokerStarts
    this.#transactions += transactions
  }

  reportCounts(): void {
    for (const [what, count] of [...this.#counts].sort()) process.stdout.write(`${what}: ${count}\n`)
  }

  report(): void {
    this.#printedMs = performance.now()
    const seconds = (this.#printedMs - this.#startedMs) / 1000
    process.stdout.write(
      `${this.#runs} runs, ${(this.#runs / seconds).toFixed(1)}/s; ${(this.#virtualMs / 3_600_000).toFixed(1)} h of ` +
        `virtual time, ${this.#steps} events, ${this.#appends} appends, ${this.#starts} starts of the broker, ` +
        `${this.#transactions} transactions; ${this.failed} failed\n`,
    )
  }
}

main().catch((error: Error) => {
  const isArgument = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
  process.stderr.write(`sim: ${isArgument ? `${error.message} (see --help)` : error.stack}\n`)
  process.exitCode = 1
})
