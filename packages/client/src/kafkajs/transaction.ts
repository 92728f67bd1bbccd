import type { Transaction as SdkTransaction } from '../transactions/transaction.ts'
import type { TransactionalProducer } from '../transactions/transactional-producer.ts'
import { KafkaJSNonRetriableError } from './errors.ts'
import type { ProducerBatch, ProducerRecord, RecordMetadata, Transaction } from './producer-types.ts'
import { type RetrySettings, translated } from './retry.ts'
import type { Target } from './sending.ts'
import type { Offsets } from './types.ts'

/** What the callback of an aborted transaction ends with, so that the SDK aborts it. */
class AbortRequested extends Error {}

/**
 * A transaction that its user begins and ends, over one of the SDK, which runs as long as a callback does: the
 * callback waits until `commit` or `abort` is called.
 */
export class KafkaTransaction implements Transaction {
  readonly #producer: TransactionalProducer
  readonly #retry: RetrySettings
  readonly #sendBatch: (batch: ProducerBatch, target: Target) => Promise<RecordMetadata[]>
  #tx: SdkTransaction | undefined
  #end!: { commit: () => void; abort: () => void }
  #ended!: Promise<void>
  #state: 'beginning' | 'open' | 'failed' | 'over' = 'beginning'

  constructor(
    producer: TransactionalProducer,
    retry: RetrySettings,
    sendBatch: (batch: ProducerBatch, target: Target) => Promise<RecordMetadata[]>,
  ) {
    this.#producer = producer
    this.#retry = retry
    this.#sendBatch = sendBatch
  }

  /** True until it is committed or aborted. */
  get isOpen(): boolean {
    return this.#state !== 'over'
  }

  /** Rejects where the producer cannot take its transactional id. */
  async begin(): Promise<void> {
    const decision = new Promise<void>((resolve, reject) => {
      this.#end = { commit: resolve, abort: () => reject(new AbortRequested()) }
    })
    // Where the transaction does not begin, nobody waits for it.
    decision.catch(() => {})
    try {
      await new Promise<void>((resolve, reject) => {
        this.#ended = this.#producer.transaction((tx) => {
          this.#tx = tx
          this.#state = 'open'
          resolve()
          return decision
        })
        this.#ended.catch(reject)
      })
    } catch (error) {
      this.#state = 'over'
      await translated(Promise.reject(error), this.#retry)
    }
  }

  /** The producer is disconnected, which aborts it. */
  discard(): void {
    this.#state = 'over'
    this.#end.abort()
  }

  readonly isActive = (): boolean => this.isOpen

  readonly send = async ({ topic, messages, ...options }: ProducerRecord): Promise<RecordMetadata[]> =>
    await this.sendBatch({ ...options, topicMessages: [{ topic, messages }] })

  readonly sendBatch = async (batch: ProducerBatch): Promise<RecordMetadata[]> =>
    await this.#sendBatch(batch, this.#open())

  readonly sendOffsets = async ({
    consumerGroupId,
    topics,
  }: Offsets & { consumerGroupId: string }): Promise<void> => {
    const offsets = topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) })),
    )
    await translated(this.#open().sendOffsets({ group: consumerGroupId }, offsets), this.#retry)
  }

  /** Where it rejects nothing of the transaction counts, and `abort` may still be called. */
  readonly commit = async (): Promise<void> => {
    this.#open()
    this.#end.commit()
    try {
      await translated(this.#ended, this.#retry)
      this.#state = 'over'
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
  }

  readonly abort = async (): Promise<void> => {
    if (!this.isOpen) throw ended()
    const isDone = this.#state === 'failed'
    this.#state = 'over'
    if (isDone) return
    this.#end.abort()
    try {
      await this.#ended
    } catch (error) {
      if (!(error instanceof AbortRequested)) await translated(Promise.reject(error), this.#retry)
    }
  }

  #open(): SdkTransaction {
    if (!this.isOpen || this.#tx === undefined) throw ended()
    return this.#tx
  }
}

function ended(): KafkaJSNonRetriableError {
  return new KafkaJSNonRetriableError('Cannot continue to use transaction once ended')
}
