/** The broker the clients are run against: ours, or Apache Kafka to prove the harness itself right. */
import { startKafka } from '../peers/kafka.ts'
import { startStreambus } from '../peers/streambus.ts'

export interface Target {
  readonly name: string
  readonly version: string
  readonly bootstrap: string
  readonly running: boolean
  kill9(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

export async function startTarget(
  against: 'streambus' | 'kafka',
  dataDir: string,
  logFile: string,
): Promise<Target> {
  if (against === 'kafka') return named('Apache Kafka', await startKafka({ dataDir, logFile }))
  return named('StreamBus', await startStreambus({ dataDir, logFile }))
}

function named(name: string, server: Omit<Target, 'name'>): Target {
  return {
    name,
    version: server.version,
    bootstrap: server.bootstrap,
    get running() {
      return server.running
    },
    kill9: () => server.kill9(),
    restart: () => server.restart(),
    stop: () => server.stop(),
  }
}
