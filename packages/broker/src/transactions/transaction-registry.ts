import { ErrorCode, ProtocolError } from '@streambus/protocol'
import { type LogId, type LogStore, StorageError } from '@streambus/storage'
import { CoordinatorLog, type CoordinatorRecord } from '../coordinator/coordinator-log.ts'
import { InternalTopic, partitionOf, TRANSACTION_STATE } from '../coordinator/internal-topics.ts'
import { LogRewrite, type Rewritable } from '../coordinator/log-rewrite.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import { Turns, TurnsFull } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import { byteLengthOf, isPrepared, type Transaction } from './transaction.ts'
import { readRecord, recordOf, tombstoneOf } from './transaction-records.ts'

/**
 * What is known of all transactional ids, and the logs that it stands in: one shard per partition of
 * `__transaction_state`. State changes by `save` and `remove` only, which make a record durable first.
 */
export interface TransactionRegistryOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly log: Logger
  /** A shard was read, and has transactions whose outcome is decided and not yet written everywhere. */
  readonly foundPrepared: (prepared: readonly Transaction[]) => Promise<void>
  /** A transaction got another state. */
  readonly changed: () => void
}

/** One partition of `__transaction_state`. */
export interface Shard {
  readonly partition: number
  status: 'loading' | 'ready' | 'failed' | 'fenced'
  /** Present when ready. */
  log: CoordinatorLog | undefined
}

/** Loaded at once: each takes a replay buffer. */
const SHARDS_LOADING = 8
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 30_000

/** How long to wait before the attempt after this one. */
export function retryDelayMs(attempt: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS)
}

export class TransactionRegistry {
  readonly #options: TransactionRegistryOptions
  readonly #topic: InternalTopic
  readonly #turns = new Turns()
  readonly #rewrite: LogRewrite
  /** Of the shards that are ready. */
  readonly #transactions = new Map<string, Transaction>()
  readonly #ongoing = new Set<string>()
  readonly #timers = new Set<Scheduled>()
  #shards: readonly Shard[] = []
  #loading: Promise<void> | undefined
  #byteLength = 0
  #isNew = false
  #closed = false

  constructor(options: TransactionRegistryOptions) {
    const { store, scheduler, log } = options
    this.#options = options
    this.#topic = new InternalTopic(store, TRANSACTION_STATE)
    this.#rewrite = new LogRewrite({
      store,
      scheduler,
      turns: this.#turns,
      logger: log,
      logs: () => this.#rewritables(),
    })
  }

  /** Begins to load what an earlier broker left, if there is anything. */
  start(): void {
    const topic = this.#topic.find()
    if (topic === undefined || this.#loading !== undefined || this.#closed) return
    this.#shards = topic.logs.map((_, partition) => ({ partition, status: 'loading', log: undefined }))
    this.#loading = this.#load(topic.logs)
    this.inBackground(this.#loading)
    this.#rewrite.start()
  }

  /** Makes sure that there is a place for transactions. Throws StorageError where it cannot be created. */
  async ready(): Promise<void> {
    if (this.#topic.find() === undefined) {
      this.#isNew = true
      await this.#topic.findOrCreate()
    }
    this.start()
    // What was just created is empty: nobody need be told to come back.
    if (this.#isNew) await this.loaded()
  }

  /** Resolves when each shard was loaded, or could not be for now. */
  async loaded(): Promise<void> {
    await this.#loading
  }

  /** Nothing begins any more after this; what is under way ends by itself. */
  close(): void {
    this.#closed = true
    this.#rewrite.close()
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Ids that are known. */
  get size(): number {
    return this.#transactions.size
  }

  /** Bytes that all ids take in memory, roughly. */
  get byteLength(): number {
    return this.#byteLength
  }

  get isLoading(): boolean {
    return this.#shards.some(({ status }) => status === 'loading')
  }

  /** The largest epoch that any marker written here can have. */
  get highestEpoch(): number {
    return this.#shards.reduce((highest, { log }) => Math.max(highest, log?.ownerEpoch ?? 0), 0)
  }

  get(transactionalId: string): Transaction | undefined {
    return this.#transactions.get(transactionalId)
  }

  all(): Iterable<Transaction> {
    return this.#transactions.values()
  }

  /** Ids with an ongoing transaction. */
  ongoing(): ReadonlySet<string> {
    return this.#ongoing
  }

  /** The shard of an id when it can be worked with, else an error code. */
  shardOf(transactionalId: string): Shard | number {
    if (this.#closed) return ErrorCode.COORDINATOR_NOT_AVAILABLE
    this.start()
    // No id was ever given out.
    if (this.#shards.length === 0) return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    const shard = this.#shards[partitionOf(transactionalId, this.#shards.length)]!
    switch (shard.status) {
      case 'ready':
        return shard
      case 'loading':
        return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
      case 'failed':
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
      case 'fenced':
        return ErrorCode.NOT_COORDINATOR
    }
  }

  /** Makes the state durable, then takes it. A Kafka error code; nothing changed unless it is NONE. */
  async save(shard: Shard, next: Transaction): Promise<number> {
    const errorCode = await this.#append(shard, recordOf(next))
    if (errorCode === ErrorCode.NONE) this.#take(next)
    return errorCode
  }

  /** Forgets the id, durably. A Kafka error code; nothing changed unless it is NONE. */
  async remove(shard: Shard, transactionalId: string): Promise<number> {
    const errorCode = await this.#append(shard, tombstoneOf(transactionalId))
    if (errorCode === ErrorCode.NONE) this.#forget(transactionalId)
    return errorCode
  }

  /**
   * Runs an operation when those before it on the same id are done. Resolves with its answer, which it may give
   * before it is done itself; with `refuse` of an error code where it cannot run.
   */
  inTurn<T>(
    transactionalId: string,
    refuse: (errorCode: number) => T,
    operation: (shard: Shard, answer: (value: T) => void) => Promise<void>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = async (): Promise<void> => {
        const shard = this.shardOf(transactionalId)
        if (typeof shard === 'number') resolve(refuse(shard))
        else await operation(shard, resolve)
      }
      try {
        Promise.resolve(this.#turns.run(transactionalId, run)).catch(reject)
      } catch (error) {
        if (!(error instanceof TurnsFull)) throw error
        resolve(refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE))
      }
    })
  }

  /** Likewise, for what nobody waits for. */
  runInTurn(transactionalId: string, operation: (shard: Shard) => Promise<void>): void {
    const nothing = (): void => undefined
    this.inBackground(
      this.inTurn<void>(transactionalId, nothing, async (shard, answer) => {
        await operation(shard)
        answer()
      }),
    )
  }

  inBackground(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#options.log.error({ error }, 'an operation on transactions failed'))
  }

  /** Runs once, not before `delayMs` have passed, unless closed. */
  after(delayMs: number, run: () => void): void {
    if (this.#closed) return
    const timer = this.#options.scheduler.after(delayMs, () => {
      this.#timers.delete(timer)
      if (!this.#closed) run()
    })
    this.#timers.add(timer)
  }

  async #append(shard: Shard, record: CoordinatorRecord): Promise<number> {
    try {
      await shard.log!.append([record])
      return ErrorCode.NONE
    } catch (error) {
      const errorCode = retriableCodeOf(error)
      if (errorCode === ErrorCode.NOT_COORDINATOR) this.#takenOver(shard)
      return errorCode
    }
  }

  #takenOver(shard: Shard): void {
    if (shard.status !== 'ready') return
    shard.status = 'fenced'
    this.#options.log.warn({ partition: shard.partition }, `another broker took ${TRANSACTION_STATE} over`)
    for (const id of this.#idsIn(shard)) this.#forget(id)
  }

  #take(transaction: Transaction): void {
    const { transactionalId } = transaction
    this.#release(transactionalId)
    this.#byteLength += byteLengthOf(transaction)
    this.#transactions.set(transactionalId, transaction)
    if (transaction.state === 'Ongoing') this.#ongoing.add(transactionalId)
    else this.#ongoing.delete(transactionalId)
    this.#options.changed()
  }

  #forget(transactionalId: string): void {
    this.#release(transactionalId)
    this.#transactions.delete(transactionalId)
    this.#ongoing.delete(transactionalId)
  }

  #release(transactionalId: string): void {
    const known = this.#transactions.get(transactionalId)
    if (known !== undefined) this.#byteLength -= byteLengthOf(known)
  }

  #idsIn({ partition }: Shard): string[] {
    const partitions = this.#shards.length
    return [...this.#transactions.keys()].filter((id) => partitionOf(id, partitions) === partition)
  }

  *#rewritables(): Generator<Rewritable> {
    for (const shard of this.#shards) {
      const { log, status } = shard
      if (log === undefined || status !== 'ready') continue
      yield {
        log,
        keys: () => this.#idsIn(shard),
        snapshot: (id) => {
          const transaction = this.#transactions.get(id)
          return transaction === undefined ? [] : [recordOf(transaction)]
        },
      }
    }
  }

  async #load(logIds: readonly LogId[]): Promise<void> {
    const waiting = this.#shards[Symbol.iterator]()
    const loadSome = async (): Promise<void> => {
      for (const shard of waiting) await this.#loadShard(shard, logIds[shard.partition]!, 1)
    }
    await Promise.all(Array.from({ length: SHARDS_LOADING }, loadSome))
  }

  async #loadShard(shard: Shard, logId: LogId, attempt: number): Promise<void> {
    const { store, scheduler, log } = this.#options
    const found = new Map<string, Transaction>()
    try {
      shard.log = await CoordinatorLog.open(
        { store, logId, nowMs: () => scheduler.nowMs() },
        {
          records(records) {
            for (const record of records) {
              const read = readRecord(record)
              if (read === null) continue
              if (read.transaction === null) found.delete(read.transactionalId)
              else found.set(read.transactionalId, read.transaction)
            }
          },
          // Nothing in this log is written in transactions.
          marker: () => undefined,
        },
      )
    } catch (error) {
      if (this.#closed) return
      if (!(error instanceof StorageError || error instanceof ProtocolError)) throw error
      const fields = { partition: shard.partition, attempt, error }
      if (error instanceof ProtocolError || error.code === 'UNKNOWN_LOG') {
        shard.status = 'failed'
        log.error(fields, `a partition of ${TRANSACTION_STATE} cannot be read`)
        return
      }
      log.warn(fields, `a partition of ${TRANSACTION_STATE} could not be loaded, and is tried again`)
      this.after(retryDelayMs(attempt), () => this.inBackground(this.#loadShard(shard, logId, attempt + 1)))
      return
    }
    shard.status = 'ready'
    for (const transaction of found.values()) this.#take(transaction)
    const prepared = [...found.values()].filter(isPrepared)
    if (prepared.length > 0) this.inBackground(this.#options.foundPrepared(prepared))
  }
}

/** How a failed append or allocation is told to a client, which may come back. Anything else is a bug: thrown on. */
export function retriableCodeOf(error: unknown): number {
  if (!(error instanceof StorageError)) throw error
  return error.code === 'FENCED_OWNER' ? ErrorCode.NOT_COORDINATOR : ErrorCode.COORDINATOR_NOT_AVAILABLE
}
