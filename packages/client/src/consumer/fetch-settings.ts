import { positive } from '../options.ts'

export interface FetchOptions {
  /** How long the broker waits for new messages before it answers with none. Default 500. */
  maxWaitMs?: number
  /** Bytes the broker waits for, as long as `maxWaitMs`. Default 1. */
  minBytes?: number
  /** Bytes of one answer, at least one batch. Default 4 MiB; per partition 1 MiB. */
  maxBytes?: number
  maxPartitionBytes?: number
  /** Bytes read ahead. Default 8 MiB. */
  prefetchBytes?: number
}

export interface FetchSettings {
  readonly maxWaitMs: number
  readonly minBytes: number
  /** Of one answer. */
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  readonly prefetchBytes: number
}

/** Checks the options and fills in what was left out. */
export function fetchSettings(options: FetchOptions): FetchSettings {
  return {
    maxWaitMs: positive('maxWaitMs', options.maxWaitMs ?? 500),
    minBytes: positive('minBytes', options.minBytes ?? 1),
    maxBytes: positive('maxBytes', options.maxBytes ?? 4 * 1024 * 1024),
    maxPartitionBytes: positive('maxPartitionBytes', options.maxPartitionBytes ?? 1024 * 1024),
    prefetchBytes: positive('prefetchBytes', options.prefetchBytes ?? 8 * 1024 * 1024),
  }
}
