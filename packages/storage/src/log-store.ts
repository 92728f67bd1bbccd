/**
 * LogStore: the seam between the broker and whatever keeps its records.
 *
 * Everything above storage is written once against this interface and runs unchanged on every engine: the
 * local engine (`local/`), the in-memory engine (`memory/`), and engines without local state. The contract
 * suite in `testing/contract.ts` states the semantics as tests; an engine is correct when it passes.
 *
 * Offsets, sizes and timestamps are JavaScript numbers: integers below 2^53. Timestamps are milliseconds
 * since the Unix epoch.
 */
import type { LogStorage, MaintenanceMetrics } from './maintenance-metrics.ts'

/** Identifies one log (one partition of one topic) in a store. Never reused, not even after deletion. */
export type LogId = number

/**
 * Position of a record in its log: 0, 1, 2, … without gaps or repeats, kept across restarts. Compaction leaves gaps
 * where it takes records out; what stays keeps its offset.
 */
export type Offset = number

/** A topic id in Kafka's text form: 16 random bytes as 22 characters of unpadded base64url (KIP-516). */
export type TopicId = string

export interface TopicSpec {
  name: string
  /** Number of partitions, at least 1. */
  partitions: number
  /** Settings that differ from the defaults, by Kafka's names. The engine stores them and reads none. */
  configs?: Readonly<Record<string, string>>
}

/** One topic as the store knows it. Immutable: a change makes a new object. */
export interface Topic {
  readonly name: string
  readonly id: TopicId
  /** Index = partition number. */
  readonly logs: readonly LogId[]
  readonly configs: Readonly<Record<string, string>>
  readonly createdAtMs: number
}

/** The topics a store holds. Synchronous: an engine keeps its view current and never blocks a lookup. */
export interface TopicCatalog {
  /** Grows with every change, so that a cache can tell whether it is stale. */
  readonly version: number
  byName(name: string): Topic | undefined
  byId(id: TopicId): Topic | undefined
  all(): Iterable<Topic>
}

/**
 * One record batch (magic 2) to append.
 *
 * A transactional batch (attribute bit 4) begins the producer's transaction on this log at its base offset
 * where none is open. A control batch (bit 5; one marker of `controlRecord`, not compressed) ends it, and is
 * remembered when it aborts; where none is open it only takes its offset. A producer id with the base sequence
 * -1, as in markers and in what coordinators write, has its epoch checked and not its sequence. A marker whose
 * epoch is above the known one makes it the current one: the next batch has the sequence 0 (KIP-890). A
 * transactional batch whose epoch is above that of the producer's open transaction goes on with it, as in
 * Kafka; that the old one is ended first is the coordinator's care.
 */
export interface AppendBatch {
  logId: LogId
  /**
   * The batch exactly as the producer sent it, its CRC and counts already verified by the caller. The engine
   * copies it before `append` returns, so the caller may reuse the memory at once; it writes the base offset
   * and leader epoch into its copy, never into this one.
   */
  bytes: Uint8Array
  /**
   * Transaction version of the producer or coordinator that wrote it (KIP-890); 0 by default. With 2 each
   * transaction ends with a new producer epoch, which lets the log refuse more: INVALID_PRODUCER_EPOCH for a
   * marker that does not raise the epoch while the producer has a transaction open here, and
   * OUT_OF_ORDER_SEQUENCE for a first batch that does not have the sequence 0, of a producer it does not know.
   */
  transactionVersion?: number
  /** LogAppendTime topics: the engine sets timestamp type and maxTimestamp to this and recomputes the CRC. */
  logAppendTimeMs?: number
  /** Only for logs owned through `claim`: an append with an older epoch than the current one is refused. */
  ownerEpoch?: number
}

export type AppendResult =
  | {
      readonly error: null
      /** Offset of the batch's first record; of the original when `duplicate`. */
      readonly baseOffset: Offset
      readonly logStartOffset: Offset
      /** True when the producer had sent this batch before: nothing was written again. */
      readonly duplicate: boolean
    }
  | { readonly error: StorageError }

export interface ReadRequest {
  logId: LogId
  /**
   * First offset wanted. The answer starts with the batch that contains it, or the first one after it where
   * compaction has left none.
   */
  offset: Offset
  /** Bytes wanted from this log. */
  maxBytes: number
  /** True: nothing at or above the last stable offset, and the aborted transactions are listed. */
  readCommitted?: boolean
}

export interface WaitOptions {
  readonly maxWaitMs: number
  /** Ends the wait early, with no logs. */
  readonly signal?: AbortSignal | undefined
  /** True: the last stable offset counts instead of the high watermark. */
  readonly readCommitted?: boolean
}

export interface ReadLimits {
  /** Bytes over all requests. The first non-empty log returns one whole batch despite both limits (KIP-74). */
  maxBytes: number
}

export interface AbortedTransaction {
  readonly producerId: number
  /** Of its first batch on this log; may lie below the offset asked for. */
  readonly firstOffset: Offset
}

export type ReadResult =
  | {
      readonly error: null
      readonly highWatermark: Offset
      readonly lastStableOffset: Offset
      readonly logStartOffset: Offset
      /**
       * Null unless the request said `readCommitted`. Else every aborted transaction of which something lies
       * from the requested offset to the end of `records`, in the order in which they ended.
       */
      readonly abortedTransactions: readonly AbortedTransaction[] | null
      readonly records: RecordBytes
    }
  | { readonly error: StorageError; readonly logStartOffset: Offset; readonly highWatermark: Offset }

/**
 * Whole record batches, back to back, not yet loaded. The length is known at once; the bytes are copied piece
 * by piece into memory of the reader's choice, so that an answer of any size costs a slow consumer's
 * connection only one piece of memory at a time. Stays readable after the log was deleted, until `close`.
 */
export interface RecordBytes {
  readonly byteLength: number
  /**
   * Fills `target` from where the last call ended, as far as the records go. Returns the bytes written, 0
   * only at the end; a promise where the bytes come from disk. One call at a time.
   */
  readInto(target: Uint8Array): number | Promise<number>
  /** Gives back what the read holds (open files). Safe to call twice and before the end. */
  close(): void
}

export interface LogState {
  readonly logId: LogId
  readonly logStartOffset: Offset
  /** End of what is durable: the offset the next record after all acknowledged ones gets. */
  readonly highWatermark: Offset
  /**
   * Where the earliest transaction that is open among the durable records begins, but not below the log start;
   * the high watermark where none is. Every record below it is decided.
   */
  readonly lastStableOffset: Offset
  readonly leaderEpoch: number
  /** Bytes of record batches between start and high watermark. */
  readonly sizeBytes: number
}

export interface OffsetAndTimestamp {
  readonly offset: Offset
  readonly timestampMs: number
  readonly leaderEpoch: number
}

/** Where a log begins now, and what went before it. */
export interface AdvancedStart {
  readonly startOffset: Offset
  /** Bytes of batches that were live until then; 0 where the start was there or behind it already. */
  readonly freedBytes: number
}

/** Ownership of a log by a coordinator. `epoch` only grows; after `claim` a replay up to `endOffset` is safe. */
export interface Ownership {
  readonly epoch: number
  readonly endOffset: Offset
}

/**
 * What the log knows of one idempotent producer (KIP-98). A producer that wrote nothing for a day is forgotten
 * (Kafka's producer.id.expiration.ms), unless it has a transaction open; earlier where a store is to remember
 * more producers than it can, those that have been silent for longest first.
 */
export interface ProducerState {
  readonly producerId: number
  readonly producerEpoch: number
  /** Of the last batch with sequence numbers in this epoch, -1 where there is none; likewise the offset. */
  readonly lastSequence: number
  readonly lastOffset: Offset
  /** Time of the last append, markers included. */
  readonly lastTimestampMs: number
  /** Of the last end marker; -1 where there was none. */
  readonly coordinatorEpoch: number
  /** Null where no transaction is open. */
  readonly currentTransactionFirstOffset: Offset | null
}

export interface ProducerIdRange {
  readonly first: number
  readonly count: number
}

/** What of a log has to stay. Infinite `keepBytes`, or -Infinity for the time: no limit. */
export interface RetentionLimits {
  /** Milliseconds since the Unix epoch: a batch whose every timestamp lies before is expired. */
  readonly expiredBeforeMs: number
  readonly keepBytes: number
}

export interface MaintenanceBudget {
  /** Stop after about this many bytes that were read, looked at or written, or earlier. */
  maxBytes: number
}

/** How a topic's records are kept, as far as the engine has to know; the broker reads it from the topic's settings. */
export interface KeepingPolicy {
  /** Null: every record is kept until the log's start passes it. */
  readonly compaction: CompactionPolicy | null
  /** Most bytes of records of one log in a file of its own (Kafka's segment.bytes). */
  readonly segmentBytes: number
  /** Time after which a file that is being written counts as full for this log (segment.ms). */
  readonly segmentMs: number
  /** How long records are kept (retention.ms); infinite where they stay. What goes soon is not worth rewriting. */
  readonly retentionMs: number
  /** How many bytes of a log are kept (retention.bytes); infinite where all are. */
  readonly retentionBytes: number
}

/** Every record stays until the log's start passes it; files are as large as Kafka's are without settings. */
export const KEEP_EVERYTHING: KeepingPolicy = {
  compaction: null,
  segmentBytes: 1024 ** 3,
  segmentMs: Number.POSITIVE_INFINITY,
  retentionMs: Number.POSITIVE_INFINITY,
  retentionBytes: Number.POSITIVE_INFINITY,
}

/** Only the last record of each key has to be kept (Kafka's cleanup.policy=compact). Times in milliseconds. */
export interface CompactionPolicy {
  /** Share of a log's bytes, 0 to 1, that no compaction has seen, from which on one is worth it. */
  readonly minDirtyRatio: number
  /** Records younger than this are left as they are. */
  readonly minLagMs: number
  /** Records older than this are compacted even where the share is smaller. */
  readonly maxLagMs: number
  /** How long a tombstone stays from when it was first compacted on. */
  readonly deleteRetentionMs: number
}

export interface MaintenanceProgress {
  /** Bytes read, looked at and written. */
  readonly bytes: number
  /** True: there is more to do now. */
  readonly isMore: boolean
}

/** What a step does in a millisecond at least, if it is not kept waiting by what others do. */
const BYTES_PER_MS = 64 * 1024

/**
 * Milliseconds that others should have processor and disk to themselves after a step that took `tookMs`: as long as it
 * worked. Where others had most of that time, because they have much to do, that is less than it took.
 */
export function restAfterMs({ bytes }: MaintenanceProgress, tookMs: number): number {
  return Math.min(tookMs, bytes / BYTES_PER_MS)
}

/**
 * Why storage refused. INVALID_TXN_STATE: a batch outside of a transaction, of a producer that has one open on
 * the log. TRANSACTION_COORDINATOR_FENCED: a marker whose coordinator epoch is below that of the producer's last
 * one. CORRUPT_BATCH: the records of a batch had to be looked at and cannot be read. MAINTENANCE_FAILED: files could
 * not be rewritten and stay as they are. `inDoubt` says whether the outcome is unknown: true means the write may or may
 * not survive a restart, false means it certainly will not.
 */
export type StorageErrorCode =
  | 'UNKNOWN_LOG'
  | 'UNKNOWN_TOPIC'
  | 'TOPIC_EXISTS'
  | 'OFFSET_OUT_OF_RANGE'
  | 'OUT_OF_ORDER_SEQUENCE'
  | 'INVALID_PRODUCER_EPOCH'
  | 'INVALID_TXN_STATE'
  | 'TRANSACTION_COORDINATOR_FENCED'
  | 'FENCED_OWNER'
  | 'BATCH_TOO_LARGE'
  | 'DISK_FULL'
  | 'WRITER_FAILED'
  | 'READ_FAILED'
  | 'CORRUPT_BATCH'
  | 'MAINTENANCE_FAILED'
  | 'CLOSED'
  | 'DATA_LOCKED'
  | 'DATA_NOT_FOUND'
  | 'DATA_NOT_WRITABLE'
  | 'DATA_NEWER_FORMAT'
  | 'DATA_DAMAGED'
  | 'REPAIR_REFUSED'

export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly code: StorageErrorCode
  readonly inDoubt: boolean

  constructor(code: StorageErrorCode, message: string, options: { inDoubt?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.inDoubt = options.inDoubt ?? false
  }
}

/** How sure an acknowledgement is. `fsync`: on disk. `os`: with the operating system. `memory`: in the process. */
export type Durability = 'fsync' | 'os' | 'memory'

export interface LogStore {
  /** Made once per store, kept for its life: Kafka's cluster id (22 characters of base64url). */
  readonly clusterId: string
  readonly durability: Durability
  /** Where the data lies, for people: a folder, or `memory`. */
  readonly location: string
  /** Largest batch `append` takes, in bytes. */
  readonly maxBatchBytes: number
  readonly topics: TopicCatalog

  /** Durable when resolved. Rejects with TOPIC_EXISTS, or with the write errors of `append`. */
  createTopic(spec: TopicSpec): Promise<Topic>
  /** Raises the number of partitions to `partitions`. */
  createPartitions(id: TopicId, partitions: number): Promise<Topic>
  /** Replaces the topic's settings. */
  configureTopic(id: TopicId, configs: Readonly<Record<string, string>>): Promise<Topic>
  /** The name is free at once; reads in progress end in peace; space is given back in the background. */
  deleteTopic(id: TopicId): Promise<void>

  /**
   * Appends batches, also to several logs. Resolves when each one is durable and ordered, or refused; it
   * never rejects. Order within a log is the order of the calls, and of the batches in one call. Nothing is
   * atomic across logs. Where memory for waiting batches is full, the promise just takes longer.
   */
  append(batches: readonly AppendBatch[]): Promise<AppendResult[]>

  /** Plans a read in request order. Only what is durable is visible. Answers at once, empty at the end. */
  read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]>

  /** Unknown ids are left out. */
  state(ids: readonly LogId[]): Promise<LogState[]>

  /**
   * Resolves with the logs whose high watermark (with `readCommitted`: last stable offset) lies above the
   * offset given for them, or which are gone: at once when there are any, else when the first one moves, or
   * empty after `maxWaitMs` or on abort.
   */
  waitForAppend(after: ReadonlyMap<LogId, Offset>, options: WaitOptions): Promise<LogId[]>

  /**
   * The first record whose timestamp is at least `timestampMs`; with `'max'`, the record with the largest
   * timestamp. Null where there is none. Markers are no records. Rejects with CORRUPT_BATCH where the batch
   * that should hold it cannot be decompressed.
   */
  offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null>

  /**
   * Records before `to` are gone for ever; their space is given back in the background. Never moves back.
   */
  advanceStart(id: LogId, to: Offset): Promise<AdvancedStart>

  /**
   * Up to where the log may be cut: the end of its longest prefix of batches of which each is expired, or after which
   * at least `keepBytes` remain; its start where there is none. Found without reading a record. Batches without a
   * timestamp (markers, and those of a producer that gave -1) are as old as the next one that has one. Never above the last stable offset.
   */
  expiredUpTo(id: LogId, limits: RetentionLimits): Promise<Offset>

  /**
   * Takes a log over; every earlier owner's appends are refused from now on. Durable when resolved. Claims
   * issued together share one write.
   */
  claim(id: LogId): Promise<Ownership>

  producers(id: LogId): Promise<ProducerState[]>

  /** A range no caller of any process was or will be given. */
  allocateProducerIds(count: number): Promise<ProducerIdRange>

  /**
   * One bounded step of background work: gives back the space of deleted records, and compacts. One call at a
   * time. Without `policyOf` every record is kept that is not deleted.
   *
   * Compaction keeps the last record of each key, at its offset; what was committed becomes plain, what was aborted
   * goes with its marker. It stays below the last stable offset and below the newest batch of the log. What a
   * reader was given before is not changed.
   */
  maintain(
    budget: MaintenanceBudget,
    policyOf?: (topic: Topic) => KeepingPolicy,
  ): Promise<MaintenanceProgress>

  /** What background work did since the store was opened, and what is to be done. */
  maintenanceMetrics(): MaintenanceMetrics

  /** How a log is kept, and what its next compaction by this policy waits for. Reads at most indexes. */
  storageOf(id: LogId, compaction: CompactionPolicy | null): Promise<LogStorage>

  /** Makes everything acknowledged durable and leaves a clean mark, so that the next start is fast. */
  close(): Promise<void>
}
