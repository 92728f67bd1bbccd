/** (c) How long an acknowledgement takes at a modest, steady rate. */
import { runLoad } from '../load/load-process.ts'
import type { Session } from '../session.ts'
import { kafkaSystems, type RunningSystem, type SystemName, startSystem } from '../systems.ts'

const REQUESTS_PER_SECOND = 1000
const CONNECTIONS = 10

export async function measureAcknowledgementLatency(session: Session): Promise<void> {
  session.say('\n(c) acknowledgement latency at 1,000 records/s of 1 KB')
  await session.measureDisk('latency')
  const names = session.chosen(kafkaSystems)
  const systems = new Map<SystemName, RunningSystem>()
  try {
    for (const name of names) systems.set(name, await startSystem(name, session.newFolder(name)))
    const { rounds, seconds, warmupSeconds } = session.settings
    await session.alternate('latency', names, rounds, async (name, topic) => {
      const system = systems.get(name)!
      await system.createTopic(topic, CONNECTIONS)
      const { report, before, after } = await runLoad(
        {
          kind: 'paced',
          port: system.port,
          topic,
          partitions: CONNECTIONS,
          connections: CONNECTIONS,
          recordBytes: 1024,
          sends: 'records',
          requestsPerSecond: REQUESTS_PER_SECOND,
          warmupMs: warmupSeconds * 1000,
          // At this rate a thousandth is five samples after five seconds.
          measureMs: Math.max(5, seconds) * 1000,
        },
        system.pid,
      )
      return {
        before,
        after,
        values: {
          p50Ms: report.latency.p50 / 1000,
          p99Ms: report.latency.p99 / 1000,
          p999Ms: report.latency.p999 / 1000,
          sentLateP50Ms: report.sendLateness.p50 / 1000,
          sentLateP99Ms: report.sendLateness.p99 / 1000,
        },
      }
    })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
}
