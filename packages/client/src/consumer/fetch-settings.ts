import { StreamBusError } from '../errors.ts'
import { type Isolation, isolationLevels } from '../list-offsets.ts'
import { positive } from '../options.ts'

export interface FetchOptions {
  /**
   * What is read of transactions (KIP-98). `read_committed`, the default: messages of a transaction once it is
   * committed, and never those of one that is aborted. Reading waits at the first open transaction (the last
   * stable offset), which is then also the end that `until: 'end'`, `latest` and offsets from the end mean; a
   * producer that hangs holds up readers until its transaction times out. `read_uncommitted`: everything, as soon
   * as it is in the log, whatever becomes of it.
   *
   * Java's default is `read_uncommitted`, which shows messages that, to those who sent them, never happened. Here a
   * reader has to ask for that. Where nobody uses transactions, both are the same and cost the same.
   */
  isolation?: Isolation
  /** How long the broker waits for new messages before it answers with none. Default 500. */
  maxWaitMs?: number
  /** Bytes the broker waits for, as long as `maxWaitMs`. Default 1. */
  minBytes?: number
  /** Bytes of one answer, at least one batch. Default 4 MiB. */
  maxBytes?: number
  /** Bytes of one partition in an answer, at least one batch. Default 1 MiB. */
  maxPartitionBytes?: number
  /** Bytes read ahead. Default 8 MiB. */
  prefetchBytes?: number
}

export interface FetchSettings {
  readonly isolation: Isolation
  readonly maxWaitMs: number
  readonly minBytes: number
  /** Of one answer. */
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  readonly prefetchBytes: number
}

/** Checks the options and fills in what was left out. */
export function fetchSettings(options: FetchOptions): FetchSettings {
  const isolation = options.isolation ?? 'read_committed'
  if (!Object.hasOwn(isolationLevels, isolation)) {
    const known = Object.keys(isolationLevels).join("' or '")
    throw new StreamBusError('INVALID_ARGUMENT', `isolation must be '${known}', not ${String(isolation)}.`)
  }
  return {
    isolation,
    maxWaitMs: positive('maxWaitMs', options.maxWaitMs ?? 500),
    minBytes: positive('minBytes', options.minBytes ?? 1),
    maxBytes: positive('maxBytes', options.maxBytes ?? 4 * 1024 * 1024),
    maxPartitionBytes: positive('maxPartitionBytes', options.maxPartitionBytes ?? 1024 * 1024),
    prefetchBytes: positive('prefetchBytes', options.prefetchBytes ?? 8 * 1024 * 1024),
  }
}
