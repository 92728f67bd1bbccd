/**
 * The interop ledger: unmodified foreign clients against the built broker. See `--help`.
 *
 * Every client runs its cases, the broker is killed with -9 and started again, every client continues with the
 * producers and connections it had, then each reads what the others wrote, then Kafka's tools have their turn.
 */
import { randomInt } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { versions } from '../peers/versions.ts'
import { cacheDir, workspaceDir } from '../peers/workspace.ts'
import type { ClientSource, InteropClient } from './client.ts'
import { COMPACTION_NAME, runCompactionCases } from './compaction-cases.ts'
import { runExactlyOnceCases } from './exactly-once/cases.ts'
import { expectedFailures } from './expected.ts'
import { GroupToolCases } from './group-tool-cases.ts'
import { runGroupCases } from './groups/cases.ts'
import { MIXED_NAME } from './groups/clients.ts'
import { javaClient } from './java-client.ts'
import { kcat } from './kcat.ts'
import { Ledger, type LedgerClient, machine } from './ledger.ts'
import { kafkajs, platformatic } from './npm-clients.ts'
import { kafkaPython } from './python-client.ts'
import { RecordCases } from './record-cases.ts'
import { streambusSdk } from './streambus-client.ts'
import { runStreamsCases, STREAMS_NAME } from './streams-cases.ts'
import { startTarget, type Target } from './target.ts'
import { newRunName, TOOLS_NAME, ToolCases } from './tool-cases.ts'
import { runTransactionCases } from './transaction-cases.ts'
import { TransactionToolCases } from './transaction-tool-cases.ts'

const sources: readonly ClientSource[] = [streambusSdk, kcat, kafkajs, platformatic, javaClient, kafkaPython]
const TOOLS_OPTION = 'tools'
const sections = [
  'records',
  'groups',
  'transactions',
  'exactly-once',
  'compaction',
  'streams',
  'tools',
] as const
type Section = (typeof sections)[number]
/** Records are dated back this far: younger than any retention, older than now. */
const RECORDS_AGE_MS = 3_600_000
const KILLS_WHILE_SENDING = 5
const LATEST_KILL_MS = 100

const help = `npm run interop -- [options]

Runs foreign Kafka clients against the broker built in this workspace and writes compat/LEDGER.md.

  --client <name>   only this client: ${sources.map(({ name }) => name).join(', ')},
                    ${MIXED_NAME}, ${STREAMS_NAME} or ${TOOLS_OPTION};
                    may be given several times. The ledger is then written to .cache/interop only.
  --only <part>     only this part: ${sections.join(', ')};
                    may be given several times. The ledger is then written to .cache/interop only.
  --seed <number>   when the exactly-once cases kill whom; printed by every run.
  --broker-defaults the broker with the settings it comes with, instead of those that make a run short.
  --against kafka   the same cases against Apache Kafka ${versions.kafka}, to prove the cases themselves right.
                    The ledger is then written to .cache/interop only.

What the broker and the clients log is in .cache/interop/*.log.`

const { values } = parseArgs({
  options: {
    client: { type: 'string', multiple: true },
    only: { type: 'string', multiple: true },
    seed: { type: 'string' },
    'broker-defaults': { type: 'boolean', default: false },
    against: { type: 'string', default: 'streambus' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) console.log(help)
else process.exitCode = await main()

async function main(): Promise<number> {
  const { against } = values
  if (against !== 'streambus' && against !== 'kafka') throw new Error('--against takes streambus or kafka')
  const names = [...sources.map(({ name }) => name), MIXED_NAME, STREAMS_NAME, TOOLS_OPTION]
  for (const client of values.client ?? []) {
    if (!names.includes(client)) throw new Error(`no client ${client}; there are ${names.join(', ')}`)
  }
  for (const section of values.only ?? []) {
    if (!sections.includes(section as Section)) {
      throw new Error(`no part ${section}; there are ${sections.join(', ')}`)
    }
  }
  const wanted = (name: string): boolean => values.client?.includes(name) ?? true
  const runs = (section: Section): boolean => values.only?.includes(section) ?? true
  const withTools = wanted(TOOLS_OPTION) && runs('tools')

  const startedAt = performance.now()
  const workDir = `${cacheDir}/interop`
  const dataDir = `${workDir}/data-${against}-${process.pid}`
  await rm(dataDir, { recursive: true, force: true })
  await mkdir(workDir, { recursive: true })
  const membersLog = (name: string): string => clientLog(workDir, `${name}-members`)
  const logFile = `${workDir}/${against}.log`
  const logs = sources.flatMap(({ name }) => [clientLog(workDir, name), membersLog(name)])
  logs.push(membersLog(MIXED_NAME), membersLog(STREAMS_NAME), logFile)
  for (const file of logs) await rm(file, { force: true })

  const starts = []
  for (const source of sources.filter(({ name }) => wanted(name))) {
    console.log(`installing ${source.name}`)
    starts.push({ name: source.name, start: await source.install() })
  }
  const target = await startTarget({
    against,
    dataDir,
    logFile,
    defaultSettings: values['broker-defaults'],
  })
  console.log(`${target.name} ${target.version} on ${target.bootstrap}`)
  const ledger = new Ledger(against === 'streambus' ? expectedFailures : [])
  const clients: InteropClient[] = []
  const run = newRunName()
  try {
    for (const { name, start } of starts) {
      clients.push(await start(target.bootstrap, clientLog(workDir, name)))
    }
    const filled = runs('records') ? await runRecordCases(target, ledger, clients, run) : []
    if (runs('groups')) {
      const sender = await senderAmong(clients, target, workDir)
      await runGroupCases({ target, ledger, run, sender, logFileOf: membersLog, wanted })
      await keepRunning(target, ledger)
    }
    if (runs('transactions')) {
      const sender = await senderAmong(clients, target, workDir)
      const tested = clients.filter(({ name }) => wanted(name))
      await runTransactionCases(target, ledger, tested, run, sender)
      await keepRunning(target, ledger)
    }
    if (runs('exactly-once')) {
      const sender = await senderAmong(clients, target, workDir)
      const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)
      await runExactlyOnceCases({ target, ledger, run, sender, seed, logFileOf: membersLog, wanted })
      await keepRunning(target, ledger)
    }
    if (runs('compaction') && wanted(COMPACTION_NAME)) {
      await runCompactionCases(target, ledger, run)
      await keepRunning(target, ledger)
    }
    if (runs('streams') && wanted(STREAMS_NAME)) {
      const sender = await senderAmong(clients, target, workDir)
      await runStreamsCases(target, ledger, run, sender, membersLog(STREAMS_NAME))
      await keepRunning(target, ledger)
    }
    if (withTools) {
      const sender = await senderAmong(clients, target, workDir)
      await new ToolCases(ledger, target.bootstrap, run).all(filled)
      await Promise.all([
        new GroupToolCases(ledger, target.bootstrap, run, sender).all(),
        new TransactionToolCases(ledger, target.bootstrap, run, sender).all(),
      ])
    }
  } finally {
    await Promise.all(clients.map((client) => client.close()))
    await ledger.run('the broker', 'ends by itself on SIGTERM', () => target.stop())
    await rm(dataDir, { recursive: true, force: true })
  }

  const described: LedgerClient[] = [...clients]
  if (runs('groups') && wanted(MIXED_NAME)) {
    described.push({
      name: MIXED_NAME,
      version: '',
      remarks: [
        'Eager: StreamBus SDK, Java kafka-clients and kafkajs with range, which kafkajs gets by its plug-in for assigners.',
        'Cooperative-sticky and group.protocol=consumer: Java kafka-clients and StreamBus SDK.',
      ],
    })
  }
  if (withTools) {
    described.push({
      name: TOOLS_NAME,
      version: versions.kafkaTools,
      remarks: ['Each is a process of its own.'],
    })
  }
  if (runs('streams') && wanted(STREAMS_NAME)) {
    described.push({ name: STREAMS_NAME, version: versions.kafkaStreams, remarks: [] })
  }
  described.push({
    name: 'the broker',
    version: target.version,
    remarks: [`Killed with -9 ${target.kills} times during the run.`],
  })
  const complete = values.client === undefined && values.only === undefined && against === 'streambus'
  const ledgerFile = complete ? `${workspaceDir}/compat/LEDGER.md` : `${workDir}/ledger-${against}.md`
  const title = [
    '# Which foreign clients work',
    '',
    'Written by `npm run interop`, never by hand. Each case runs an unmodified client from its registry, or our own',
    'beside them, against the broker in a process of its own, and checks offsets, order and content of every record.',
    '',
    `${new Date().toISOString().slice(0, 10)} · ${target.name} ${target.version} · ${machine()}`,
  ]
  await ledger.write(ledgerFile, title, described)
  console.log(`${Math.round((performance.now() - startedAt) / 1000)} s, ledger in ${ledgerFile}`)
  console.log(`${ledger.passed} passed, ${ledger.failed} failed`)
  return ledger.failed === 0 ? 0 : 1
}

/** The Java client creates the topics and sends the records of the cases that are about consumers. */
async function senderAmong(
  clients: InteropClient[],
  target: Target,
  workDir: string,
): Promise<InteropClient> {
  const running = clients.find(({ name }) => name === javaClient.name)
  if (running !== undefined) return running
  const start = await javaClient.install()
  const sender = await start(target.bootstrap, clientLog(workDir, javaClient.name))
  clients.push(sender)
  return sender
}

type FilledPartition = { topic: string; partition: number; records: number }

/** Returns every topic that was filled completely. */
async function runRecordCases(
  target: Target,
  ledger: Ledger,
  clients: readonly InteropClient[],
  run: string,
): Promise<FilledPartition[]> {
  const baseTimestampMs = Date.now() - RECORDS_AGE_MS
  const cases = clients.map((client) => new RecordCases(client, ledger, run, baseTimestampMs))
  for (const each of cases) {
    await each.beforeKill()
    await keepRunning(target, ledger)
  }
  await ledger.run('the broker', 'starts again after kill -9', async () => {
    await target.kill9()
    await target.restart()
  })
  for (const each of cases) {
    await each.afterKill()
    await keepRunning(target, ledger)
  }
  for (let round = 0; round < KILLS_WHILE_SENDING; round++) {
    let sending = cases.length
    const sent = Promise.all(
      cases.map((each) =>
        each.sendWhileKilled(round).finally(() => {
          sending--
        }),
      ),
    )
    // Somewhere between the first request and the last acknowledgement: when, is left to chance.
    await sleep(Math.random() * LATEST_KILL_MS)
    console.log(`kill -9 while ${sending} clients send`)
    await target.kill9()
    await target.restart()
    await sent
  }
  for (const each of cases) await each.afterKills(KILLS_WHILE_SENDING)
  for (const each of cases) {
    for (const reader of clients) if (reader !== each.client) await each.readBy(reader)
  }
  return cases.flatMap((each) => [...each.filledTopics()])
}

/** A broker that ended by itself is a failure of its own; it is started again so that the rest can be told. */
async function keepRunning(target: Target, ledger: Ledger): Promise<void> {
  if (target.running) return
  await ledger.run('the broker', 'keeps running', async () => {
    await target.restart()
    throw new Error('it ended by itself, see its log')
  })
}

function clientLog(workDir: string, client: string): string {
  return `${workDir}/${client.replace(/[^a-zA-Z-]+/g, '-')}.log`
}
