/** (a) What the broker takes when the client costs nothing: produce requests that were encoded before. */
import type { ProduceJob } from '../load/jobs.ts'
import { runLoad } from '../load/load-process.ts'
import { cpuSeconds } from '../machine.ts'
import type { Measurement, Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'

interface Shape {
  readonly measured: string
  readonly title: string
  readonly connections: number
  readonly inFlight: number
  readonly batchBytes: number
  readonly recordBytes: number
  readonly partitions: number
  readonly systems: readonly SystemName[]
}

const KIB = 1024
/** A batch that holds one record whose value has 1 KiB. */
const ONE_RECORD_BATCH_BYTES = 1024 + 72
/** Bounds the data that one repetition leaves on the disk. */
const MAX_BYTES = 3e9
/** Written to every partition before anything is measured. */
const BATCHES_BEFORE = 4
const FIRST_BATCHES_MS = 90_000

const singleConnection = {
  connections: 1,
  inFlight: 5,
  recordBytes: KIB,
  partitions: 1,
  systems: kafkaSystems,
}

export const shapes: readonly Shape[] = [
  { ...singleConnection, measured: 'produce-16k', title: '1 connection × 5 × 16 KB', batchBytes: 16 * KIB },
  {
    ...singleConnection,
    measured: 'produce-256k',
    title: '1 connection × 5 × 256 KB',
    batchBytes: 256 * KIB,
  },
  { ...singleConnection, measured: 'produce-1m', title: '1 connection × 5 × 1 MB', batchBytes: 1024 * KIB },
  {
    measured: 'produce-50x1k',
    title: '50 connections × 1 × 1 KB',
    connections: 50,
    inFlight: 1,
    batchBytes: ONE_RECORD_BATCH_BYTES,
    recordBytes: KIB,
    partitions: 50,
    systems: [...kafkaSystems, 'redis', 'nats'],
  },
  {
    measured: 'produce-50x16k-500p',
    title: '50 connections × 1 × 16 KB, 500 partitions',
    connections: 50,
    inFlight: 1,
    batchBytes: 16 * KIB,
    recordBytes: KIB,
    partitions: 500,
    systems: kafkaSystems,
  },
]

export function produceJob(
  shape: Shape,
  { wire, port }: RunningSystem,
): Omit<ProduceJob, 'warmupMs' | 'measureMs' | 'maxBytes'> {
  const { measured: topic, partitions, connections, inFlight, batchBytes, recordBytes } = shape
  return { kind: 'produce', wire, port, topic, partitions, connections, inFlight, batchBytes, recordBytes }
}

export async function measureProduceCapacity(session: Session, measured: string): Promise<void> {
  const shape = shapes.find((candidate) => candidate.measured === measured)!
  session.say(`\n(a) ${shape.title}`)
  await session.measureDisk(measured)
  const names = session.chosen(shape.systems)
  const withLoadAlone = [...names, ...session.chosen(['sink'])]
  const systems = new Map<SystemName, RunningSystem>()
  try {
    for (const name of withLoadAlone) {
      const system = await startSystem(name, session.newFolder(name))
      if (name !== 'sink') session.versions.set(name, system.version)
      systems.set(name, system)
      await system.createTopic(measured, shape.partitions)
      // A partition's first batches cost Kafka tens of milliseconds here: they bring its index files into memory.
      const firstBytes = BATCHES_BEFORE * shape.partitions * shape.batchBytes
      const first = {
        ...produceJob(shape, system),
        warmupMs: 0,
        measureMs: FIRST_BATCHES_MS,
        maxBytes: firstBytes,
      }
      await runLoad(first, system.pid)
    }
    const { rounds, seconds, warmupSeconds } = session.settings
    const measure = async (name: SystemName): Promise<Measurement> => {
      const system = systems.get(name)!
      const job: ProduceJob = {
        ...produceJob(shape, system),
        warmupMs: warmupSeconds * 1000,
        measureMs: seconds * 1000,
        maxBytes: MAX_BYTES,
      }
      const { report, before, after } = await runLoad(job, system.pid)
      return {
        before,
        after,
        values: {
          mbPerSecond: report.bytes / 1e6 / report.seconds,
          acksPerSecond: report.acknowledgements / report.seconds,
          p50Ms: report.latency.p50 / 1000,
          p99Ms: report.latency.p99 / 1000,
          cpuSecondsPerGb: cpuSeconds(system.pid, before, after) / (report.bytes / 1e9),
        },
      }
    }
    await session.alternate(measured, names, rounds, measure)
    await session.alternate(measured, session.chosen(['sink']), 1, measure)
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
