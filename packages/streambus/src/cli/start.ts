import { Broker, BrokerError, type BrokerOptions, optionsFromSettings } from '@streambus/broker'
import { version } from '../version.ts'
import { brokerLogger } from './broker-logger.ts'
import { exitCodes, UsageError } from './failure.ts'
import { type GivenOptions, resolveSettings } from './settings.ts'

/** Signals that ask a service to end, with the exit code of leaving at once (128 + number). */
const signals = { SIGINT: 130, SIGTERM: 143 } as const

export async function start(given: GivenOptions): Promise<void> {
  const { data, logLevel, set, ...settings } = await resolveSettings(
    [
      'host',
      'port',
      'data',
      'durability',
      'advertise',
      'autoCreateTopics',
      'defaultPartitions',
      'maxFrameBytes',
      'maxConnections',
      'maxPartitions',
      'cacheBytes',
      'truncateDamaged',
      'connectionIdleMs',
      'shutdownTimeoutMs',
      'set',
      'logLevel',
    ],
    { ...given, set: (given.set as string[] | undefined)?.join(' ') },
  )
  const log = brokerLogger(logLevel ?? 'info')
  const dataDir = data ?? './streambus-data'
  const durability = settings.durability ?? 'fsync'
  const options: BrokerOptions = { ...settings, ...named(set), dataDir, durability, log }

  let broker: Broker | undefined
  // One handler per signal from here to the end: a signal that arrives while one is exchanged for another would
  // reach neither, and nobody would stop.
  const stopped = new Promise<void>((resolve, reject) => {
    let stopping = false
    const onSignal = (signal: NodeJS.Signals) => {
      // Until the broker runs there is nothing to drain, and what it writes while it starts survives any death.
      if (broker === undefined || stopping) {
        if (stopping) log.warn({ signal }, 'leaving at once')
        process.exit(signals[signal as keyof typeof signals])
      }
      stopping = true
      log.info({ signal }, 'stopping; a second signal leaves at once')
      broker.close().then(resolve, reject)
    }
    for (const signal of Object.keys(signals)) process.on(signal, onSignal)
  })
  broker = await Broker.start(options)

  const ready = {
    address: broker.address,
    host: broker.host,
    port: broker.port,
    data: dataDir,
    durability,
    version,
  }
  process.stdout.write(
    given.json
      ? `${JSON.stringify({ event: 'ready', ...ready, pid: process.pid })}\n`
      : `StreamBus ${version} is ready on ${broker.address} (data: ${dataDir}, durability: ${durability})\n`,
  )
  await stopped
  log.info({}, 'stopped')
  process.exit(exitCodes.ok)
}

function named(settings: Readonly<Record<string, string>> = {}): BrokerOptions {
  try {
    return optionsFromSettings(settings)
  } catch (error) {
    if (error instanceof BrokerError) throw new UsageError(error.message, { cause: error })
    throw error
  }
}
