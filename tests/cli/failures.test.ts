import { writeFile } from 'node:fs/promises'
import net from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt, type RunningBroker, startBroker, temporaryFolder } from './built-cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let broker: RunningBroker

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  broker = await startBroker([
    '--data',
    `${folder.path}/data`,
    '--no-auto-create-topics',
    '--durability',
    'os',
  ])
}, 120_000)

afterAll(async () => {
  await broker.stop()
  await folder[Symbol.asyncDispose]()
})

const run = (args: readonly string[], input?: string) =>
  cli(args, { env: broker.env, ...(input === undefined ? {} : { input }) })

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('a broker that is not there is one sentence, for every command', async () => {
  const address = `127.0.0.1:${await freePort()}`
  const commands = [
    ['produce', 't', '-m', 'x'],
    ['consume', 't'],
    ['topic', 'list'],
    ['topic', 'create', 't'],
    ['status'],
  ]
  for (const command of commands) {
    expect(await cli([...command, '--brokers', address])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `error: No broker answers at ${address} (connection refused).\n`,
    })
  }
})

test('a server that accepts and says nothing is given up on', async () => {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  const result = await cli(['status', '-b', `127.0.0.1:${port}`])
  for (const socket of sockets) socket.destroy()
  server.close()
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/^error: 127\.0\.0\.1:\d+ did not answer ApiVersions within \d+ ms\.\n$/)
})

test('a topic that does not exist is named', async () => {
  const sentence = "error: There is no topic 'missing' on this cluster.\n"
  expect(await run(['produce', 'missing', '-m', 'x'])).toMatchObject({
    code: 1,
    stdout: '',
    stderr: sentence,
  })
  expect(await run(['consume', 'missing', '-q'])).toMatchObject({ code: 1, stdout: '', stderr: sentence })
  expect(await run(['topic', 'describe', 'missing'])).toMatchObject({ code: 1, stderr: sentence })
  expect(await run(['topic', 'delete', 'missing'])).toMatchObject({ code: 1, stderr: sentence })
})

test('an offset out of range says what the range is', async () => {
  await run(['topic', 'create', 'short'])
  await run(['produce', 'short', '-m', 'x'])
  expect(await run(['consume', 'short', '-q', '-o', '7'])).toMatchObject({
    code: 1,
    stderr: 'error: Offset 7 of short/0 is out of range: its log holds offsets 0 to 0, the next one is 1.\n',
  })
  expect(await run(['consume', 'short', '-q', '-o', '7', '-e'])).toMatchObject({
    code: 1,
    stderr: 'error: Offset 7 of short/0 is out of range: it ends at 1.\n',
  })
})

test('a partition that does not exist and a name that is not allowed are refused', async () => {
  await run(['topic', 'create', 'small'])
  expect(await run(['consume', 'small', '-q', '-p', '4'])).toMatchObject({
    code: 1,
    stderr: "error: Topic 'small' has no partition 4: it has only partition 0.\n",
  })
  expect(await run(['topic', 'create', 'small'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('TOPIC_ALREADY_EXISTS'),
  })
  const named = await run(['topic', 'create', 'a b'])
  expect(named).toMatchObject({ code: 1, stderr: expect.stringContaining('INVALID_TOPIC_EXCEPTION') })
  expect(named.stderr.trim().split('\n')).toHaveLength(1)
})

test('a message that is too large stops the lines after it, and what was sent is counted', async () => {
  await run(['topic', 'create', 'limited', '--set', 'max.message.bytes=2000'])
  const { code, stderr } = await run(['produce', 'limited', '--json'], `ok\n${'x'.repeat(5_000)}\n`)
  expect(code).toBe(1)
  expect(stderr).toMatch(/^error: .*MESSAGE_TOO_LARGE.*\n$/)
})

test.each([
  [['produce'], /missing required argument 'topic'/],
  [['produce', 't', '--mesage', 'x'], /unknown option '--mesage'[\s\S]*--message/],
  [
    ['produce', 't', '-m', 'x', '-p', 'one'],
    /^error: -p must be a whole number from 0 to 2147483647, not 'one'\.$/m,
  ],
  [['produce', 't', '-m', 'x', '-H', 'none'], /^error: -H must be name=value, not 'none'\.$/m],
  [['produce', 't', '-m', 'x', '-K', ':'], /^error: -K splits lines/m],
  [['produce', 't', '-m', 'x', '--compression', 'rar'], /one of none, gzip, snappy, lz4, zstd, not 'rar'/],
  [
    ['consume', 't', '-o', 'middle'],
    /^error: -o must be beginning, end, an offset, -N or @time, not 'middle'\.$/m,
  ],
  [['consume', 't', '-o', '@noon'], /'noon' is not a time/],
  [['consume', 't', '-f', '%x'], /'%x'; there are %t, %p, %o, %T, %k, %s, %h and %%/],
  [['consume', 't', '-f', '%s', '--json'], /exclude each other/],
  [['consume', 't', 'u'], /too many arguments/],
  [['topic', 'crate', 't'], /unknown command 'crate'[\s\S]*create/],
  [['sattus'], /unknown command 'sattus'[\s\S]*status/],
  [['status', '--brokers', 'a:b:c'], /'a:b:c' is not a broker address/],
  [['start', '--port', '99999'], /^error: --port must be a whole number from 0 to 65535, not '99999'\.$/m],
  [['start', '--durability', 'never'], /^error: --durability must be one of fsync, os, not 'never'\.$/m],
  [['start', '--advertise', 'here'], /^error: --advertise must be host:port, not 'here'\.$/m],
  [['start', '--set', 'group.max.size'], /^error: --set takes name=value, not 'group.max.size'\.$/m],
  [
    ['start', '--set', 'group.maxsize=5'],
    /no setting 'group.maxsize'; the nearest one is group\.max\.size\.$/m,
  ],
  [
    ['start', '--set', 'group.max.size=few'],
    /^error: Setting group\.max\.size must be a whole number, not 'few'\.$/m,
  ],
  [['start', '--set', 'group.max.size=0'], /^error: Setting group\.max\.size must be an integer from 1 to/m],
  [
    ['start', '--set', 'group.consumer.assignors=sticky'],
    /^error: Setting group\.consumer\.assignors must list/m,
  ],
])('wrong arguments are explained: %s', async (args, explanation) => {
  const { code, stdout, stderr } = await run(args)
  expect(stderr).toMatch(explanation)
  expect(stderr).not.toMatch(/^ +at /m)
  expect(stdout).toBe('')
  expect(code).toBe(args.includes('a:b:c') ? 1 : 2)
})

test('every command has help with examples, and help is no failure', async () => {
  for (const command of [
    [],
    ['start'],
    ['produce'],
    ['consume'],
    ['topic'],
    ['topic', 'create'],
    ['topic', 'list'],
    ['topic', 'describe'],
    ['topic', 'delete'],
    ['status'],
  ]) {
    const { code, stdout, stderr } = await cli([...command, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('Usage: streambus')
    expect(stdout).toContain('Examples:\n  $ streambus')
  }
  expect(await cli([])).toMatchObject({ code: 2, stdout: '' })
  expect((await cli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test('a stack trace is shown to those who ask for it', async () => {
  const { stderr } = await cli(['status', '-b', '127.0.0.1:1'], { env: { STREAMBUS_DEBUG: '1' } })
  expect(stderr).toMatch(/^error: No broker answers/)
  expect(stderr).toMatch(/^ +at /m)
})

test('a configuration file is checked', async () => {
  const file = `${folder.path}/bad.yaml`
  const start = async (content: string) => {
    await writeFile(file, content)
    return await cli(['start', '--config', file])
  }
  expect(await start('prot: 1\n')).toMatchObject({
    code: 2,
    stderr: `error: ${file}: there is no setting 'prot'; did you mean 'port'?\n`,
  })
  expect(await start('port: many\n')).toMatchObject({
    code: 2,
    stderr: `error: ${file}: port must be a number.\n`,
  })
  expect(await start('port: 99999\n')).toMatchObject({
    code: 2,
    stderr: `error: ${file}: port must be a whole number from 0 to 65535, not '99999'.\n`,
  })
  expect(await start('durability: never\n')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('fsync, os'),
  })
  expect(await start('- a list\n')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('must hold settings'),
  })
  expect(await start('a: [\n')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is not valid YAML'),
  })
  expect(await cli(['start', '--config', `${folder.path}/none.yaml`])).toMatchObject({
    code: 2,
    stderr: `error: Cannot read the configuration file ${folder.path}/none.yaml: there is no such file.\n`,
  })
})
