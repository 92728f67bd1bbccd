import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  endTxn,
  initProducerId,
  type ProduceResponse,
  produce,
  txnOffsetCommit,
} from '@streambus/protocol'
import type { Producer } from '../transactions/transaction.ts'
import type { RawClient } from './raw-client.ts'
import { batchOf, produceRequest } from './requests.ts'

/** The oldest and newest ways in which clients speak of transactions. */
export const CLIENTS = {
  /** KIP-98: partitions are added by requests of their own, the epoch stays. */
  v1: { init: 4, produce: 9, end: 3, offsetCommit: 3, addsPartitions: true },
  /** KIP-890: Produce and TxnOffsetCommit add, EndTxn raises the epoch. */
  v2: { init: 5, produce: 12, end: 5, offsetCommit: 5, addsPartitions: false },
} as const

export type ClientKind = keyof typeof CLIENTS

/** A transactional producer that sends one request at a time, and tells every error code. */
export class TransactionalProducer {
  readonly id: string
  readonly kind: ClientKind
  producer: Producer = { producerId: -1, producerEpoch: -1 }
  readonly #client: RawClient
  /** By partition. */
  #sequences = new Map<string, number>()

  constructor(client: RawClient, id: string, kind: ClientKind) {
    this.#client = client
    this.id = id
    this.kind = kind
  }

  /** A connection to a broker that was started again. */
  on(client: RawClient): TransactionalProducer {
    const next = new TransactionalProducer(client, this.id, this.kind)
    next.producer = this.producer
    next.#sequences = this.#sequences
    return next
  }

  async init(timeoutMs = 60_000, expected?: Producer): Promise<number> {
    const answer = await this.#client.request(initProducerId, CLIENTS[this.kind].init, {
      transactionalId: this.id,
      transactionTimeoutMs: timeoutMs,
      ...(expected && { producerId: BigInt(expected.producerId), producerEpoch: expected.producerEpoch }),
    })
    if (answer.errorCode === 0) this.#become(answer)
    return answer.errorCode
  }

  async add(topic: string, partitions: readonly number[], version = 3): Promise<number[]> {
    const { resultsByTopicV3AndBelow } = await this.#client.request(addPartitionsToTxn, version, {
      v3AndBelowTransactionalId: this.id,
      v3AndBelowProducerId: BigInt(this.producer.producerId),
      v3AndBelowProducerEpoch: this.producer.producerEpoch,
      v3AndBelowTopics: [{ name: topic, partitions: [...partitions] }],
    })
    return resultsByTopicV3AndBelow[0]!.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode)
  }

  /** Produces one batch to each partition, in one request. */
  async send(topic: string, partitions: readonly number[], values: readonly string[]): Promise<number[]> {
    const { responses } = await this.sendRaw(topic, partitions, values)
    return responses[0]!.partitionResponses.map(({ errorCode }) => errorCode)
  }

  sendRaw(topic: string, partitions: readonly number[], values: readonly string[]): Promise<ProduceResponse> {
    const request = produceRequest(
      topic,
      partitions.map((index) => {
        const key = `${topic}:${index}`
        const baseSequence = this.#sequences.get(key) ?? 0
        this.#sequences.set(key, baseSequence + values.length)
        return { index, records: batchOf(values, { ...this.producer, baseSequence, transactional: true }) }
      }),
    )
    return this.#client.request(produce, CLIENTS[this.kind].produce, { ...request, transactionalId: this.id })
  }

  /** Adds where this kind of client has to, and produces. Throws on any error. */
  async write(topic: string, partitions: readonly number[], values: readonly string[]): Promise<void> {
    const codes = CLIENTS[this.kind].addsPartitions ? await this.add(topic, partitions) : []
    codes.push(...(await this.send(topic, partitions, values)))
    if (codes.some((code) => code !== 0)) throw new Error(`not written: ${codes}`)
  }

  async addOffsets(groupId: string, version = 4): Promise<number> {
    const { errorCode } = await this.#client.request(addOffsetsToTxn, version, {
      transactionalId: this.id,
      producerId: BigInt(this.producer.producerId),
      producerEpoch: this.producer.producerEpoch,
      groupId,
    })
    return errorCode
  }

  async commitOffset(groupId: string, topic: string, partition: number, offset: number): Promise<number> {
    const { topics } = await this.#client.request(txnOffsetCommit, CLIENTS[this.kind].offsetCommit, {
      transactionalId: this.id,
      groupId,
      producerId: BigInt(this.producer.producerId),
      producerEpoch: this.producer.producerEpoch,
      topics: [
        {
          name: topic,
          partitions: [
            { partitionIndex: partition, committedOffset: BigInt(offset), committedMetadata: 'from a test' },
          ],
        },
      ],
    })
    return topics[0]!.partitions[0]!.errorCode
  }

  async end(committed: boolean, version: number = CLIENTS[this.kind].end): Promise<number> {
    const answer = await this.#client.request(endTxn, version, {
      transactionalId: this.id,
      producerId: BigInt(this.producer.producerId),
      producerEpoch: this.producer.producerEpoch,
      committed,
    })
    if (answer.errorCode === 0 && version >= 5) this.#become(answer)
    return answer.errorCode
  }

  /** Sequences begin anew with each epoch. */
  #become({ producerId, producerEpoch }: { producerId: bigint; producerEpoch: number }): void {
    const next = { producerId: Number(producerId), producerEpoch }
    if (next.producerId !== this.producer.producerId || producerEpoch !== this.producer.producerEpoch) {
      this.#sequences.clear()
    }
    this.producer = next
  }
}
