import { Broker, type BrokerOptions } from '@streambus/broker'
import { type ConnectOptions, connect, type Message, type StreamBus } from '@streambus/client'
import { FlakyProxy } from './flaky-proxy.ts'

/** A broker in this process and a client of it. */
export async function startBus(
  brokerOptions: BrokerOptions = {},
  clientOptions: ConnectOptions = {},
): Promise<{ broker: Broker; bus: StreamBus; [Symbol.asyncDispose](): Promise<void> }> {
  const broker = await Broker.start({ port: 0, ...brokerOptions })
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
  broker: Broker
  bus: StreamBus
  proxy: FlakyProxy
  [Symbol.asyncDispose](): Promise<void>
}> {
  const proxy = await FlakyProxy.listen()
  setUp(proxy)
  const advertise = { host: proxy.host, port: proxy.port }
  const broker = await Broker.start({ port: 0, advertise, ...brokerOptions })
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

export async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('it did not fail')
}
