import { createHash } from 'node:crypto'
import { connect } from '@streambus/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  cli,
  ensureBuilt,
  type RunningBroker,
  resultOf,
  spawnCli,
  startBroker,
  temporaryFolder,
} from './built-cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let broker: RunningBroker

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  broker = await startBroker(['--data', `${folder.path}/data`, '--durability', 'os'])
}, 120_000)

afterAll(async () => {
  await broker.stop()
  await folder[Symbol.asyncDispose]()
})

const run = (args: readonly string[], input?: string | Buffer) =>
  cli(args, { env: broker.env, ...(input === undefined ? {} : { input }) })

test('one message goes in and comes out as the README shows it', async () => {
  expect(await run(['produce', 'test-topic', '-k', 'k1', '-m', 'v1'])).toMatchObject({
    code: 0,
    stdout: 'Topic: test-topic, Partition: 0, Offset: 0\n',
    stderr: '',
  })
  expect(await run(['consume', 'test-topic', '-o', '0', '-n', '1'])).toMatchObject({
    code: 0,
    stdout: 'Offset: 0, Key: k1, Value: v1\n',
    stderr: "Consuming from topic 'test-topic'\n",
  })
})

test('--json tells where a message went, and shows it with its headers', async () => {
  const produced = await run([
    'produce',
    'json',
    '-k',
    'k',
    '-m',
    '{"a":1}',
    '-H',
    'h=1',
    '-H',
    'h=x=y',
    '--json',
  ])
  expect(JSON.parse(produced.stdout)).toMatchObject({ topic: 'json', partition: 0, offset: 0 })
  const consumed = await run(['consume', 'json', '-e', '--json'])
  expect(JSON.parse(consumed.stdout)).toEqual({
    topic: 'json',
    partition: 0,
    offset: 0,
    timestamp: JSON.parse(produced.stdout).timestamp,
    key: 'k',
    value: '{"a":1}',
    headers: [
      { key: 'h', value: '1' },
      { key: 'h', value: 'x=y' },
    ],
  })
  expect((await run(['consume', 'json', '-e'])).stdout).toBe(
    'Offset: 0, Key: k, Value: {"a":1}, Headers: h=1, h=x=y\n',
  )
})

test('lines of standard input are messages; the last one needs no newline, empty ones count', async () => {
  const produced = await run(['produce', 'lines'], 'one\n\ntwo\r\nthree')
  expect(produced).toMatchObject({ code: 0, stdout: '' })
  expect(produced.stderr).toMatch(/^Sent 4 messages \(12 B\) to 'lines' in \d+\.\d s, [\d,]+ a second\.\n$/)
  expect((await run(['consume', 'lines', '-e', '-q', '-f', '<%s>'])).stdout).toBe('<one><><two\r><three>')
})

test('-K splits lines into key and value, -k and -H go with every line, -p chooses the partition', async () => {
  await run(['topic', 'create', 'pairs', '--partitions', '3'])
  const produced = await run(
    ['produce', 'pairs', '-K', '::', '-p', '2', '-H', 'a=b', '--json'],
    'k1::v1\n::no key\n::\n',
  )
  expect(JSON.parse(produced.stdout)).toMatchObject({
    topic: 'pairs',
    messages: 3,
    partitions: [{ partition: 2, messages: 3, firstOffset: 0, lastOffset: 2 }],
  })
  expect((await run(['consume', 'pairs', '-e', '-q'])).stdout).toBe(
    'Partition: 2, Offset: 0, Key: k1, Value: v1, Headers: a=b\n' +
      'Partition: 2, Offset: 1, Key: , Value: no key, Headers: a=b\n' +
      'Partition: 2, Offset: 2, Key: , Value: , Headers: a=b\n',
  )
  expect((await run(['consume', 'pairs', '-e', '-q', '-p', '2', '-n', '1'])).stdout).toBe(
    'Offset: 0, Key: k1, Value: v1, Headers: a=b\n',
  )
})

test('a line without the separator of -K is named; what stands before it is sent, and nothing behind it', async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `k${index + 1}:v`)
  lines[14_999] = 'no\tkey'
  const produced = await run(['produce', 'unkeyed', '-K', ':'], `${lines.join('\n')}\n`)
  expect(produced.code).toBe(1)
  expect(produced.stderr).toMatch(
    /\nerror: Stopped after 14999 messages were acknowledged\. Line 15000 has no ':' between key and value: "no\\tkey"\. It was not sent, nor what follows it\.\n$/,
  )
  const { stdout } = await run(['consume', 'unkeyed', '-e', '-q', '-f', '%k\\n'])
  expect(stdout.split('\n')).toEqual([...lines.slice(0, 14_999).map((line) => line.slice(0, -2)), ''])
  const first = await run(['produce', 'unkeyed', '-K', ':'], 'last line')
  expect(first.stderr).toMatch(/\nerror: Line 1 has no ':' between key and value: "last line"\./)
})

test('a file of many lines comes back byte for byte, through every codec', async () => {
  const lines = Buffer.concat(
    Array.from({ length: 60_000 }, (_, index) =>
      Buffer.concat([
        Buffer.from(`${index} `),
        createHash('sha256').update(String(index)).digest(),
        Buffer.of(0),
      ]),
    ).map((line) =>
      Buffer.concat([Buffer.from(line.map((byte) => (byte === 10 ? 11 : byte))), Buffer.of(10)]),
    ),
  )
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    const produced = await run(['produce', `file-${codec}`, '--compression', codec], lines)
    expect(produced.stderr).toContain('Sent 60,000 messages')
    const consumed = await run(['consume', `file-${codec}`, '-e', '-q', '-f', '%s\\n'])
    expect(consumed.bytes.equals(lines)).toBe(true)
  }
})

test('bytes that are no UTF-8 are base64 in JSON, and themselves in a format', async () => {
  const bytes = Buffer.of(0xff, 0x00, 0x80)
  await run(
    ['produce', 'binary', '-K', '='],
    Buffer.concat([bytes, Buffer.from('='), bytes, Buffer.from('\n')]),
  )
  expect(JSON.parse((await run(['consume', 'binary', '-e', '--json'])).stdout)).toMatchObject({
    key: { base64: '/wCA' },
    value: { base64: '/wCA' },
  })
  expect((await run(['consume', 'binary', '-e', '-f', '%k|%s'])).bytes).toEqual(
    Buffer.concat([bytes, Buffer.from('|'), bytes]),
  )
})

test('a format prints every part of a message', async () => {
  await run(['produce', 'format', '-k', 'k', '-m', 'v', '-H', 'a=1', '-H', 'b=2'])
  const { stdout } = await run(['consume', 'format', '-e', '-q', '-f', '%t %p %o %k %s %h %% 100\\t\\\\\\n'])
  expect(stdout).toBe('format 0 0 k v a=1,b=2 % 100\t\\\n')
  expect((await run(['consume', 'format', '-e', '-q', '-f', '%T'])).stdout).toMatch(/^\d{13}$/)
})

test('-o starts at the beginning, the end, an offset, before the end, or a time', async () => {
  await run(['produce', 'positions'], '0\n1\n2\n3\n4\n')
  const from = async (position: string, ...more: string[]) =>
    (await run(['consume', 'positions', '-e', '-q', '-f', '%s', '-o', position, ...more])).stdout
  expect(await from('beginning')).toBe('01234')
  expect(await from('end')).toBe('')
  expect(await from('2')).toBe('234')
  expect(await from('-2')).toBe('34')
  expect(await from('-99')).toBe('01234')
  expect(await from('@2001-01-01T00:00:00Z')).toBe('01234')
  expect(await from('@4102444800000')).toBe('')
  expect(await from('1', '-n', '2')).toBe('12')
})

test('without -e it goes on with what comes, and Ctrl-C ends it without complaint', async () => {
  await run(['produce', 'follow', '-m', 'first'])
  const child = spawnCli(['consume', 'follow', '-f', '%s\\n'], { env: broker.env })
  const result = resultOf(child)
  let out = ''
  const seen = (text: string) =>
    new Promise<void>((resolve) => {
      const check = () => {
        if (out.includes(text)) resolve()
      }
      child.stdout!.on('data', check)
      check()
    })
  child.stdout!.on('data', (chunk) => {
    out += chunk
  })
  await seen('first')
  await run(['produce', 'follow', '-m', 'second'])
  await seen('second')
  child.kill('SIGINT')
  expect(await result).toMatchObject({
    code: 0,
    stdout: 'first\nsecond\n',
    stderr: "Consuming from topic 'follow'\n",
  })
})

test('whoever reads only the beginning of the output is not told off', async () => {
  await run(['produce', 'pipe'], 'some line\n'.repeat(200_000))
  const child = spawnCli(['consume', 'pipe', '-e', '-q'], { env: broker.env })
  const result = resultOf(child)
  child.stdout!.once('data', () => child.stdout!.destroy())
  expect(await result).toMatchObject({ code: 0, stderr: '' })
})

test('producing that is interrupted keeps what was sent and says how much', async () => {
  const child = spawnCli(['produce', 'interrupted'], { env: broker.env })
  const result = resultOf(child)
  child.stdin!.on('error', () => {})
  child.stdin!.write('one\ntwo\nbegun')
  for (let held = ''; held !== 'onetwo'; ) {
    held = (await run(['consume', 'interrupted', '-e', '-q', '-f', '%s'])).stdout
  }
  child.kill('SIGINT')
  const { code, stderr } = await result
  expect(code).toBe(130)
  expect(stderr).toMatch(/^Sent 2 messages/)
})

test('topics are created, listed, described and deleted', async () => {
  expect(
    await run(['topic', 'create', 'life', '--partitions', '2', '--set', 'max.message.bytes=9999']),
  ).toMatchObject({
    code: 0,
    stdout: "Created topic 'life' with 2 partitions.\n",
    stderr: '',
  })
  await run(['produce', 'life', '-p', '1', '-m', 'x'])
  const { stdout } = await run(['topic', 'describe', 'life'])
  expect(stdout).toMatch(/^Topic life \([\w-]{22}\): 1 record, \d+ B\n/)
  expect(stdout).toContain('\nKept: for 7 days (cleanup.policy=delete)\n')
  expect(stdout).toContain('max.message.bytes = 9999')
  const described = JSON.parse((await run(['topic', 'describe', 'life', '--json'])).stdout)
  expect(described).toMatchObject({
    name: 'life',
    partitions: [
      { partition: 0, earliest: 0, latest: 0 },
      { partition: 1, earliest: 0, latest: 1 },
    ],
  })
  expect((await run(['topic', 'list'])).stdout).toMatch(/^life +2 +1$/m)
  expect(JSON.parse((await run(['topic', 'list', '--json'])).stdout)).toContainEqual(
    expect.objectContaining({ name: 'life', partitions: 2, replicationFactor: 1 }),
  )
  expect(await run(['topic', 'delete', 'life'])).toMatchObject({ code: 0, stdout: "Deleted topic 'life'.\n" })
  expect((await run(['topic', 'list'])).stdout).not.toMatch(/^life /m)
})

test('status shows brokers, topics, records, bytes and what is offered', async () => {
  await run(['produce', 'counted'], 'a\nb\nc\n')
  const { code, stdout } = await run(['status'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^Cluster [\w-]{22}$/m)
  expect(stdout).toContain(broker.address)
  expect(stdout).toMatch(/^counted +1 +3 +\d+ B$/m)
  expect(stdout).toMatch(/Produce 0-\d+, Fetch \d+-\d+/)
  const json = JSON.parse((await run(['status', '--json'])).stdout)
  expect(json.brokers).toHaveLength(1)
  expect(json.topicList).toContainEqual(
    expect.objectContaining({ name: 'counted', records: 3, partitions: 1 }),
  )
  expect(json.apis).toContainEqual(expect.objectContaining({ key: 18, name: 'ApiVersions' }))
})

test('messages of transactions are printed when they are committed, and all of them with --uncommitted', async () => {
  await using bus = await connect(broker.address)
  const producer = bus.producer({ transactionalId: 'ledger' })
  await producer.transaction((tx) => tx.send('ledger', 'kept'))
  const aborted = producer.transaction(async (tx) => {
    await tx.send('ledger', 'dropped')
    throw new Error('no')
  })
  await expect(aborted).rejects.toThrow('no')
  const values = async (...more: string[]) =>
    (await run(['consume', 'ledger', '-e', '-f', '%s\\n', ...more])).stdout
  expect(await values()).toBe('kept\n')
  expect(await values('--uncommitted')).toBe('kept\ndropped\n')
})
