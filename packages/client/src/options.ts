import { StreamBusError } from './errors.ts'
import { checkSaslOptions, type SaslOptions } from './security/sasl.ts'
import type { TlsOptions } from './socket.ts'

/**
 * Where the SDK says what it does by itself, in sentences. `console` fits, and so do loggers of pino.
 *
 * - `debug`: what is tried again, and connections that end while nobody waits for an answer
 * - `info`: partitions that a consumer gets or gives up, and what goes on again
 * - `warn`: brokers out of reach, messages tried again or set aside, partitions lost, no progress
 * - `error`: what a worker ended with that nobody has asked for
 */
export interface Logger {
  debug(message: string): void
  /** Default: `debug`. */
  info?(message: string): void
  warn(message: string): void
  /** Default: `warn`. */
  error?(message: string): void
}

export interface ConnectOptions {
  /** Addresses of one or more brokers, `host:port`; the others are found through them. Default localhost:9092. */
  brokers?: string | readonly string[]
  /** Speak TLS to the brokers: true, or with certificates and the like. Default: false. */
  tls?: boolean | TlsOptions
  /** Who the client is, for brokers that ask. */
  sasl?: SaslOptions
  /** Name of this application in the logs and quotas of the brokers. Default `streambus`. */
  clientId?: string
  /** How long to wait for a connection to open. Default 4,000. */
  connectTimeoutMs?: number
  /** How long to wait for an answer. Default 30,000. */
  requestTimeoutMs?: number
  /** How long an operation is retried while no broker answers or no leader is known. Default 30,000. */
  retryTimeoutMs?: number
  /** First pause between retries; each is about twice as long as the one before. Default 50. */
  retryBackoffMs?: number
  /** Longest pause between retries. Default 1,000. */
  maxRetryBackoffMs?: number
  /** Largest response accepted. Default 128 MiB. */
  maxFrameBytes?: number
  /** Age after which the view of topics and leaders is renewed. Default 300,000. */
  metadataMaxAgeMs?: number
  /** Is told what the client does by itself: `console`, a logger of pino, or one's own. Default: nobody is. */
  logger?: Logger
  /**
   * Whether messages are traced with OpenTelemetry, where `@opentelemetry/api` is installed and a tracer provider was
   * registered before `connect`. Default true.
   */
  openTelemetry?: boolean
  /** Ends `connect` early. */
  signal?: AbortSignal
}

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

export interface ClientSettings {
  readonly brokers: readonly BrokerAddress[]
  readonly tls: TlsOptions | undefined
  readonly sasl: SaslOptions | undefined
  readonly clientId: string
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly retryTimeoutMs: number
  readonly backoff: { readonly initialMs: number; readonly maxMs: number }
  readonly maxFrameBytes: number
  readonly metadataMaxAgeMs: number
  readonly logger: Required<Logger>
}

const silent: Logger = { debug: () => {}, warn: () => {} }

function invalidArgument(message: string): StreamBusError {
  return new StreamBusError('INVALID_ARGUMENT', message)
}

/** Has every level, and calls the methods of the given one as its methods. */
function completeLogger(logger: Logger): Required<Logger> {
  if (typeof logger?.debug !== 'function' || typeof logger.warn !== 'function') {
    throw invalidArgument('logger must have the methods debug and warn; console has them, and so has pino.')
  }
  return {
    debug: (message) => logger.debug(message),
    info: (message) => (logger.info === undefined ? logger.debug(message) : logger.info(message)),
    warn: (message) => logger.warn(message),
    error: (message) => (logger.error === undefined ? logger.warn(message) : logger.error(message)),
  }
}

/** Checks the options and fills in what was left out. */
export function clientSettings(options: ConnectOptions): ClientSettings {
  const { tls = false, sasl } = options
  if (typeof tls !== 'boolean' && (typeof tls !== 'object' || tls === null)) {
    throw invalidArgument('tls can be true, false, or an object with certificates and the like.')
  }
  if (sasl !== undefined) checkSaslOptions(sasl)
  return {
    brokers: parseBrokers(options.brokers ?? 'localhost:9092'),
    tls: typeof tls === 'boolean' ? (tls ? {} : undefined) : tls,
    sasl,
    clientId: options.clientId ?? 'streambus',
    connectTimeoutMs: positive('connectTimeoutMs', options.connectTimeoutMs ?? 4_000),
    requestTimeoutMs: positive('requestTimeoutMs', options.requestTimeoutMs ?? 30_000),
    retryTimeoutMs: positive('retryTimeoutMs', options.retryTimeoutMs ?? 30_000),
    backoff: {
      initialMs: positive('retryBackoffMs', options.retryBackoffMs ?? 50),
      maxMs: positive('maxRetryBackoffMs', options.maxRetryBackoffMs ?? 1_000),
    },
    maxFrameBytes: positive('maxFrameBytes', options.maxFrameBytes ?? 128 * 1024 * 1024),
    metadataMaxAgeMs: positive('metadataMaxAgeMs', options.metadataMaxAgeMs ?? 300_000),
    logger: completeLogger(options.logger ?? silent),
  }
}

/** Reads `host`, `host:port`, `[ipv6]:port`, several of them separated by commas. The default port is 9092. */
export function parseBrokers(brokers: string | readonly string[]): BrokerAddress[] {
  const given: unknown = typeof brokers === 'string' ? brokers.split(',') : brokers
  if (!Array.isArray(given) || given.some((text) => typeof text !== 'string')) {
    throw invalidArgument('brokers must be an address, host:port, or an array of them.')
  }
  const texts = given.map((text: string) => text.trim())
  if (texts.length === 0 || texts.some((text) => text === '')) {
    throw new StreamBusError('INVALID_ARGUMENT', `The list of brokers is empty or has an empty entry.`)
  }
  return texts.map((text) => {
    const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/.exec(text)
    const port = Number(match?.[3] ?? 9092)
    if (match === null || port < 1 || port > 65_535) {
      throw new StreamBusError('INVALID_ARGUMENT', `'${text}' is not a broker address; write host:port.`)
    }
    return { host: (match[1] ?? match[2]) as string, port }
  })
}

/** A wrong number as it was given: `'5'` is a string, and wrong for that. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

export function positive(name: string, value: number): number {
  if (typeof value !== 'number' || !(value > 0) || value > Number.MAX_SAFE_INTEGER) {
    throw new StreamBusError('INVALID_ARGUMENT', `${name} must be a number above 0, not ${shown(value)}.`)
  }
  return value
}

export function wholeNumber(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new StreamBusError(
      'INVALID_ARGUMENT',
      `${name} must be a whole number from 0 on, not ${shown(value)}.`,
    )
  }
  return value
}

export function formatAddress({ host, port }: BrokerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
