import { Producer as SdkProducer } from '../producer/producer.ts'
import { TransactionalProducer } from '../transactions/transactional-producer.ts'
import { compressionName } from './compression.ts'
import type { Connected, KafkaConnection } from './connection.ts'
import { KafkaJSError, KafkaJSNonRetriableError } from './errors.ts'
import { Instrumentation } from './instrumentation.ts'
import type { Logger } from './logger.ts'
import { Partitioners } from './partitioners.ts'
import type {
  Producer,
  ProducerBatch,
  ProducerConfig,
  ProducerEvents,
  RecordMetadata,
  Transaction,
} from './producer-types.ts'
import { retrySpanMs, translated } from './retry.ts'
import { checkedBatch, sendTo, type Target } from './sending.ts'
import { KafkaTransaction } from './transaction.ts'

const events: ProducerEvents = { CONNECT: 'producer.connect', DISCONNECT: 'producer.disconnect' }

export class KafkaProducer {
  readonly events = events
  readonly #connection: KafkaConnection
  readonly #config: ProducerConfig
  readonly #logger: Logger
  readonly #instrumentation: Instrumentation
  readonly #deliveryTimeoutMs: number
  readonly #partitioner: ReturnType<typeof Partitioners.DefaultPartitioner>
  /** One for each way to send: acks and compression are settings of a producer in the SDK. */
  readonly #producers = new Map<string, SdkProducer>()
  #transactional: TransactionalProducer | undefined
  #transaction: KafkaTransaction | undefined
  #state: 'disconnected' | 'connected' | 'disconnecting' = 'disconnected'

  constructor(connection: KafkaConnection, config: ProducerConfig, requestTimeoutMs: number, logger: Logger) {
    const { retry } = connection.overrides
    if (config.idempotent === true && retry.retries < 1) {
      throw new KafkaJSNonRetriableError(
        'Idempotent producer must allow retries to protect against transient errors',
      )
    }
    this.#connection = connection
    this.#config = config
    this.#logger = logger.namespace('Producer')
    this.#instrumentation = new Instrumentation('producer', events, this.#logger)
    this.#deliveryTimeoutMs = requestTimeoutMs + retrySpanMs(retry)
    this.#partitioner = (config.createPartitioner ?? Partitioners.DefaultPartitioner)()
  }

  readonly connect = async (): Promise<void> => {
    await this.#connection.connect()
    this.#state = 'connected'
    this.#instrumentation.emit(events.CONNECT, null)
  }

  /** Delivers what was sent, aborts an open transaction, and lets go of the connections. */
  readonly disconnect = async (): Promise<void> => {
    this.#state = 'disconnecting'
    const closing = [...this.#producers.values()].map((producer) => producer.close())
    this.#producers.clear()
    const transactional = this.#transactional
    this.#transactional = undefined
    this.#transaction?.discard()
    this.#transaction = undefined
    await Promise.all([...closing, transactional?.close()])
    await this.#connection.disconnect()
    this.#state = 'disconnected'
    this.#instrumentation.emit(events.DISCONNECT, null)
  }

  readonly isIdempotent = (): boolean => this.#config.idempotent === true

  readonly logger = (): Logger => this.#logger

  readonly on: Producer['on'] = (
    eventName: string,
    listener: Parameters<Instrumentation['on']>[1],
  ): (() => void) => this.#instrumentation.on(eventName, listener)

  readonly send: Producer['send'] = ({ topic, messages, ...options }) =>
    this.sendBatch({ ...options, topicMessages: [{ topic, messages }] })

  readonly sendBatch: Producer['sendBatch'] = async (batch) => {
    const sent = await this.#sendBatch(batch, this.isIdempotent(), async ({ cluster }) => {
      const acks = acksOf(batch.acks)
      const compression = compressionName(batch.compression)
      const key = `${acks} ${compression}`
      let producer = this.#producers.get(key)
      if (producer === undefined) {
        const { idempotent } = this.#config
        producer = new SdkProducer(cluster, {
          acks,
          compression,
          deliveryTimeoutMs: this.#deliveryTimeoutMs,
          ...(idempotent === undefined ? {} : { idempotent }),
        })
        this.#producers.set(key, producer)
      }
      return producer
    })
    // Nobody answers.
    return batch.acks === 0 ? [] : sent
  }

  readonly transaction = async (): Promise<Transaction> => {
    const { transactionalId, transactionTimeout } = this.#config
    if (!transactionalId) {
      throw new KafkaJSNonRetriableError('Must provide transactional id for transactional producer')
    }
    if (this.#transaction?.isOpen) {
      throw new KafkaJSNonRetriableError(
        'There is already an ongoing transaction for this producer. Please end the transaction before beginning another.',
      )
    }
    this.#checkState()
    const { cluster, coordinators } = await this.#connection.connected
    this.#transactional ??= new TransactionalProducer(cluster, coordinators, {
      transactionalId,
      deliveryTimeoutMs: this.#deliveryTimeoutMs,
      ...(transactionTimeout === undefined ? {} : { transactionTimeoutMs: transactionTimeout }),
    })
    const producer = this.#transactional
    const { retry } = this.#connection.overrides
    const transaction = new KafkaTransaction(producer, retry, (batch, target) =>
      this.#sendBatch(batch, true, async () => {
        await producer.compressBy(compressionName(batch.compression))
        return target
      }),
    )
    this.#transaction = transaction
    await transaction.begin()
    return transaction
  }

  async #sendBatch(
    batch: ProducerBatch,
    idempotent: boolean,
    targetOf: (connected: Connected) => Promise<Target>,
  ): Promise<RecordMetadata[]> {
    const topics = checkedBatch(batch, idempotent)
    this.#checkState()
    const connected = await this.#connection.connected
    const { allowAutoTopicCreation = true } = this.#config
    const target = await targetOf(connected)
    const sending = sendTo(target, connected.cluster, this.#partitioner, topics, allowAutoTopicCreation)
    return await translated(sending, this.#connection.overrides.retry)
  }

  #checkState(): void {
    if (this.#state === 'connected') return
    if (this.#state === 'disconnected') throw new KafkaJSError('The producer is disconnected')
    throw new KafkaJSNonRetriableError(
      "The producer is disconnecting; therefore, it can't safely accept messages anymore",
    )
  }
}

function acksOf(acks = -1): 'all' | 1 | 0 {
  if (acks === -1) return 'all'
  if (acks === 1 || acks === 0) return acks
  throw new KafkaJSNonRetriableError(`acks must be -1, 0 or 1, and is ${String(acks)}`)
}
