/**
 * `npm run bench`: StreamBus beside its peers on this machine, in one run, in turns. Prints every repetition
 * as it is measured, then the tables; leaves the raw samples in `.cache/bench/`.
 */
import { mkdir, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { cacheDir, workspaceDir } from '../peers/workspace.ts'
import { measureAcknowledgementLatency } from './cases/acknowledgement-latency.ts'
import { measureFetchCold, measureFetchTail } from './cases/fetch-throughput.ts'
import { measureGroupJoin } from './cases/group-join.ts'
import { measureKafkaTools } from './cases/kafka-tools.ts'
import { measureOffsetCommits } from './cases/offset-commits.ts'
import { measureProduceCapacity, shapes } from './cases/produce-capacity.ts'
import {
  measureConnections,
  measurePartitions,
  measureRecovery,
  measureStart,
} from './cases/start-and-memory.ts'
import { measureStartWithGroups } from './cases/start-with-groups.ts'
import { measureTransactionalProduce, measureTransactions } from './cases/transactions.ts'
import { describeMachine } from './machine.ts'
import { goalTable, rawDiskTable, resultTables, writeIntoDocument } from './report.ts'
import type { Sample } from './samples.ts'
import { type RawDiskBefore, Session, type Settings } from './session.ts'
import { type SystemName, systemLabels, systemNames } from './systems.ts'

/** A case and the letter of the group it is chosen by. */
interface Case {
  readonly group: string
  readonly name: string
  readonly run: (session: Session) => Promise<void>
}

const cases: readonly Case[] = [
  ...shapes.map(({ measured }) => ({
    group: 'a',
    name: measured,
    run: (session: Session) => measureProduceCapacity(session, measured),
  })),
  { group: 'b', name: 'tools', run: measureKafkaTools },
  { group: 'c', name: 'latency', run: measureAcknowledgementLatency },
  { group: 'd', name: 'fetch-tail', run: measureFetchTail },
  { group: 'd', name: 'fetch-cold', run: measureFetchCold },
  { group: 'e', name: 'start', run: measureStart },
  { group: 'e', name: 'connections', run: measureConnections },
  { group: 'e', name: 'partitions', run: measurePartitions },
  { group: 'e', name: 'recovery', run: measureRecovery },
  { group: 'f', name: 'group-join', run: measureGroupJoin },
  { group: 'f', name: 'commits', run: measureOffsetCommits },
  { group: 'f', name: 'start-groups', run: measureStartWithGroups },
  { group: 'g', name: 'transactions', run: measureTransactions },
  { group: 'g', name: 'transactional-produce', run: measureTransactionalProduce },
]

const MIN_FREE_BYTES = 40e9
const MIN_FREE_BYTES_QUICK = 10e9

const usage = `npm run bench -- [options]

  --only a,b        groups (a–g) or cases: ${cases.map(({ name }) => name).join(', ')}
  --systems x,y     of ${systemNames.join(', ')}
  --rounds N        repetitions of each case on each system (3)
  --seconds S       length of one repetition (4)
  --disturbance C   cores that others may take from a repetition before it is repeated (0.05)
  --attempts N      how often a disturbed repetition is made at most (3)
  --quick           one short round with little data: whether everything runs, not how fast (about 6 minutes)
  --full            Kafka also with 10,000 partitions and in recovery
  --complete-from F take what is not measured now from the samples of an earlier run
  --write           put the tables into docs/PERFORMANCE.md
`

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      only: { type: 'string' },
      systems: { type: 'string', default: systemNames.join(',') },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      disturbance: { type: 'string', default: '0.05' },
      attempts: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      'complete-from': { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (options.help) {
    process.stdout.write(usage)
    return
  }
  // Reading extra certificates adds 80 ms to every start of Node, ours and the load's.
  delete process.env.NODE_EXTRA_CA_CERTS

  const folder = `${cacheDir}/bench/data-${process.pid}`
  await mkdir(folder, { recursive: true })
  const { bavail, bsize } = await statfs(folder)
  const needed = options.quick ? MIN_FREE_BYTES_QUICK : MIN_FREE_BYTES
  if (bavail * bsize < needed) {
    throw new Error(`${folder} has ${Math.round((bavail * bsize) / 1e9)} GB free, ${needed / 1e9} are needed`)
  }
  const session = new Session(
    {
      rounds: positive('rounds', options.rounds ?? (options.quick ? '1' : '3')),
      seconds: positive('seconds', options.seconds ?? (options.quick ? '1' : '4')),
      warmupSeconds: options.quick ? 0.5 : 1.5,
      systems: chosenSystems(options.systems),
      full: options.full,
      quick: options.quick,
      maxDisturbedCores: Number(options.disturbance),
      maxAttempts: positive('attempts', options.attempts),
    },
    folder,
  )
  const startedMs = performance.now()
  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim()
  session.say(`${describeMachine()}\n${new Date().toISOString()}  ${command}`)
  try {
    for (const { run } of chosenCases(options.only)) await run(session)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const measuredNow = new Set(session.samples.all.map((sample) => sample.measured))
  const earlier = options['complete-from']
  const completed = earlier === undefined ? [] : await completeFrom(earlier, session, measuredNow)
  const minutes = Math.round((performance.now() - startedMs) / 60_000)
  const generated = [
    [conditions(session, command, minutes), ...completed].join('\n'),
    goalTable(session),
    resultTables(session),
    '#### The disk in the same minutes',
    rawDiskTable(session),
  ].join('\n\n')
  session.say(`\n${generated}`)
  const file = `${cacheDir}/bench/${new Date().toISOString().replaceAll(/[:.]/g, '-')}.json`
  const { settings, samples, rawDisk, versions } = session
  const record: RunRecord = {
    machine: describeMachine(),
    command,
    at: new Date().toISOString(),
    settings,
    versions: [...versions],
    rawDisk,
    samples: samples.all,
  }
  await writeFile(file, JSON.stringify(record, null, 1))
  session.say(`\nSamples: ${file}`)
  if (options.write) await writeIntoDocument(`${workspaceDir}/docs/PERFORMANCE.md`, generated)
}

interface RunRecord {
  readonly machine: string
  readonly command: string
  readonly at: string
  readonly settings: Settings
  readonly versions: readonly (readonly [SystemName, string])[]
  readonly rawDisk: readonly RawDiskBefore[]
  readonly samples: readonly Sample[]
}

/** Adds what an earlier run measured and this one did not. Returns the line that says so. */
async function completeFrom(
  file: string,
  session: Session,
  measuredNow: ReadonlySet<string>,
): Promise<string[]> {
  const record = JSON.parse(await readFile(file, 'utf8')) as RunRecord
  if (record.machine !== describeMachine())
    throw new Error(`${file} is from another machine: ${record.machine}`)
  for (const sample of record.samples) if (!measuredNow.has(sample.measured)) session.samples.add(sample)
  for (const [name, version] of record.versions) session.versions.set(name, version)
  session.rawDisk.unshift(...record.rawDisk)
  const names = [...measuredNow].join(', ')
  return [
    `- Measured now: ${names}. Everything else: \`${record.command}\`, ${record.settings.rounds} rounds, ${record.at.slice(0, 16)}Z`,
  ]
}

function conditions(session: Session, command: string, minutes: number): string {
  const versions = [...session.versions].map(([name, version]) => `${systemLabels[name]} ${version}`)
  const cache = session.pageCacheDropped ? 'dropped before each cold fetch' : 'not dropped (needs root)'
  return [
    `- Command: \`${command}\`, ${minutes} minutes, ${new Date().toISOString().slice(0, 16)}Z`,
    `- Machine: ${describeMachine()}`,
    `- Systems: ${versions.join('; ') || 'as in the tables'}`,
    `- Medians of ${session.settings.rounds} rounds (lowest–highest); ${session.repeated} repetitions were disturbed and made again (each was made at most ${session.settings.maxAttempts} times); page cache ${cache}`,
  ].join('\n')
}

function chosenCases(only: string | undefined): readonly Case[] {
  if (only === undefined) return cases
  const wanted = only.split(',')
  for (const word of wanted) {
    if (!cases.some(({ group, name }) => word === group || word === name)) {
      throw new Error(`there is no case "${word}"\n${usage}`)
    }
  }
  return cases.filter(({ group, name }) => wanted.includes(group) || wanted.includes(name))
}

function chosenSystems(words: string): SystemName[] {
  return words.split(',').map((word) => {
    const name = systemNames.find((candidate) => candidate === word)
    if (name === undefined) throw new Error(`there is no system "${word}"\n${usage}`)
    return name
  })
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} needs a number above 0, not "${text}"`)
  return value
}

// Ending by `exit` takes the servers along; a signal's default would leave them running.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
main().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = 1
})
