import { ErrorCode } from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import { CONSUMER_OFFSETS } from '../coordinator/internal-topics.ts'
import type { Scheduler } from '../coordinator/scheduler.ts'
import type { Logger } from '../logger.ts'
import type { ProducerIds } from '../producer-ids.ts'
import { type TransactionalOffsets, writeMarkers } from './markers.ts'
import {
  byteLengthOf,
  type ClientTransactionVersion,
  idByteLength,
  isPrepared,
  NO_PRODUCER_ID,
  type Producer,
  type TopicPartition,
  type Transaction,
} from './transaction.ts'
import { TransactionExpiry } from './transaction-expiry.ts'
import type { ResolvedTransactionOptions } from './transaction-options.ts'
import { retriableCodeOf, retryDelayMs, type Shard, TransactionRegistry } from './transaction-registry.ts'
import {
  addPartitions,
  completed,
  type Decision,
  endTransaction,
  initProducer,
  type NeedsProducerId,
  verifyPartition,
} from './transitions.ts'

export interface TransactionCoordinatorOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly options: ResolvedTransactionOptions
  readonly producerIds: ProducerIds
  readonly offsets: TransactionalOffsets
  readonly log: Logger
}

interface WaitingWrite {
  readonly producer: Producer
  readonly partitions: readonly TopicPartition[]
}

export interface ProducerAnswer extends Producer {
  readonly errorCode: number
}

/** A log line says that there is no room for more, at most this often. */
const SAY_FULL_EVERY_MS = 60_000

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
export class TransactionCoordinator {
  readonly #store: LogStore
  readonly #options: ResolvedTransactionOptions
  readonly #producerIds: ProducerIds
  readonly #offsets: TransactionalOffsets
  readonly #log: Logger
  readonly #nowMs: () => number
  readonly #registry: TransactionRegistry
  /** Writes per transactional id that wait for their turn, or for their partitions. */
  readonly #waitingWrites = new Map<string, Set<WaitingWrite>>()
  #saidFullAtMs = Number.NEGATIVE_INFINITY

  constructor({ store, scheduler, options, producerIds, offsets, log }: TransactionCoordinatorOptions) {
    this.#store = store
    this.#options = options
    this.#producerIds = producerIds
    this.#offsets = offsets
    this.#log = log
    this.#nowMs = () => scheduler.nowMs()
    this.#registry = new TransactionRegistry({
      store,
      scheduler,
      log,
      foundPrepared: (prepared) => this.#completeLoaded(prepared),
      changed: () => expiry.watch(),
    })
    const expiry = new TransactionExpiry({
      registry: this.#registry,
      options,
      nowMs: this.#nowMs,
      log,
      complete: (shard, prepared) => this.#complete(shard, prepared, () => undefined),
    })
  }

  /** Begins to load what an earlier broker left, if there is anything. */
  start(): void {
    this.#registry.start()
  }

  /** Makes sure that there is a place for transactions. Throws StorageError where it cannot be created. */
  ready(): Promise<void> {
    return this.#registry.ready()
  }

  /** Resolves when everything was loaded, or could not be for now. */
  loaded(): Promise<void> {
    return this.#registry.loaded()
  }

  /** Nothing begins any more after this; what is under way ends by itself. */
  close(): void {
    this.#registry.close()
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
      return refused(retriableCodeOf(error))
    }
    return this.#registry.inTurn(transactionalId, refused, async (shard, answer) => {
      const current = this.#registry.get(transactionalId)
      if (current === undefined && !this.#hasRoomFor(1, idByteLength(transactionalId))) {
        return answer(refused(ErrorCode.POLICY_VIOLATION))
      }
      const decision = await this.#decide((freshProducerId) => {
        const nowMs = this.#nowMs()
        return initProducer(current, { transactionalId, timeoutMs, expected, nowMs, freshProducerId })
      })
      if (decision.kind === 'answer') return answer(refused(decision.errorCode))
      const { next } = decision
      const errorCode = await this.#registry.save(shard, next)
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
    const transaction = this.#registry.get(transactionalId)
    if (transaction === undefined) {
      const shard = this.#registry.shardOf(transactionalId)
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
    return this.#registry.inTurn(transactionalId, asIs, async (shard, answer) =>
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
    await this.#registry.inTurn<void>(transactionalId, written, async (shard, answer) => {
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
    return this.#registry.inTurn(transactionalId, refuse, async (shard, answer) => {
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
    return this.#registry.inTurn(transactionalId, refused, async (shard, answer) => {
      const current = this.#registry.get(transactionalId)
      const decision = await this.#decide((freshProducerId) => {
        const nowMs = this.#nowMs()
        return endTransaction(current, { ...producer, committed, clientVersion, nowMs, freshProducerId })
      })
      if (decision.kind === 'answer') {
        const { errorCode } = decision
        return answer(errorCode === ErrorCode.NONE ? granted(current!) : refused(errorCode))
      }
      const { next } = decision
      const errorCode = await this.#registry.save(shard, next)
      if (errorCode !== ErrorCode.NONE) return answer(refused(errorCode))
      if (!isPrepared(next)) return answer(granted(next))
      await this.#complete(shard, next, (ended) =>
        // The outcome stands, but not everywhere yet: a client that asks again is answered when it does.
        answer(ended === undefined ? refused(ErrorCode.CONCURRENT_TRANSACTIONS) : granted(ended)),
      )
    })
  }

  /**
   * The largest coordinator epoch that a marker can have by now. One with a larger epoch would fence the
   * coordinator itself: what the producer writes after it could never be ended.
   */
  async highestEpoch(): Promise<number> {
    await this.loaded()
    return this.#registry.highestEpoch
  }

  /** The transaction of an id, or an error code: TRANSACTIONAL_ID_NOT_FOUND, or why this coordinator cannot say. */
  describe(transactionalId: string): Transaction | number {
    if (transactionalId === '') return ErrorCode.INVALID_REQUEST
    const transaction = this.#registry.get(transactionalId)
    if (transaction !== undefined) return transaction
    const shard = this.#registry.shardOf(transactionalId)
    return typeof shard === 'number' && shard !== ErrorCode.INVALID_PRODUCER_ID_MAPPING
      ? shard
      : ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
  }

  /** Every transaction, or COORDINATOR_LOAD_IN_PROGRESS while some are not known yet. */
  list(): Iterable<Transaction> | number {
    this.start()
    if (this.#registry.isLoading) return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    return this.#registry.all()
  }

  async #add(
    shard: Shard,
    transactionalId: string,
    producer: Producer,
    partitions: readonly TopicPartition[],
    clientVersion: ClientTransactionVersion,
  ): Promise<number> {
    const decision = addPartitions(this.#registry.get(transactionalId), {
      ...producer,
      partitions,
      clientVersion,
      nowMs: this.#nowMs(),
      maxPartitions: this.#options.maxPartitions,
    })
    if (decision.kind !== 'change') return decision.errorCode
    const { next } = decision
    const growth = byteLengthOf(next) - byteLengthOf(this.#registry.get(transactionalId)!)
    return this.#hasRoomFor(0, growth) ? this.#registry.save(shard, next) : ErrorCode.POLICY_VIOLATION
  }

  /** Whether there may be so many more ids, and so many more bytes of all of them. */
  #hasRoomFor(ids: number, bytes: number): boolean {
    const { maxIds, maxStateBytes } = this.#options
    const { size, byteLength } = this.#registry
    const isFull = size + ids > maxIds || byteLength + bytes > maxStateBytes
    const nowMs = this.#nowMs()
    // Not for each of those who try again.
    if (isFull && nowMs - this.#saidFullAtMs >= SAY_FULL_EVERY_MS) {
      this.#saidFullAtMs = nowMs
      const fields = { ids: size, bytes: byteLength }
      this.#log.warn(fields, 'there are as many transactions as there may be: further ones are refused')
    }
    return !isFull
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
      return { kind: 'answer', errorCode: retriableCodeOf(error) }
    }
    throw new Error('a decision asked for a second producer id')
  }

  /**
   * Writes the markers, tells, then makes the completion durable: what the caller is told is true from the
   * markers on, and its next request waits for its turn. What fails is tried again later, for as long as it takes:
   * until then nobody can use the id, and readers of its partitions get no further.
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
    if (isMarked && (await this.#registry.save(shard, ended)) === ErrorCode.NONE) return
    if (this.#registry.isClosed || shard.status !== 'ready') return
    const fields = { transactionalId, state: prepared.state, attempt, error: failures[0] }
    this.#log.warn(fields, 'a transaction could not be completed yet, and is tried again')
    this.#registry.after(retryDelayMs(attempt), () => this.#completeInTurn(transactionalId, attempt + 1))
  }

  /** Goes on with an id that was found prepared. */
  #completeInTurn(transactionalId: string, attempt: number): void {
    this.#registry.runInTurn(transactionalId, async (shard) => {
      const current = this.#registry.get(transactionalId)
      if (current === undefined || !isPrepared(current)) return
      await this.#complete(shard, current, () => undefined, attempt)
    })
  }

  async #completeLoaded(prepared: readonly Transaction[]): Promise<void> {
    await this.#offsets.loaded()
    for (const { transactionalId } of prepared) this.#completeInTurn(transactionalId, 1)
  }
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
