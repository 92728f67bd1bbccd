import { Broker } from '@streambus/broker'
import { Kafka, logLevel } from 'streambus/kafkajs'
import { expect, test } from 'vitest'
import { FlakyProxy } from '../client/flaky-proxy.ts'
import { until } from './clients.ts'

const quick = { maxWaitTimeInMs: 50, heartbeatInterval: 100 }

/** A broker behind a network that is cut on demand, and a client of it. */
async function startFlaky() {
  const proxy = await FlakyProxy.listen()
  const broker = await Broker.start({ port: 0, advertise: { host: proxy.host, port: proxy.port } })
  proxy.forwardTo(broker.host, broker.port)
  const config = { brokers: [proxy.address], requestTimeout: 1_000, logLevel: logLevel.NOTHING }
  return {
    kafka: new Kafka(config),
    proxy,
    [Symbol.asyncDispose]: async () => {
      await proxy.close()
      await broker.close()
    },
  }
}

test('connections that are cut are made again: nothing is lost, and the consumer does not crash', async () => {
  await using setup = await startFlaky()
  const { kafka, proxy } = setup
  const producer = kafka.producer()
  await producer.connect()
  const consumer = kafka.consumer({ groupId: 'group', ...quick })
  const crashes: Error[] = []
  consumer.on(consumer.events.CRASH, ({ payload }) => crashes.push(payload.error))
  await consumer.connect()
  await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
  const seen = new Set<string>()
  await consumer.run({ eachMessage: async ({ message }) => void seen.add(String(message.value)) })
  const sending = Array.from({ length: 50 }, async (_, index) => {
    await new Promise((resolve) => setTimeout(resolve, index * 10))
    if (index % 10 === 5) proxy.cut()
    await producer.send({ topic: 'topic', messages: [{ value: String(index) }] })
  })
  await Promise.all(sending)
  await until(() => seen.size === 50)
  expect(crashes).toEqual([])
  await consumer.disconnect()
  await producer.disconnect()
})

test('disconnect ends also while no broker answers', async () => {
  await using setup = await startFlaky()
  const { kafka, proxy } = setup
  const admin = kafka.admin()
  await admin.connect()
  const consumer = kafka.consumer({ groupId: 'group', ...quick })
  await consumer.connect()
  await consumer.subscribe({ topics: ['topic'] })
  await consumer.run({ eachMessage: async () => {} })
  proxy.holdTowards('client')
  const listing = admin.listTopics().catch((error: Error) => error.name)
  await admin.disconnect()
  await consumer.disconnect()
  expect(await listing).toMatch(/^KafkaJS/)
})
