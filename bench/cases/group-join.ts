/** (f) How long a new group of many members takes until every one has its share of many partitions. */
import type { GroupJoinJob } from '../load/jobs.ts'
import { runLoad } from '../load/load-process.ts'
import { cpuSeconds } from '../machine.ts'
import type { Session } from '../session.ts'
import { type RunningSystem, type SystemName, startSystem } from '../systems.ts'

export const GROUP_TOPIC = 'group-join'
export const GROUP_PARTITIONS = 1000
const MEMBERS = 100
const TIME_LIMIT_MS = 60_000
/**
 * group.initial.rebalance.delay.ms, 3 s on all systems as they come: the first generation of a classic group
 * waits that long for members, and once more because members came while it waited.
 */
const INITIAL_DELAY_MS = 2 * 3_000
const compared: readonly SystemName[] = ['streambus-fsync', 'kafka', 'kafka-flush']

export function groupJoinJob(
  { port }: RunningSystem,
  protocol: GroupJoinJob['protocol'],
  group: string,
): GroupJoinJob {
  return {
    kind: 'group-join',
    protocol,
    port,
    group,
    topic: GROUP_TOPIC,
    partitions: GROUP_PARTITIONS,
    members: MEMBERS,
    warmupMs: 0,
    measureMs: TIME_LIMIT_MS,
  }
}

export async function measureGroupJoin(session: Session): Promise<void> {
  session.say(`\n(f) ${MEMBERS} members of a new group on ${GROUP_PARTITIONS} partitions: join to stable`)
  await session.measureDisk('group-join')
  const names = session.chosen(compared)
  const systems = new Map<SystemName, RunningSystem>()
  try {
    for (const name of names) {
      const system = await startSystem(name, session.newFolder(name))
      session.versions.set(name, system.version)
      systems.set(name, system)
      await system.createTopic(GROUP_TOPIC, GROUP_PARTITIONS)
      // The first group of a broker pays for the topic that groups are kept in.
      await runLoad(groupJoinJob(system, 'consumer', 'first'), system.pid)
    }
    for (const protocol of ['classic', 'consumer'] as const) {
      const measured = `group-join-${protocol}`
      await session.alternate(measured, names, session.settings.rounds, async (name, group) => {
        const system = systems.get(name)!
        const { report, before, after } = await runLoad(groupJoinJob(system, protocol, group), system.pid)
        const delayMs = protocol === 'classic' ? INITIAL_DELAY_MS : 0
        if (report.stableMs < delayMs)
          throw new Error(`${group} was stable before the initial delay was over`)
        return {
          before,
          after,
          values: {
            stableMs: report.stableMs - delayMs,
            requests: report.requests,
            cpuSeconds: cpuSeconds(system.pid, before, after),
          },
        }
      })
    }
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
