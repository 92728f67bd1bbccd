/** Whether a broker that runs for long stays as it is. See `--help`. */
import { mkdir, rm, statfs } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { cacheDir } from '../../peers/workspace.ts'
import { describeMachine } from '../machine.ts'
import { hasProc } from './broker-figures.ts'
import { compareThirds, describeRule, MIN_INTERVALS } from './flatness.ts'
import type { Interval } from './intervals.ts'
import { lineOf, lineTitles, minutesTable, verdict, verdictTable, writeDocument } from './report.ts'
import { soak } from './soak.ts'

const DEFAULT_MINUTES = 30
const DEFAULT_INTERVAL_SECONDS = 10
const MIN_FREE_BYTES = 30e9

const help = `npm run bench:soak -- [options]

Runs a broker (fsync) in a process of its own at full load, on topics with short retention and a compacted one, and
looks at it in each interval: memory, files, bytes on the disk, handles, the latency of paced probes, throughput. The
load is chosen in bench/soak/soak-load.ts. Needs ${MIN_FREE_BYTES / 1e9} GB of disk, and a machine with nothing else to do.

  --minutes N    how long (${DEFAULT_MINUTES})
  --interval S   seconds of an interval (${DEFAULT_INTERVAL_SECONDS}); at least ${MIN_INTERVALS} have to fit in
  --write        put what was found into docs/SOAK.md and docs/soak.svg

${describeRule()}

Exit code 1 if it is not flat, or when a consumer finds a gap, a repeat or a damaged batch, which ends the soak and
leaves its folder.`

async function main(stopping: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: String(DEFAULT_MINUTES) },
      interval: { type: 'string', default: String(DEFAULT_INTERVAL_SECONDS) },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${help}\n`)
    return
  }
  const minutes = Number(values.minutes)
  const intervalSeconds = Number(values.interval)
  if (!(intervalSeconds >= 1) || !(minutes * 60 >= MIN_INTERVALS * intervalSeconds)) {
    throw new Error(
      `--minutes and --interval leave no room for ${MIN_INTERVALS} intervals of a second or more`,
    )
  }
  // It would add 80 ms to every start of Node.
  delete process.env.NODE_EXTRA_CA_CERTS
  const folder = `${cacheDir}/bench/soak-${process.pid}`
  await mkdir(folder, { recursive: true })
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < MIN_FREE_BYTES) {
    throw new Error(
      `${folder} has ${Math.round((bavail * bsize) / 1e9)} GB free, ${MIN_FREE_BYTES / 1e9} are needed`,
    )
  }
  const command = `npm run bench:soak -- ${process.argv.slice(2).join(' ')}`.trim()
  say(`${describeMachine()}\n${new Date().toISOString()}  ${command}`)
  if (!hasProc) say('there is no /proc here: memory, cores and handles of the broker are absent')
  say(lineTitles())
  const intervals: Interval[] = []
  try {
    const { version, bytesRead } = await soak({
      folder,
      durationMs: minutes * 60_000,
      intervalMs: intervalSeconds * 1000,
      signal: stopping,
      onInterval(interval) {
        intervals.push(interval)
        say(lineOf(interval))
      },
    })
    const comparisons = compareThirds(intervals)
    const found = { version, command, intervalSeconds, intervals, comparisons, bytesRead }
    say(`\n${minutesTable(intervals)}\n\n${verdictTable(comparisons)}\n\n${verdict(found)}`)
    if (values.write) await writeDocument(found)
    if (comparisons.some(({ isFlat }) => isFlat === false)) process.exitCode = 1
  } catch (error) {
    if (!stopping.aborted) {
      say(`\n${minutesTable(intervals)}\n\ndata and log of the broker: ${folder}`)
      throw error
    }
    say(`\n${minutesTable(intervals)}\n\nstopped before the end: no verdict`)
  }
  await rm(folder, { recursive: true, force: true })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

const stopping = new AbortController()
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    // The second time it ends at once; ending by `exit` takes the processes along.
    if (stopping.signal.aborted) process.exit(exitCode)
    process.exitCode = exitCode
    stopping.abort()
  })
}
main(stopping.signal).catch((error: Error) => {
  process.stderr.write(`bench:soak: ${error.message}\n`)
  process.exitCode = 1
})
