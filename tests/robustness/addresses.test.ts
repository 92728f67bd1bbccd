/** Where a broker listens, what it tells clients to connect to, and whether they can. */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { networkInterfaces } from 'node:os'
import { beforeAll, expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { metadata } from '../../packages/protocol/src/index.ts'
import { cli, ensureBuilt } from '../cli/built-cli.ts'
import { startAttacked } from './attacked-broker.ts'

beforeAll(ensureBuilt, 120_000)

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ family, internal }) => internal && family === 'IPv6'),
)

/** Asks at one address which address to use, and checks that a record can be produced and consumed by it. */
async function advertisedAt(host: string, port: number): Promise<{ host: string; port: number }> {
  const client = await RawClient.connect({ host, port })
  const { brokers } = await client.request(metadata, 9, { topics: [] })
  client.close()
  const { host: told, port: toldPort } = brokers[0]!
  return { host: told, port: toldPort }
}

async function roundTrip(brokers: string, topic: string): Promise<void> {
  const produced = await cli(['produce', topic, '-m', 'hello', '-b', brokers])
  expect(produced).toMatchObject({ code: 0, stderr: '' })
  const consumed = await cli(['consume', topic, '-e', '-q', '-f', '%s', '-b', brokers])
  expect(consumed).toMatchObject({ code: 0, stdout: 'hello' })
}

test.runIf(hasIpv6)('--host ::1 is written in brackets where a port follows, and works', async () => {
  await using broker = await startAttacked(['--host', '::1'])
  expect(broker.running.readyLine).toContain(`[::1]:${broker.port}`)
  expect(await advertisedAt('::1', broker.port)).toEqual({ host: '::1', port: broker.port })
  await roundTrip(`[::1]:${broker.port}`, 'six')
})

test('--host 0.0.0.0 tells each client the address that it came by', async () => {
  await using broker = await startAttacked(['--host', '0.0.0.0'])
  expect(await advertisedAt('127.0.0.1', broker.port)).toEqual({ host: '127.0.0.1', port: broker.port })
  expect(await advertisedAt('127.0.0.2', broker.port)).toEqual({ host: '127.0.0.2', port: broker.port })
  await roundTrip(`127.0.0.1:${broker.port}`, 'any')
})

test.runIf(hasIpv6)('--host :: takes both families, and never tells an IPv4 client ::ffff:…', async () => {
  await using broker = await startAttacked(['--host', '::'])
  expect(await advertisedAt('127.0.0.1', broker.port)).toEqual({ host: '127.0.0.1', port: broker.port })
  expect(await advertisedAt('::1', broker.port)).toEqual({ host: '::1', port: broker.port })
})

test('--advertise is what every client is told, whatever it came by', async () => {
  const free = net.createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const { port } = free.address() as net.AddressInfo
  await new Promise((resolve) => free.close(resolve))
  await using broker = await startAttacked([
    '--host',
    '0.0.0.0',
    '--port',
    String(port),
    '--advertise',
    `localhost:${port}`,
  ])
  expect(await advertisedAt('127.0.0.1', port)).toEqual({ host: 'localhost', port })
  // Also where localhost is ::1 first and the broker listens on IPv4 only.
  expect((await lookup('localhost')).address).toBeTruthy()
  await roundTrip(`127.0.0.1:${broker.port}`, 'told')
})

test.runIf(hasIpv6)('--advertise takes an IPv6 address in brackets', async () => {
  await using broker = await startAttacked(['--advertise', '[2001:db8::7]:9092'])
  expect(await advertisedAt('127.0.0.1', broker.port)).toEqual({ host: '2001:db8::7', port: 9092 })
})

test('--host localhost listens where clients that say localhost arrive', async () => {
  await using broker = await startAttacked(['--host', 'localhost'])
  const { port } = broker
  expect(await advertisedAt('localhost', port)).toEqual({ host: 'localhost', port })
  await roundTrip(`localhost:${port}`, 'local')
})

test('the default brokers, localhost, reach a broker on 127.0.0.1', async () => {
  await using broker = await startAttacked()
  await roundTrip(`localhost:${broker.port}`, 'default')
})
