import type { ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { TransactionalProducer } from '../../packages/broker/src/testing/transactional-producer.ts'
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

const start = (...more: string[]) =>
  startBroker(['--data', `${folder.path}/data`, '--set', 'group.initial.rebalance.delay.ms=0', ...more])

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  broker = await start()
}, 120_000)

afterAll(async () => {
  await broker.stop()
  await folder[Symbol.asyncDispose]()
})

const run = (args: readonly string[], input?: string) =>
  cli(args, { env: broker.env, ...(input === undefined ? {} : { input }) })

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `${from + index}\n`).join('')

/** `{ partition: committed offset }` and the rest, as `group describe --json` gives it. */
async function describe(group: string) {
  const { stdout } = await run(['group', 'describe', group, '--json'])
  const described = JSON.parse(stdout)
  const committed = Object.fromEntries(
    described.partitions.map((one: { partition: number; committed: number }) => [
      one.partition,
      one.committed,
    ]),
  )
  return { ...described, committed }
}

/** Resolves when the output of a command holds the text. */
function printed(child: ChildProcess, text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
  return new Promise((resolve, reject) => {
    let out = ''
    child[stream]!.on('data', (chunk) => {
      out += chunk
      if (out.includes(text)) resolve()
    })
    child.once('close', () => reject(new Error(`it ended without '${text}': ${out}`)))
  })
}

test('a group goes on where it has come to; -n and -e commit exactly what they printed', async () => {
  await run(['produce', 'steps'], lines(0, 10))
  const read = async (...more: string[]) =>
    (await run(['consume', 'steps', '--group', 'walker', '-q', '-f', '%s ', ...more])).stdout
  expect(await read('-n', '3')).toBe('0 1 2 ')
  expect((await describe('walker')).committed).toEqual({ 0: 3 })
  expect(await read('-n', '1', '-o', 'beginning')).toBe('3 ')
  expect(await read('-e')).toBe('4 5 6 7 8 9 ')
  expect(await read('-e')).toBe('')
  expect(await describe('walker')).toMatchObject({
    state: 'Empty',
    lag: 0,
    members: [],
    committed: { 0: 10 },
  })
})

test('-o says where a new group begins', async () => {
  await run(['produce', 'begin'], lines(0, 4))
  const read = async (group: string, offset: string) =>
    (await run(['consume', 'begin', '-g', group, '-o', offset, '-q', '-e', '-f', '%s'])).stdout
  expect(await read('begin-1', 'beginning')).toBe('0123')
  expect(await read('begin-2', 'end')).toBe('')
  expect((await describe('begin-2')).committed).toEqual({ 0: 4 })
  expect(await read('begin-3', '-1')).toBe('3')
  const { code, stderr } = await run(['consume', 'begin', '--group', 'begin-1', '-e'])
  expect(code).toBe(0)
  expect(stderr).toBe("Consuming from topic 'begin' in group 'begin-1'\nAssigned partitions: 0\n")
})

test('Ctrl-C commits what was printed, leaves the group and ends well', async () => {
  const producer = spawnCli(['produce', 'stream'], { env: broker.env })
  const produced = resultOf(producer)
  producer.stdin!.write(lines(0, 2_000))
  const consumer = spawnCli(['consume', 'stream', '--group', 'stream', '-f', '%o\\n'], { env: broker.env })
  const result = resultOf(consumer)
  await printed(consumer, '\n')
  for (let from = 2_000; from < 6_000; from += 1_000) producer.stdin!.write(lines(from, from + 1_000))
  consumer.kill('SIGINT')
  const { code, stdout } = await result
  producer.stdin!.end()
  await produced
  const offsets = stdout.trim().split('\n').map(Number)
  expect(code).toBe(0)
  expect(offsets).toEqual(offsets.map((_, index) => index))
  expect(await describe('stream')).toMatchObject({
    state: 'Empty',
    members: [],
    committed: { 0: offsets.length },
  })
})

test('members share a topic; what one leaves behind another goes on with, each message printed once', async () => {
  await run(['topic', 'create', 'shared', '--partitions', '4'])
  const member = () => {
    const child = spawnCli(['consume', 'shared', '-g', 'shared', '-f', '%s\\n'], { env: broker.env })
    return { child, result: resultOf(child) }
  }
  const first = member()
  await printed(first.child, 'Assigned partitions: 0, 1, 2, 3', 'stderr')
  const second = member()
  await printed(second.child, 'Assigned partitions', 'stderr')
  const producer = spawnCli(['produce', 'shared', '-K', ':'], { env: broker.env })
  const produced = resultOf(producer)
  const keyed = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `k${from + index}:${from + index}\n`).join('')
  producer.stdin!.write(keyed(0, 500))
  await Promise.all([printed(first.child, '\n'), printed(second.child, '\n')])
  const takenOver = printed(second.child, 'Assigned partitions: 0, 1, 2, 3', 'stderr')
  first.child.kill('SIGTERM')
  producer.stdin!.end(keyed(500, 1_000))
  expect((await first.result).code).toBe(0)
  await takenOver
  await produced
  let lag = -1
  while (lag !== 0) ({ lag } = await describe('shared'))
  second.child.kill('SIGINT')
  const all = `${(await first.result).stdout}${(await second.result).stdout}`.trim().split('\n').map(Number)
  expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, index) => index))
})

test('whoever reads only the beginning of the output leaves no member behind', async () => {
  await run(['produce', 'piped'], 'some line\n'.repeat(200_000))
  const child = spawnCli(['consume', 'piped', '-g', 'piped', '-q'], { env: broker.env })
  const result = resultOf(child)
  child.stdout!.once('data', () => child.stdout!.destroy())
  expect(await result).toMatchObject({ code: 0, stderr: '' })
  expect(await describe('piped')).toMatchObject({ state: 'Empty', members: [] })
})

test('groups are listed and described with their members', async () => {
  await run(['topic', 'create', 'seen', '--partitions', '2'])
  await run(['produce', 'seen', '-p', '1'], lines(0, 5))
  await run(['consume', 'seen', '-g', 'seen', '-n', '2'])
  const { stdout: idle } = await run(['group', 'describe', 'seen'])
  expect(idle).toMatch(/^Group seen: Empty, 0 members, 3 messages behind\nType classic, protocol consumer, /)
  expect(idle).toMatch(/^seen +1 +2 +5 +3 +-$/m)
  const child = spawnCli(['consume', 'seen', '-g', 'seen'], { env: broker.env })
  const result = resultOf(child)
  await printed(child, '4\n')
  const { stdout } = await run(['group', 'describe', 'seen'])
  expect(stdout).toMatch(/^Group seen: Stable, 1 member, /)
  expect(stdout).toMatch(/^streambus-cli-[\w-]+ +streambus-cli +127\.0\.0\.1 +seen:0,1$/m)
  expect((await run(['group', 'list'])).stdout).toMatch(/^seen +classic +consumer +Stable +1$/m)
  expect(JSON.parse((await run(['group', 'list', '--json'])).stdout)).toContainEqual({
    group: 'seen',
    type: 'classic',
    protocol: 'consumer',
    state: 'Stable',
    members: 1,
  })
  const refused = await run(['group', 'reset-offsets', 'seen', '--topic', 'seen', '--to-latest', '--execute'])
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toBe(
    "error: Group 'seen' has running members (streambus-cli on 127.0.0.1), which would go on and overwrite the change: stop them, wait until `streambus group describe seen` shows none, and try again.\n",
  )
  const dryRun = await run(['group', 'reset-offsets', 'seen', '--topic', 'seen', '--to-latest'])
  expect(dryRun.stderr).toBe(
    "warning: Group 'seen' has 1 running member: --execute will not work while they run.\n",
  )
  expect(await run(['group', 'delete', 'seen'])).toMatchObject({
    code: 1,
    stderr: "error: Cannot delete group 'seen': it has running members; stop them first (NON_EMPTY_GROUP).\n",
  })
  child.kill('SIGINT')
  await result
  expect(await run(['group', 'delete', 'seen'])).toMatchObject({ code: 0, stdout: "Deleted group 'seen'.\n" })
  for (const command of ['describe', 'delete']) {
    expect(await run(['group', command, 'seen'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: "error: There is no group 'seen' on this cluster.\n",
    })
  }
})

test('offsets are reset to every kind of place, shown first and set with --execute', async () => {
  await run(['topic', 'create', 'reset', '--partitions', '2'])
  await run(['produce', 'reset', '-p', '0'], lines(0, 10))
  const reset = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(['group', 'reset-offsets', 'reset', '--json', ...args])
    if (code !== 0) throw new Error(stderr)
    const { executed, partitions } = JSON.parse(stdout)
    return {
      executed,
      to: partitions.map((one: { from: number; to: number }) => [one.from, one.to]),
      warning: stderr,
    }
  }
  expect(await reset('--topic', 'reset', '--to-latest')).toMatchObject({
    executed: false,
    to: [
      [null, 10],
      [null, 0],
    ],
  })
  expect(await reset('--topic', 'reset', '--to-latest', '--execute')).toMatchObject({ executed: true })
  expect((await describe('reset')).committed).toEqual({ 0: 10, 1: 0 })
  expect((await reset('--topic', 'reset:0', '--shift-by', '-3', '--execute')).to).toEqual([[10, 7]])
  expect((await reset('--topic', 'reset:0', '--to-offset', '4', '--execute')).to).toEqual([[7, 4]])
  expect((await reset('--topic', 'reset:0', '--to-datetime', '2001-01-01T00:00:00Z')).to).toEqual([[4, 0]])
  expect((await reset('--topic', 'reset:0', '--to-datetime', '2101-01-01T00:00:00Z')).to).toEqual([[4, 10]])
  expect(await reset('--topic', 'reset:0', '--shift-by', '99')).toMatchObject({
    to: [[4, 10]],
    warning: 'warning: The log of reset/0 holds offsets 0 to 10, not 103; taking 10.\n',
  })
  expect((await reset('--all-topics', '--to-earliest', '--execute')).to).toEqual([
    [4, 0],
    [0, 0],
  ])
  const { stdout } = await run(['group', 'reset-offsets', 'reset', '--topic', 'reset:0', '--to-latest'])
  expect(stdout).toBe(
    'Topic  Partition  From  To\nreset          0     0  10\nNothing was changed; --execute makes the change.\n',
  )
  expect((await run(['consume', 'reset', '-g', 'reset', '-e', '-q', '-f', '%s'])).stdout).toBe('0123456789')
})

test.each<[string[], string]>([
  [['--to-earliest'], 'Say which offsets: --topic (once or more), or --all-topics.'],
  [
    ['--all-topics'],
    'Say where to, once: --to-earliest, --to-latest, --to-offset, --to-datetime or --shift-by.',
  ],
  [
    ['--all-topics', '--to-latest', '--to-earliest'],
    'Say where to, once: --to-earliest, --to-latest, --to-offset, --to-datetime or --shift-by.',
  ],
  [['--all-topics', '--to-latest', '--dry-run', '--execute'], '--dry-run and --execute exclude each other.'],
  [['--topic', 't:x', '--to-latest'], "--topic t: must be a whole number from 0 to 2147483647, not 'x'."],
  [
    ['--topic', 't', '--to-datetime', 'noon'],
    "--to-datetime must be a time such as 2026-11-23T10:00:00Z, not 'noon'.",
  ],
])('a reset that does not say enough is explained: %s', async (args, sentence) => {
  expect(await run(['group', 'reset-offsets', 'g', ...args])).toMatchObject({
    code: 2,
    stderr: `error: ${sentence}\n`,
  })
})

test('what cannot be reset or read is explained', async () => {
  await run(['topic', 'create', 'plain'])
  expect(await run(['group', 'reset-offsets', 'none', '--all-topics', '--to-latest'])).toMatchObject({
    code: 1,
    stderr: "error: Group 'none' has no committed offsets; name the topics with --topic.\n",
  })
  expect(await run(['group', 'reset-offsets', 'none', '--topic', 'plain', '--shift-by', '1'])).toMatchObject({
    code: 1,
    stderr:
      "error: Group 'none' has no committed offset of plain/0 that could be shifted; use --to-earliest, --to-latest, --to-offset or --to-datetime.\n",
  })
  expect(await run(['group', 'reset-offsets', 'g', '--topic', 'plain:7', '--to-latest'])).toMatchObject({
    code: 1,
    stderr: "error: Topic 'plain' has no partition 7: it has only partition 0.\n",
  })
  expect(await run(['consume', 'plain', '-g', 'g', '-p', '0'])).toMatchObject({
    code: 2,
    stderr: 'error: -p and --group exclude each other: a group shares out the partitions itself.\n',
  })
})

test('kill -9 of the broker: committed offsets are still there, and a member goes on when it is back', async () => {
  await run(['produce', 'kept'], lines(0, 6))
  await run(['consume', 'kept', '-g', 'kept', '-n', '4'])
  const child = spawnCli(['consume', 'kept', '-g', 'kept', '-f', '%s\\n'], { env: broker.env })
  const result = resultOf(child)
  await printed(child, '5\n')
  const port = broker.address.split(':')[1] as string
  await broker.stop('SIGKILL')
  broker = await start('--port', port)
  const goesOn = printed(child, '7\n')
  await run(['produce', 'kept'], lines(6, 8))
  await goesOn
  child.kill('SIGINT')
  const { code, stdout, stderr } = await result
  expect(code).toBe(0)
  expect(stdout).toBe('4\n5\n6\n7\n')
  expect(stderr).toContain('warning: The connection to')
  expect((await describe('kept')).committed).toEqual({ 0: 8 })
})

test('transactions are listed, described and aborted', async () => {
  await run(['topic', 'create', 'money', '--partitions', '2'])
  const [host, port] = broker.address.split(':') as [string, string]
  const raw = await RawClient.connect({ host, port: Number(port) })
  const producer = new TransactionalProducer(raw, 'payments-1', 'v1')
  await producer.init()
  await producer.write('money', [0, 1], ['a'])
  expect((await run(['txn', 'list'])).stdout).toMatch(/^payments-1 +\d+ +Ongoing +1 \(127\.0\.0\.1:\d+\)$/m)
  const { stdout } = await run(['txn', 'describe', 'payments-1'])
  expect(stdout).toMatch(/^Transactional id payments-1: Ongoing\nProducer \d+, epoch 0, timeout 60000 ms, /)
  expect(stdout).toMatch(/^Started 20\S+Z, \d+ seconds? ago$/m)
  expect(stdout).toMatch(/^money +0\nmoney +1\n$/m)
  expect(JSON.parse((await run(['txn', 'describe', 'payments-1', '--json'])).stdout)).toMatchObject({
    state: 'Ongoing',
    partitions: [
      { topic: 'money', partition: 0 },
      { topic: 'money', partition: 1 },
    ],
  })
  expect(await run(['txn', 'abort', '--topic', 'money', '-p', '1', '--start-offset', '3'])).toMatchObject({
    code: 1,
    stderr: 'error: No open transaction began at offset 3 of money/1.\n',
  })
  expect(await run(['txn', 'abort', '--topic', 'money', '-p', '1', '--start-offset', '0'])).toMatchObject({
    code: 0,
    stdout: 'Aborted the transaction that began at offset 0 of money/1.\n',
  })
  expect(await run(['txn', 'abort', 'payments-1'])).toMatchObject({
    code: 0,
    stdout: "Aborted the transaction of 'payments-1'.\n",
  })
  raw.close()
  expect(await run(['txn', 'abort', 'payments-1'])).toMatchObject({
    code: 1,
    stderr: "error: Transactional id 'payments-1' has no open transaction to abort: its state is Empty.\n",
  })
  expect(await run(['txn', 'describe', 'nobody'])).toMatchObject({
    code: 1,
    stderr: "error: There is no transactional id 'nobody' on this cluster.\n",
  })
  expect(await run(['txn', 'abort'])).toMatchObject({
    code: 2,
    stderr: 'error: Name the transactional id, or all of --topic, --partition and --start-offset.\n',
  })
})
