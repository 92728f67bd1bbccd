/** (f) Committed offsets: how many a second, and what a modest rate costs beside as many records. */
import type { CommitJob, PacedJob } from '../load/jobs.ts'
import { runLoad } from '../load/load-process.ts'
import { cpuSeconds } from '../machine.ts'
import type { Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'

export const COMMITTING_GROUPS = 100
const REQUESTS_PER_SECOND = 1000
const SMALL_RECORD_BYTES = 100
/** CPU time has a resolution of 10 ms, and a second of this load takes less than ten times that. */
const MIN_COST_SECONDS = 10
const comparedInCost: readonly SystemName[] = ['streambus-fsync', 'kafka']

export function commitJob({ port }: RunningSystem, topic: string): Omit<CommitJob, 'warmupMs' | 'measureMs'> {
  return { kind: 'commit', port, topic, groups: COMMITTING_GROUPS, groupPrefix: topic }
}

export async function measureOffsetCommits(session: Session): Promise<void> {
  session.say(`\n(f) offset commits of ${COMMITTING_GROUPS} groups, one partition each, 1 in flight`)
  await session.measureDisk('commits')
  const { rounds, seconds, warmupSeconds } = session.settings
  const names = session.chosen(kafkaSystems)
  const systems = new Map<SystemName, RunningSystem>()
  try {
    for (const name of names) {
      const system = await startSystem(name, session.newFolder(name))
      session.versions.set(name, system.version)
      systems.set(name, system)
    }
    await session.alternate('commits', names, rounds, async (name, topic) => {
      const system = systems.get(name)!
      await system.createTopic(topic, COMMITTING_GROUPS)
      const job = { ...commitJob(system, topic), warmupMs: warmupSeconds * 1000, measureMs: seconds * 1000 }
      const { report, before, after } = await runLoad(job, system.pid)
      return {
        before,
        after,
        values: {
          commitsPerSecond: report.acknowledgements / report.seconds,
          p50Ms: report.latency.p50 / 1000,
          p99Ms: report.latency.p99 / 1000,
          cpuMicros: (cpuSeconds(system.pid, before, after) / report.acknowledgements) * 1e6,
        },
      }
    })
    session.say(`  ${REQUESTS_PER_SECOND}/s: commits, and records of ${SMALL_RECORD_BYTES} bytes`)
    const costNames = session.chosen(comparedInCost)
    for (const sends of ['records', 'commits'] as const) {
      await session.alternate(`paced-${sends}`, costNames, rounds, async (name, topic) => {
        const system = systems.get(name)!
        await system.createTopic(topic, COMMITTING_GROUPS)
        const job: PacedJob = {
          kind: 'paced',
          port: system.port,
          topic,
          partitions: COMMITTING_GROUPS,
          connections: COMMITTING_GROUPS,
          recordBytes: SMALL_RECORD_BYTES,
          sends,
          requestsPerSecond: REQUESTS_PER_SECOND,
          warmupMs: warmupSeconds * 1000,
          measureMs: (session.settings.quick ? seconds : Math.max(seconds, MIN_COST_SECONDS)) * 1000,
        }
        const { report, before, after } = await runLoad(job, system.pid)
        return {
          before,
          after,
          values: {
            cpuMicros: (cpuSeconds(system.pid, before, after) / report.acknowledgements) * 1e6,
            p50Ms: report.latency.p50 / 1000,
            p99Ms: report.latency.p99 / 1000,
          },
        }
      })
    }
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
