import type { ConnectionOptions } from 'node:tls'
import type { ConnectOptions } from '../options.ts'
import type { SaslOptions } from '../security/sasl.ts'
import type { TlsOptions } from '../socket.ts'
import { KafkaJSNonRetriableError, KafkaJSNotImplemented, KafkaJSSASLAuthenticationError } from './errors.ts'
import { type Logger, type logCreator, type logLevel, sdkLogger } from './logger.ts'
import { type RetryOptions, type RetrySettings, retrySpanMs } from './retry.ts'

export type BrokersFunction = () => string[] | Promise<string[]>

export interface OauthbearerProviderResponse {
  value: string
}

type SASLMechanismOptionsMap = {
  plain: { username: string; password: string }
  'scram-sha-256': { username: string; password: string }
  'scram-sha-512': { username: string; password: string }
  oauthbearer: { oauthBearerProvider: () => Promise<OauthbearerProviderResponse> }
}

export type SASLMechanism = keyof SASLMechanismOptionsMap
type SASLMechanismOptions<T> = T extends SASLMechanism ? { mechanism: T } & SASLMechanismOptionsMap[T] : never
export type SASLOptions = SASLMechanismOptions<SASLMechanism>

export interface KafkaConfig {
  /** Addresses, or a function that finds them; it is called at each `connect()`. */
  brokers: string[] | BrokersFunction
  ssl?: ConnectionOptions | boolean
  sasl?: SASLOptions
  clientId?: string
  /** For the connection, TLS and SASL together, in milliseconds. Default 1,000. */
  connectionTimeout?: number
  /** Accepted: `connectionTimeout` includes it. */
  authenticationTimeout?: number
  /** Accepted: sessions are renewed before they end. */
  reauthenticationThreshold?: number
  /** Default 30,000. */
  requestTimeout?: number
  /** Accepted: it is always enforced. */
  enforceRequestTimeout?: boolean
  retry?: RetryOptions
  logLevel?: logLevel
  logCreator?: logCreator
}

/** What each client of a `Kafka` may set for itself. */
export interface ClientOverrides {
  readonly retry: RetrySettings
  readonly metadataMaxAge: number | undefined
}

export const defaultRequestTimeoutMs = 30_000
const defaultConnectionTimeoutMs = 1_000
/** Pauses of the client where those of kafkajs would be longer: as much is retried as long, but sooner. */
const firstPauseMs = 50
const longestPauseMs = 1_000

/** Throws where kafkajs takes something that this client has another way for, or none. */
export function checkConfiguration(config: KafkaConfig): void {
  if ('socketFactory' in config && config.socketFactory !== undefined) {
    throw new KafkaJSNotImplemented(
      'socketFactory is not offered: connections are made by the client itself.',
    )
  }
  if (config.brokers === undefined) {
    throw new KafkaJSNonRetriableError('Failed to connect: expected brokers array and got nothing')
  }
  if (config.sasl !== undefined) saslOptions(config.sasl)
}

export async function connectOptions(
  config: KafkaConfig,
  { retry, metadataMaxAge }: ClientOverrides,
  logger: Logger,
): Promise<ConnectOptions> {
  const brokers = typeof config.brokers === 'function' ? await config.brokers() : config.brokers
  if (!Array.isArray(brokers) || brokers.length === 0) {
    throw new KafkaJSNonRetriableError('Failed to connect: expected brokers array and got nothing')
  }
  return {
    brokers,
    clientId: config.clientId ?? 'kafkajs',
    connectTimeoutMs: config.connectionTimeout ?? defaultConnectionTimeoutMs,
    requestTimeoutMs: config.requestTimeout ?? defaultRequestTimeoutMs,
    retryTimeoutMs: retrySpanMs(retry),
    retryBackoffMs: Math.max(1, Math.min(retry.initialRetryTime, firstPauseMs)),
    maxRetryBackoffMs: Math.max(1, Math.min(retry.maxRetryTime, longestPauseMs)),
    logger: sdkLogger(logger),
    ...(config.ssl === undefined ? {} : { tls: config.ssl as boolean | TlsOptions }),
    ...(config.sasl === undefined ? {} : { sasl: saslOptions(config.sasl) }),
    ...(metadataMaxAge === undefined ? {} : { metadataMaxAgeMs: metadataMaxAge }),
  }
}

/** The mechanism may be written in any case. */
function saslOptions(sasl: SASLOptions): SaslOptions {
  const mechanism = String(sasl.mechanism).toLowerCase() as SASLMechanism
  switch (mechanism) {
    case 'plain':
    case 'scram-sha-256':
    case 'scram-sha-512': {
      const { username, password } = sasl as { username: string; password: string }
      return { mechanism, username, password }
    }
    case 'oauthbearer': {
      const { oauthBearerProvider } = sasl as SASLMechanismOptionsMap['oauthbearer']
      return { mechanism, token: oauthBearerProvider }
    }
    default:
      throw new KafkaJSSASLAuthenticationError(
        `SASL ${String(sasl.mechanism).toUpperCase()} mechanism is not supported by the client`,
      )
  }
}
