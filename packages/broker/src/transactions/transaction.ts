/**
 * What the coordinator knows of one transactional id (KIP-98, KIP-360, KIP-890): immutable, and exactly what
 * the id's last record in `__transaction_state` says. Every change is a new one, made durable before anybody
 * sees it.
 *
 *     Empty ──────► Ongoing ──────► PrepareCommit ──────► CompleteCommit
 *       ▲             │ ▲                                      │
 *       │             │ └──────── a next transaction ──────────┤
 *       │             └───────────► PrepareAbort ───────► CompleteAbort
 *       └──────────────── InitProducerId ──────────────────────┘
 *
 * Once Prepare* is durable the outcome is decided, and only writing it into the partitions remains.
 */
export interface Transaction {
  readonly transactionalId: string
  readonly state: TransactionState
  readonly producerId: number
  /** In PrepareCommit and PrepareAbort the epoch of the markers. */
  readonly producerEpoch: number
  /**
   * The producer id whose holder may repeat the request that led here, having missed its answer; -1 for
   * nobody, which is how a producer is fenced. Its epoch was the one before `producerEpoch`, or the last that
   * is given out, where the producer id changed.
   */
  readonly previousProducerId: number
  /** The producer id from the completion on, -1 where it stays. Set while the epochs of this one are used up. */
  readonly nextProducerId: number
  /** The producer's transaction.timeout.ms. */
  readonly timeoutMs: number
  readonly partitions: PartitionSet
  /** When the first partition was added, -1 before the first transaction. */
  readonly startMs: number
  readonly updatedMs: number
  /** Of the client that brought it into this state: from 2 on each transaction ends with a new epoch. */
  readonly clientVersion: number
}

/** 0: the producer keeps its epoch from one transaction to the next. 2: KIP-890. */
export type ClientTransactionVersion = 0 | 1 | 2

/** Kafka's names; the position is the number in the record. Dead and PrepareEpochFence are never written. */
export const TRANSACTION_STATES = [
  'Empty',
  'Ongoing',
  'PrepareCommit',
  'PrepareAbort',
  'CompleteCommit',
  'CompleteAbort',
  'Dead',
  'PrepareEpochFence',
] as const

export type TransactionState = Exclude<(typeof TRANSACTION_STATES)[number], 'Dead' | 'PrepareEpochFence'>

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Producer {
  readonly producerId: number
  readonly producerEpoch: number
}

export const NO_PRODUCER_ID = -1
export const NO_TIME = -1

/** The last epoch a producer is given. One more can be taken away from it: fencing must always be possible. */
export const LAST_PRODUCER_EPOCH = 32_766

/** What things take in memory, roughly: objects, maps and their entries. */
const TRANSACTION_BYTES = 700
const TOPIC_BYTES = 350
const PARTITION_BYTES = 40

/** Bytes that what is known of an id takes in memory, roughly. */
export function byteLengthOf({ transactionalId, partitions }: Transaction): number {
  return idByteLength(transactionalId) + partitions.byteLength
}

/** The same of an id without a transaction. */
export function idByteLength(transactionalId: string): number {
  return TRANSACTION_BYTES + transactionalId.length
}

export function isPrepared({ state }: Transaction): boolean {
  return state === 'PrepareCommit' || state === 'PrepareAbort'
}

/** The producer that holds this id now. An epoch above the last one was given to nobody. */
export function isHeldBy(transaction: Transaction, { producerId, producerEpoch }: Producer): boolean {
  return transaction.producerId === producerId && holdsEpoch(transaction, producerEpoch)
}

export function holdsEpoch(transaction: Transaction, producerEpoch: number): boolean {
  return transaction.producerEpoch === producerEpoch && producerEpoch <= LAST_PRODUCER_EPOCH
}

/**
 * The producer that goes on once the transaction is completed. It may know already: it hears of the end when the
 * markers are written, and the record of the completion comes after that.
 */
export function isPromisedTo(transaction: Transaction, { producerId, producerEpoch }: Producer): boolean {
  if (!isPrepared(transaction)) return false
  return transaction.nextProducerId === NO_PRODUCER_ID
    ? isHeldBy(transaction, { producerId, producerEpoch })
    : transaction.nextProducerId === producerId && producerEpoch === 0
}

/** The producer that held this id before, and may not have heard of the change. */
export function wasHeldBy(transaction: Transaction, { producerId, producerEpoch }: Producer): boolean {
  const { previousProducerId } = transaction
  if (previousProducerId === NO_PRODUCER_ID || previousProducerId !== producerId) return false
  const previousEpoch =
    previousProducerId === transaction.producerId ? transaction.producerEpoch - 1 : LAST_PRODUCER_EPOCH
  return previousEpoch === producerEpoch
}

/** Partitions of several topics, each once. Immutable. */
export class PartitionSet {
  static readonly EMPTY = new PartitionSet(new Map(), 0)

  readonly #byTopic: ReadonlyMap<string, ReadonlySet<number>>
  readonly size: number

  private constructor(byTopic: ReadonlyMap<string, ReadonlySet<number>>, size: number) {
    this.#byTopic = byTopic
    this.size = size
  }

  has(topic: string, partition: number): boolean {
    return this.#byTopic.get(topic)?.has(partition) === true
  }

  /** Bytes in memory, roughly. Names are those of topics that exist. */
  get byteLength(): number {
    return this.#byTopic.size * TOPIC_BYTES + this.size * PARTITION_BYTES
  }

  byTopic(): Iterable<[topic: string, partitions: ReadonlySet<number>]> {
    return this.#byTopic
  }

  /** This set where it has all of them already. */
  with(added: Iterable<TopicPartition>): PartitionSet {
    let byTopic: Map<string, Set<number>> | undefined
    let { size } = this
    const copied = new Set<string>()
    for (const { topic, partition } of added) {
      if ((byTopic ?? this.#byTopic).get(topic)?.has(partition) === true) continue
      byTopic ??= new Map(this.#byTopic as ReadonlyMap<string, Set<number>>)
      let partitions = byTopic.get(topic)
      if (partitions === undefined || !copied.has(topic)) {
        partitions = new Set(partitions)
        byTopic.set(topic, partitions)
        copied.add(topic)
      }
      partitions.add(partition)
      size++
    }
    return byTopic === undefined ? this : new PartitionSet(byTopic, size)
  }
}
