/**
 * The jobs a load process can be given, and what it reports. They cross a process boundary as JSON, so they
 * hold plain data only. Latencies are in microseconds.
 */

export type WireName = 'kafka' | 'redis' | 'nats'

interface TimedJob {
  readonly port: number
  /** Before this is over nothing is counted. */
  readonly warmupMs: number
  /** How long is measured, at most. */
  readonly measureMs: number
}

/** Closed loop: every connection keeps `inFlight` requests open, each with one batch that was encoded before. */
export interface ProduceJob extends TimedJob {
  readonly kind: 'produce'
  readonly wire: WireName
  readonly topic: string
  readonly partitions: number
  readonly connections: number
  readonly inFlight: number
  readonly batchBytes: number
  /** Size of a record's value. */
  readonly recordBytes: number
  /** Ends the measurement when this much was acknowledged. */
  readonly maxBytes?: number
}

export interface ClosedLoopReport {
  readonly acknowledgements: number
  readonly seconds: number
  readonly latency: LatencySummary
}

export interface ProduceReport extends ClosedLoopReport {
  readonly bytes: number
}

/**
 * Closed loop: as many groups, each with one member that commits the offset of one partition again and again,
 * larger each time, over a connection of its own.
 */
export interface CommitJob extends TimedJob {
  readonly kind: 'commit'
  readonly topic: string
  readonly groups: number
  /** Distinguishes the groups of one run from those of another. */
  readonly groupPrefix: string
}

/**
 * Open loop: one record, or one committed offset, per request at a fixed rate, latency counted from when it
 * was due to be sent.
 */
export interface PacedJob extends TimedJob {
  readonly kind: 'paced'
  readonly topic: string
  readonly partitions: number
  readonly connections: number
  readonly recordBytes: number
  /** Offsets are committed by one group for each connection. */
  readonly sends: 'records' | 'commits'
  readonly requestsPerSecond: number
}

export interface PacedReport {
  readonly acknowledgements: number
  readonly latency: LatencySummary
  /** How late requests left this process: part of the latency, and not the broker's. */
  readonly sendLateness: LatencySummary
}

/** Reads every partition from its start to its end over a connection of its own, one request at a time. */
export interface FetchJob extends TimedJob {
  readonly kind: 'fetch'
  readonly topic: string
  /** One connection for each. */
  readonly partitions: number
  /** Size of the batches in the topic, all alike; requests ask for a whole number of them. */
  readonly batchBytes: number
  readonly recordsPerBatch: number
  readonly bytesPerRequest: number
  /** True: at the end begin again, until the time is over. False: read everything once. */
  readonly repeat: boolean
}

export interface FetchReport {
  readonly bytes: number
  readonly seconds: number
  readonly requests: number
  readonly latency: LatencySummary
}

/** All members of a new group join at the same moment; over when every one has its share. */
export interface GroupJoinJob extends TimedJob {
  readonly kind: 'group-join'
  /** `classic`: a member assigns. `consumer`: the broker does (KIP-848). */
  readonly protocol: 'classic' | 'consumer'
  readonly group: string
  readonly topic: string
  readonly partitions: number
  readonly members: number
}

export interface GroupJoinReport {
  /** From the first request to join until the last member has what it keeps. */
  readonly stableMs: number
  readonly requests: number
}

/** How a client takes part in transactions: with explicit additions, or KIP-890's implicit ones. */
export type TransactionFlow = 'v1' | 'v2'

/** Closed loop of small transactions: each producer writes to all partitions and commits, again and again. */
export interface TransactionJob extends TimedJob {
  readonly kind: 'transaction'
  readonly flow: TransactionFlow
  readonly topic: string
  readonly partitions: number
  readonly producers: number
  readonly recordsPerTransaction: number
  readonly recordBytes: number
}

export interface TransactionReport extends ClosedLoopReport {
  /** Requests sent again because the broker was still completing the transaction before. */
  readonly retries: number
}

/**
 * Each producer fills a partition of its own with batches, several in flight; with transactions it commits
 * after every `batchesPerTransaction`.
 */
export interface SequencedProduceJob extends TimedJob {
  readonly kind: 'sequenced-produce'
  readonly transactional: boolean
  readonly topic: string
  readonly producers: number
  readonly inFlight: number
  readonly batchBytes: number
  readonly recordBytes: number
  readonly batchesPerTransaction: number
  /** Ends the measurement when this much was acknowledged. */
  readonly maxBytes: number
}

export interface LatencySummary {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

interface Reports {
  readonly produce: ProduceReport
  readonly commit: ClosedLoopReport
  readonly paced: PacedReport
  readonly fetch: FetchReport
  readonly 'group-join': GroupJoinReport
  readonly transaction: TransactionReport
  readonly 'sequenced-produce': ProduceReport
}

export type Job =
  | ProduceJob
  | CommitJob
  | PacedJob
  | FetchJob
  | GroupJoinJob
  | TransactionJob
  | SequencedProduceJob
export type ReportOf<J extends Job> = Reports[J['kind']]
export type Report = ReportOf<Job>

/** What the load process tells the benchmark while it works. */
export type Progress =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'failed'; readonly reason: string }

/** Called when the warm-up is over and when the measurement is over. */
export interface Phases {
  measuring(): void
  measured(): void
}
