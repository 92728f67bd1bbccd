import type { MaintenanceMetrics } from '@streambus/storage'

/** What a broker counts of itself, since it was started, as plain numbers for whoever exports them. */
export interface BrokerMetrics {
  /** The background work on its logs. */
  readonly maintenance: LogLifeMetrics
}

/** What retention, compaction and merging did, what they have still to do, and what they failed with. */
export interface LogLifeMetrics extends MaintenanceMetrics {
  /** When the broker was started, in milliseconds since the Unix epoch. */
  readonly sinceMs: number
  readonly retention: RetentionMetrics
}

export interface RetentionMetrics {
  /** Checks of all logs. */
  readonly checks: number
  /** Bytes of record batches that went for their age or for the size of their log. */
  readonly freedBytes: number
}
