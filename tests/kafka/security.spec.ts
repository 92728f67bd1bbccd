import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectOptions, connect, type SaslOptions } from '@streambus/client'
import { expect, inject, test } from 'vitest'
import { collect, failureOf } from '../client/test-bus.ts'

const kafka = inject('kafka')
const { username, password } = kafka
const tls = { ca: kafka.certificate }
const LONGER_THAN_A_SESSION_MS = 4_000

let topics = 0

/** Sends a message and reads it back. */
async function expectToWork(options: ConnectOptions): Promise<void> {
  await using bus = await connect(options)
  const topic = `security-${++topics}-${process.pid}`
  await bus.admin.createTopic(topic, { partitions: 1 })
  await bus.producer().send(topic, 'x')
  const messages = await collect(bus.consumer(topic, { until: 'end' }))
  expect(messages.map((message) => message.text())).toEqual(['x'])
}

/** A token that says who somebody is and that nobody has signed, which Kafka takes where it is told no better. */
function unsignedToken(claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none' })}.${part(claims)}.`
}

function freshToken(): string {
  const nowSeconds = Math.floor(Date.now() / 1000)
  return unsignedToken({ sub: 'ann', iat: nowSeconds, exp: nowSeconds + 3600 })
}

const ways: [string, SaslOptions][] = [
  ['PLAIN', { mechanism: 'plain', username: 'bob', password: 'secret' }],
  ['SCRAM-SHA-256', { mechanism: 'scram-sha-256', username, password }],
  ['SCRAM-SHA-512', { mechanism: 'scram-sha-512', username, password }],
  ['OAUTHBEARER', { mechanism: 'oauthbearer', token: freshToken }],
  [
    'OAUTHBEARER with extensions',
    { mechanism: 'oauthbearer', token: async () => ({ value: freshToken(), extensions: { traceId: '1' } }) },
  ],
]

test.each(ways)('%s lets the client in', async (_, sasl) => {
  await expectToWork({ brokers: kafka.sasl, sasl })
})

test('TLS, and SASL over TLS', async () => {
  await expectToWork({ brokers: kafka.ssl, tls })
  await expectToWork({
    brokers: kafka.saslSsl,
    tls,
    sasl: { mechanism: 'scram-sha-512', username, password },
  })
})

test.each<[string, SaslOptions]>([
  ['PLAIN', { mechanism: 'plain', username: 'bob', password: 'guessed' }],
  ['SCRAM-SHA-256', { mechanism: 'scram-sha-256', username, password: 'guessed' }],
  ['SCRAM-SHA-512 of an unknown user', { mechanism: 'scram-sha-512', username: 'nobody', password }],
  ['OAUTHBEARER', { mechanism: 'oauthbearer', token: () => unsignedToken({ sub: 'ann', exp: 1 }) }],
])('wrong credentials by %s fail at once and say so', async (_, sasl) => {
  const failure = await failureOf(connect({ brokers: kafka.sasl, sasl }))
  expect(failure).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
  expect(failure.message).toContain(`${kafka.sasl} does not accept the credentials: `)
})

test('a token that cannot be had is told with its reason', async () => {
  const token = () => Promise.reject(new Error('the vault is closed'))
  const failure = await failureOf(connect({ brokers: kafka.sasl, sasl: { mechanism: 'oauthbearer', token } }))
  expect(failure.message).toBe(`${kafka.sasl} does not accept the credentials: the vault is closed.`)
})

test('without credentials, with them where nobody asks, without TLS, with TLS where there is none', async () => {
  const none = await failureOf(connect({ brokers: kafka.sasl, connectTimeoutMs: 2_000 }))
  expect(['CONNECTION_LOST', 'REQUEST_TIMEOUT', 'BROKER_UNREACHABLE']).toContain(none.code)
  const sasl = { mechanism: 'plain', username: 'bob', password: 'secret' } as const
  expect((await failureOf(connect({ brokers: kafka.plaintext, sasl }))).code).toMatch(
    /AUTHENTICATION_FAILED|CONNECTION_LOST|UNSUPPORTED_API/,
  )
  expect((await failureOf(connect({ brokers: kafka.ssl, connectTimeoutMs: 2_000 }))).message).toContain(
    'want TLS?',
  )
  expect(await failureOf(connect({ brokers: kafka.plaintext, tls: true }))).toMatchObject({
    code: 'TLS_FAILED',
  })
})

test('a client proves again who it is before its session ends, and nothing is lost while it works', async () => {
  const reconnected: string[] = []
  const logger = {
    debug: (text: string) => reconnected.push(text),
    warn: (text: string) => reconnected.push(text),
  }
  await using bus = await connect({
    brokers: kafka.sasl,
    sasl: { mechanism: 'scram-sha-256', username, password },
    logger,
  })
  const topic = `sessions-${process.pid}`
  await bus.admin.createTopic(topic, { partitions: 1 })
  const producer = bus.producer()
  const read: string[] = []
  const reading = (async () => {
    for await (const message of bus.consumer(topic)) {
      read.push(message.text() ?? '')
      if (read.at(-1) === 'end') return
    }
  })()
  const sent: string[] = []
  for (const startedMs = performance.now(); performance.now() - startedMs < LONGER_THAN_A_SESSION_MS; ) {
    sent.push(String(sent.length))
    await producer.send(topic, sent.at(-1)!)
    await sleep(5)
  }
  await producer.send(topic, 'end')
  await reading
  expect(read).toEqual([...sent, 'end'])
  expect(reconnected.filter((text) => text.includes('was lost'))).toEqual([])
})
