/** The command line against what answers where a broker should: one sentence, an exit code, no stack trace. */
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt } from '../cli/built-cli.ts'
import { startAttacked } from './attacked-broker.ts'
import { SeededRandom } from './seeded-random.ts'

beforeAll(ensureBuilt, 120_000)

const servers: net.Server[] = []
const sockets = new Set<net.Socket>()

afterAll(() => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers) server.close()
})

async function listening(server: net.Server): Promise<string> {
  servers.push(server)
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`
}

/** Answers every request with these bytes. */
function answering(bytes: () => Buffer): Promise<string> {
  return listening(
    net.createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', () => socket.write(bytes()))
    }),
  )
}

async function saysOneSentence(address: string): Promise<string> {
  const results = await Promise.all([
    cli(['status', '-b', address]),
    cli(['produce', 't', '-m', 'x', '-b', address]),
    cli(['consume', 't', '-q', '-b', address]),
  ])
  for (const { code, stdout, stderr } of results) {
    expect(stderr).toMatch(/^(?:warning: [^\n]+\n)*error: [^\n]+[.!?]\n$/)
    expect(stderr).not.toMatch(/unexpected failure|^ +at |undefined|NaN/m)
    expect(stderr).toContain(address)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  }
  return results.map(({ stderr }) => stderr).join('')
}

const random = new SeededRandom(7)

test.each<[string, () => Promise<string>]>([
  ['a web server', () => listening(http.createServer((_, response) => response.end('hello')))],
  ['a server that closes at once', () => listening(net.createServer((socket) => socket.destroy()))],
  [
    'a server that closes after the first request',
    () => listening(net.createServer((socket) => socket.once('data', () => socket.destroy()))),
  ],
  ['a frame of 2 GiB', () => answering(() => Buffer.of(0x7f, 0xff, 0xff, 0xff))],
  ['a negative frame', () => answering(() => Buffer.of(0xff, 0xff, 0xff, 0xff))],
  ['an answer to another question', () => answering(() => Buffer.of(0, 0, 0, 6, 0, 0, 0x7f, 0xff, 0, 0))],
  ['an empty answer', () => answering(() => Buffer.of(0, 0, 0, 0))],
  ['random bytes', () => answering(() => random.bytes(100))],
  [
    'a mail server',
    () => listening(net.createServer((socket) => socket.write('220 mail.example ESMTP\r\n'))),
  ],
])('%s where a broker should be', async (_, start) => {
  await saysOneSentence(await start())
})

test('names that lead nowhere are named', async () => {
  expect(await saysOneSentence('no.such.host.invalid:9092')).toContain('no.such.host.invalid')
})

test('a broker that sends its clients to where nobody is: the address is named', async () => {
  await using broker = await startAttacked(['--advertise', '127.0.0.1:1'])
  const { env } = broker.running
  for (const command of [
    ['produce', 't', '-m', 'x'],
    ['consume', 't', '-q', '-e'],
  ]) {
    const { code, stdout, stderr } = await cli(command, { env })
    expect(stderr).toBe(
      `error: ${env.STREAMBUS_BROKERS} sends its clients to 127.0.0.1:1, where no broker answers: have it advertise an address that can be reached from here.\n`,
    )
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  }
})

test('without auto-creation every command names the topic that does not exist', async () => {
  await using broker = await startAttacked(['--no-auto-create-topics'])
  const { env } = broker.running
  const results = await Promise.all(
    [
      ['produce', 'missing', '-m', 'x'],
      ['consume', 'missing', '-q'],
      ['consume', 'missing', '-q', '-o', '5'],
      ['topic', 'describe', 'missing'],
      ['topic', 'delete', 'missing'],
    ].map((command) => cli(command, { env })),
  )
  for (const { code, stdout, stderr } of results) {
    expect(stderr).toBe("error: There is no topic 'missing' on this cluster.\n")
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  }
})

test('offsets out of range say what the range is, at both ends', async () => {
  await using broker = await startAttacked()
  const { env } = broker.running
  await cli(['produce', 'short'], { env, input: 'a\nb\n' })
  for (const offset of ['3', '9007199254740991']) {
    const { code, stderr } = await cli(['consume', 'short', '-q', '-o', offset], { env })
    expect(stderr).toMatch(/^error: Offset \d+ of short\/0 is out of range: [^\n]+ the next one is 2\.\n$/)
    expect(code).toBe(1)
  }
  for (const offset of ['9223372036854775807', '99999999999999999999', '1e3', '']) {
    const { code, stdout, stderr } = await cli(['consume', 'short', '-q', '-o', offset], { env })
    expect(stderr).toMatch(/^error: [^\n]+\.\n$/)
    expect(stdout).toBe('')
    expect([1, 2]).toContain(code)
  }
})
