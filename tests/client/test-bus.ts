import { Broker, type BrokerOptions } from '@streambus/broker'
import { type ConnectOptions, connect, type Message, type StreamBus } from '@streambus/client'
import { expect, inject, type TestContext } from 'vitest'
import type { KafkaUnderTest } from '../kafka/kafka-server.ts'
import { KafkaNamespace } from '../kafka/namespace.ts'
import { FlakyProxy } from './flaky-proxy.ts'

/** What tests may know of the broker that they run against, StreamBus or Apache Kafka. */
export interface BrokerUnderTest {
  readonly host: string
  readonly port: number
  readonly address: string
  readonly clusterId: string
  close(): Promise<void>
}

/** There where the tests run against Apache Kafka: `npm run sdk:kafka`. */
const kafka = inject('kafka') as KafkaUnderTest | undefined
let namespaces = 0

/** The last two are settings of the one Kafka: see `kafka-server.ts`. */
const optionsOfNamespaces = new Set(['advertise', 'autoCreateTopics', 'groups', 'transactions'])

/** StreamBus in this process; or a namespace of the one Kafka. */
export async function startBroker(options: BrokerOptions = {}): Promise<BrokerUnderTest> {
  if (kafka === undefined) return await Broker.start({ port: 0, ...options })
  const foreign = Object.keys(options).filter((name) => !optionsOfNamespaces.has(name))
  if (foreign.length > 0) throw new Error(`Apache Kafka has no ${foreign}: see needsStreamBus`)
  const prefix = `${process.pid}-${++namespaces}-`
  const namespace = await KafkaNamespace.open(kafka.plaintext, prefix, options)
  return Object.assign(namespace, { clusterId: kafka.clusterId })
}

/** Leaves a test out where it runs against Apache Kafka, for the reason given, which the output shows. */
export function needsStreamBus(context: TestContext, reason: string): void {
  context.skip(kafka !== undefined, reason)
}

/** A broker and a client of it. */
export async function startBus(
  brokerOptions: BrokerOptions = {},
  clientOptions: ConnectOptions = {},
): Promise<{ broker: BrokerUnderTest; bus: StreamBus; [Symbol.asyncDispose](): Promise<void> }> {
  const broker = await startBroker(brokerOptions)
  const bus = await connect({ brokers: broker.address, ...clientOptions })
  return {
    broker,
    bus,
    [Symbol.asyncDispose]: async () => {
      await bus.close()
      await broker.close()
    },
  }
}

/** The same with a network in between that fails on demand; all traffic goes through it. */
export async function startFlakyBus(
  clientOptions: ConnectOptions = {},
  setUp: (proxy: FlakyProxy) => void = () => {},
  brokerOptions: BrokerOptions = {},
): Promise<{
  broker: BrokerUnderTest
  bus: StreamBus
  proxy: FlakyProxy
  [Symbol.asyncDispose](): Promise<void>
}> {
  const proxy = await FlakyProxy.listen()
  setUp(proxy)
  const advertise = { host: proxy.host, port: proxy.port }
  const broker = await startBroker({ advertise, ...brokerOptions })
  proxy.forwardTo(broker.host, broker.port)
  const bus = await connect({
    brokers: proxy.address,
    retryBackoffMs: 5,
    maxRetryBackoffMs: 50,
    ...clientOptions,
  })
  return {
    broker,
    bus,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await bus.close()
      await proxy.close()
      await broker.close()
    },
  }
}

export async function collect(messages: AsyncIterable<Message>): Promise<Message[]> {
  const all: Message[] = []
  for await (const message of messages) all.push(message)
  return all
}

/**
 * Resolves when what was committed or aborted is visible, which Kafka's answer to a commit does not wait for: the
 * decision is made by then, and its markers follow.
 */
export async function settled(bus: StreamBus): Promise<void> {
  const isEnding = ({ state }: { state: string }) => state.startsWith('Prepare')
  while ((await bus.admin.listTransactions()).some(isEnding)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** What was changed is seen a moment later where the controller of the cluster tells its brokers. */
export function seen<T>(look: () => Promise<T>) {
  return expect.poll(look, { timeout: 10_000, interval: 5 })
}

export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('it did not fail')
}
