/** The systems that are compared, each started the same way with a folder of its own. */
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type RunningKafka, startKafka } from '../peers/kafka.ts'
import { startNats } from '../peers/nats.ts'
import { startRedis } from '../peers/redis.ts'
import { type RunningStreambus, startStreambus } from '../peers/streambus.ts'
import type { WireName } from './load/jobs.ts'
import { startSink } from './sink.ts'
import { RawConnection } from './wire/raw-connection.ts'
import { createTopic, endOffsets, RefusedError } from './wire/topics.ts'

export const systemNames = [
  'streambus-fsync',
  'streambus-os',
  'kafka',
  'kafka-flush',
  'redis',
  'nats',
  'sink',
] as const
export type SystemName = (typeof systemNames)[number]

/** What an acknowledgement of each system means, for the tables. */
export const systemLabels: Readonly<Record<SystemName, string>> = {
  'streambus-fsync': 'StreamBus fsync',
  'streambus-os': 'StreamBus os (not synced)',
  kafka: 'Kafka (not synced)',
  'kafka-flush': 'Kafka flush.messages=1',
  redis: 'Redis Streams appendfsync always',
  nats: 'NATS JetStream file (not synced)',
  sink: 'no broker: the load alone',
}

/** Those that speak the Kafka protocol. */
export const kafkaSystems: readonly SystemName[] = ['streambus-fsync', 'streambus-os', 'kafka', 'kafka-flush']

export interface RunningSystem {
  readonly name: SystemName
  readonly version: string
  readonly wire: WireName
  readonly port: number
  readonly pid: number
  /** Makes what a load writes to. */
  createTopic(topic: string, partitions: number): Promise<void>
  /** Ends the server and deletes its data. */
  discard(): Promise<void>
}

/** A system that can be started again on its data, for what start-up and recovery cost. */
export type RestartableSystem = RunningSystem & Pick<RunningKafka, 'stop' | 'kill9' | 'restart'>

export async function startSystem(name: SystemName, dataDir: string): Promise<RunningSystem> {
  if (kafkaSystems.includes(name)) return startKafkaSystem(name, dataDir)
  if (name === 'redis') {
    const redis = await startRedis({ dataDir })
    return { name, wire: 'redis', ...redis, createTopic: async () => {}, discard: discarding(redis, dataDir) }
  }
  if (name === 'sink') return startSink()
  const nats = await startNats({ dataDir })
  return {
    name,
    wire: 'nats',
    ...nats,
    createTopic: (topic) => nats.createStream(topic),
    discard: discarding(nats, dataDir),
  }
}

const LEADER_TIMEOUT_MS = 60_000
const LEADER_POLL_MS = 20

/** `nodeArgs` go to the Node process of a StreamBus broker, for example of a profiler. */
export async function startKafkaSystem(
  name: SystemName,
  dataDir: string,
  nodeArgs: readonly string[] = [],
): Promise<RestartableSystem> {
  const server: RunningKafka | RunningStreambus = name.startsWith('streambus')
    ? await startStreambus({ dataDir, durability: name === 'streambus-os' ? 'os' : 'fsync', nodeArgs })
    : await startKafka({ dataDir, ...(name === 'kafka-flush' ? { flushMessages: 1 } : {}) })
  return {
    name,
    wire: 'kafka',
    version: server.version,
    port: server.port,
    // A restart makes another process.
    get pid() {
      return server.pid
    },
    async createTopic(topic, partitions) {
      const connection = await RawConnection.open(server.port)
      try {
        await createTopic(connection, topic, partitions)
        await awaitLeaders(connection, topic, partitions)
      } finally {
        connection.close()
      }
    },
    stop: () => server.stop(),
    kill9: () => server.kill9(),
    restart: () => server.restart(),
    discard: discarding(server, dataDir),
  }
}

/** Kafka answers before its broker leads the partitions it has just made. */
async function awaitLeaders(connection: RawConnection, topic: string, partitions: number): Promise<void> {
  const deadlineMs = performance.now() + LEADER_TIMEOUT_MS
  for (;;) {
    try {
      await endOffsets(connection, topic, partitions)
      return
    } catch (error) {
      if (!(error instanceof RefusedError) || performance.now() > deadlineMs) throw error
      await delay(LEADER_POLL_MS)
    }
  }
}

function discarding(server: { stop(): Promise<void> }, dataDir: string): () => Promise<void> {
  return async () => {
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
    await rm(`${dataDir}.log`, { force: true })
  }
}
