import { type ConnectOptions, connect, type StreamBus } from '@streambus/client'
import { clientSecurity } from './client-security.ts'
import { UsageError, warn } from './failure.ts'
import { type GivenOptions, resolveSettings } from './settings.ts'

/** Long enough for a slow network, short enough that a wrong address is reported within five seconds. */
const connectTimeoutMs = 4_000

/** Connects to the brokers the command was given, runs it, and closes the connections whatever happens. */
export async function withCluster<T>(
  given: GivenOptions,
  options: Pick<ConnectOptions, 'retryTimeoutMs' | 'requestTimeoutMs'>,
  run: (bus: StreamBus) => Promise<T>,
): Promise<T> {
  const { brokers = 'localhost:9092' } = await resolveSettings(['brokers'], given)
  let lastWarning = ''
  const bus = await connect({
    brokers,
    ...(await clientSecurity(given)),
    clientId: 'streambus-cli',
    connectTimeoutMs,
    ...options,
    logger: {
      debug: () => {},
      warn: (message) => {
        // A broker that stays away is worth one line, not one per attempt.
        if (message !== lastWarning) warn(message)
        lastWarning = message
      },
    },
  })
  try {
    return await run(bus)
  } finally {
    await bus.close()
  }
}

/** For commands that ask and answer: they fail while the user still waits. */
export const askingOptions = { retryTimeoutMs: connectTimeoutMs, requestTimeoutMs: 20_000 }

/** Reads `name=value` pairs. */
export function pairs(option: string, texts: readonly string[]): [string, string][] {
  return texts.map((pair) => {
    const at = pair.indexOf('=')
    if (at <= 0) throw new UsageError(`${option} must be name=value, not '${pair}'.`)
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
}

/** Calls `stop` at the first Ctrl-C or SIGTERM; a second one leaves at once. */
export function onInterrupt(stop: () => void): () => void {
  let interrupted = false
  const handler = (signal: NodeJS.Signals) => {
    if (interrupted) process.exit(signal === 'SIGINT' ? 130 : 143)
    interrupted = true
    stop()
  }
  process.on('SIGINT', handler)
  process.on('SIGTERM', handler)
  return () => {
    process.off('SIGINT', handler)
    process.off('SIGTERM', handler)
  }
}
