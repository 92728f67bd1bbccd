import { AppendWaiters } from './append-waiters.ts'
import { newKafkaId } from './kafka-id.ts'
import type { LogHead } from './log-head.ts'
import {
  type AdvancedStart,
  type AppendBatch,
  type AppendResult,
  type CompactionPolicy,
  type Durability,
  type KeepingPolicy,
  type LogId,
  type LogState,
  type LogStore,
  type MaintenanceBudget,
  type MaintenanceProgress,
  type Offset,
  type OffsetAndTimestamp,
  type Ownership,
  type ProducerIdRange,
  type ProducerState,
  type ReadLimits,
  type ReadRequest,
  type ReadResult,
  type RetentionLimits,
  StorageError,
  type Topic,
  type TopicId,
  type TopicSpec,
  type WaitOptions,
} from './log-store.ts'
import { type LogStorage, MaintenanceCounters, type MaintenanceMetrics } from './maintenance-metrics.ts'
import { ProducerExpiry } from './producer-expiry.ts'
import type { StoreEvent, StoreState } from './store-state.ts'

/**
 * What every engine does alike: topics, states, waiting, ownership and producer ids, all as events over
 * `StoreState`. An engine adds how an event becomes durable and how records are written and read.
 */
export abstract class StoreBase implements LogStore {
  abstract readonly clusterId: string
  abstract readonly durability: Durability
  abstract readonly location: string
  abstract readonly maxBatchBytes: number

  protected readonly storeState: StoreState
  /** Milliseconds since the epoch. */
  protected readonly clock: () => number
  readonly #newId: () => string
  protected readonly waiters = new AppendWaiters()
  protected readonly expiry: ProducerExpiry
  protected readonly counters = new MaintenanceCounters()
  /** Changes of topics run one after the other: each is checked against the outcome of the one before. */
  #changes: Promise<unknown> = Promise.resolve()
  /** Of logs, by log, since the last change of topics: those of different logs run at once, and share disk writes. */
  readonly #logChanges = new Map<LogId, Promise<unknown>>()

  protected constructor(storeState: StoreState, clock: () => number, newId: () => string = newKafkaId) {
    this.storeState = storeState
    this.clock = clock
    this.expiry = new ProducerExpiry(storeState, clock())
    this.#newId = newId
  }

  get topics(): LogStore['topics'] {
    return this.storeState.topics
  }

  /** Makes the event durable in order with the appends, applies it to `storeState`, then resolves. */
  protected abstract commitEvent(event: StoreEvent): Promise<void>
  /** Called after logs were deleted, so that the engine can give their space back. */
  protected abstract logsDeleted(ids: readonly LogId[]): void
  /** Called after the start of a log moved, likewise. */
  protected abstract startAdvanced(log: LogHead): void
  /** Bytes of the log's batches between its start and `to` that end at or before `to`. */
  protected abstract bytesBefore(log: LogHead, to: Offset): Promise<number>
  /** Throws CLOSED after `close`. */
  protected abstract assertOpen(): void

  abstract append(batches: readonly AppendBatch[]): Promise<AppendResult[]>
  abstract read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]>
  abstract offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null>
  abstract expiredUpTo(id: LogId, limits: RetentionLimits): Promise<Offset>
  abstract maintain(
    budget: MaintenanceBudget,
    policyOf?: (topic: Topic) => KeepingPolicy,
  ): Promise<MaintenanceProgress>
  abstract maintenanceMetrics(): MaintenanceMetrics
  abstract storageOf(id: LogId, compaction: CompactionPolicy | null): Promise<LogStorage>
  abstract close(): Promise<void>

  createTopic(spec: TopicSpec): Promise<Topic> {
    return this.inTurn(async () => {
      if (this.topics.byName(spec.name) !== undefined) {
        throw new StorageError('TOPIC_EXISTS', `topic '${spec.name}' exists already`)
      }
      const id = this.#newId()
      await this.commitEvent({
        type: 'topic-created',
        name: spec.name,
        id,
        logs: this.#newLogIds(spec.partitions),
        configs: { ...spec.configs },
        createdAtMs: this.clock(),
      })
      return this.#topic(id)
    })
  }

  createPartitions(id: TopicId, partitions: number): Promise<Topic> {
    return this.inTurn(async () => {
      const missing = partitions - this.#topic(id).logs.length
      if (missing > 0) {
        await this.commitEvent({ type: 'partitions-created', id, logs: this.#newLogIds(missing) })
      }
      return this.#topic(id)
    })
  }

  configureTopic(id: TopicId, configs: Readonly<Record<string, string>>): Promise<Topic> {
    return this.inTurn(async () => {
      this.#topic(id)
      await this.commitEvent({ type: 'topic-configured', id, configs: { ...configs } })
      return this.#topic(id)
    })
  }

  deleteTopic(id: TopicId): Promise<void> {
    return this.inTurn(async () => {
      const { logs } = this.#topic(id)
      await this.commitEvent({ type: 'topic-deleted', id })
      this.logsDeleted(logs)
      for (const logId of logs) this.waiters.wake(logId, undefined)
    })
  }

  async state(ids: readonly LogId[]): Promise<LogState[]> {
    const states: LogState[] = []
    for (const id of ids) {
      const log = this.storeState.logs.get(id)
      if (log !== undefined) states.push(log.state())
    }
    return states
  }

  waitForAppend(after: ReadonlyMap<LogId, Offset>, options: WaitOptions): Promise<LogId[]> {
    return this.waiters.wait(this.storeState.logs, after, options)
  }

  advanceStart(id: LogId, to: Offset): Promise<AdvancedStart> {
    return this.#inTurnOf(id, async () => {
      const log = this.log(id)
      if (to > log.highWatermark) {
        throw new StorageError(
          'OFFSET_OUT_OF_RANGE',
          `log ${id} cannot start at ${to}: it ends at ${log.highWatermark}`,
        )
      }
      if (to <= log.startOffset) return { startOffset: log.startOffset, freedBytes: 0 }
      const freedBytes = await this.bytesBefore(log, to)
      await this.commitEvent({ type: 'log-start-advanced', logId: id, to, freedBytes })
      this.startAdvanced(log)
      // Where a transaction that began before is still open, the last stable offset moved with the start.
      this.waiters.wake(id, this.storeState.logs.get(id))
      return { startOffset: log.startOffset, freedBytes }
    })
  }

  /** Not in turn with other changes: what is claimed at once goes to disk in one write. */
  async claim(id: LogId): Promise<Ownership> {
    this.assertOpen()
    const log = this.log(id)
    const epoch = log.ownerEpoch + 1
    // From here on, not from when the event is durable: an earlier owner's append must not slip in
    // between the event and the end offset the new owner replays to. What it got in before is in front of
    // the event, and durable with it.
    log.ownerEpoch = epoch
    await this.commitEvent({ type: 'log-claimed', logId: id, epoch })
    if (log.deleted) throw new StorageError('UNKNOWN_LOG', `log ${id} was deleted`)
    return { epoch, endOffset: log.highWatermark }
  }

  async producers(id: LogId): Promise<ProducerState[]> {
    const log = this.log(id)
    log.expireProducers(this.clock())
    return log.producers.states()
  }

  allocateProducerIds(count: number): Promise<ProducerIdRange> {
    return this.inTurn(async () => {
      const first = this.storeState.nextProducerId
      await this.commitEvent({ type: 'producer-ids-allocated', nextProducerId: first + count })
      return { first, count }
    })
  }

  /** Bytes of batches that all logs hold from their starts on. */
  protected get liveBytes(): number {
    let bytes = 0
    for (const { sizeBytes } of this.storeState.logs.values()) bytes += sizeBytes
    return bytes
  }

  /** Resolves when the change under way, if there is one, is made or refused. After `close` no other begins. */
  protected async changesMade(): Promise<void> {
    await Promise.all([this.#changes, ...this.#logChanges.values()])
  }

  protected log(id: LogId): LogHead {
    const log = this.storeState.logs.get(id)
    if (log === undefined) throw new StorageError('UNKNOWN_LOG', `log ${id} does not exist`)
    return log
  }

  #topic(id: TopicId): Topic {
    const topic = this.topics.byId(id)
    if (topic === undefined) throw new StorageError('UNKNOWN_TOPIC', `topic ${id} does not exist`)
    return topic
  }

  #newLogIds(count: number): LogId[] {
    return Array.from({ length: count }, (_, index) => this.storeState.nextLogId + index)
  }

  /** Runs a change when those before it are made or refused. */
  protected inTurn<T>(change: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#changes, ...this.#logChanges.values()])
    this.#logChanges.clear()
    const result = before.then(() => {
      this.assertOpen()
      return change()
    })
    // A change that failed was reported to its caller; the next one starts from the state it left.
    this.#changes = result.catch(() => undefined)
    return result
  }

  /** Likewise, but it waits only for those before it that concern the same log, or all. */
  #inTurnOf<T>(id: LogId, change: () => Promise<T>): Promise<T> {
    const result = (this.#logChanges.get(id) ?? this.#changes).then(() => {
      this.assertOpen()
      return change()
    })
    const made = result
      .catch(() => undefined)
      .then(() => {
        if (this.#logChanges.get(id) === made) this.#logChanges.delete(id)
      })
    this.#logChanges.set(id, made)
    return result
  }
}
