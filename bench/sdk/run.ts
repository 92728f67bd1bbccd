/** The SDK beside other clients for Node, against the same broker in the same run. See `--help`. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from 'streambus'
import { runCommand } from '../../peers/command.ts'
import { installNpmPackages } from '../../peers/npm.ts'
import { startStreambus } from '../../peers/streambus.ts'
import { versions } from '../../peers/versions.ts'
import { cacheDir, workspaceDir } from '../../peers/workspace.ts'
import { describeMachine } from '../machine.ts'
import type { Task, TaskResult } from './worker.ts'

const help = `npm run bench:sdk -- [options]

Measures this SDK, kafkajs and @platformatic/kafka with messages of 100 bytes and acks=all, each in a process of its
own, in turns, against one StreamBus broker. Prints medians (lowest–highest) and ratios to the fastest other client.

  --rounds N        repetitions of each case on each client (5)
  --messages N      messages sent at once and read, in thousands (100; ten times as many are read)
  --durability MODE of the broker: fsync or os (os: the client is what is measured)
  --write           put the tables into docs/sdk/PERFORMANCE.md`

const THOUSAND = 1_000
const ONE_BY_ONE = 10 * THOUSAND
const BATCH_MESSAGES = 100
const WORKER_TIMEOUT_MS = 300_000
const LARGE_VALUE_BYTES = 1_000
const GIGABYTE = 1e9
const clients = ['streambus', 'kafkajs', 'platformatic'] as const
type ClientName = (typeof clients)[number]

const titles: Readonly<Record<ClientName, string>> = {
  streambus: 'StreamBus',
  kafkajs: `kafkajs ${versions.kafkajs}`,
  platformatic: `@platformatic/kafka ${versions.platformaticKafka}`,
}

const cases = [
  { name: 'one-by-one', title: '`await send()`, one after the other', ratio: 1, perSecond: 0 },
  { name: 'concurrent', title: '`send()` many at once', ratio: 2, perSecond: 500_000 },
  { name: 'batches', title: 'batches of 100', ratio: 1.5, perSecond: 0 },
  { name: 'consume', title: 'consume, as a group of one', ratio: 2, perSecond: 800_000 },
] as const
const MAX_HEAP_MB = 100

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    messages: { type: 'string', default: '100' },
    durability: { type: 'string', default: 'os' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  const rounds = wholeNumber('rounds', values.rounds)
  const messages = wholeNumber('messages', values.messages) * THOUSAND
  const { durability } = values
  if (durability !== 'fsync' && durability !== 'os') throw new Error('--durability takes fsync or os')
  const folder = `${cacheDir}/npm/bench-sdk`
  console.log('installing the clients')
  const node = await installNpmPackages(folder, {
    kafkajs: versions.kafkajs,
    '@platformatic/kafka': versions.platformaticKafka,
  })
  const dataDir = `${cacheDir}/bench/sdk-${process.pid}`
  const broker = await startStreambus({
    dataDir,
    durability,
    args: ['--set', 'group.initial.rebalance.delay.ms=0'],
  })
  const results = new Map<string, number[]>()
  const note = (name: ClientName, measured: string, value: number): void => {
    const key = `${name} ${measured}`
    results.set(key, [...(results.get(key) ?? []), value])
  }
  try {
    const toRead = { topic: 'to-read', messages: messages * 10 }
    const gigabyte = { topic: 'gigabyte', messages: GIGABYTE / LARGE_VALUE_BYTES }
    await fill(broker.bootstrap, toRead, 100)
    await fill(broker.bootstrap, gigabyte, LARGE_VALUE_BYTES)
    for (let round = 0; round < rounds; round++) {
      // Each begins once in a while, so that none always has the machine as another one left it.
      for (let turn = 0; turn < clients.length; turn++) {
        const name = clients[(round + turn) % clients.length]!
        const group = `${name}-${round}`
        const topic = await newTopic(broker.bootstrap, group)
        const tasks: Task[] = [
          { kind: 'one-by-one', topic, messages: ONE_BY_ONE },
          { kind: 'concurrent', topic, messages },
          {
            kind: 'batches',
            topic,
            batches: (messages * 2) / BATCH_MESSAGES,
            batchMessages: BATCH_MESSAGES,
          },
          { kind: 'consume', group, ...toRead },
        ]
        const measured = await measure(node, name, broker.bootstrap, folder, tasks)
        console.log(
          `${titles[name]}: ${measured.map(({ messagesPerSecond }) => figure(messagesPerSecond)).join(', ')} messages/s`,
        )
        for (const [index, { name: caseName }] of cases.entries()) {
          note(name, caseName, measured[index]!.messagesPerSecond)
        }
        // In a process of its own: what the sending left behind is not the consumer's.
        const large: Task = { kind: 'consume', group: `${group}-gigabyte`, ...gigabyte }
        const [consumed] = await measure(node, name, broker.bootstrap, folder, [large])
        note(name, 'gigabyte', consumed!.messagesPerSecond)
        note(name, 'heap', consumed!.maxHeapMb!)
      }
    }
  } finally {
    await broker.stop()
    await rm(dataDir, { recursive: true, force: true })
    await rm(`${dataDir}.log`, { force: true })
  }
  const report = reportOf(results, { rounds, messages, durability })
  console.log(report)
  if (values.write) await writeReport(report)
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a whole number above 0`)
  return value
}

async function newTopic(bootstrap: string, topic: string): Promise<string> {
  await using bus = await connect(bootstrap)
  await bus.admin.createTopic(topic, { partitions: 1 })
  return topic
}

async function fill(
  bootstrap: string,
  { topic, messages }: { topic: string; messages: number },
  valueBytes: number,
): Promise<void> {
  await newTopic(bootstrap, topic)
  await using bus = await connect(bootstrap)
  // The batches of 16 KB that Java's producer makes: what a consumer usually meets.
  const producer = bus.producer({ maxBatchBytes: 16 * 1024 })
  const value = Buffer.alloc(valueBytes, 'x')
  const chunk = Array.from({ length: THOUSAND }, () => ({ value }))
  for (let sent = 0; sent < messages; sent += chunk.length) await producer.sendBatch(topic, chunk)
}

async function measure(
  node: string,
  name: ClientName,
  bootstrap: string,
  modulesDir: string,
  tasks: readonly Task[],
): Promise<TaskResult[]> {
  const file = (script: string) => fileURLToPath(new URL(`./${script}.ts`, import.meta.url))
  const args = [file('worker'), file(name), bootstrap, modulesDir, JSON.stringify(tasks)]
  const { stdout } = await runCommand(node, args, { name: titles[name], timeoutMs: WORKER_TIMEOUT_MS })
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as TaskResult)
}

function figure(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function yesOrNo(met: boolean): string {
  return met ? 'yes' : '**no**'
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

interface Run {
  readonly rounds: number
  readonly messages: number
  readonly durability: string
}

function reportOf(results: ReadonlyMap<string, number[]>, run: Run): string {
  const of = (name: ClientName, measured: string): number[] => results.get(`${name} ${measured}`) ?? []
  const lines = [
    `- Command: \`npm run bench:sdk -- ${process.argv.slice(2).join(' ')}\`, ${new Date().toISOString().slice(0, 16)}Z`,
    `- Machine: ${describeMachine()}; clients on Node ${versions.node}`,
    `- Messages of 100 bytes, acks=all, one partition, broker with durability ${run.durability}; ${figure(run.messages)} at once; medians of ${run.rounds} rounds (lowest–highest)`,
    '',
    `| messages/s | ${clients.map((name) => titles[name]).join(' | ')} | × the fastest other | goal | met |`,
    '|---|---|---|---|---|---|---|',
  ]
  const row = (
    measured: string,
    title: string,
    goal: { ratio: number; perSecond: number } | null,
  ): string => {
    const cells = clients.map((name) => {
      const list = of(name, measured)
      return `${figure(median(list))} (${figure(Math.min(...list))}–${figure(Math.max(...list))})`
    })
    const others = Math.max(...clients.slice(1).map((name) => median(of(name, measured))))
    const ours = median(of('streambus', measured))
    const place = `| ${title} | ${cells.join(' | ')} | ${(ours / others).toFixed(2)} |`
    if (goal === null) return `${place} – | – |`
    const asked = goal.perSecond > 0 ? `≥ ${goal.ratio} and ≥ ${figure(goal.perSecond)}/s` : `≥ ${goal.ratio}`
    const met = ours / others >= goal.ratio && ours >= goal.perSecond
    return `${place} ${asked} | ${yesOrNo(met)} |`
  }
  for (const { name, title, ...goal } of cases) lines.push(row(name, title, goal))
  lines.push(row('gigabyte', 'consume 1 GB in messages of 1,000 bytes', null))
  const heaps = clients.map((name) => `${Math.round(Math.max(...of(name, 'heap')))} MB`)
  const heapMet = Math.max(...of('streambus', 'heap')) <= MAX_HEAP_MB
  lines.push(
    `| heap in use meanwhile, at most | ${heaps.join(' | ')} | – | ≤ ${MAX_HEAP_MB} MB | ${yesOrNo(heapMet)} |`,
  )
  return `${lines.join('\n')}\n`
}

async function writeReport(report: string): Promise<void> {
  const file = `${workspaceDir}/docs/sdk/PERFORMANCE.md`
  const page = await readFile(file, 'utf8')
  const begin = '<!-- bench:begin: written by `npm run bench:sdk -- --write` -->'
  const end = '<!-- bench:end -->'
  const [before, rest] = page.split(begin)
  if (rest === undefined) throw new Error(`${file} has no place for the tables`)
  await writeFile(file, `${before}${begin}\n\n${report}\n${end}${rest.split(end)[1]}`)
}
