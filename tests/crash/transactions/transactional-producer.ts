/**
 * A transactional producer that writes batches to several partitions and an offset of a group, and commits or
 * aborts. After a broken connection it either goes on where it was, as a client does that lives on: every
 * request that was not answered is sent again; or it begins anew with InitProducerId, as one that died with the
 * broker does. In `v1` it adds partitions and groups before it writes to them (KIP-98), in `v2` writing does
 * that, and each end brings the next epoch (KIP-890).
 */
import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  encodeRecordBatch,
  endTxn,
  initProducerId,
  produce,
  txnOffsetCommit,
} from '@streambus/protocol'
import type { TransactionFlow } from '../../../bench/load/jobs.ts'
import { awaitCoordinator } from '../../../bench/wire/group-membership.ts'
import { RawConnection } from '../../../bench/wire/raw-connection.ts'
import { retried } from '../../../bench/wire/retried.ts'
import { isLarge, recordValue } from '../content.ts'
import { metadataOf } from '../groups/committed-offsets.ts'
import { wasKilled } from '../killed.ts'
import type { Random } from '../random.ts'
import {
  SERIALS_PER_TRANSACTION,
  type Transaction,
  type TransactionalHistory,
} from './transactional-history.ts'

const TRANSACTION_TIMEOUT_MS = 120_000
const REQUEST_TIMEOUT_MS = 30_000
const MAX_PARTITIONS = 4
const MAX_BATCHES_PER_PARTITION = 3
const MAX_RECORDS_PER_BATCH = 5
const ABORT_EVERY = 5
const OFFSET_IN = 0.75

interface Batch {
  readonly partition: number
  readonly bytes: Uint8Array
  acknowledged: boolean
}

/** A transaction as it is carried out. */
interface Current {
  readonly transaction: Transaction
  readonly batches: readonly Batch[]
  readonly commits: boolean
  step: 'add' | 'write' | 'offset' | 'end'
  endSent: boolean
}

export interface TransactionalProducerSpec {
  readonly history: TransactionalHistory
  readonly flow: TransactionFlow
  readonly ledger: { readonly topic: string; readonly partitions: number }
  readonly random: Random
  readonly onFailure: (error: Error) => void
}

export class TransactionalProducer {
  readonly #spec: TransactionalProducerSpec
  readonly #nextSequence = new Map<number, number>()
  #connection: RawConnection | undefined
  #producerId = -1n
  #epoch = -1
  #current: Current | undefined

  constructor(spec: TransactionalProducerSpec) {
    this.#spec = spec
  }

  /** One transaction after the other until `running` says no, which lets the present one end. */
  async run(port: number, running: () => boolean): Promise<void> {
    try {
      const connection = await RawConnection.open(port)
      this.#connection = connection
      const { transactionalId } = this.#spec.history
      await awaitCoordinator(connection, 'transaction', [transactionalId])
      if (this.#producerId === -1n) await this.#initialise(connection)
      while (this.#current !== undefined || running()) {
        this.#current ??= this.#plan()
        await this.#advance(connection, this.#current)
      }
    } catch (error) {
      if (!wasKilled(error)) this.#spec.onFailure(error as Error)
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#connection?.close()
  }

  /** Forgets everything but the transactional id, as a process does that ends. */
  die(): void {
    if (this.#current !== undefined) {
      const { transaction, endSent, commits } = this.#current
      transaction.outcome = endSent && commits ? 'unknown' : 'aborted'
    }
    this.#current = undefined
    this.#producerId = -1n
  }

  async #initialise(connection: RawConnection): Promise<void> {
    const { transactionalId } = this.#spec.history
    const answer = await retried(
      `InitProducerId of ${transactionalId}`,
      () =>
        connection.request(initProducerId, 5, {
          transactionalId,
          transactionTimeoutMs: TRANSACTION_TIMEOUT_MS,
        }),
      ({ errorCode }) => errorCode,
    )
    this.#producerId = answer.producerId
    this.#epoch = answer.producerEpoch
    this.#nextSequence.clear()
  }

  #plan(): Current {
    const { history, ledger, flow, random } = this.#spec
    const number = history.transactions.length
    const partitions = new Set<number>()
    for (let wanted = random.between(1, MAX_PARTITIONS); wanted > 0; wanted--) {
      partitions.add(random.between(0, ledger.partitions - 1))
    }
    let serial = number * SERIALS_PER_TRANSACTION
    const batches: Batch[] = []
    const records = new Map<number, number[]>()
    for (const partition of partitions) {
      const written: number[] = []
      for (let left = random.between(1, MAX_BATCHES_PER_PARTITION); left > 0; left--) {
        const serials = this.#serialsOfBatch(serial)
        serial += serials.length
        written.push(...serials)
        batches.push({ partition, bytes: this.#encode(partition, serials), acknowledged: false })
      }
      records.set(partition, written)
    }
    const transaction: Transaction = {
      number,
      records,
      commitsOffset: random.next() < OFFSET_IN,
      outcome: 'open',
    }
    history.transactions.push(transaction)
    const commits = random.between(1, ABORT_EVERY) !== 1
    return { transaction, batches, commits, step: flow === 'v1' ? 'add' : 'write', endSent: false }
  }

  #serialsOfBatch(first: number): number[] {
    const { history, random } = this.#spec
    const serials: number[] = []
    for (let left = random.between(1, MAX_RECORDS_PER_BATCH); left > 0; left--) {
      const serial = first + serials.length
      const large = isLarge({ writer: history.writer, serial })
      if (large && serials.length > 0) break
      serials.push(serial)
      if (large) break
    }
    return serials
  }

  #encode(partition: number, serials: readonly number[]): Uint8Array {
    const { writer } = this.#spec.history
    const baseSequence = this.#nextSequence.get(partition) ?? 0
    this.#nextSequence.set(partition, baseSequence + serials.length)
    const timestamp = BigInt(Date.now())
    return encodeRecordBatch(
      serials.map((serial) => ({
        timestamp,
        key: null,
        value: recordValue({ writer, serial }),
        headers: [],
      })),
      {
        producerId: this.#producerId,
        producerEpoch: this.#epoch,
        baseSequence,
        transactional: true,
      },
    )
  }

  /** Carries out the next step; after a broken connection the same step again. */
  async #advance(connection: RawConnection, current: Current): Promise<void> {
    switch (current.step) {
      case 'add':
        await this.#add(connection, current)
        current.step = 'write'
        return
      case 'write':
        await this.#write(connection, current)
        current.step = current.transaction.commitsOffset ? 'offset' : 'end'
        return
      case 'offset':
        await this.#commitOffset(connection, current)
        current.step = 'end'
        return
      case 'end':
        await this.#end(connection, current)
        current.transaction.outcome = current.commits ? 'committed' : 'aborted'
        this.#current = undefined
    }
  }

  async #add(connection: RawConnection, { transaction }: Current): Promise<void> {
    const { history, ledger } = this.#spec
    const { transactionalId } = history
    await retried(
      `AddPartitionsToTxn of ${transactionalId}`,
      () =>
        connection.request(addPartitionsToTxn, 3, {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: this.#producerId,
          v3AndBelowProducerEpoch: this.#epoch,
          v3AndBelowTopics: [{ name: ledger.topic, partitions: [...transaction.records.keys()] }],
        }),
      ({ resultsByTopicV3AndBelow: [topic] }) =>
        firstError(topic?.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode)),
    )
    if (!transaction.commitsOffset) return
    await retried(
      `AddOffsetsToTxn of ${transactionalId}`,
      () =>
        connection.request(addOffsetsToTxn, 3, {
          transactionalId,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          groupId: history.group,
        }),
      ({ errorCode }) => errorCode,
    )
  }

  /**
   * The first batch begins the transaction where nothing was added before. Then partitions are written to side
   * by side, each one batch after the other: a batch that is to be sent again must not be overtaken.
   */
  async #write(connection: RawConnection, { batches }: Current): Promise<void> {
    const [first, ...others] = batches
    await this.#writeBatch(connection, first!)
    const partitions = new Set(others.map(({ partition }) => partition))
    await Promise.all(
      [...partitions].map(async (partition) => {
        for (const batch of others)
          if (batch.partition === partition) await this.#writeBatch(connection, batch)
      }),
    )
  }

  async #writeBatch(connection: RawConnection, batch: Batch): Promise<void> {
    if (batch.acknowledged) return
    const { partition, bytes } = batch
    const { history, ledger, flow } = this.#spec
    const { transactionalId } = history
    await retried(
      `Produce of ${transactionalId} to partition ${partition}`,
      () =>
        connection.request(produce, flow === 'v2' ? 12 : 11, {
          transactionalId,
          acks: -1,
          timeoutMs: REQUEST_TIMEOUT_MS,
          topicData: [{ name: ledger.topic, partitionData: [{ index: partition, records: bytes }] }],
        }),
      ({ responses: [topic] }) => firstError(topic?.partitionResponses.map(({ errorCode }) => errorCode)),
    )
    batch.acknowledged = true
  }

  async #commitOffset(connection: RawConnection, { transaction }: Current): Promise<void> {
    const { history, ledger, flow } = this.#spec
    const offset = transaction.number + 1
    await retried(
      `TxnOffsetCommit of ${history.transactionalId}`,
      () =>
        connection.request(txnOffsetCommit, flow === 'v2' ? 5 : 3, {
          transactionalId: history.transactionalId,
          groupId: history.group,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          topics: [
            {
              name: ledger.topic,
              partitions: [
                {
                  partitionIndex: 0,
                  committedOffset: BigInt(offset),
                  committedLeaderEpoch: 0,
                  committedMetadata: metadataOf(offset),
                },
              ],
            },
          ],
        }),
      ({ topics: [topic] }) => firstError(topic?.partitions.map(({ errorCode }) => errorCode)),
    )
  }

  async #end(connection: RawConnection, current: Current): Promise<void> {
    const { history, flow } = this.#spec
    const { transactionalId } = history
    current.endSent = true
    const answer = await retried(
      `EndTxn of ${transactionalId}`,
      () =>
        connection.request(endTxn, flow === 'v2' ? 5 : 4, {
          transactionalId,
          producerId: this.#producerId,
          producerEpoch: this.#epoch,
          committed: current.commits,
        }),
      ({ errorCode }) => errorCode,
    )
    if (flow === 'v1') return
    this.#producerId = answer.producerId
    this.#epoch = answer.producerEpoch
    this.#nextSequence.clear()
  }
}

function firstError(codes: readonly number[] | undefined): number | undefined {
  if (codes === undefined || codes.length === 0) return undefined
  return codes.find((code) => code !== 0) ?? 0
}
