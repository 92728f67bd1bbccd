/**
 * `npx tsx --conditions=streambus-source bench/profile.ts produce-50x1k [fsync|os]`: runs one of the loads
 * against a StreamBus broker under Node's CPU profiler and prints where its time went, by function of the
 * sources. The profile itself stays in `.cache/bench/` for a viewer.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cacheDir, workspaceDir } from '../peers/workspace.ts'
import { GROUP_PARTITIONS, GROUP_TOPIC, groupJoinJob } from './cases/group-join.ts'
import { COMMITTING_GROUPS, commitJob } from './cases/offset-commits.ts'
import { produceJob, shapes } from './cases/produce-capacity.ts'
import { manyGroups, storeGroups, timeToAllGroups } from './cases/start-with-groups.ts'
import {
  LARGE_PRODUCERS,
  largeTransactionJob,
  TRANSACTION_PARTITIONS,
  transactionJob,
} from './cases/transactions.ts'
import type { CommitJob, ProduceJob, SequencedProduceJob, TransactionJob } from './load/jobs.ts'
import { runLoad } from './load/load-process.ts'
import { cpuSeconds } from './machine.ts'
import { type RestartableSystem, startKafkaSystem } from './systems.ts'

interface ProfileNode {
  readonly id: number
  readonly callFrame: {
    readonly functionName: string
    readonly url: string
    readonly lineNumber: number
    readonly columnNumber: number
  }
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const SHOWN_FUNCTIONS = 45
const PHASES = { warmupMs: 500, measureMs: 5_000 }
const MAX_BYTES = 3e9
const TOPIC = 'profiled'

/** What is counted, and how much of it was done; or null where only the time of a start counts. */
interface Done {
  readonly count: number
  readonly of: string
  readonly seconds: number
  readonly cpuSeconds: number
}

type ProfiledLoad = (system: RestartableSystem) => Promise<Done | null>

/** Under each measured name of the benchmark whose load a broker can be profiled under. */
const loads: ReadonlyMap<string, ProfiledLoad> = new Map([
  ...shapes.map((shape): [string, ProfiledLoad] => [
    shape.measured,
    (system) =>
      underLoad(system, shape.partitions, 'requests', {
        ...produceJob({ ...shape, measured: TOPIC }, system),
        ...PHASES,
        maxBytes: MAX_BYTES,
      }),
  ]),
  ...(['classic', 'consumer'] as const).map((protocol): [string, ProfiledLoad] => [
    `group-join-${protocol}`,
    async (system) => {
      await system.createTopic(GROUP_TOPIC, GROUP_PARTITIONS)
      const { report, before, after } = await runLoad(groupJoinJob(system, protocol, TOPIC), system.pid)
      const seconds = report.stableMs / 1000
      return {
        count: report.requests,
        of: 'requests',
        seconds,
        cpuSeconds: cpuSeconds(system.pid, before, after),
      }
    },
  ]),
  [
    'commits',
    (system) => underLoad(system, COMMITTING_GROUPS, 'commits', { ...commitJob(system, TOPIC), ...PHASES }),
  ],
  ...(['v2', 'v1'] as const).map((flow): [string, ProfiledLoad] => [
    `transactions-${flow}`,
    (system) =>
      underLoad(system, TRANSACTION_PARTITIONS, 'transactions', {
        ...transactionJob(system, flow, TOPIC),
        ...PHASES,
      }),
  ]),
  ...[false, true].map((transactional): [string, ProfiledLoad] => [
    transactional ? 'produce-transactional' : 'produce-idempotent',
    (system) =>
      underLoad(system, LARGE_PRODUCERS, 'requests', {
        ...largeTransactionJob(system, transactional, TOPIC),
        ...PHASES,
      }),
  ]),
  [
    'start-groups',
    async (system) => {
      await storeGroups(system, manyGroups)
      await system.stop()
      const answeredMs = await timeToAllGroups(() => system.restart(), system.port, manyGroups)
      process.stdout.write(`all groups answered after ${answeredMs.toFixed(0)} ms, while profiled\n`)
      return null
    },
  ],
])

async function underLoad(
  system: RestartableSystem,
  partitions: number,
  of: string,
  job: ProduceJob | CommitJob | TransactionJob | SequencedProduceJob,
): Promise<Done> {
  await system.createTopic(TOPIC, partitions)
  const { report, before, after } = await runLoad(job, system.pid)
  const { acknowledgements: count, seconds } = report
  return { count, of, seconds, cpuSeconds: cpuSeconds(system.pid, before, after) }
}

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true })
  const [measured = '', durability = 'fsync'] = positionals
  const load = loads.get(measured)
  if (load === undefined) throw new Error(`which load? One of ${[...loads.keys()].join(', ')}`)
  delete process.env.NODE_EXTRA_CA_CERTS
  const folder = `${cacheDir}/bench/profile-${measured}-${process.pid}`
  await mkdir(folder, { recursive: true })
  const name = durability === 'os' ? 'streambus-os' : 'streambus-fsync'
  const system = await startKafkaSystem(name, `${folder}/data`, ['--cpu-prof', `--cpu-prof-dir=${folder}`])
  let pid = system.pid
  try {
    const done = await load(system)
    pid = system.pid
    if (done !== null) {
      const { count, of, seconds, cpuSeconds: cpu } = done
      process.stdout.write(
        `${measured}: ${(count / seconds).toFixed(0)} ${of}/s, broker ${(cpu / seconds).toFixed(2)} cores, ${((cpu / count) * 1e6).toFixed(1)} µs CPU each, while profiled\n`,
      )
    }
  } finally {
    await system.discard()
  }
  // Named CPU.<date>.<time>.<pid>.<thread>.<sequence>; a broker that was started again leaves one each time.
  const [file] = (await readdir(folder)).filter(
    (entry) => entry.endsWith('.cpuprofile') && entry.split('.')[3] === String(pid),
  )
  if (file === undefined) throw new Error(`the broker left no profile in ${folder}`)
  await printProfile(JSON.parse(await readFile(`${folder}/${file}`, 'utf8')) as CpuProfile)
  process.stdout.write(`${folder}/${file}\n`)
}

async function printProfile(profile: CpuProfile): Promise<void> {
  const maps = new Map<string, SourceMap | null>()
  const nameById = new Map<number, string>()
  for (const node of profile.nodes) nameById.set(node.id, await describe(node, maps))
  const microsByName = new Map<string, number>()
  let busy = 0
  profile.samples.forEach((id, index) => {
    const name = nameById.get(id)!
    const micros = profile.timeDeltas[index]!
    if (name.startsWith('(idle)')) return
    busy += micros
    microsByName.set(name, (microsByName.get(name) ?? 0) + micros)
  })
  const sorted = [...microsByName].sort((a, b) => b[1] - a[1]).slice(0, SHOWN_FUNCTIONS)
  for (const [name, micros] of sorted) {
    process.stdout.write(`${((micros / busy) * 100).toFixed(1).padStart(5)} %  ${name}\n`)
  }
}

async function describe({ callFrame }: ProfileNode, maps: Map<string, SourceMap | null>): Promise<string> {
  const name = callFrame.functionName || '(anonymous)'
  if (!callFrame.url.startsWith('file:')) return `${name} ${callFrame.url}`.trim()
  const path = fileURLToPath(callFrame.url)
  if (!maps.has(path)) maps.set(path, await loadMap(path))
  const entry = maps.get(path)?.findEntry(callFrame.lineNumber, callFrame.columnNumber)
  const short = (of: string) => of.replace(`${workspaceDir}/`, '').replace(/^(\.\.\/)+/, '')
  if (entry === undefined || !('originalSource' in entry))
    return `${name} ${short(path)}:${callFrame.lineNumber + 1}`
  return `${name} ${short(entry.originalSource)}:${entry.originalLine + 1}`
}

async function loadMap(path: string): Promise<SourceMap | null> {
  try {
    return new SourceMap(JSON.parse(await readFile(`${path}.map`, 'utf8')))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

main().catch((error: Error) => {
  process.stderr.write(`profile: ${error.message}\n`)
  process.exitCode = 1
})
