/**
 * The jobs a load process can be given, and what it reports. They cross a process boundary as JSON, so they
 * hold plain data only. Latencies are in microseconds.
 */

export type WireName = 'kafka' | 'redis' | 'nats'

/** Closed loop: every connection keeps `inFlight` requests open, each with one batch that was encoded before. */
export interface ProduceJob {
  readonly kind: 'produce'
  readonly wire: WireName
  readonly port: number
  readonly topic: string
  readonly partitions: number
  readonly connections: number
  readonly inFlight: number
  readonly batchBytes: number
  /** Size of a record's value. */
  readonly recordBytes: number
  readonly warmupMs: number
  /** Ends the measurement after this long, or earlier when `maxBytes` were acknowledged. */
  readonly measureMs: number
  readonly maxBytes?: number
}

export interface ProduceReport {
  readonly acknowledgements: number
  readonly bytes: number
  readonly seconds: number
  readonly latency: LatencySummary
}

/** Open loop: one record per request at a fixed rate, latency counted from when it was due to be sent. */
export interface PacedJob {
  readonly kind: 'paced'
  readonly port: number
  readonly topic: string
  readonly partitions: number
  readonly connections: number
  readonly recordBytes: number
  readonly requestsPerSecond: number
  readonly warmupMs: number
  readonly measureMs: number
}

export interface PacedReport {
  readonly acknowledgements: number
  readonly latency: LatencySummary
  /** How late requests left this process: part of the latency, and not the broker's. */
  readonly sendLateness: LatencySummary
}

/** Reads every partition from its start to its end over a connection of its own, one request at a time. */
export interface FetchJob {
  readonly kind: 'fetch'
  readonly port: number
  readonly topic: string
  /** One connection for each. */
  readonly partitions: number
  /** Size of the batches in the topic, all alike; requests ask for a whole number of them. */
  readonly batchBytes: number
  readonly recordsPerBatch: number
  readonly bytesPerRequest: number
  /** True: at the end begin again, until the time is over. False: read everything once. */
  readonly repeat: boolean
  readonly warmupMs: number
  readonly measureMs: number
}

export interface FetchReport {
  readonly bytes: number
  readonly seconds: number
  readonly requests: number
  readonly latency: LatencySummary
}

export interface LatencySummary {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export type Job = ProduceJob | PacedJob | FetchJob
export type ReportOf<J extends Job> = J extends ProduceJob
  ? ProduceReport
  : J extends PacedJob
    ? PacedReport
    : FetchReport

/** What the load process tells the benchmark while it works. */
export type Progress =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'report'; readonly report: ProduceReport | PacedReport | FetchReport }
  | { readonly kind: 'failed'; readonly reason: string }

/** Called when the warm-up is over and when the measurement is over. */
export interface Phases {
  measuring(): void
  measured(): void
}
