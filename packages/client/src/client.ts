import { Admin } from './admin/admin.ts'
import { Cluster } from './cluster.ts'
import { Consumer, type ConsumerOptions } from './consumer/consumer.ts'
import { StreamBusError } from './errors.ts'
import { Coordinators } from './groups/coordinators.ts'
import { GroupConsumer } from './groups/group-consumer.ts'
import type { AnyConsumerOptions, GroupConsumerOptions } from './groups/group-consumer-options.ts'
import {
  checkConsumerOptions,
  checkHandler,
  checkOptions,
  checkProcessOptions,
  checkTopicName,
  checkTopicNames,
  connectNames,
  producerNames,
  topicNames,
} from './known-options.ts'
import type { Metrics } from './observability/metrics.ts'
import { traceWithOpenTelemetry } from './observability/open-telemetry.ts'
import { type ConnectOptions, clientSettings } from './options.ts'
import { Producer, type ProducerOptions } from './producer/producer.ts'
import { Topic, type TopicOptions } from './topics/topic.ts'
import type { ProcessHandler, ProcessOptions } from './transactions/process-options.ts'
import { Processor } from './transactions/processor.ts'
import {
  type AnyProducerOptions,
  TransactionalProducer,
  type TransactionalProducerOptions,
} from './transactions/transactional-producer.ts'

/**
 * Connects to a cluster: StreamBus, Apache Kafka 2.8 or later, or Redpanda.
 *
 *     const bus = await connect('localhost:9092')
 *     await bus.producer().send('orders', { id: 42 })
 *     for await (const message of bus.consumer('orders')) console.log(message.offset, message.json())
 *     await bus.close()
 *
 * Every address is tried once; rejects with BROKER_UNREACHABLE where none answers within `connectTimeoutMs`,
 * with PROTOCOL_ERROR where something else than a broker answers.
 */
export async function connect(to: string | readonly string[] | ConnectOptions = {}): Promise<StreamBus> {
  const options = isAddresses(to) ? { brokers: to } : to
  checkOptions('connect', options, connectNames)
  const cluster = new Cluster(clientSettings(options))
  try {
    await cluster.connect(options.signal)
    if (options.openTelemetry !== false) await traceWithOpenTelemetry(cluster)
  } catch (error) {
    cluster.close()
    throw error
  }
  return new StreamBus(cluster)
}

function isAddresses(to: string | readonly string[] | ConnectOptions): to is string | readonly string[] {
  return typeof to === 'string' || Array.isArray(to)
}

/** A connected client. Connections are shared by what it makes, and opened when they are needed. */
export class StreamBus {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #admin: Admin
  readonly #producers = new Set<Producer | TransactionalProducer>()
  #sharedProducer: Producer | undefined
  readonly #groupConsumers = new Set<GroupConsumer>()
  readonly #processors = new Set<Processor>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#coordinators = new Coordinators(cluster)
    this.#admin = new Admin(cluster, this.#coordinators)
  }

  /**
   * With options a producer of its own buffer and order; without, one that everybody who asks so shares. With a
   * `transactionalId`, one that sends in transactions.
   */
  producer(options: TransactionalProducerOptions): TransactionalProducer
  producer(options?: ProducerOptions): Producer
  // The compiler explains a mistake by the last overload: this one leads it to the options the caller meant.
  producer(options: AnyProducerOptions): Producer | TransactionalProducer
  producer(options?: ProducerOptions | TransactionalProducerOptions): Producer | TransactionalProducer {
    if (options !== undefined) return this.#newProducer(options)
    if (this.#sharedProducer?.isClosed !== false) this.#sharedProducer = this.#newProducer({}) as Producer
    return this.#sharedProducer
  }

  /** A topic whose keys and values have types: `bus.topic<Order>('orders')`, or with a schema that checks them. */
  topic<Value = unknown, Key = string, Input = Value>(
    name: string,
    options?: TopicOptions<Value, Key, Input>,
  ): Topic<Value, Key, Input> {
    checkTopicName(name)
    if (options !== undefined) checkOptions('topic', options, topicNames)
    return new Topic(this, name, options)
  }

  #newProducer(options: ProducerOptions | TransactionalProducerOptions): Producer | TransactionalProducer {
    checkOptions('producer', options, producerNames)
    if ('transactionTimeoutMs' in options && !('transactionalId' in options)) {
      const message = 'transactionTimeoutMs has no meaning without a transactionalId.'
      throw new StreamBusError('INVALID_ARGUMENT', message)
    }
    const producer =
      'transactionalId' in options
        ? new TransactionalProducer(this.#cluster, this.#coordinators, options)
        : new Producer(this.#cluster, options)
    this.#producers.add(producer)
    return producer
  }

  /**
   * Reads one or more topics; nothing happens before it is iterated. With a `group`, as one of its members: the
   * group shares out the partitions and remembers how far it came.
   */
  consumer(topics: string | readonly string[], options: GroupConsumerOptions): GroupConsumer
  consumer(topics: string | readonly string[], options?: ConsumerOptions): Consumer
  // Last for the same reason as with `producer`.
  consumer(topics: string | readonly string[], options: AnyConsumerOptions): Consumer | GroupConsumer
  consumer(
    topics: string | readonly string[],
    options: ConsumerOptions | GroupConsumerOptions = {},
  ): Consumer | GroupConsumer {
    checkTopicNames(topics)
    checkConsumerOptions(options)
    if (!('group' in options)) return new Consumer(this.#cluster, topics, options)
    const consumer = new GroupConsumer(this.#cluster, this.#coordinators, topics, options, () =>
      this.#groupConsumers.delete(consumer),
    )
    this.#groupConsumers.add(consumer)
    return consumer
  }

  /**
   * Processes messages exactly once: reads topics as a member of a group, and sends what the handler makes of each
   * message in the transaction that commits its offset. Begins at once, and goes on until it is closed.
   *
   *     const worker = bus.process({ from: 'orders', to: 'invoices', group: 'billing' }, (message) => ({
   *       key: message.key,
   *       value: invoiceOf(message.json()),
   *     }))
   *
   * What the handler does elsewhere is not part of the transaction: after an abort its messages come again.
   */
  process(options: ProcessOptions, handler: ProcessHandler): Processor {
    checkProcessOptions(options)
    checkHandler(handler)
    checkTopicNames(options.from)
    if (options.to !== undefined) checkTopicName(options.to)
    const processor = new Processor(this.#cluster, this.#coordinators, options, handler, () =>
      this.#processors.delete(processor),
    )
    this.#processors.add(processor)
    return processor
  }

  get admin(): Admin {
    return this.#admin
  }

  /** What the client has counted since it was connected: see docs/sdk/observability.md. */
  metrics(): Metrics {
    return this.#cluster.metrics.snapshot()
  }

  /**
   * Checks that an address the cluster gives its clients leads to a broker from here, so that a wrong one is
   * reported at once and not retried. Rejects with BROKER_UNREACHABLE where none of them does.
   */
  checkAddresses(): Promise<void> {
    return this.#cluster.checkAddresses()
  }

  /**
   * Members leave their groups with what they processed committed, producers deliver what they hold, open transactions
   * are aborted; then every connection is closed. Rejects, when that is done, where a last commit failed.
   */
  async close(): Promise<void> {
    const members = [...this.#processors, ...this.#groupConsumers]
    const left = await Promise.allSettled(members.map((member) => member.close()))
    await Promise.all([...this.#producers].map((producer) => producer.close()))
    this.#producers.clear()
    this.#cluster.close()
    const failed = left.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
