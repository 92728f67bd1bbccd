import {
  type AdvancedStart,
  type AppendBatch,
  type AppendResult,
  type LogId,
  type LogState,
  type LogStorage,
  type LogStore,
  type MaintenanceMetrics,
  type MaintenanceProgress,
  type MemoryLogStore,
  type Offset,
  type OffsetAndTimestamp,
  type Ownership,
  type ProducerIdRange,
  type ProducerState,
  type ReadLimits,
  type ReadRequest,
  type ReadResult,
  StorageError,
  type Topic,
} from '@streambus/storage'

/** What is durable, to be read only: a log can be claimed without taking it from its owner. */
export class ReplayDisk implements LogStore {
  readonly durability = 'fsync'
  readonly location = 'replay'
  readonly #durable: MemoryLogStore

  constructor(durable: MemoryLogStore) {
    this.#durable = durable
  }

  get clusterId(): string {
    return this.#durable.clusterId
  }

  get maxBatchBytes(): number {
    return this.#durable.maxBatchBytes
  }

  get topics(): LogStore['topics'] {
    return this.#durable.topics
  }

  async append(batches: readonly AppendBatch[]): Promise<AppendResult[]> {
    return batches.map(() => ({ error: readOnly() }))
  }

  async claim(id: LogId): Promise<Ownership> {
    const [state] = await this.#durable.state([id])
    if (state === undefined) throw new StorageError('UNKNOWN_LOG', `log ${id} does not exist`)
    return { epoch: Number.MAX_SAFE_INTEGER, endOffset: state.highWatermark }
  }

  read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]> {
    return this.#durable.read(requests, limits)
  }

  state(ids: readonly LogId[]): Promise<LogState[]> {
    return this.#durable.state(ids)
  }

  offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null> {
    return this.#durable.offsetForTime(id, timestampMs)
  }

  producers(id: LogId): Promise<ProducerState[]> {
    return this.#durable.producers(id)
  }

  async waitForAppend(): Promise<LogId[]> {
    return []
  }

  createTopic(): Promise<Topic> {
    return Promise.reject(readOnly())
  }

  createPartitions(): Promise<Topic> {
    return Promise.reject(readOnly())
  }

  configureTopic(): Promise<Topic> {
    return Promise.reject(readOnly())
  }

  deleteTopic(): Promise<void> {
    return Promise.reject(readOnly())
  }

  expiredUpTo(): Promise<Offset> {
    return Promise.reject(readOnly())
  }

  advanceStart(): Promise<AdvancedStart> {
    return Promise.reject(readOnly())
  }

  allocateProducerIds(): Promise<ProducerIdRange> {
    return Promise.reject(readOnly())
  }

  async maintain(): Promise<MaintenanceProgress> {
    return { bytes: 0, isMore: false }
  }

  maintenanceMetrics(): MaintenanceMetrics {
    return this.#durable.maintenanceMetrics()
  }

  storageOf(id: LogId): Promise<LogStorage> {
    return this.#durable.storageOf(id, null)
  }

  async close(): Promise<void> {}
}

function readOnly(): StorageError {
  return new StorageError('DISK_FULL', 'a replay writes nothing')
}
