/**
 * (b) Kafka's own producer performance tool, and its Java consumer. The consumer performance tool joins a
 * group, which StreamBus does not have yet; a Java program that assigns itself all partitions stands in for it
 * on every system.
 */
import { fileURLToPath } from 'node:url'
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
const CONSUMER = fileURLToPath(new URL('AssignedConsumer.java', import.meta.url))

export async function measureKafkaTools(session: Session): Promise<void> {
  session.say("\n(b) Kafka's producer performance tool, then its Java consumer with assigned partitions")
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
        CONSUMER,
        [`127.0.0.1:${system.port}`, lastTopic.get(name)!, String(PARTITIONS), String(recordsOf(name))],
        { jvmOptions: [], timeoutMs: TOOL_TIMEOUT_MS },
      )
      const { bytes, seconds } = JSON.parse(stdout) as { bytes: number; seconds: number }
      return { before, after: snapshot(), values: { mbPerSecond: bytes / 1e6 / seconds } }
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
