import { BrokerError } from '../broker-error.ts'

/** Limits and times of transactions, with Kafka's defaults where Kafka has the setting. */
export interface TransactionOptions {
  /** Longest transaction.timeout.ms a producer may ask for. Kafka's transaction.max.timeout.ms, 15 minutes. */
  maxTimeoutMs?: number
  /** How often transactions are looked through for those past their timeout. Default 10 seconds. */
  abortTimedOutIntervalMs?: number
  /** A transactional id unused for so long is forgotten. Kafka's transactional.id.expiration.ms, 7 days. */
  idExpirationMs?: number
  /** How often ids are looked through for those to be forgotten. Default 1 hour. */
  removeExpiredIntervalMs?: number
  /** Transactional ids at once; a producer with another one is refused. Default 100,000. */
  maxIds?: number
  /** Bytes that all transactional ids take in memory, with the partitions of their transactions. Default 512 MiB. */
  maxStateBytes?: number
  /** Partitions in one transaction. Default 10,000. */
  maxPartitions?: number
}

export type ResolvedTransactionOptions = Readonly<Required<TransactionOptions>>

export const DEFAULT_TRANSACTION_OPTIONS: ResolvedTransactionOptions = {
  maxTimeoutMs: 900_000,
  abortTimedOutIntervalMs: 10_000,
  idExpirationMs: 7 * 24 * 3_600_000,
  removeExpiredIntervalMs: 3_600_000,
  maxIds: 100_000,
  maxStateBytes: 512 * 1024 * 1024,
  maxPartitions: 10_000,
}

const MAX_TIMER_MS = 2 ** 31 - 1
const MOST: ResolvedTransactionOptions = {
  maxTimeoutMs: MAX_TIMER_MS,
  abortTimedOutIntervalMs: MAX_TIMER_MS,
  idExpirationMs: Number.MAX_SAFE_INTEGER,
  removeExpiredIntervalMs: MAX_TIMER_MS,
  maxIds: 10_000_000,
  maxStateBytes: Number.MAX_SAFE_INTEGER,
  maxPartitions: 1_000_000,
}

/** Fills in the defaults. Throws BrokerError INVALID_OPTION naming the option and what it may be. */
export function resolveTransactionOptions(options: TransactionOptions): ResolvedTransactionOptions {
  const resolved: Record<keyof TransactionOptions, number> = { ...DEFAULT_TRANSACTION_OPTIONS }
  for (const name of Object.keys(DEFAULT_TRANSACTION_OPTIONS) as (keyof TransactionOptions)[]) {
    const value = options[name] ?? DEFAULT_TRANSACTION_OPTIONS[name]
    if (!Number.isInteger(value) || value < 1 || value > MOST[name]) {
      throw new BrokerError(
        'INVALID_OPTION',
        `Option transactions.${name} must be an integer from 1 to ${MOST[name]}, not ${String(value)}.`,
      )
    }
    resolved[name] = value
  }
  return resolved
}
