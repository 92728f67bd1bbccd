import { connect, type StreamBus } from '@streambus/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt, type RunningBroker, startBroker, temporaryFolder } from './built-cli.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let broker: RunningBroker
let bus: StreamBus

beforeAll(async () => {
  await ensureBuilt()
  folder = await temporaryFolder()
  const groups = ['--set', 'group.initial.rebalance.delay.ms=0']
  broker = await startBroker(['--data', `${folder.path}/data`, ...groups])
  bus = await connect(broker.address)
}, 120_000)

afterAll(async () => {
  await bus.close()
  await broker.stop()
  await folder[Symbol.asyncDispose]()
})

const run = (...args: string[]) => cli(['dlq', ...args], { env: broker.env })
const binary = Uint8Array.of(0xff, 0, 0x80)

/** A topic whose messages with the values given ended up as dead letters. */
async function fail(topic: string, values: readonly string[], partitions = 1): Promise<void> {
  await failing(topic, values, partitions)
  await giveUp(topic, `${topic}-group`)
}

async function failing(topic: string, values: readonly string[], partitions: number): Promise<void> {
  const known = (await bus.admin.listTopics()).some(({ name }) => name === topic)
  if (!known) {
    await bus.admin.createTopic(topic, { partitions })
    await bus.admin.createTopic(`${topic}.dlq`, { partitions })
  }
  await bus.producer().sendBatch(
    topic,
    values.map((value, index) => ({
      key: binary,
      value,
      headers: [{ key: 'h', value: binary }],
      partition: index % partitions,
      timestamp: 1_700_000_000_000 + index,
    })),
  )
}

/** A group that sets aside every message that it has not read yet. */
async function giveUp(topic: string, group: string): Promise<void> {
  await bus.consumer(topic, { group, until: 'end' }).consume(
    (message) => {
      throw new TypeError(`cannot handle ${message.text()}\nat all`)
    },
    { deadLetter: `${topic}.dlq` },
  )
}

async function valuesOf(topic: string): Promise<(string | null)[]> {
  const values: (string | null)[] = []
  for await (const message of bus.consumer(topic, { until: 'end' })) values.push(message.text())
  return values
}

test('dead letters are listed with where they come from and why', async () => {
  await fail('listed', ['a', 'b'])
  await bus.producer().send('listed.dlq', 'not from a handler')
  const { code, stdout } = await run('list', 'listed.dlq')
  expect(code).toBe(0)
  const [header, first, second, third] = stdout.split('\n')
  expect(header).toMatch(/^Partition +Offset +Origin +Group +Attempts +Time +Replayed +Reason$/)
  expect(first).toMatch(/^ +0 +0 +listed\/0\/0 +listed-group +1 +20\S+Z +no +TypeError: cannot handle a$/)
  expect(second).toMatch(/^ +0 +1 +listed\/0\/1 +listed-group +1 +20\S+Z +no +TypeError: cannot handle b$/)
  expect(third).toMatch(/^ +0 +2 +- +- +- +- +no +-$/)
  expect(JSON.parse((await run('list', 'listed.dlq', '--json')).stdout)).toMatchObject([
    {
      partition: 0,
      offset: 0,
      origin: { topic: 'listed', partition: 0, offset: 0 },
      group: 'listed-group',
      attempts: 1,
      error: 'TypeError',
      reason: 'cannot handle a\nat all',
      replayed: false,
    },
    { offset: 1 },
    { offset: 2, origin: null, reason: null },
  ])
  expect((await run('list', 'listed.dlq', '-n', '2')).stdout).toMatch(
    /\nThese are 2 messages; there are more \(--limit\)\.\n$/,
  )
})

test('a replay is shown first, puts messages back as they were, and does not double them', async () => {
  await fail('back', ['a', 'b', 'c', 'd'], 2)
  expect(await run('replay', 'back.dlq')).toMatchObject({
    code: 0,
    stdout: 'To    Messages\nback         4\nNothing was sent; --execute sends them.\n',
  })
  expect(await valuesOf('back')).toHaveLength(4)
  expect(await run('replay', 'back.dlq', '--execute')).toMatchObject({
    code: 0,
    stdout:
      "To    Messages\nback         4\nReplayed 4 dead letters of 'back.dlq'; group 'streambus-dlq-replay.back.dlq' remembers that.\n",
  })
  const messages = []
  for await (const message of bus.consumer('back', { until: 'end' })) messages.push(message)
  const original = messages.filter(({ offset }) => offset < 2)
  const replayed = messages.filter(({ offset }) => offset >= 2)
  expect(replayed).toHaveLength(4)
  for (const message of replayed) {
    const twin = original.find((one) => one.text() === message.text())!
    expect(message).toMatchObject({
      key: twin.key,
      headers: twin.headers,
      partition: twin.partition,
      timestamp: twin.timestamp,
    })
  }
  for (const execute of [[], ['--execute']]) {
    expect(await run('replay', 'back.dlq', ...execute)).toMatchObject({
      code: 0,
      stdout:
        "There is nothing to replay in 'back.dlq'.\n4 dead letters of 'back.dlq' had been replayed already, and are left alone.\n",
    })
  }
  expect(await valuesOf('back')).toHaveLength(8)
  const listed = JSON.parse((await run('list', 'back.dlq', '--json')).stdout)
  expect(listed.map(({ replayed: is }: { replayed: boolean }) => is)).toEqual([true, true, true, true])
  await bus.producer().send('back.dlq', 'by hand')
  expect(await run('replay', 'back.dlq')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^error: The message at offset \d of back\.dlq\/\d does not say where it comes from; say where to with --to, or which with --offset\.\n$/,
    ),
  })
})

test('some may be replayed before their turn, elsewhere, or so many at a time; none twice', async () => {
  await fail('some', ['0', '1', '2', '3', '4', '5'])
  await bus.admin.createTopic('elsewhere')
  const chosen = ['--offset', '4', '--offset', '0:2', '--to', 'elsewhere', '--execute', '--json']
  expect(JSON.parse((await run('replay', 'some.dlq', ...chosen)).stdout)).toEqual({
    topic: 'some.dlq',
    group: 'streambus-dlq-replay.some.dlq',
    executed: true,
    targets: [{ topic: 'elsewhere', messages: 2 }],
    replayedBefore: 0,
    hasMore: false,
  })
  expect(await valuesOf('elsewhere')).toEqual(['2', '4'])
  const again = await run('replay', 'some.dlq', '--offset', '2', '--execute')
  expect(again.stderr).toBe('warning: Offset 2 of some.dlq/0 had been replayed already, and is left alone.\n')
  expect(again.stdout).toMatch(/^There is nothing to replay/)
  const limited = await run('replay', 'some.dlq', '--limit', '2', '--execute')
  expect(limited.stdout).toContain('There are more; replay again for those, or raise --limit.\n')
  expect((await valuesOf('some')).slice(6)).toEqual(['0', '1'])
  await run('replay', 'some.dlq', '--execute')
  expect((await valuesOf('some')).slice(6)).toEqual(['0', '1', '3', '5'])
  expect(await bus.admin.fetchOffsets('streambus-dlq-replay.some.dlq')).toMatchObject([
    { offset: 6, metadata: '' },
  ])
})

test('what one group gave up is replayed without the copies of the others, once', async () => {
  await failing('shared', ['a', 'b'], 1)
  await giveUp('shared', 'billing')
  await failing('shared', ['c'], 1)
  await giveUp('shared', 'audit')
  await giveUp('shared', 'billing')
  const flags = async () =>
    JSON.parse((await run('list', 'shared.dlq', '--json')).stdout).map(
      ({ group, replayed }: { group: string; replayed: boolean }) => `${group} ${replayed}`,
    )
  const groups = ['billing', 'billing', 'audit', 'audit', 'audit', 'billing']
  expect(await flags()).toEqual(groups.map((group) => `${group} false`))
  const first = await run('replay', 'shared.dlq', '--group', 'billing', '--limit', '2', '--execute')
  expect(first).toMatchObject({
    code: 0,
    stdout:
      "To      Messages\nshared         2\nThere are more; replay again for those, or raise --limit.\nReplayed 2 dead letters of 'shared.dlq'; group 'streambus-dlq-replay.shared.dlq/billing' remembers that.\n",
  })
  expect((await run('replay', 'shared.dlq', '--group', 'billing', '--execute')).stdout).toBe(
    "To      Messages\nshared         1\n2 dead letters of 'shared.dlq' had been replayed already, and are left alone.\nReplayed 1 dead letter of 'shared.dlq'; group 'streambus-dlq-replay.shared.dlq/billing' remembers that.\n",
  )
  expect((await valuesOf('shared')).slice(3)).toEqual(['a', 'b', 'c'])
  expect(await flags()).toEqual(groups.map((group) => `${group} ${group === 'billing'}`))
  expect((await run('replay', 'shared.dlq', '--group', 'billing')).stdout).toMatch(
    /^There is nothing to replay in 'shared\.dlq'\.\n3 dead letters/,
  )
  expect(JSON.parse((await run('replay', 'shared.dlq', '--execute', '--json')).stdout)).toMatchObject({
    group: 'streambus-dlq-replay.shared.dlq',
    targets: [{ topic: 'shared', messages: 3 }],
    replayedBefore: 3,
  })
  expect(await flags()).toEqual(groups.map((group) => `${group} true`))
  expect((await run('replay', 'shared.dlq', '--group', 'audit')).stdout).toMatch(
    /^There is nothing to replay/,
  )
})

test.each<[string[], number, string]>([
  [['list', 'nowhere'], 1, "There is no topic 'nowhere' on this cluster."],
  [['replay', 'nowhere'], 1, "There is no topic 'nowhere' on this cluster."],
  [['replay', 'wrong.dlq', '--offset', 'x'], 2, "--offset must be an offset or partition:offset, not 'x'."],
  [['replay', 'wrong.dlq', '--offset', '1:0'], 1, "Topic 'wrong.dlq' has no partition 1: it has 1."],
  [['replay', 'wrong.dlq', '--offset', '1'], 1, 'There is no message at offset 1 of wrong.dlq/0.'],
  [['replay', 'wrong.dlq', '--to', 'wrong.dlq'], 2, '--to must not be the dead letter topic itself.'],
  [['replay', 'wrong.dlq', '--to', 'nowhere'], 1, "There is no topic 'nowhere' on this cluster."],
  [['replay', 'wrong.dlq', '--dry-run', '--execute'], 2, '--dry-run and --execute exclude each other.'],
  [
    ['replay', 'wrong.dlq', '--group', 'g', '--offset', '0'],
    2,
    '--group and --offset exclude each other: an offset is of one group anyway.',
  ],
  [['list', 'wrong.dlq', '-n', '0'], 2, "--limit must be a whole number from 1 to 1000000, not '0'."],
])('what cannot be listed or replayed is explained: %s', async (args, code, sentence) => {
  if (!(await bus.admin.listTopics()).some(({ name }) => name === 'wrong')) await fail('wrong', ['a'])
  expect(await run(...args)).toMatchObject({ code, stdout: '', stderr: `error: ${sentence}\n` })
})
