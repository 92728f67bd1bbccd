/**
 * What the types of the public API promise. `npm run types` checks it; nothing of it runs. Each line below
 * `@ts-expect-error` is a mistake, and it is an error of its own where the compiler lets one pass.
 */

import {
  type AnyConsumerOptions,
  type AssignorName,
  type ConnectOptions,
  type Consumer,
  type CreatedTopic,
  connect,
  type GroupConsumer,
  isStreamBusError,
  type Message,
  type Processor,
  type Producer,
  type SentMessage,
  type StreamBus,
  type StreamBusErrorCode,
  type TransactionalProducer,
} from 'streambus'
import { Broker } from 'streambus/broker'
import { startTestBroker } from 'streambus/testing'
import { expectTypeOf } from 'vitest'
import { z } from 'zod'

interface Order {
  id: number
}

export async function connecting(): Promise<void> {
  expectTypeOf(connect).returns.resolves.toEqualTypeOf<StreamBus>()
  await connect()
  await connect('localhost:9092')
  await connect(['a:1', 'b:2'])
  await connect({ brokers: ['a:1'], tls: { ca: 'pem' }, logger: console, signal: AbortSignal.timeout(1) })
  await connect({ sasl: { mechanism: 'plain', username: 'ann', password: 'x' } })
  await connect({ sasl: { mechanism: 'oauthbearer', token: async () => ({ value: 'jwt' }) } })
  // @ts-expect-error a number is no address
  await connect(9092)
  // @ts-expect-error an option with a typing error
  await connect({ broker: 'a:1' })
  // @ts-expect-error a mechanism that does not exist
  await connect({ sasl: { mechanism: 'md5', username: 'ann', password: 'x' } })
  // @ts-expect-error a password mechanism without its password
  await connect({ sasl: { mechanism: 'scram-sha-256', username: 'ann' } })
  expectTypeOf<ConnectOptions['requestTimeoutMs']>().toEqualTypeOf<number | undefined>()
}

export async function sending(bus: StreamBus): Promise<void> {
  const producer = bus.producer()
  expectTypeOf(producer).toEqualTypeOf<Producer>()
  expectTypeOf(producer.send).returns.resolves.toEqualTypeOf<SentMessage>()
  expectTypeOf(producer.sendBatch).returns.resolves.toEqualTypeOf<SentMessage[]>()
  expectTypeOf<SentMessage['offset']>().toEqualTypeOf<number>()
  await producer.send('orders', { id: 42 }, { key: 'a', headers: { trace: 'x' }, timestamp: new Date() })
  bus.producer({ compression: 'zstd', acks: 'all', lingerMs: 5 })
  // @ts-expect-error undefined is no value; a tombstone is null
  await producer.send('orders', undefined)
  // @ts-expect-error a key is text or bytes
  await producer.send('orders', 'x', { key: 42 })
  // @ts-expect-error a codec that does not exist
  bus.producer({ compression: 'brotli' })
  // @ts-expect-error Kafka's number for `all`
  bus.producer({ acks: -1 })
}

export async function transactions(bus: StreamBus): Promise<void> {
  const producer = bus.producer({ transactionalId: 'shop' })
  expectTypeOf(producer).toEqualTypeOf<TransactionalProducer>()
  expectTypeOf(await producer.transaction(async () => 42)).toEqualTypeOf<number>()
  // @ts-expect-error transactions need every replica
  bus.producer({ transactionalId: 'shop', acks: 1 })
  // @ts-expect-error and idempotence
  bus.producer({ transactionalId: 'shop', idempotent: false })
  // @ts-expect-error the timeout of a transaction without one
  bus.producer({ transactionTimeoutMs: 1_000 })
  // @ts-expect-error messages are sent within a transaction
  await producer.send('orders', 'x')

  const processor = bus.process({ from: 'orders', to: 'invoices', group: 'billing' }, (message, tx) => {
    expectTypeOf(message).toEqualTypeOf<Message>()
    void tx.send('audit', message.value)
    return { key: message.key, value: message.value }
  })
  expectTypeOf(processor).toEqualTypeOf<Processor>()
  // @ts-expect-error exactly once needs a group, which remembers how far it came
  bus.process({ from: 'orders', to: 'invoices' }, () => null)
  // @ts-expect-error offsets are committed with the transaction
  bus.process({ from: 'orders', to: 'invoices', group: 'billing', autoCommit: false }, () => null)
}

export async function consuming(bus: StreamBus): Promise<void> {
  expectTypeOf(bus.consumer('orders')).toEqualTypeOf<Consumer>()
  const consumer = bus.consumer(['orders', 'payments'], { group: 'billing', instanceId: 'one' })
  expectTypeOf(consumer).toEqualTypeOf<GroupConsumer>()
  for await (const message of consumer) expectTypeOf(message).toEqualTypeOf<Message>()
  expectTypeOf<Message['value']>().toEqualTypeOf<Buffer | null>()
  expectTypeOf<Message['offset']>().toEqualTypeOf<number>()
  await consumer.consume(async (message, { signal, attempt }) => {
    expectTypeOf(message).toEqualTypeOf<Message>()
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
    expectTypeOf(attempt).toEqualTypeOf<number>()
  })
  consumer.on('stalled', (stall) => {
    if (stall.cause === 'handler') expectTypeOf(stall.message).toEqualTypeOf<Message>()
    else expectTypeOf(stall.error.code).toEqualTypeOf<StreamBusErrorCode>()
  })
  expectTypeOf<'range' | 'cooperative-sticky'>().toExtend<AssignorName>()
  const either: AnyConsumerOptions = { group: 'billing' }
  expectTypeOf(bus.consumer('orders', either as AnyConsumerOptions)).toEqualTypeOf<Consumer | GroupConsumer>()
  // @ts-expect-error commits without a group
  bus.consumer('orders', { autoCommit: false })
  // @ts-expect-error partitions of its own choice in a group
  bus.consumer('orders', { group: 'billing', partitions: [0] })
  // @ts-expect-error an assignor that does not exist
  bus.consumer('orders', { group: 'billing', assignors: ['random'] })
  // @ts-expect-error an end that does not exist
  bus.consumer('orders', { until: 'now' })
  // @ts-expect-error an event that does not exist
  consumer.on('stale', () => {})
  // @ts-expect-error an order that does not exist
  await consumer.consume(() => {}, { order: 'none' })
  // @ts-expect-error a dead letter topic without its name
  await consumer.consume(() => {}, { deadLetter: {} })
}

/** The compiler points at the option that is wrong, and not at one that is right with another overload. */
export function wrongOptions(bus: StreamBus): void {
  bus.consumer('orders', {
    group: 'billing',
    // @ts-expect-error a typing error
    autoComit: false,
  })
  bus.consumer('orders', {
    group: 'billing',
    // @ts-expect-error partitions of its own choice in a group
    partitions: [0],
  })
  bus.consumer('orders', {
    group: 'billing',
    groupProtocol: 'consumer',
    // @ts-expect-error the broker decides
    sessionTimeoutMs: 10_000,
  })
  bus.consumer('orders', {
    from: 'earliest',
    // @ts-expect-error an end that does not exist
    until: 'now',
  })
  bus.topic('orders').consumer({
    group: 'billing',
    // @ts-expect-error a typing error
    autoComit: false,
  })
  bus.producer({
    transactionalId: 'shop',
    // @ts-expect-error a typing error
    lingrMs: 5,
  })
  bus.producer({
    acks: 'all',
    // @ts-expect-error a typing error
    lingrMs: 5,
  })
}

export async function topics(bus: StreamBus): Promise<void> {
  const orders = bus.topic<Order>('orders')
  for await (const { value } of orders.consumer()) expectTypeOf(value).toEqualTypeOf<Order | null>()
  await orders.send({ id: 42 })
  // @ts-expect-error another type than the topic's
  await orders.send({ id: 'forty-two' })
  const counted = bus.topic('counted', { value: z.object({ n: z.number().default(1) }) })
  await counted.send({})
  for await (const { value } of counted.consumer()) expectTypeOf(value).toEqualTypeOf<{ n: number } | null>()
  // @ts-expect-error what the schema does not know
  await counted.send({ m: 1 })
}

export async function administration({ admin }: StreamBus): Promise<void> {
  await admin.alterConfigs('t', {
    'retention.ms': '1',
    'cleanup.policy': { append: 'compact' },
    'min.x': null,
  })
  await admin.describeConfigs({ broker: 1 })
  await admin.describeConfigs({ broker: 'default' })
  await admin.deleteTopics(['t', { id: 'x' }])
  await admin.deleteRecords([{ topic: 't', partition: 0, before: 'latest' }])
  await admin.electLeaders({ type: 'unclean', timeoutMs: 1, signal: AbortSignal.timeout(1) })
  expectTypeOf(admin.createTopics).returns.resolves.toEqualTypeOf<CreatedTopic[]>()
  // @ts-expect-error a number, where brokers take text only
  await admin.alterConfigs('t', { 'retention.ms': 1 })
  // @ts-expect-error settings of nothing that has some
  await admin.describeConfigs({ house: 1 })
  // @ts-expect-error the start of a log has nothing before it
  await admin.deleteRecords([{ topic: 't', partition: 0, before: 'earliest' }])
  const rule = { resourceType: 'topic', resourceName: 't', principal: 'User:a', operation: 'read' } as const
  // @ts-expect-error a rule that does not say whether it allows
  await admin.createAcls([rule])
  // @ts-expect-error an operation that does not exist
  await admin.describeAcls({ operation: 'sing' })
  // @ts-expect-error a password that is kept out of mind by leaving it out
  await admin.alterUserScramCredentials([{ user: 'ann', mechanism: 'scram-sha-256' }])
}

export function errors(error: unknown): void {
  if (!isStreamBusError(error)) return
  expectTypeOf(error.code).toEqualTypeOf<StreamBusErrorCode>()
  expectTypeOf(error.retriable).toEqualTypeOf<boolean>()
  // @ts-expect-error a code that does not exist
  if (error.code === 'UNKNOWN_TOPICS') return
}

export async function brokers(): Promise<void> {
  await using broker = await startTestBroker()
  expectTypeOf(broker.address).toEqualTypeOf<string>()
  expectTypeOf(broker.connect).returns.resolves.toEqualTypeOf<StreamBus>()
  await using embedded = await Broker.start({ port: 0, dataDir: 'data' })
  expectTypeOf(embedded.address).toEqualTypeOf<string>()
  // @ts-expect-error a durability that does not exist
  await Broker.start({ durability: 'none' })
  // @ts-expect-error a way to fail that does not exist
  broker.faults.failProduce(1)
}
