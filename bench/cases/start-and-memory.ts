/** (e) What it costs to start, to idle, to hold many connections or partitions, and to come back after kill -9. */
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { produce } from '@streambus/protocol'
import { runCommand } from '../../peers/command.ts'
import { runLoad } from '../load/load-process.ts'
import { residentBytes } from '../machine.ts'
import type { Session } from '../session.ts'
import { type RestartableSystem, type SystemName, startKafkaSystem } from '../systems.ts'
import { randomBatch } from '../wire/payload.ts'
import { RawConnection } from '../wire/raw-connection.ts'
import { assertNoError, endOffsets } from '../wire/topics.ts'
import { timeToFirstAcknowledgement } from './first-acknowledgement.ts'

/** Long enough for what starts lazily or is collected late. */
const IDLE_MS = 3_000
const CONNECTIONS = 1000
const TOPICS = 10
const PARTITIONS_PER_TOPIC = 1000
const FILL_PARTITIONS = 10
const FILL_TIME_MS = 300_000
const IN_PROCESS_START = fileURLToPath(new URL('in-process-start.mjs', import.meta.url))
const compared: readonly SystemName[] = ['streambus-fsync', 'kafka']

export async function measureStart(session: Session): Promise<void> {
  session.say('\n(e) process start to first acknowledged record; idle memory')
  const names = session.chosen(compared)
  const systems = new Map<SystemName, RestartableSystem>()
  try {
    for (const name of names) {
      const system = await startKafkaSystem(name, session.newFolder(name))
      systems.set(name, system)
      await system.stop()
    }
    await session.alternate('start', names, session.settings.rounds, async (name, topic) => {
      const system = systems.get(name)!
      const firstAckMs = await timeToFirstAcknowledgement(() => system.restart(), system.port, topic)
      await delay(IDLE_MS)
      const idleMb = residentBytes(system.pid) / 1e6
      await system.stop()
      return { values: { firstAckMs, idleMb } }
    })
  } finally {
    for (const system of systems.values()) await system.discard()
  }
  if (!session.settings.systems.includes('streambus-fsync')) return
  session.say('  Broker.start() in a process that is already running')
  await session.alternate('start-in-process', ['streambus-fsync'], session.settings.rounds, async () => {
    const { stdout } = await runCommand(process.execPath, [IN_PROCESS_START, session.newFolder('in-process')])
    return { values: JSON.parse(stdout) as Record<string, number> }
  })
}

export async function measureConnections(session: Session): Promise<void> {
  session.say(`\n(e) memory with ${CONNECTIONS} connections under load`)
  await session.alternate('connections', session.chosen(compared), 1, async (name, topic) => {
    const system = await startKafkaSystem(name, session.newFolder(name))
    try {
      await system.createTopic(topic, 100)
      const { report, before, after, serverResidentBytes } = await runLoad(
        {
          kind: 'produce',
          wire: 'kafka',
          port: system.port,
          topic,
          partitions: 100,
          connections: CONNECTIONS,
          inFlight: 1,
          batchBytes: 4096,
          recordBytes: 1024,
          warmupMs: 1000,
          measureMs: Math.max(5, session.settings.seconds) * 1000,
        },
        system.pid,
      )
      return {
        before,
        after,
        values: {
          loadedMb: serverResidentBytes / 1e6,
          acksPerSecond: report.acknowledgements / report.seconds,
        },
      }
    } finally {
      await system.discard()
    }
  })
}

export async function measurePartitions(session: Session): Promise<void> {
  session.say('\n(e) 10,000 partitions with a record each: start after a clean stop; memory')
  const names = session.chosen(session.settings.full ? compared : ['streambus-fsync'])
  await session.alternate('partitions', names, 1, async (name) => {
    const system = await startKafkaSystem(name, session.newFolder(name))
    try {
      const connection = await RawConnection.open(system.port)
      const { bytes } = randomBatch(1100, 1024)
      for (let index = 0; index < TOPICS; index++) {
        const topic = `many-${index}`
        await system.createTopic(topic, PARTITIONS_PER_TOPIC)
        await writeToEveryPartition(connection, topic, bytes)
      }
      connection.close()
      await delay(IDLE_MS)
      const beforeMb = residentBytes(system.pid) / 1e6
      await system.stop()
      const firstAckMs = await timeToFirstAcknowledgement(() => system.restart(), system.port, 'many-0')
      await delay(IDLE_MS)
      return { values: { firstAckMs, beforeMb, afterMb: residentBytes(system.pid) / 1e6 } }
    } finally {
      await system.discard()
    }
  })
}

async function writeToEveryPartition(
  connection: RawConnection,
  topic: string,
  records: Uint8Array,
): Promise<void> {
  const partitions = Array.from({ length: PARTITIONS_PER_TOPIC }, (_, index) => ({ index, records }))
  const { responses } = await connection.request(produce, 11, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 60_000,
    topicData: [{ name: topic, partitionData: partitions }],
  })
  for (const partition of responses[0]?.partitionResponses ?? []) {
    assertNoError(partition.errorCode, `writing to ${topic}-${partition.index}`)
  }
}

export async function measureRecovery(session: Session): Promise<void> {
  const { full, quick } = session.settings
  const bytes = quick ? 5e8 : 10e9
  session.say(`\n(e) restart after kill -9 with ${bytes / 1e9} GB of log`)
  await session.alternate(
    'recovery',
    session.chosen(full ? compared : ['streambus-fsync']),
    1,
    async (name, topic) => {
      const system = await startKafkaSystem(name, session.newFolder(name))
      try {
        await system.createTopic(topic, FILL_PARTITIONS)
        const { report } = await runLoad(
          {
            kind: 'produce',
            wire: 'kafka',
            port: system.port,
            topic,
            partitions: FILL_PARTITIONS,
            connections: FILL_PARTITIONS,
            inFlight: 2,
            batchBytes: 256 * 1024,
            recordBytes: 1024,
            warmupMs: 0,
            measureMs: FILL_TIME_MS,
            maxBytes: bytes,
          },
          system.pid,
        )
        await system.kill9()
        const firstAckMs = await timeToFirstAcknowledgement(() => system.restart(), system.port, topic)
        const { records } = randomBatch(256 * 1024, 1024)
        const connection = await RawConnection.open(system.port)
        const ends = await endOffsets(connection, topic, FILL_PARTITIONS)
        connection.close()
        const kept = ends.reduce((sum, end) => sum + end, 0)
        if (kept < report.acknowledgements * records) {
          throw new Error(`${report.acknowledgements * records} records were acknowledged, ${kept} came back`)
        }
        return { values: { firstAckMs, logGb: report.bytes / 1e9 } }
      } finally {
        await system.discard()
      }
    },
  )
}
