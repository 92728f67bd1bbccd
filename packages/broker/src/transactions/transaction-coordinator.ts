import { ErrorCode, ProtocolError } from '@streambus/protocol'
import { type LogStore, StorageError } from '@streambus/storage'
import { CoordinatorLog } from '../coordinator/coordinator-log.ts'
import {
  CONSUMER_OFFSETS,
  InternalTopic,
  partitionOf,
  TRANSACTION_STATE,
} from '../coordinator/internal-topics.ts'
import { LogRewrite, type Rewritable } from '../coordinator/log-rewrite.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import { Turns, TurnsFull } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import type { ProducerIds } from '../producer-ids.ts'
import { type TransactionalOffsets, writeMarkers } from './markers.ts'
import {
  type ClientTransactionVersion,
  isPrepared,
  NO_PRODUCER_ID,
  type Producer,
  type TopicPartition,
  type Transaction,
} from './transaction.ts'
import type { ResolvedTransactionOptions } from './transaction-options.ts'
import { readRecord, recordOf, tombstoneOf } from './transaction-records.ts'
import {
  addPartitions,
  completed,
  type Decision,
  endTransaction,
  fenced,
  initProducer,
  isExpired,
  isTimedOut,
  type NeedsProducerId,
  verifyPartition,
} from './transitions.ts'

/**
 * The transaction coordinator (KIP-98, KIP-360, KIP-890): who holds a transactional id, which partitions its
 * transaction has, and how it ends.
 *
 * What it knows is what the records in `__transaction_state` say. Operations on one id run one after the other;
 * each decides, makes its record durable, and only then takes the new state. The durable writes of one
 * transaction, whatever the number of its partitions:
 *
 *     1  Ongoing, with the partitions that joined     before AddPartitionsToTxn or Produce 12 goes on
 *     2  the records themselves                       before Produce is answered
 *     3  PrepareCommit or PrepareAbort                from here on the outcome is decided
 *     4  a marker in every partition, in one append   then EndTxn is answered
 *     5  CompleteCommit or CompleteAbort              while the answer is on its way: what the client sends next
 *                                                     waits for its turn, and is never told to try again
 *
 * Each is shared with all that other producers write at that moment. A broker that is killed before 3 is durable
 * has an ongoing transaction, which its producer or the timeout ends; after 3 the start after it finds Prepare*
 * and does 4 and 5 again, which is harmless: a marker where no transaction is open changes nothing, and the next
 * transaction of the id cannot have begun before 5.
 */
export interface TransactionCoordinatorOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly options: ResolvedTransactionOptions
  readonly producerIds: ProducerIds
  readonly offsets: TransactionalOffsets
  readonly log: Logger
}

/** One partition of `__transaction_state`. */
interface Shard {
  readonly partition: number
  status: 'loading' | 'ready' | 'failed' | 'fenced'
  /** Present when ready. */
  log: CoordinatorLog | undefined
}

interface WaitingWrite {
  readonly producer: Producer
  readonly partitions: readonly TopicPartition[]
}

export interface ProducerAnswer extends Producer {
  readonly errorCode: number
}

/** Loaded at once: each takes a replay buffer. */
const SHARDS_LOADING = 8
const FIRST_RETRY_MS = 100
const LONGEST_RETRY_MS = 30_000
/** About ten minutes. What is not completed then is completed by the next start. */
const MAX_COMPLETION_ATTEMPTS = 25
/** Ids forgotten in one go; the next go follows soon where there are more. */
const MAX_EXPIRED_AT_ONCE = 1000
const NEXT_EXPIRATION_MS = 1000

export class TransactionCoordinator {
  readonly #store: LogStore
  readonly #scheduler: Scheduler
  readonly #options: ResolvedTransactionOptions
  readonly #producerIds: ProducerIds
  readonly #offsets: TransactionalOffsets
  readonly #log: Logger
  readonly #topic: InternalTopic
  readonly #turns = new Turns()
  readonly #nowMs: () => number
  /** Of the shards that are ready. */
  readonly #transactions = new Map<string, Transaction>()
  readonly #ongoing = new Set<string>()
  /** Writes per transactional id that wait for their turn, or for their partitions. */
  readonly #waitingWrites = new Map<string, Set<WaitingWrite>>()
  readonly #timers = new Set<Scheduled>()
  readonly #rewrite: LogRewrite
  #shards: readonly Shard[] = []
  #loading: Promise<void> | undefined
  #abortScan: Scheduled | undefined
  #expirationScan: Scheduled | undefined
  #closed = false

  constructor({ store, scheduler, options, producerIds, offsets, log }: TransactionCoordinatorOptions) {
    this.#store = store
    this.#scheduler = scheduler
    this.#options = options
    this.#producerIds = producerIds
    this.#offsets = offsets
    this.#log = log
    this.#topic = new InternalTopic(store, TRANSACTION_STATE)
    this.#nowMs = () => scheduler.nowMs()
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
    this.#inBackground(this.#loading)
    this.#rewrite.start()
  }

  /** Makes sure that there is a place for transactions. Throws StorageError where it cannot be created. */
  async ready(): Promise<void> {
    const existed = this.#topic.find() !== undefined
    if (!existed) await this.#topic.findOrCreate()
    this.start()
    // What was just created is empty: nobody need be told to come back.
    if (!existed) await this.loaded()
  }

  /** Resolves when each shard was loaded, or could not be for now. */
  async loaded(): Promise<void> {
    await this.#loading
  }

  /** Nothing is done any more after this; what is under way ends by itself. */
  close(): void {
    this.#closed = true
    this.#rewrite.close()
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  /** The current holder of the id is fenced, and the next one is the caller. */
  async initProducer(
    transactionalId: string,
    timeoutMs: number,
    expected: Producer | null,
  ): Promise<ProducerAnswer> {
    if (transactionalId === '') return refused(ErrorCode.INVALID_REQUEST)
    if (timeoutMs <= 0 || timeoutMs > this.#options.maxTimeoutMs) {
      return refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
    }
    try {
      await this.ready()
    } catch (error) {
      return refused(codeOf(error))
    }
    return this.#inTurn(transactionalId, refused, async (shard, answer) => {
      const current = this.#transactions.get(transactionalId)
      if (current === undefined && this.#transactions.size >= this.#options.maxIds) {
        this.#log.warn(
          { transactionalId, maxIds: this.#options.maxIds },
          'a transactional id was refused: there are too many',
        )
        return answer(refused(ErrorCode.POLICY_VIOLATION))
      }
      const decision = await this.#decide((freshProducerId) => {
        const nowMs = this.#nowMs()
        return initProducer(current, { transactionalId, timeoutMs, expected, nowMs, freshProducerId })
      })
      if (decision.kind === 'answer') return answer(refused(decision.errorCode))
      const { next } = decision
      const errorCode = await this.#save(shard, next)
      if (errorCode !== ErrorCode.NONE) return answer(refused(errorCode))
      if (!isPrepared(next)) return answer(granted(next))
      // The transaction of the holder before is aborted. The new one asks again, and finds it ended.
      await this.#complete(shard, next, () => answer(refused(ErrorCode.CONCURRENT_TRANSACTIONS)))
    })
  }

  /**
   * Whether a producer may write to a partition now, without waiting: NONE, or why not.
   * TRANSACTION_ABORTABLE: the partition is not in the transaction.
   */
  verify(
    transactionalId: string,
    producerId: number,
    producerEpoch: number,
    topic: string,
    partition: number,
  ): number {
    const transaction = this.#transactions.get(transactionalId)
    if (transaction === undefined) {
      const shard = this.#shardOf(transactionalId)
      if (typeof shard === 'number') return shard
    }
    return verifyPartition(transaction, producerId, producerEpoch, topic, partition)
  }

  /** True while writes of this id wait for their turn: a later one must not overtake them. */
  hasWaitingWrites(transactionalId: string): boolean {
    return this.#waitingWrites.has(transactionalId)
  }

  /** Adds partitions to the transaction, which begins with the first. Durable when resolved; a Kafka error code. */
  addPartitions(
    transactionalId: string,
    producer: Producer,
    partitions: readonly TopicPartition[],
    clientVersion: ClientTransactionVersion,
  ): Promise<number> {
    return this.#inTurn(transactionalId, asIs, async (shard, answer) =>
      answer(await this.#add(shard, transactionalId, producer, partitions, clientVersion)),
    )
  }

  /**
   * Adds partitions for a client of KIP-890 and calls `write` when they are in, or with why they are not, before
   * anything else happens to the id: what `write` appends without waiting keeps the order of the calls.
   */
  async addPartitionsAndWrite(
    transactionalId: string,
    producer: Producer,
    partitions: readonly TopicPartition[],
    write: (errorCode: number) => void,
  ): Promise<void> {
    let waiting = this.#waitingWrites.get(transactionalId)
    if (waiting === undefined) {
      waiting = new Set()
      this.#waitingWrites.set(transactionalId, waiting)
    }
    const own: WaitingWrite = { producer, partitions }
    waiting.add(own)
    const written = (errorCode: number): void => {
      waiting.delete(own)
      if (waiting.size === 0) this.#waitingWrites.delete(transactionalId)
      write(errorCode)
    }
    await this.#inTurn<void>(transactionalId, written, async (shard, answer) => {
      const { producerId, producerEpoch } = producer
      // Those that wait for their turn behind this one get their partitions by the same record.
      const all = [...waiting].flatMap((other) =>
        other.producer.producerId === producerId && other.producer.producerEpoch === producerEpoch
          ? other.partitions
          : [],
      )
      const errorCode = await this.#add(shard, transactionalId, producer, all, 2)
      answer(written(errorCode))
    })
  }

  /**
   * Runs `commit` for a group whose offsets are in the transaction, having added them where `clientVersion` is 2
   * (KIP-890). Nothing else happens to the id meanwhile: offsets that came after the marker would stay pending.
   */
  commitOffsets<T>(
    transactionalId: string,
    producer: Producer,
    groupId: string,
    clientVersion: ClientTransactionVersion,
    commit: () => Promise<T>,
    refuse: (errorCode: number) => T,
  ): Promise<T> {
    return this.#inTurn(transactionalId, refuse, async (shard, answer) => {
      const partition = this.#offsets.partitionOf(groupId)
      const { producerId, producerEpoch } = producer
      const errorCode =
        clientVersion === 2
          ? await this.#add(shard, transactionalId, producer, [{ topic: CONSUMER_OFFSETS, partition }], 2)
          : this.verify(transactionalId, producerId, producerEpoch, CONSUMER_OFFSETS, partition)
      answer(errorCode === ErrorCode.NONE ? await commit() : refuse(errorCode))
    })
  }

  /** Adds the group's offsets to the transaction. */
  addOffsets(
    transactionalId: string,
    producer: Producer,
    groupId: string,
    clientVersion: ClientTransactionVersion,
  ): Promise<number> {
    const partition = this.#offsets.partitionOf(groupId)
    return this.addPartitions(
      transactionalId,
      producer,
      [{ topic: CONSUMER_OFFSETS, partition }],
      clientVersion,
    )
  }

  /** Commits or aborts. Answered with the producer id and epoch that go on, when every partition has its marker. */
  endTransaction(
    transactionalId: string,
    producer: Producer,
    committed: boolean,
    clientVersion: ClientTransactionVersion,
  ): Promise<ProducerAnswer> {
    return this.#inTurn(transactionalId, refused, async (shard, answer) => {
      const current = this.#transactions.get(transactionalId)
      const decision = await this.#decide((freshProducerId) => {
        const nowMs = this.#nowMs()
        return endTransaction(current, { ...producer, committed, clientVersion, nowMs, freshProducerId })
      })
      if (decision.kind === 'answer') {
        const { errorCode } = decision
        return answer(errorCode === ErrorCode.NONE ? granted(current!) : refused(errorCode))
      }
      const { next } = decision
      const errorCode = await this.#save(shard, next)
      if (errorCode !== ErrorCode.NONE) return answer(refused(errorCode))
      if (!isPrepared(next)) return answer(granted(next))
      await this.#complete(shard, next, (ended) =>
        // The outcome stands, but not everywhere yet: a client that asks again is answered when it does.
        answer(ended === undefined ? refused(ErrorCode.CONCURRENT_TRANSACTIONS) : granted(ended)),
      )
    })
  }

  /** The transaction of an id, or an error code: TRANSACTIONAL_ID_NOT_FOUND, or why this coordinator cannot say. */
  describe(transactionalId: string): Transaction | number {
    if (transactionalId === '') return ErrorCode.INVALID_REQUEST
    const transaction = this.#transactions.get(transactionalId)
    if (transaction !== undefined) return transaction
    const shard = this.#shardOf(transactionalId)
    return typeof shard === 'number' && shard !== ErrorCode.INVALID_PRODUCER_ID_MAPPING
      ? shard
      : ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
  }

  /** Every transaction, or COORDINATOR_LOAD_IN_PROGRESS while some are not known yet. */
  list(): Iterable<Transaction> | number {
    this.start()
    if (this.#shards.some(({ status }) => status === 'loading')) return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    return this.#transactions.values()
  }

  async #add(
    shard: Shard,
    transactionalId: string,
    producer: Producer,
    partitions: readonly TopicPartition[],
    clientVersion: ClientTransactionVersion,
  ): Promise<number> {
    const decision = addPartitions(this.#transactions.get(transactionalId), {
      ...producer,
      partitions,
      clientVersion,
      nowMs: this.#nowMs(),
      maxPartitions: this.#options.maxPartitions,
    })
    return decision.kind === 'change' ? this.#save(shard, decision.next) : decision.errorCode
  }

  /** Decides, a second time with a new producer id where one is needed. */
  async #decide(
    decide: (freshProducerId: number | null) => Decision,
  ): Promise<Exclude<Decision, NeedsProducerId>> {
    const first = decide(null)
    if (first.kind !== 'needs-producer-id') return first
    try {
      const second = decide(await this.#producerIds.next())
      if (second.kind !== 'needs-producer-id') return second
    } catch (error) {
      return { kind: 'answer', errorCode: codeOf(error) }
    }
    throw new Error('a decision asked for a second producer id')
  }

  /** Makes the state durable, then takes it. A Kafka error code; nothing changed unless it is NONE. */
  async #save(shard: Shard, next: Transaction): Promise<number> {
    try {
      await shard.log!.append([recordOf(next)])
    } catch (error) {
      return this.#refusedAppend(shard, error)
    }
    this.#take(next)
    return ErrorCode.NONE
  }

  #refusedAppend(shard: Shard, error: unknown): number {
    const errorCode = codeOf(error)
    if (errorCode === ErrorCode.NOT_COORDINATOR && shard.status === 'ready') {
      this.#log.warn({ partition: shard.partition }, `another broker took ${TRANSACTION_STATE} over`)
      shard.status = 'fenced'
      for (const id of this.#transactions.keys()) {
        if (partitionOf(id, this.#shards.length) === shard.partition) this.#forget(id)
      }
    }
    return errorCode
  }

  #take(transaction: Transaction): void {
    const { transactionalId } = transaction
    this.#transactions.set(transactionalId, transaction)
    if (transaction.state === 'Ongoing') this.#ongoing.add(transactionalId)
    else this.#ongoing.delete(transactionalId)
    this.#watch()
  }

  #forget(transactionalId: string): void {
    this.#transactions.delete(transactionalId)
    this.#ongoing.delete(transactionalId)
  }

  /**
   * Writes the markers, tells, then makes the completion durable: what the caller is told is true from the
   * markers on, and its next request waits for its turn. What fails is tried again later.
   */
  async #complete(
    shard: Shard,
    prepared: Transaction,
    tell: (ended: Transaction | undefined) => void,
    attempt = 1,
  ): Promise<void> {
    const { transactionalId } = prepared
    const failures = await writeMarkers(prepared, shard.log!.ownerEpoch, {
      store: this.#store,
      offsets: this.#offsets,
      nowMs: this.#nowMs,
    })
    const ended = completed(prepared, this.#nowMs())
    const isMarked = failures.length === 0
    tell(isMarked ? ended : undefined)
    if (isMarked && (await this.#save(shard, ended)) === ErrorCode.NONE) return
    if (this.#closed || shard.status !== 'ready') return
    const fields = { transactionalId, state: prepared.state, attempt, error: failures[0] }
    if (attempt === MAX_COMPLETION_ATTEMPTS) {
      this.#log.error(fields, 'a transaction could not be completed: the next start of the broker does it')
      return
    }
    this.#log.warn(fields, 'a transaction could not be completed yet, and is tried again')
    this.#after(Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS), () =>
      this.#completeInTurn(transactionalId, attempt + 1),
    )
  }

  /** Goes on with an id that was found prepared. */
  #completeInTurn(transactionalId: string, attempt: number): void {
    this.#runInTurn(transactionalId, async (shard) => {
      const current = this.#transactions.get(transactionalId)
      if (current === undefined || !isPrepared(current)) return
      await this.#complete(shard, current, () => undefined, attempt)
    })
  }

  async #load(logIds: readonly number[]): Promise<void> {
    const waiting = this.#shards[Symbol.iterator]()
    const loadSome = async (): Promise<void> => {
      for (const shard of waiting) await this.#loadShard(shard, logIds[shard.partition]!, 1)
    }
    await Promise.all(Array.from({ length: SHARDS_LOADING }, loadSome))
  }

  async #loadShard(shard: Shard, logId: number, attempt: number): Promise<void> {
    const found = new Map<string, Transaction>()
    try {
      shard.log = await CoordinatorLog.open(
        { store: this.#store, logId, nowMs: this.#nowMs },
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
        this.#log.error(fields, `a partition of ${TRANSACTION_STATE} cannot be read`)
        return
      }
      this.#log.warn(fields, `a partition of ${TRANSACTION_STATE} could not be loaded, and is tried again`)
      this.#after(Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS), () =>
        this.#inBackground(this.#loadShard(shard, logId, attempt + 1)),
      )
      return
    }
    shard.status = 'ready'
    for (const transaction of found.values()) this.#take(transaction)
    const prepared = [...found.values()].filter(isPrepared)
    if (prepared.length > 0) this.#inBackground(this.#completeLoaded(prepared))
  }

  async #completeLoaded(prepared: readonly Transaction[]): Promise<void> {
    await this.#offsets.loaded()
    for (const { transactionalId } of prepared) this.#completeInTurn(transactionalId, 1)
  }

  *#rewritables(): Generator<Rewritable> {
    for (const { log, status, partition } of this.#shards) {
      if (log === undefined || status !== 'ready') continue
      const isHere = (id: string): boolean => partitionOf(id, this.#shards.length) === partition
      yield {
        log,
        keys: () => [...this.#transactions.keys()].filter(isHere),
        snapshot: (id) => {
          const transaction = this.#transactions.get(id)
          return transaction === undefined ? [] : [recordOf(transaction)]
        },
      }
    }
  }

  /** The shard of an id when it can be worked with, else an error code. */
  #shardOf(transactionalId: string): Shard | number {
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

  /**
   * Runs an operation when those before it on the same id are done. Resolves with its answer, which it may give
   * before it is done itself; with `refuse` of an error code where it cannot run.
   */
  #inTurn<T>(
    transactionalId: string,
    refuse: (errorCode: number) => T,
    operation: (shard: Shard, answer: (value: T) => void) => Promise<void>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = async (): Promise<void> => {
        const shard = this.#shardOf(transactionalId)
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
  #runInTurn(transactionalId: string, operation: (shard: Shard) => Promise<void>): void {
    const done = this.#inTurn<void>(
      transactionalId,
      () => undefined,
      async (shard, answer) => {
        await operation(shard)
        answer()
      },
    )
    this.#inBackground(done)
  }

  #inBackground(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#log.error({ error }, 'an operation on transactions failed'))
  }

  #after(delayMs: number, run: () => void): Scheduled {
    const timer = this.#scheduler.after(delayMs, () => {
      this.#timers.delete(timer)
      if (!this.#closed) run()
    })
    this.#timers.add(timer)
    return timer
  }

  /** Looks for what is too old while there is anything that can become it. */
  #watch(): void {
    if (this.#closed) return
    if (this.#ongoing.size > 0) {
      this.#abortScan ??= this.#after(this.#options.abortTimedOutIntervalMs, () => this.#abortTimedOut())
    }
    if (this.#transactions.size > 0) {
      this.#expirationScan ??= this.#after(this.#options.removeExpiredIntervalMs, () => this.#removeExpired())
    }
  }

  #abortTimedOut(): void {
    this.#abortScan = undefined
    const nowMs = this.#nowMs()
    for (const id of this.#ongoing) {
      if (!isTimedOut(this.#transactions.get(id)!, nowMs)) continue
      this.#runInTurn(id, async (shard) => {
        const current = this.#transactions.get(id)
        if (current === undefined || !isTimedOut(current, nowMs)) return
        this.#log.info({ transactionalId: id, timeoutMs: current.timeoutMs }, 'a transaction took too long')
        const next = fenced(current, this.#nowMs())
        if ((await this.#save(shard, next)) === ErrorCode.NONE) {
          await this.#complete(shard, next, () => undefined)
        }
      })
    }
    this.#watch()
  }

  #removeExpired(): void {
    this.#expirationScan = undefined
    const nowMs = this.#nowMs()
    const { idExpirationMs, removeExpiredIntervalMs } = this.#options
    let found = 0
    for (const transaction of this.#transactions.values()) {
      if (!isExpired(transaction, nowMs, idExpirationMs)) continue
      if (++found > MAX_EXPIRED_AT_ONCE) break
      const { transactionalId } = transaction
      this.#runInTurn(transactionalId, async (shard) => {
        const current = this.#transactions.get(transactionalId)
        if (current === undefined || !isExpired(current, nowMs, idExpirationMs)) return
        try {
          await shard.log!.append([tombstoneOf(transactionalId)])
        } catch (error) {
          this.#refusedAppend(shard, error)
          return
        }
        this.#forget(transactionalId)
      })
    }
    const nextMs = found > MAX_EXPIRED_AT_ONCE ? NEXT_EXPIRATION_MS : removeExpiredIntervalMs
    this.#expirationScan = this.#after(nextMs, () => this.#removeExpired())
  }
}

/** How a failed append or allocation is told to a client: it may come back. */
function codeOf(error: unknown): number {
  if (!(error instanceof StorageError)) throw error
  return error.code === 'FENCED_OWNER' ? ErrorCode.NOT_COORDINATOR : ErrorCode.COORDINATOR_NOT_AVAILABLE
}

function refused(errorCode: number): ProducerAnswer {
  return { errorCode, producerId: NO_PRODUCER_ID, producerEpoch: -1 }
}

function granted({ producerId, producerEpoch }: Producer): ProducerAnswer {
  return { errorCode: ErrorCode.NONE, producerId, producerEpoch }
}

function asIs(errorCode: number): number {
  return errorCode
}
