/** (d) How fast records come out: just written, and from a cold disk. */
import type { FetchJob, ProduceJob } from '../load/jobs.ts'
import { runLoad } from '../load/load-process.ts'
import { cpuSeconds, dropPageCache } from '../machine.ts'
import type { Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'
import { randomBatch } from '../wire/payload.ts'

const PARTITIONS = 4
const BATCH_BYTES = 64 * 1024
const RECORD_BYTES = 1024
const BYTES_PER_REQUEST = 1024 * 1024
/** Small enough to stay in any tail cache. */
const TAIL_BYTES = 32e6
const COLD_BYTES = 3e9
const QUICK_COLD_BYTES = 5e8
const FILL_TIME_MS = 120_000

export async function measureFetchTail(session: Session): Promise<void> {
  session.say('\n(d) fetch of what was just written, 4 connections × 1 MB')
  const { rounds, seconds, warmupSeconds } = session.settings
  await fetchCase(session, 'fetch-tail', kafkaSystems.slice(0, 3), TAIL_BYTES, rounds, async () => ({
    repeat: true,
    warmupMs: warmupSeconds * 1000,
    measureMs: seconds * 1000,
  }))
}

export async function measureFetchCold(session: Session): Promise<void> {
  const bytes = session.settings.quick ? QUICK_COLD_BYTES : COLD_BYTES
  session.say(`\n(d) fetch of ${bytes / 1e9} GB from disk, 4 connections × 1 MB`)
  const { rounds } = session.settings
  await fetchCase(session, 'fetch-cold', ['streambus-fsync', 'kafka'], bytes, rounds, async () => {
    if (!dropPageCache()) {
      session.pageCacheDropped = false
      session.say('  (the page cache could not be dropped: needs root)')
    }
    return { repeat: false, warmupMs: 0, measureMs: FILL_TIME_MS }
  })
}

async function fetchCase(
  session: Session,
  measured: string,
  candidates: readonly SystemName[],
  bytes: number,
  rounds: number,
  prepare: () => Promise<Pick<FetchJob, 'repeat' | 'warmupMs' | 'measureMs'>>,
): Promise<void> {
  await session.measureDisk(measured)
  const names = session.chosen(candidates)
  const systems = new Map<SystemName, RunningSystem>()
  const { records } = randomBatch(BATCH_BYTES, RECORD_BYTES)
  try {
    for (const name of names) {
      const system = await startSystem(name, session.newFolder(name))
      systems.set(name, system)
      await system.createTopic(measured, PARTITIONS)
      const fill: ProduceJob = {
        kind: 'produce',
        wire: system.wire,
        port: system.port,
        topic: measured,
        partitions: PARTITIONS,
        connections: PARTITIONS,
        inFlight: 4,
        batchBytes: BATCH_BYTES,
        recordBytes: RECORD_BYTES,
        warmupMs: 0,
        measureMs: FILL_TIME_MS,
        maxBytes: bytes,
      }
      await runLoad(fill, system.pid)
    }
    await session.alternate(measured, names, rounds, async (name) => {
      const system = systems.get(name)!
      const { report, before, after } = await runLoad(
        {
          kind: 'fetch',
          port: system.port,
          topic: measured,
          partitions: PARTITIONS,
          batchBytes: BATCH_BYTES,
          recordsPerBatch: records,
          bytesPerRequest: BYTES_PER_REQUEST,
          ...(await prepare()),
        },
        system.pid,
      )
      return {
        before,
        after,
        values: {
          mbPerSecond: report.bytes / 1e6 / report.seconds,
          p50Ms: report.latency.p50 / 1000,
          p99Ms: report.latency.p99 / 1000,
          cpuSecondsPerGb: cpuSeconds(system.pid, before, after) / (report.bytes / 1e9),
        },
      }
    })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
