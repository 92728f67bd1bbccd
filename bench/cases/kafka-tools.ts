/** (b) What a user sees: Kafka's own performance tools, the producer's, then the consumer's in a group. */
import { runTool } from '../../peers/kafka.ts'
import { snapshot } from '../machine.ts'
import type { Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'

const PARTITIONS = 4
const RECORD_BYTES = 1024
const RECORDS = 500_000
const QUICK_RECORDS = 50_000
/** Syncing every batch this system is many times slower than the others. */
const FLUSH_RECORDS = 60_000
const TOOL_TIMEOUT_MS = 180_000

export async function measureKafkaTools(session: Session): Promise<void> {
  session.say("\n(b) Kafka's producer performance tool, then its consumer performance tool")
  await session.measureDisk('tools')
  const names = session.chosen(kafkaSystems)
  const systems = new Map<SystemName, RunningSystem>()
  const lastTopic = new Map<SystemName, string>()
  const recordsOf = (name: SystemName): number => {
    if (session.settings.quick) return QUICK_RECORDS
    return name === 'kafka-flush' ? FLUSH_RECORDS : RECORDS
  }
  try {
    for (const name of names) systems.set(name, await startSystem(name, session.newFolder(name)))
    const { rounds } = session.settings
    await session.alternate('tools-producer', names, rounds, async (name, topic) => {
      const system = systems.get(name)!
      await system.createTopic(topic, PARTITIONS)
      lastTopic.set(name, topic)
      const before = snapshot()
      const { stdout } = await runTool(
        'org.apache.kafka.tools.ProducerPerformance',
        [
          ...['--topic', topic, '--num-records', String(recordsOf(name))],
          ...['--record-size', String(RECORD_BYTES), '--throughput', '-1'],
          ...['--producer-props', `bootstrap.servers=127.0.0.1:${system.port}`, 'acks=all'],
        ],
        { jvmOptions: [], timeoutMs: TOOL_TIMEOUT_MS },
      )
      return { before, after: snapshot(), values: producerFigures(stdout) }
    })
    await session.alternate('tools-consumer', names, rounds, async (name) => {
      const system = systems.get(name)!
      const before = snapshot()
      const { stdout } = await runTool(
        'org.apache.kafka.tools.ConsumerPerformance',
        [
          ...['--bootstrap-server', `127.0.0.1:${system.port}`, '--topic', lastTopic.get(name)!],
          ...['--num-records', String(recordsOf(name)), '--timeout', String(TOOL_TIMEOUT_MS)],
        ],
        { jvmOptions: [], timeoutMs: TOOL_TIMEOUT_MS },
      )
      return { before, after: snapshot(), values: consumerFigures(stdout, recordsOf(name)) }
    })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}

/** The tool's last line: "500000 records sent, 98765.4 records/sec (96.45 MB/sec), … 3 ms 50th, …". Its MB are MiB. */
function producerFigures(stdout: string): Record<string, number> {
  const line = stdout.trim().split('\n').at(-1) ?? ''
  const figures = /([\d.]+) records\/sec.*?([\d.]+) ms avg latency.*?(\d+) ms 50th.*?(\d+) ms 99th/.exec(line)
  if (figures === null) throw new Error(`the producer tool printed no figures: ${line}`)
  return {
    mbPerSecond: (Number(figures[1]) * RECORD_BYTES) / 1e6,
    p50Ms: Number(figures[3]),
    p99Ms: Number(figures[4]),
  }
}

/** The tool's last line has the columns that its first one names. Its MB are MiB, its fetch time is all but joining. */
function consumerFigures(stdout: string, records: number): Record<string, number> {
  const lines = stdout.trim().split('\n')
  const names = lines[0]?.split(', ').map((name) => name.trim()) ?? []
  const values = lines.at(-1)?.split(', ') ?? []
  const value = (name: string) => Number(values[names.indexOf(name)])
  const mbPerSecond = (value('fetch.MB.sec') * 2 ** 20) / 1e6
  if (!(mbPerSecond > 0)) throw new Error(`the consumer tool printed no figures: ${stdout}`)
  if (value('data.consumed.in.nMsg') < records)
    throw new Error(`the consumer tool read too little: ${stdout}`)
  return { mbPerSecond, joinedMs: value('rebalance.time.ms') }
}
