import net from 'node:net'
import { type ConnectOptions, connect } from '@streambus/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Certificate, certificate } from './certificate.ts'
import { collect, failureOf } from './test-bus.ts'
import { TlsBroker } from './tls-broker.ts'

let localhost: Certificate
let elsewhere: Certificate
let secure: TlsBroker

beforeAll(async () => {
  localhost = await certificate('localhost')
  elsewhere = await certificate('broker.example')
  secure = await TlsBroker.start({ cert: localhost.cert, key: localhost.private })
})

afterAll(() => secure.close())

const failing = (options: ConnectOptions) => failureOf(connect({ connectTimeoutMs: 5_000, ...options }))

test('messages go to and come from a broker behind TLS whose certificate is trusted', async () => {
  await using bus = await connect({ brokers: `localhost:${secure.port}`, tls: { ca: localhost.cert } })
  await bus.producer().sendBatch('t', [{ value: 'a' }, { value: 'b' }])
  const messages = await collect(bus.consumer('t', { until: 'end' }))
  expect(messages.map((message) => message.text())).toEqual(['a', 'b'])
})

test('a certificate that nobody vouches for is not accepted, unless that is asked for', async () => {
  const failure = await failing({ brokers: `localhost:${secure.port}`, tls: true })
  expect(failure).toMatchObject({ code: 'TLS_FAILED' })
  expect(failure.message).toContain(`No TLS connection to localhost:${secure.port} (self-signed certificate`)
  await using bus = await connect({
    brokers: `localhost:${secure.port}`,
    tls: { rejectUnauthorized: false },
  })
  expect(bus).toBeDefined()
})

test('a certificate for another host is not accepted, unless that is the name asked for', async () => {
  const broker = await TlsBroker.start({ cert: elsewhere.cert, key: elsewhere.private })
  try {
    const brokers = `localhost:${broker.port}`
    const failure = await failing({ brokers, tls: { ca: elsewhere.cert } })
    expect(failure).toMatchObject({ code: 'TLS_FAILED' })
    expect(failure.message).toContain('broker.example')
    await using bus = await connect({
      brokers,
      tls: { ca: elsewhere.cert, servername: 'broker.example' },
    })
    expect(bus).toBeDefined()
  } finally {
    await broker.close()
  }
})

test('a broker that asks for the certificate of the client gets it', async () => {
  const options = { cert: localhost.cert, key: localhost.private, ca: elsewhere.cert, requestCert: true }
  const broker = await TlsBroker.start({ ...options, rejectUnauthorized: true })
  try {
    const brokers = `localhost:${broker.port}`
    const without = await failing({ brokers, tls: { ca: localhost.cert } })
    expect(['TLS_FAILED', 'CONNECTION_LOST']).toContain(without.code)
    await using bus = await connect({
      brokers,
      tls: { ca: localhost.cert, cert: elsewhere.cert, key: elsewhere.private },
    })
    expect(bus).toBeDefined()
  } finally {
    await broker.close()
  }
})

test('TLS to a broker without, and the other way round, are told apart from a broker that is not there', async () => {
  const toPlain = await failing({ brokers: `127.0.0.1:${secure.broker.port}`, tls: true })
  expect(toPlain).toMatchObject({ code: 'TLS_FAILED' })
  expect(toPlain.message).toContain('does it listen without TLS?')
  const toTls = await failing({ brokers: `localhost:${secure.port}` })
  expect(['PROTOCOL_ERROR', 'CONNECTION_LOST']).toContain(toTls.code)
  expect(toTls.message).toContain(`does localhost:${secure.port} want TLS?`)
})

test('a peer that accepts and then says nothing is given up within the time for connecting', async () => {
  const silent = net.createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as net.AddressInfo
  const failure = await failing({ brokers: `127.0.0.1:${port}`, tls: true, connectTimeoutMs: 500 })
  expect(failure).toMatchObject({ code: 'TLS_FAILED' })
  expect(failure.message).toContain('no answer within 500 ms')
  silent.close()
})

test('what cannot be meant is refused at once', async () => {
  const mechanism = await failing({ sasl: { mechanism: 'gssapi' as never, username: 'a', password: 'b' } })
  expect(mechanism).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(mechanism.message).toContain('sasl.mechanism can be plain,')
  const password = await failing({ sasl: { mechanism: 'plain', username: 'a' } as never })
  expect(password.message).toBe('sasl.username and sasl.password must be strings.')
})
