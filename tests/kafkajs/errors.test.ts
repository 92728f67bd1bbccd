import net from 'node:net'
import type { LogEntry } from 'streambus/kafkajs'
import { describe, expect, test } from 'vitest'
import { type Client, clients, failureOf, fill, start } from './clients.ts'

const [, [, shim]] = clients as [[string, Client], [string, Client]]

/** A port that nobody listens on. */
async function unusedPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe.each(clients)('%s', (_, client) => {
  test('a broker that is not there is reported when the retries are over', async () => {
    const brokers = [`127.0.0.1:${await unusedPort()}`]
    const { Kafka, logLevel } = client
    const retry = { initialRetryTime: 20, retries: 2 }
    const kafka = new Kafka({ brokers, retry, logLevel: logLevel.NOTHING })
    for (const one of [kafka.producer(), kafka.consumer({ groupId: 'g', retry }), kafka.admin()]) {
      const failure = await failureOf(() => one.connect())
      expect(failure).toMatchObject({
        name: 'KafkaJSNumberOfRetriesExceeded',
        retryCount: 2,
        retriable: false,
      })
      expect(failure).toBeInstanceOf(client.KafkaJSNonRetriableError)
      expect(failure.cause).toMatchObject({
        name: 'KafkaJSConnectionError',
        retriable: true,
        code: 'ECONNREFUSED',
      })
      expect(failure.cause).toBeInstanceOf(client.KafkaJSError)
      await one.disconnect()
    }
  })

  test('brokers may be found by a function', async () => {
    await using setup = await start(client)
    const { Kafka, logLevel } = client
    let calls = 0
    const kafka = new Kafka({
      logLevel: logLevel.NOTHING,
      brokers: async () => {
        calls++
        return [setup.broker.address]
      },
    })
    const admin = kafka.admin()
    setup.clean(admin)
    await admin.connect()
    expect(await admin.listTopics()).toEqual([])
    expect(calls).toBe(1)
  })

  test('a program gets what is logged at its level, with the namespace and what is added', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 1)
    const entries: LogEntry[] = []
    const { Kafka, logLevel } = client
    const kafka = new Kafka({
      brokers: [setup.broker.address],
      logLevel: logLevel.INFO,
      logCreator: (level) => {
        expect(level).toBe(logLevel.INFO)
        return (entry) => entries.push(entry)
      },
    })
    kafka.logger().info('hello', { extra: 1 })
    kafka.logger().debug('too quiet')
    kafka.logger().namespace('Mine').warn('careful')
    expect(entries).toMatchObject([
      { level: logLevel.INFO, label: 'INFO', log: { message: 'hello', extra: 1, logger: 'kafkajs' } },
      { level: logLevel.WARN, label: 'WARN', namespace: 'Mine', log: { message: 'careful' } },
    ])
    kafka.logger().setLogLevel(logLevel.DEBUG)
    kafka.logger().debug('loud enough')
    expect(entries.at(-1)).toMatchObject({ label: 'DEBUG', log: { message: 'loud enough' } })
    expect(entries[0]!.log.timestamp).toMatch(/^\d{4}-\d\d-\d\dT/)
    const consumer = kafka.consumer({ groupId: 'g', maxWaitTimeInMs: 50 })
    setup.clean(consumer)
    await consumer.connect()
    await consumer.subscribe({ topics: ['topic'] })
    await consumer.run({ eachMessage: async () => {} })
    const joined = entries.find(({ log }) => log.message === 'Consumer has joined the group')
    expect(joined?.log).toMatchObject({ groupId: 'g', isLeader: true, memberAssignment: { topic: [0] } })
  })
})

test('what this client has no way for is refused when it is made', async () => {
  const make = (config: object) => failureOf(() => new shim.Kafka({ brokers: ['b:1'], ...config } as never))
  expect(await make({ socketFactory: () => {} })).toMatchObject({ name: 'KafkaJSNotImplemented' })
  expect(await make({ sasl: { mechanism: 'aws' } })).toMatchObject({
    name: 'KafkaJSSASLAuthenticationError',
    message: 'SASL AWS mechanism is not supported by the client',
  })
  expect(await make({ brokers: undefined })).toMatchObject({ name: 'KafkaJSNonRetriableError' })
  expect(await make({ retry: { retries: -1 } })).toBeInstanceOf(Error)
})
