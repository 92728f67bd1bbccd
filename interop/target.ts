/** The broker the clients are run against: ours, or Apache Kafka to prove the harness itself right. */
import { startKafka } from '../peers/kafka.ts'
import { startStreambus } from '../peers/streambus.ts'

export interface Target {
  readonly name: string
  readonly version: string
  readonly bootstrap: string
  readonly running: boolean
  /** How often it was killed so far. */
  readonly kills: number
  /**
   * False where a transaction that was committed may lose its markers when the broker is killed. A Kafka of one
   * node skips the markers of partitions that have no leader while it starts: they "are likely deleted already and
   * hence can be skipped", says its log.
   */
  readonly keepsTransactions: boolean
  kill9(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

const KAFKA = 'Apache Kafka'
/** The machine is shared with dozens of client processes. */
const KAFKA_HEAP_MIB = 768

/**
 * Settings under which a run is short, by Kafka's names: groups form without waiting for more members, and dead
 * members of the new protocol, who cannot choose, are missed as soon as those of the classic one.
 */
const fastSettings = {
  'group.initial.rebalance.delay.ms': '0',
  'group.consumer.min.heartbeat.interval.ms': '500',
  'group.consumer.heartbeat.interval.ms': '500',
  'group.consumer.min.session.timeout.ms': '6000',
  'group.consumer.session.timeout.ms': '8000',
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
  'log.cleaner.backoff.ms': '500',
  'log.retention.check.interval.ms': '1000',
} as const

/** Kafka keeps the times of the new protocol above a least value of their own; here there is none. */
const kafkaOnly: ReadonlySet<string> = new Set([
  'group.consumer.min.heartbeat.interval.ms',
  'group.consumer.min.session.timeout.ms',
])

/** Kafka opens every partition of its internal topics, one by one, each time that it was killed. */
const quickRecovery = {
  'offsets.topic.num.partitions': '5',
  'transaction.state.log.num.partitions': '5',
} as const

export interface TargetOptions {
  readonly against: 'streambus' | 'kafka'
  readonly dataDir: string
  readonly logFile: string
  /** True leaves the broker as it comes. */
  readonly defaultSettings: boolean
}

export async function startTarget(options: TargetOptions): Promise<Target> {
  const { against, dataDir, logFile, defaultSettings } = options
  if (against === 'kafka') {
    const properties = defaultSettings ? {} : { ...fastSettings, ...quickRecovery }
    return named(KAFKA, await startKafka({ dataDir, logFile, properties, maxHeapMiB: KAFKA_HEAP_MIB }))
  }
  const STREAMBUS_SET = Object.entries(fastSettings)
    .filter(([name]) => !kafkaOnly.has(name))
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
  return named(
    'StreamBus',
    await startStreambus({ dataDir, logFile, ...(defaultSettings ? {} : { env: { STREAMBUS_SET } }) }),
  )
}

function named(name: string, server: Omit<Target, 'name' | 'kills' | 'keepsTransactions'>): Target {
  let kills = 0
  return {
    name,
    version: server.version,
    bootstrap: server.bootstrap,
    get running() {
      return server.running
    },
    keepsTransactions: name !== KAFKA,
    get kills() {
      return kills
    },
    kill9: () => {
      kills++
      return server.kill9()
    },
    restart: () => server.restart(),
    stop: () => server.stop(),
  }
}
