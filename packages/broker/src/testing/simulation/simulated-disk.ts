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
  type RetentionLimits,
  StorageError,
  type Topic,
  type TopicId,
  type TopicSpec,
  type WaitOptions,
} from '@streambus/storage'
import type { SeededRandom } from './seeded-random.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What the disk does to the broker. Changed while the simulation runs. */
export interface DiskFaults {
  /** The disk has no room: every write is refused, and nothing of it is there. */
  full: boolean
  /** Chance that a single append is refused for lack of room, those beside it not. */
  refusal: number
  /** Chance that a write takes as long as a disk with troubles does. */
  stall: number
  /** The longest that a write takes else. */
  writeMs: number
  /** The longest that a read takes. */
  readMs: number
  /** How much larger than they are logs seem, so that short ones are rewritten. */
  sizeFactor: number
}

/** A batch that became durable. */
export type OnWritten = (logId: LogId, bytes: Uint8Array, baseOffset: Offset) => void

/** Something that waits to be written, in the order in which it was asked for. */
interface Pending {
  /** Puts it into the log. What it returns tells the caller, if the process still lives. */
  write(): Promise<() => void>
  refuse(error: StorageError): void
}

const MAX_STALL_MS = 4000
const CLOSING_CHECK_MS = 5

/**
 * The store as one run of the broker's process sees it: everything it writes becomes durable some time later,
 * in groups and in order, or fails. When the process dies, a part of what was not acknowledged is there, and
 * nobody is told which.
 *
 * What is durable lies in a store in memory, which the next run goes on with.
 */
export class SimulatedDisk implements LogStore {
  readonly clusterId: string
  readonly durability = 'fsync'
  readonly location = 'simulated'
  readonly maxBatchBytes: number
  readonly #durable: MemoryLogStore
  readonly #time: VirtualTime
  readonly #random: SeededRandom
  readonly #faults: DiskFaults
  readonly #onWritten: OnWritten
  readonly #onAppend: () => void
  #pending: Pending[] = []
  /** What waited when a write failed: a part of it shows up after the restart. */
  #inDoubt: readonly Pending[] = []
  #isWriting = false
  #dead = false
  #failed = false

  constructor(options: {
    durable: MemoryLogStore
    time: VirtualTime
    random: SeededRandom
    faults: DiskFaults
    onWritten: OnWritten
    /** An append was asked for. */
    onAppend: () => void
  }) {
    this.#durable = options.durable
    this.#time = options.time
    this.#random = options.random
    this.#faults = options.faults
    this.#onWritten = options.onWritten
    this.#onAppend = options.onAppend
    this.clusterId = options.durable.clusterId
    this.maxBatchBytes = options.durable.maxBatchBytes
  }

  get topics(): LogStore['topics'] {
    return this.#durable.topics
  }

  /** Whether something waits to become durable. */
  get #isBusy(): boolean {
    return this.#pending.length > 0 || this.#isWriting
  }

  /** The process dies: what was asked for first may be durable, what came after it is not. */
  async crash(): Promise<void> {
    this.#dead = true
    const waiting = this.#failed ? this.#inDoubt : this.#pending
    this.#pending = []
    for (const { write } of waiting.slice(0, this.#random.between(0, waiting.length))) await write()
  }

  /** A write fails, and nobody can say what of it is on disk. The process can write no more. */
  failWriter(): void {
    if (this.#dead || this.#failed) return
    this.#failed = true
    this.#inDoubt = this.#pending
    this.#pending = []
    for (const { refuse } of this.#inDoubt) {
      refuse(new StorageError('WRITER_FAILED', 'a simulated write failed', { inDoubt: true }))
    }
  }

  append(batches: readonly AppendBatch[]): Promise<AppendResult[]> {
    this.#onAppend()
    // The memory is the caller's again when this function returns.
    const copies = batches.map((batch) => ({ ...batch, bytes: Uint8Array.from(batch.bytes) }))
    return new Promise((resolve) => {
      this.#enqueue({
        write: async () => {
          const results: AppendResult[] = []
          for (const copy of copies) {
            if (!this.#dead && this.#random.chance(this.#faults.refusal)) results.push({ error: noRoom() })
            else results.push(await this.#appendOne(copy))
          }
          return () => resolve(results)
        },
        refuse: (error) => resolve(copies.map(() => ({ error }))),
      })
    })
  }

  createTopic(spec: TopicSpec): Promise<Topic> {
    return this.#change(() => this.#durable.createTopic(spec))
  }

  createPartitions(id: TopicId, partitions: number): Promise<Topic> {
    return this.#change(() => this.#durable.createPartitions(id, partitions))
  }

  configureTopic(id: TopicId, configs: Readonly<Record<string, string>>): Promise<Topic> {
    return this.#change(() => this.#durable.configureTopic(id, configs))
  }

  deleteTopic(id: TopicId): Promise<void> {
    return this.#change(() => this.#durable.deleteTopic(id))
  }

  async expiredUpTo(id: LogId, limits: RetentionLimits): Promise<Offset> {
    await this.#alive()
    return this.#durable.expiredUpTo(id, limits)
  }

  advanceStart(id: LogId, to: Offset): Promise<AdvancedStart> {
    return this.#change(() => this.#durable.advanceStart(id, to))
  }

  claim(id: LogId): Promise<Ownership> {
    return this.#change(() => this.#durable.claim(id))
  }

  allocateProducerIds(count: number): Promise<ProducerIdRange> {
    return this.#change(() => this.#durable.allocateProducerIds(count))
  }

  async read(requests: readonly ReadRequest[], limits: ReadLimits): Promise<ReadResult[]> {
    await this.#time.sleep(this.#random.next() * this.#faults.readMs)
    await this.#alive()
    return this.#durable.read(requests, limits)
  }

  async state(ids: readonly LogId[]): Promise<LogState[]> {
    await this.#alive()
    const states = await this.#durable.state(ids)
    return states.map((state) => ({ ...state, sizeBytes: state.sizeBytes * this.#faults.sizeFactor }))
  }

  async waitForAppend(after: ReadonlyMap<LogId, Offset>, options: WaitOptions): Promise<LogId[]> {
    await this.#alive()
    // Its timer would be one of the real clock.
    return this.#durable.waitForAppend(after, { ...options, maxWaitMs: 0 })
  }

  async offsetForTime(id: LogId, timestampMs: number | 'max'): Promise<OffsetAndTimestamp | null> {
    await this.#alive()
    return this.#durable.offsetForTime(id, timestampMs)
  }

  async producers(id: LogId): Promise<ProducerState[]> {
    await this.#alive()
    return this.#durable.producers(id)
  }

  async maintain(...work: Parameters<LogStore['maintain']>): Promise<MaintenanceProgress> {
    await this.#alive()
    return this.#durable.maintain(...work)
  }

  maintenanceMetrics(): MaintenanceMetrics {
    return this.#durable.maintenanceMetrics()
  }

  async storageOf(...of: Parameters<LogStore['storageOf']>): Promise<LogStorage> {
    await this.#alive()
    return this.#durable.storageOf(...of)
  }

  async close(): Promise<void> {
    while (this.#isBusy && !this.#dead) await this.#time.sleep(CLOSING_CHECK_MS)
  }

  /** In a process that died nobody goes on. */
  #alive(): Promise<void> {
    return this.#dead ? new Promise(() => undefined) : Promise.resolve()
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue({
        write: async () => {
          try {
            const result = await change()
            return () => resolve(result)
          } catch (error) {
            return () => reject(error)
          }
        },
        refuse: reject,
      })
    })
  }

  #enqueue(pending: Pending): void {
    if (this.#dead) return
    if (this.#failed) {
      pending.refuse(new StorageError('WRITER_FAILED', 'a simulated write failed before'))
      return
    }
    this.#pending.push(pending)
    if (this.#pending.length === 1) this.#planWrite()
  }

  #planWrite(): void {
    const longestMs = this.#random.chance(this.#faults.stall) ? MAX_STALL_MS : this.#faults.writeMs
    this.#time.after(this.#random.next() * longestMs, () => this.#time.background(this.#write()))
  }

  async #write(): Promise<void> {
    if (this.#dead || this.#failed || this.#pending.length === 0) return
    const count = this.#random.chance(0.8)
      ? this.#pending.length
      : this.#random.between(1, this.#pending.length)
    const group = this.#pending.splice(0, count)
    if (this.#faults.full) {
      for (const { refuse } of group) refuse(noRoom())
    } else {
      this.#isWriting = true
      const tell: (() => void)[] = []
      for (const { write } of group) tell.push(await write())
      this.#isWriting = false
      for (const each of tell) each()
    }
    if (this.#pending.length > 0) this.#planWrite()
  }

  async #appendOne(batch: AppendBatch): Promise<AppendResult> {
    const [result] = await this.#durable.append([batch])
    if (result!.error === null && !result!.duplicate) {
      this.#onWritten(batch.logId, batch.bytes, result!.baseOffset)
    }
    return result!
  }
}

function noRoom(): StorageError {
  return new StorageError('DISK_FULL', 'the simulated disk has no room')
}
