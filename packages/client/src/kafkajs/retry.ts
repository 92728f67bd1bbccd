import { isStreamBusError } from '../errors.ts'
import { KafkaJSNonRetriableError, KafkaJSNumberOfRetriesExceeded, kafkajsError } from './errors.ts'

export interface RetryOptions {
  /** Longest pause between two attempts, in milliseconds. Default 30,000. */
  maxRetryTime?: number
  /** First pause, in milliseconds. Default 300. */
  initialRetryTime?: number
  /** Share by which pauses vary at random. Default 0.2. */
  factor?: number
  /** By which each pause is longer than the one before. Default 2. */
  multiplier?: number
  /** How often is tried again. Default 5. */
  retries?: number
  /** Asked when a consumer has crashed: whether it starts again. Default: it does. */
  restartOnFailure?: (e: Error) => Promise<boolean>
}

export interface RetrySettings {
  readonly maxRetryTime: number
  readonly initialRetryTime: number
  readonly factor: number
  readonly multiplier: number
  readonly retries: number
}

const defaults: RetrySettings = {
  maxRetryTime: 30_000,
  initialRetryTime: 300,
  factor: 0.2,
  multiplier: 2,
  retries: 5,
}
/** Retrying ends at some time also where a program asks for more retries than anybody will wait for. */
const longestSpanMs = 3_600_000

/** The later options count. */
export function retrySettings(...options: readonly (RetryOptions | undefined)[]): RetrySettings {
  const settings: RetrySettings = Object.assign({}, defaults, ...options)
  for (const name of Object.keys(defaults) as (keyof RetrySettings)[]) {
    if (typeof settings[name] !== 'number' || !(settings[name] >= 0)) {
      throw new KafkaJSNonRetriableError(`retry.${name} must be a number, and is ${String(settings[name])}`)
    }
  }
  return settings
}

/** The pause before attempt number `attempt`; 0 is the first retry. */
export function retryPauseMs(attempt: number, settings: RetrySettings): number {
  const { initialRetryTime, multiplier, maxRetryTime, factor } = settings
  const pauseMs = Math.min(initialRetryTime * multiplier ** Math.min(attempt, 1_000), maxRetryTime)
  return Math.ceil(pauseMs * (1 - factor + 2 * factor * Math.random()))
}

/** How long all the pauses take together, which is how long the SDK retries by itself. */
export function retrySpanMs({ initialRetryTime, multiplier, maxRetryTime, retries }: RetrySettings): number {
  let spanMs = 0
  let pauseMs = initialRetryTime
  for (let attempt = 0; attempt < retries && spanMs < longestSpanMs; attempt++) {
    const nextMs = Math.min(pauseMs, maxRetryTime)
    if (nextMs <= 0) break
    spanMs += nextMs
    pauseMs *= multiplier
  }
  return Math.max(1, Math.min(spanMs, longestSpanMs))
}

const unrecoverable = ['RangeError', 'ReferenceError', 'SyntaxError', 'TypeError']

/** Whether kafkajs tries again after an error: always, unless it says otherwise or is a mistake of the program. */
export function isWorthRetrying(error: unknown): boolean {
  const { name, retriable } = (error ?? {}) as { name?: string; retriable?: boolean }
  return retriable !== false && !unrecoverable.includes(name ?? '')
}

/**
 * Awaits what the SDK does, which has retried by itself as long as the settings say, and throws kafkajs's error in
 * the place of the SDK's: KafkaJSNumberOfRetriesExceeded around what was still wrong in the end.
 */
export async function translated<T>(promise: Promise<T>, settings: RetrySettings): Promise<T> {
  try {
    return await promise
  } catch (error) {
    const isLate = isStreamBusError(error) && error.code === 'DELIVERY_TIMEOUT'
    const reason = kafkajsError(isLate ? (error.cause ?? error) : error)
    // That there is no such topic is told as such, however long it was waited for.
    const isRetriable = isStreamBusError(error) && error.retriable && error.code !== 'UNKNOWN_TOPIC'
    const wasRetried = isLate || isRetriable
    throw wasRetried ? retriesExceeded(reason, settings) : reason
  }
}

export function retriesExceeded(reason: Error, settings: RetrySettings): KafkaJSNumberOfRetriesExceeded {
  const retryTime = retryPauseMs(settings.retries, settings)
  return new KafkaJSNumberOfRetriesExceeded(reason, { retryCount: settings.retries, retryTime })
}
