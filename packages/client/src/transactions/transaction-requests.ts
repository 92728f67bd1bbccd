/**
 * What a transactional producer asks of the coordinators, in both versions of the protocol:
 *
 *     1  KIP-98    AddPartitionsToTxn, Produce, AddOffsetsToTxn, TxnOffsetCommit, EndTxn; the epoch stays
 *     2  KIP-890   Produce, TxnOffsetCommit, EndTxn; each end raises the epoch, so that nothing of a former
 *                  transaction can come late
 *
 * Version 2 is used where the cluster has finalized it. Every request is repeated while its coordinator is not
 * known, not ready, busy or out of reach, as long as `retryTimeoutMs`.
 */
import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  ErrorCode,
  endTxn,
  initProducerId,
  txnOffsetCommit,
} from '@streambus/protocol'
import type { Cluster, RetryOptions } from '../cluster.ts'
import { brokerError, isStreamBusError, StreamBusError } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import { byTopic, type CommittingMember, type OffsetToCommit } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { ProducerIdentity } from '../producer/partition-queue.ts'

export type TransactionVersion = 1 | 2

/** As whom a producer writes, until its next epoch. */
export interface ProducerSession extends ProducerIdentity {
  readonly version: TransactionVersion
}

/** Highest versions for clients; the later ones of AddPartitionsToTxn go between brokers. */
const maxVersions = {
  addPartitions: 3,
  endTxn: { 1: 4, 2: 5 },
  txnOffsetCommit: { 1: 4, 2: 5 },
} as const

let lanes = 0

export class TransactionRequests {
  readonly transactionalId: string
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #timeoutMs: number
  readonly #lane = `transaction ${++lanes}`

  constructor(cluster: Cluster, coordinators: Coordinators, transactionalId: string, timeoutMs: number) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.transactionalId = transactionalId
    this.#timeoutMs = timeoutMs
  }

  /**
   * Takes the transactional id, or goes on with it where `former` says as whom (KIP-360). Whoever had it is fenced;
   * what that one left open is aborted first, which this waits for.
   */
  initialise(former: ProducerIdentity | undefined, options: RetryOptions): Promise<ProducerSession> {
    const { transactionalId } = this
    return this.#coordinators.retrying(
      'transaction',
      transactionalId,
      this.#lane,
      async (connection) => {
        const answer = await connection.request(initProducerId, {
          transactionalId,
          transactionTimeoutMs: this.#timeoutMs,
          ...(former && { producerId: BigInt(former.producerId), producerEpoch: former.producerEpoch }),
        })
        if (answer.errorCode === ErrorCode.INVALID_TRANSACTION_TIMEOUT) {
          const message = `The broker does not allow a transactionTimeoutMs of ${this.#timeoutMs}: it has to be above 0, and no more than its transaction.max.timeout.ms.`
          throw new StreamBusError('INVALID_ARGUMENT', message, {
            brokerError: 'INVALID_TRANSACTION_TIMEOUT',
          })
        }
        this.#check(answer.errorCode, 'take the transactional id')
        const isVersion2 =
          connection.finalizedLevelOf('transaction.version') >= 2 &&
          connection.versionOf(endTxn) === maxVersions.endTxn[2]
        const { producerId, producerEpoch } = answer
        return { producerId: Number(producerId), producerEpoch, version: isVersion2 ? 2 : 1 }
      },
      options,
    )
  }

  /** Version 1 only: what is written to these partitions from now on is part of the transaction. */
  async addPartitions(
    producer: ProducerSession,
    partitions: readonly TopicPartition[],
    options: RetryOptions,
  ): Promise<void> {
    const { transactionalId } = this
    const topics = byTopic(partitions, ({ partition }) => partition)
    await this.#coordinators.retrying(
      'transaction',
      transactionalId,
      this.#lane,
      async (connection) => {
        const answer = await connection.request(
          addPartitionsToTxn,
          {
            v3AndBelowTransactionalId: transactionalId,
            v3AndBelowProducerId: BigInt(producer.producerId),
            v3AndBelowProducerEpoch: producer.producerEpoch,
            v3AndBelowTopics: topics.map(({ name, items }) => ({ name, partitions: items })),
          },
          { maxVersion: maxVersions.addPartitions },
        )
        const refused = answer.resultsByTopicV3AndBelow.flatMap(({ name, resultsByPartition }) =>
          resultsByPartition
            .filter(({ partitionErrorCode }) => partitionErrorCode !== 0)
            .map(({ partitionIndex, partitionErrorCode }) => ({
              place: `${name}/${partitionIndex}`,
              code: partitionErrorCode,
            })),
        )
        // All are added or none; those that were not the reason say only that.
        const reason = refused.find(({ code }) => code !== ErrorCode.OPERATION_NOT_ATTEMPTED) ?? refused[0]
        if (reason !== undefined) this.#check(reason.code, `write to ${reason.place} in a transaction`)
      },
      options,
    )
  }

  /** Commits offsets of a group as part of the transaction. Rejects with PARTITIONS_LOST for a former member. */
  async commitOffsets(
    producer: ProducerSession,
    groupId: string,
    offsets: readonly OffsetToCommit[],
    member: CommittingMember,
    options: RetryOptions,
  ): Promise<void> {
    const { transactionalId } = this
    const identity = { producerId: BigInt(producer.producerId), producerEpoch: producer.producerEpoch }
    if (producer.version === 1) {
      await this.#coordinators.retrying(
        'transaction',
        transactionalId,
        this.#lane,
        async (connection) => {
          const body = { transactionalId, ...identity, groupId }
          const { errorCode } = await connection.request(addOffsetsToTxn, body)
          this.#check(errorCode, `commit offsets of group '${groupId}' in a transaction`)
        },
        options,
      )
    }
    const topics = byTopic(offsets, ({ partition, offset, metadata }) => ({
      partitionIndex: partition,
      committedOffset: BigInt(offset),
      committedMetadata: metadata ?? '',
    }))
    await this.#coordinators.retrying(
      'group',
      groupId,
      this.#lane,
      async (connection) => {
        const answer = await connection.request(
          txnOffsetCommit,
          {
            transactionalId,
            groupId,
            ...identity,
            generationIdOrMemberEpoch: member.generation,
            memberId: member.memberId,
            groupInstanceId: member.instanceId,
            topics: topics.map(({ name, items }) => ({ name, partitions: items })),
          },
          { maxVersion: maxVersions.txnOffsetCommit[producer.version] },
        )
        for (const { name, partitions } of answer.topics) {
          for (const { partitionIndex, errorCode } of partitions) {
            this.#checkOffset(errorCode, groupId, `${name}/${partitionIndex}`)
          }
        }
      },
      options,
    )
  }

  /**
   * Commits or aborts; resolves with who the producer is in its next transaction. Rejects with TRANSACTION_IN_DOUBT
   * where a commit was asked for and may have happened.
   */
  async end(
    producer: ProducerSession,
    committed: boolean,
    options: RetryOptions = {},
  ): Promise<ProducerSession> {
    const { transactionalId } = this
    let inDoubt = false
    try {
      return await this.#coordinators.retrying(
        'transaction',
        transactionalId,
        this.#lane,
        async (connection) => {
          const wasInDoubt = inDoubt
          inDoubt = true
          const answer = await connection.request(
            endTxn,
            {
              transactionalId,
              producerId: BigInt(producer.producerId),
              producerEpoch: producer.producerEpoch,
              committed,
            },
            { maxVersion: maxVersions.endTxn[producer.version] },
          )
          try {
            this.#check(answer.errorCode, `${committed ? 'commit' : 'abort'} the transaction`)
          } catch (error) {
            // Of a request before this one, whose answer was lost, a refusal says nothing. One to be repeated may
            // stand for a commit that is under way; but not that the id is busy, which is found out before anything
            // is done: busy with a commit of this producer, it was asked for before; else, with another producer.
            const isBusy = answer.errorCode === ErrorCode.CONCURRENT_TRANSACTIONS
            if (isStreamBusError(error) && (isBusy || !error.retriable)) inDoubt = wasInDoubt
            throw error
          }
          if (producer.version === 1) return producer
          const { producerId, producerEpoch } = answer
          return { producerId: Number(producerId), producerEpoch, version: producer.version }
        },
        options,
      )
    } catch (error) {
      if (!committed || !inDoubt) throw error
      throw new StreamBusError(
        'TRANSACTION_IN_DOUBT',
        `Whether the transaction of '${transactionalId}' was committed is not known: the commit was sent, and no answer told how it ended.`,
        { cause: error },
      )
    }
  }

  close(): void {
    this.#cluster.closeLane(this.#lane)
  }

  #check(errorCode: number, doing: string): void {
    if (errorCode !== 0) throw brokerError(errorCode, `Producer '${this.transactionalId}' cannot ${doing}`)
  }

  #checkOffset(errorCode: number, groupId: string, place: string): void {
    if (errorCode === ErrorCode.ILLEGAL_GENERATION || errorCode === ErrorCode.UNKNOWN_MEMBER_ID) {
      throw new StreamBusError(
        'PARTITIONS_LOST',
        `Group '${groupId}' has moved on: the offset of ${place} is not this member's to commit any more.`,
        {
          brokerError:
            errorCode === ErrorCode.ILLEGAL_GENERATION ? 'ILLEGAL_GENERATION' : 'UNKNOWN_MEMBER_ID',
        },
      )
    }
    this.#check(errorCode, `commit the offset of ${place} for group '${groupId}'`)
  }
}
