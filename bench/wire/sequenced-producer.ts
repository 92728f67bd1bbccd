/**
 * One transactional or idempotent producer over a bare connection: its id and epoch, its sequences, and the
 * requests of a transaction. With v1 partitions are added before they are written to (KIP-98), with v2 the
 * write adds them and the end of a transaction brings the next epoch (KIP-890).
 */
import {
  addPartitionsToTxn,
  batchHeader,
  changeBatchHeader,
  endTxn,
  initProducerId,
  type ProduceRequestInput,
  produce,
} from '@streambus/protocol'
import type { TransactionFlow } from '../load/jobs.ts'
import { awaitCoordinator } from './group-membership.ts'
import type { RawConnection } from './raw-connection.ts'
import { retried } from './retried.ts'

const INIT_VERSION = 4
const ADD_VERSION = 3
const TIMEOUT_MS = 60_000

/** After the largest an int32 holds comes 0. */
const SEQUENCES = 2 ** 31

export class SequencedProducer {
  /** Requests sent again because the broker was not ready for them. */
  retries = 0
  readonly #connection: RawConnection
  readonly #transactionalId: string | null
  readonly #flow: TransactionFlow
  readonly #topic: string
  readonly #nextSequence = new Map<number, number>()
  #producerId = -1n
  #epoch = -1

  /** Without a transactional id it is idempotent only. */
  constructor(
    connection: RawConnection,
    topic: string,
    transactionalId: string | null,
    flow: TransactionFlow = 'v2',
  ) {
    this.#connection = connection
    this.#topic = topic
    this.#transactionalId = transactionalId
    this.#flow = flow
  }

  async initialise(): Promise<void> {
    if (this.#transactionalId !== null) {
      await awaitCoordinator(this.#connection, 'transaction', [this.#transactionalId])
    }
    const answer = await retried(
      'InitProducerId',
      () =>
        this.#connection.request(initProducerId, INIT_VERSION, {
          transactionalId: this.#transactionalId,
          transactionTimeoutMs: TIMEOUT_MS,
        }),
      ({ errorCode }) => errorCode,
    )
    this.#producerId = answer.producerId
    this.#epoch = answer.producerEpoch
  }

  /**
   * Writes this producer, its epoch and the partition's next sequence into a batch, in place; with a timestamp
   * (milliseconds since the Unix epoch) its records are of that time.
   */
  stamp(batch: Uint8Array, partition: number, timestampMs?: number): void {
    const baseSequence = this.#nextSequence.get(partition) ?? 0
    this.#nextSequence.set(partition, (baseSequence + batchHeader.recordCount(batch, 0)) % SEQUENCES)
    changeBatchHeader(batch, 0, {
      producerId: Number(this.#producerId),
      producerEpoch: this.#epoch,
      baseSequence,
      ...(this.#transactionalId === null ? {} : { transactional: true }),
      ...(timestampMs === undefined ? {} : { baseTimestamp: timestampMs, maxTimestamp: timestampMs }),
    })
  }

  /** Begins a transaction on these partitions; nothing to be said where writing does it. */
  async add(partitions: readonly number[]): Promise<void> {
    if (this.#flow === 'v2' || this.#transactionalId === null) return
    const transactionalId = this.#transactionalId
    await this.#retried(
      'AddPartitionsToTxn',
      () =>
        this.#connection.request(addPartitionsToTxn, ADD_VERSION, {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: this.#producerId,
          v3AndBelowProducerEpoch: this.#epoch,
          v3AndBelowTopics: [{ name: this.#topic, partitions: [...partitions] }],
        }),
      ({ resultsByTopicV3AndBelow: [topic] }) =>
        topic?.resultsByPartition.find(({ partitionErrorCode }) => partitionErrorCode !== 0)
          ?.partitionErrorCode ?? (topic === undefined ? undefined : 0),
    )
  }

  /** Writes stamped batches, one for each partition, in one request. */
  async write(batches: readonly { readonly index: number; readonly records: Uint8Array }[]): Promise<void> {
    const body: ProduceRequestInput = {
      transactionalId: this.#transactionalId,
      acks: -1,
      timeoutMs: TIMEOUT_MS,
      topicData: [{ name: this.#topic, partitionData: [...batches] }],
    }
    const version = this.#flow === 'v2' ? 12 : 11
    await this.#retried(
      'Produce',
      () => this.#connection.request(produce, version, body),
      ({ responses: [topic] }) =>
        topic?.partitionResponses.find(({ errorCode }) => errorCode !== 0)?.errorCode ??
        (topic === undefined ? undefined : 0),
    )
  }

  async commit(): Promise<void> {
    const transactionalId = this.#transactionalId
    if (transactionalId === null) return
    const answer = await this.#retried(
      'EndTxn',
      () =>
        this.#connection.request(endTxn, this.#flow === 'v2' ? 5 : 4, {
          transactionalId,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          committed: true,
        }),
      ({ errorCode }) => errorCode,
    )
    if (this.#flow === 'v1') return
    this.#producerId = answer.producerId
    this.#epoch = answer.producerEpoch
    this.#nextSequence.clear()
  }

  #retried<Answer>(
    doing: string,
    request: () => Promise<Answer>,
    errorCodeOf: (answer: Answer) => number | undefined,
  ): Promise<Answer> {
    return retried(doing, request, errorCodeOf, () => this.retries++)
  }
}
