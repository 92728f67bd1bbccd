/**
 * `npx tsx --conditions=streambus-source bench/profile.ts produce-50x1k [fsync|os]`: runs one of the produce
 * loads against a StreamBus broker under Node's CPU profiler and prints where its time went, by function of
 * the sources. The profile itself stays in `.cache/bench/` for a viewer.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { SourceMap } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cacheDir, workspaceDir } from '../peers/workspace.ts'
import { shapes } from './cases/produce-capacity.ts'
import { runLoad } from './load/load-process.ts'
import { cpuSeconds } from './machine.ts'
import { startKafkaSystem } from './systems.ts'

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
const MEASURE_MS = 5_000

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true })
  const [measured, durability = 'fsync'] = positionals
  const shape = shapes.find((candidate) => candidate.measured === measured)
  if (shape === undefined) {
    throw new Error(`which load? One of ${shapes.map((candidate) => candidate.measured).join(', ')}`)
  }
  delete process.env.NODE_EXTRA_CA_CERTS
  const folder = `${cacheDir}/bench/profile-${measured}-${process.pid}`
  await mkdir(folder, { recursive: true })
  const name = durability === 'os' ? 'streambus-os' : 'streambus-fsync'
  const system = await startKafkaSystem(name, `${folder}/data`, ['--cpu-prof', `--cpu-prof-dir=${folder}`])
  try {
    await system.createTopic('profiled', shape.partitions)
    const { report, before, after } = await runLoad(
      {
        kind: 'produce',
        wire: 'kafka',
        port: system.port,
        topic: 'profiled',
        partitions: shape.partitions,
        connections: shape.connections,
        inFlight: shape.inFlight,
        batchBytes: shape.batchBytes,
        recordBytes: shape.recordBytes,
        warmupMs: 500,
        measureMs: MEASURE_MS,
        maxBytes: 3e9,
      },
      system.pid,
    )
    const cpu = cpuSeconds(system.pid, before, after)
    const cores = cpu / report.seconds
    process.stdout.write(
      `${shape.title}: ${(report.bytes / 1e6 / report.seconds).toFixed(0)} MB/s, ${(report.acknowledgements / report.seconds).toFixed(0)} acks/s, broker ${cores.toFixed(2)} cores, ${((cpu / report.acknowledgements) * 1e6).toFixed(1)} µs CPU per request, while profiled\n`,
    )
  } finally {
    await system.discard()
  }
  const [file] = (await readdir(folder)).filter((entry) => entry.endsWith('.cpuprofile'))
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
