/** Runs the simulation of a failing disk under the local engine (packages/storage/src/testing). See `--help`. */
import { parseArgs } from 'node:util'
import { simulateCompaction } from '../packages/storage/src/testing/compaction-simulation.ts'
import { enumerateCrashes } from '../packages/storage/src/testing/crash-enumeration.ts'
import { simulateCrashes } from '../packages/storage/src/testing/crash-simulation.ts'
import { shortHistories } from '../packages/storage/src/testing/short-histories.ts'

const PROGRESS_MS = 5000
const MINUTE_MS = 60_000
const DEFAULT_SEEDS = 1000
const FAILURE_LINES = 40

const help = `npm run sim:storage -- [options]

Runs the production engine on a disk in memory that loses, tears, reorders, refuses, forgets and is slow, and compares
what every start finds with a model. A violation prints its seed, the last operations on the disk and what was
violated; then the exit code is 1.

  --seeds N      so many random histories (${DEFAULT_SEEDS}, where no time is given)
  --minutes M    for so long
  --from S       beginning with this seed (default: another one each time)
  --compaction   only those that compact and merge, else every fourth
  --exhaustive   instead: short histories with a crash after every operation
  --nested       then also after every operation of the starts that follow
  --history N    of these only the one with this number
  --singles N    of what was not synced at a crash, so many changes kept alone or lost alone (6)
  --lines N      operations printed of a violation (${FAILURE_LINES})
  --self-test    the engine with something left out, again and again, which must be found each time
  --only TEXT    of what is left out, only that whose name contains it`

/** What nobody waited for and failed: it would end the process of a user. */
let unhandled: Error | null = null
process.on('unhandledRejection', (error: Error) => {
  unhandled ??= error
})

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      minutes: { type: 'string' },
      from: { type: 'string' },
      compaction: { type: 'boolean', default: false },
      exhaustive: { type: 'boolean', default: false },
      nested: { type: 'boolean', default: false },
      history: { type: 'string' },
      singles: { type: 'string', default: '6' },
      lines: { type: 'string', default: String(FAILURE_LINES) },
      'self-test': { type: 'boolean', default: false },
      only: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const number = (name: keyof typeof values, fallback: number): number => {
    const value = values[name] === undefined ? fallback : Number(values[name])
    if (!(value >= 0)) throw new Error(`--${name} takes a number`)
    return value
  }
  if (values.help) {
    process.stdout.write(`${help}\n`)
    return
  }
  if (values['self-test']) {
    process.exitCode = (await (await import('./storage-self-test.ts')).runSelfTest(values.only)) ? 0 : 1
    return
  }
  const endMs = performance.now() + number('minutes', Number.POSITIVE_INFINITY) * MINUTE_MS
  const run = new Run(endMs)
  if (values.exhaustive) {
    const history = values.history === undefined ? null : number('history', 0)
    await run.exhaustive(number('singles', 6), values.nested, history)
  } else {
    const from = number('from', 1 + (Date.now() % 1_000_000_000))
    const seeds = number('seeds', values.minutes === undefined ? DEFAULT_SEEDS : Number.POSITIVE_INFINITY)
    await run.random(from, seeds, number('lines', FAILURE_LINES), values.compaction)
  }
  run.report(true)
  process.exitCode = run.failed ? 1 : 0
}

class Run {
  failed = false
  readonly #startedMs = performance.now()
  readonly #endMs: number
  #printedMs = performance.now()
  #histories = 0
  #crashPoints = 0
  #starts = 0
  #operations = 0
  readonly #counts = new Map<string, number>()
  readonly #faults = new Map<string, number>()

  constructor(endMs: number) {
    this.#endMs = endMs
  }

  async random(from: number, seeds: number, lines: number, onlyCompaction: boolean): Promise<void> {
    print(`from seed ${from}`)
    for (let seed = from; seed < from + seeds && !this.#isOver; seed++) {
      const progress = { trace: [] as readonly string[] }
      unhandled = null
      try {
        // Those of compaction have a model of their own.
        const simulate = onlyCompaction || seed % 4 === 0 ? simulateCompaction : simulateCrashes
        const { trace, counts, faults } = await simulate(seed, progress)
        if (unhandled !== null) throw unhandled
        this.#histories++
        this.#operations += trace.length
        this.#crashPoints += counts.crashes ?? 0
        this.#starts += (counts.crashes ?? 0) + (counts['clean closes'] ?? 0)
        add(this.#counts, counts)
        add(this.#faults, faults)
      } catch (error) {
        this.failed = true
        print(progress.trace.slice(-lines).join('\n'))
        print(`FAILED --from ${seed} --seeds 1: ${(error as Error).stack}`)
      }
      this.report(false)
    }
  }

  async exhaustive(maxSingles: number, isNested: boolean, only: number | null): Promise<void> {
    for (const sectorBytes of [4096, 512] as const) {
      for (const [number, history] of shortHistories.entries()) {
        if (this.#isOver || (only !== null && number !== only)) continue
        // A start writes so little that the size of its sectors makes no difference.
        const options = { sectorBytes, maxSingles, crashesStarts: isNested && sectorBytes === 4096 }
        try {
          const { crashPoints } = await enumerateCrashes(history, options, () => {
            this.#starts++
            this.report(false)
          })
          this.#histories++
          this.#crashPoints += crashPoints
          print(`ok   ${number} '${history.name}', sectors of ${sectorBytes}: ${crashPoints} crash points`)
        } catch (error) {
          this.failed = true
          print(`FAILED --exhaustive --history ${number}: ${(error as Error).stack}`)
        }
      }
    }
  }

  get #isOver(): boolean {
    return this.failed || performance.now() > this.#endMs
  }

  report(isLast: boolean): void {
    if (!isLast && performance.now() - this.#printedMs < PROGRESS_MS) return
    this.#printedMs = performance.now()
    const seconds = (this.#printedMs - this.#startedMs) / 1000
    print(
      `${this.#histories} histories, ${this.#crashPoints} crash points, ${this.#starts} starts compared` +
        `${this.#operations === 0 ? '' : `, ${this.#operations} disk operations`}, ${seconds.toFixed(0)} s`,
    )
    if (!isLast) return
    if (this.#faults.size > 0) print(`faults: ${listed(this.#faults)}`)
    if (this.#counts.size > 0) print(`met: ${listed(this.#counts)}`)
    print(this.failed ? 'a violation was found' : 'no violation')
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function add(to: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [what, count] of Object.entries(counts)) to.set(what, (to.get(what) ?? 0) + count)
}

function listed(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([one], [other]) => (one < other ? -1 : 1))
  return sorted.map(([what, count]) => `${what} ${count}`).join(', ')
}

main().catch((error: Error) => {
  const isArgument = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true
  process.stderr.write(`sim:storage: ${isArgument ? `${error.message} (see --help)` : error.stack}\n`)
  process.exitCode = 1
})
