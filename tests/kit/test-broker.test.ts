import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, readDeadLetter } from 'streambus'
import { eventually, startTestBroker, type TestBroker } from 'streambus/testing'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

// Other tests, which run at the same time, make such folders, too: those of this file lie in one of their own.
const place = mkdtempSync(join(tmpdir(), 'streambus-kit-'))
beforeAll(() => void vi.stubEnv('TMPDIR', place))
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(place, { recursive: true })
})

const temporaryFolders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('streambus-test-'))
const values = async (broker: TestBroker, topic: string) =>
  (await broker.produced(topic)).map((message) => message.text())

test('what was produced is read to the end: as text, as JSON and as bytes', async () => {
  await using broker = await startTestBroker()
  const bus = await broker.connect()
  const producer = bus.producer()
  await producer.send('orders', { id: 42 }, { key: 'k', headers: { trace: 'abc', empty: null } })
  await producer.send('orders', 'plain')
  await producer.send('orders', null, { key: 'k' })
  await producer.send('orders', Uint8Array.of(0xff, 0xfe), { timestamp: 1_700_000_000_000 })
  const [json, text, tombstone, bytes, ...rest] = await broker.produced('orders')
  expect(rest).toEqual([])
  expect(json).toMatchObject({ partition: 0, offset: 0, key: 'k', headers: { trace: 'abc', empty: null } })
  expect(json!.json<{ id: number }>()?.id).toBe(42)
  expect(text).toMatchObject({ key: null, headers: {} })
  expect(text!.text()).toBe('plain')
  expect(() => text!.json()).toThrow(SyntaxError)
  expect([tombstone!.bytes, tombstone!.text(), tombstone!.json()]).toEqual([null, null, null])
  expect([...bytes!.bytes!]).toEqual([0xff, 0xfe])
  expect(bytes!.timestamp).toBe(1_700_000_000_000)
})

test('messages come by partition and offset, and so does the snapshot, which is the same each time', async () => {
  const snapshots = []
  for (let run = 0; run < 2; run++) {
    await using broker = await startTestBroker()
    await broker.createTopic('orders', 3)
    const producer = (await broker.connect()).producer()
    await producer.send('orders', { id: 2 }, { partition: 2, headers: { trace: 'abc' } })
    await producer.send('orders', 'text', { partition: 0, key: 'k' })
    await producer.send('orders', Uint8Array.of(0xff), { partition: 2 })
    await producer.send('orders', null, { partition: 0, key: 'k' })
    snapshots.push(await broker.snapshot('orders'))
    const places = (await broker.produced('orders')).map(({ partition, offset }) => [partition, offset])
    expect(places).toEqual([
      [0, 0],
      [0, 1],
      [2, 0],
      [2, 1],
    ])
  }
  expect(snapshots[0]).toEqual({
    topic: 'orders',
    partitions: [
      [
        { offset: 0, key: 'k', value: 'text' },
        { offset: 1, key: 'k', value: null },
      ],
      [],
      [
        { offset: 0, key: null, headers: { trace: 'abc' }, value: { id: 2 } },
        { offset: 1, key: null, value: { base64: '/w==' } },
      ],
    ],
  })
  expect(JSON.stringify(snapshots[1])).toBe(JSON.stringify(snapshots[0]))
})

test('a snapshot has timestamps when they are asked for', async () => {
  await using broker = await startTestBroker()
  await (await broker.connect()).producer().send('t', 'v', { timestamp: Date.UTC(2024, 0, 1) })
  const { partitions } = await broker.snapshot('t', { timestamps: true })
  expect(partitions[0]).toEqual([{ offset: 0, timestamp: '2024-01-01T00:00:00.000Z', key: null, value: 'v' }])
})

/** One message that a handler failed with, after an attempt that it was to be given again later. */
async function failedTwice(broker: TestBroker): Promise<void> {
  const bus = await broker.connect()
  await bus.producer().send('orders', { id: 1 }, { headers: { trace: 'abc' } })
  const consumer = bus.consumer('orders', { group: 'billing' })
  consumer.on('deadLettered', () => void consumer.close())
  await consumer.consume(
    () => {
      throw new TypeError('no such customer')
    },
    {
      retry: { attempts: 2, backoff: { initialMs: 1 }, delayTopics: true },
      deadLetter: 'orders.dlq',
    },
  )
}

test('snapshots of dead letters and of delay topics are the same each time; times come when asked for', async () => {
  const snapshots = []
  for (let run = 0; run < 2; run++) {
    await using broker = await startTestBroker()
    await failedTwice(broker)
    snapshots.push([await broker.snapshot('orders.dlq'), await broker.snapshot('orders.billing.retry.1')])
    const timed = await broker.snapshot('orders.dlq', { timestamps: true })
    expect(timed.partitions[0]?.[0]?.headers).toMatchObject({
      'streambus-dlq-time': expect.stringMatching(/^\d{13}$/),
      'streambus-dlq-timestamp': expect.stringMatching(/^\d{13}$/),
    })
  }
  const dead = {
    trace: 'abc',
    'streambus-dlq-attempts': '2',
    'streambus-dlq-error': 'TypeError',
    'streambus-dlq-group': 'billing',
    'streambus-dlq-offset': '0',
    'streambus-dlq-partition': '0',
    'streambus-dlq-reason': 'no such customer',
    'streambus-dlq-topic': 'orders',
  }
  expect(snapshots[0]?.[0]?.partitions).toEqual([[{ offset: 0, key: null, headers: dead, value: { id: 1 } }]])
  expect(snapshots[0]?.[1]?.partitions[0]?.[0]?.headers).toMatchObject({ 'streambus-retry-attempts': '1' })
  expect(JSON.stringify(snapshots[1])).toBe(JSON.stringify(snapshots[0]))
})

test('what was produced to a dead letter topic says where it comes from and why', async () => {
  await using broker = await startTestBroker()
  await failedTwice(broker)
  const [letter] = await broker.produced('orders.dlq')
  expect(readDeadLetter(letter!)).toMatchObject({
    topic: 'orders',
    partition: 0,
    offset: 0,
    group: 'billing',
    attempts: 2,
    error: 'TypeError',
    reason: 'no such customer',
    stack: expect.stringContaining('no such customer'),
  })
  const [order] = await broker.produced('orders')
  expect(readDeadLetter(order!)).toBeUndefined()
})

test('misspelt options of the helpers are refused, and not passed over', async () => {
  await using broker = await startTestBroker()
  const refused = (message: string) => ({ code: 'INVALID_ARGUMENT', message })
  await expect(broker.snapshot('t', { timestamp: true } as never)).rejects.toMatchObject(
    refused("snapshot has no option 'timestamp'; did you mean 'timestamps'?"),
  )
  await expect(broker.restart({ kil: true } as never)).rejects.toMatchObject(
    refused("restart has no option 'kil'; did you mean 'kill'?"),
  )
  await expect(broker.forceRebalance('g', { timeout: 5 } as never)).rejects.toMatchObject(
    refused("forceRebalance has no option 'timeout'; did you mean 'timeoutMs'?"),
  )
  await expect(eventually(() => true, { timeout: 5 } as never)).rejects.toMatchObject(
    refused("eventually has no option 'timeout'; did you mean 'timeoutMs'?"),
  )
  await expect(eventually(undefined as never)).rejects.toMatchObject(
    refused('The assertion must be a function.'),
  )
})

test('looking at a topic that does not exist says so, and does not create it', async () => {
  await using broker = await startTestBroker()
  await expect(broker.produced('orders')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  await expect(broker.snapshot('orders')).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  expect(await (await broker.connect()).admin.listTopics()).toEqual([])
})

test('a topic that was extended, or deleted and created again, is read as it is now', async () => {
  await using broker = await startTestBroker()
  const bus = await broker.connect()
  const producer = bus.producer()
  await broker.createTopic('t')
  await producer.send('t', 'old')
  expect(await values(broker, 't')).toEqual(['old'])
  await bus.admin.createPartitions('t', 2)
  // Who has sent to it may take a while to see that it has grown.
  await (await broker.connect()).producer().send('t', 'new', { partition: 1 })
  expect(await values(broker, 't')).toEqual(['old', 'new'])
  await bus.admin.deleteTopic('t')
  await broker.createTopic('t', 3)
  expect((await broker.snapshot('t')).partitions).toEqual([[], [], []])
})

test('brokers are isolated, and a topic has the partitions and settings it is created with', async () => {
  await using one = await startTestBroker({ defaultPartitions: 2 })
  await using two = await startTestBroker()
  await one.createTopic('t', 3, { configs: { 'max.message.bytes': '1000' } })
  const bus = await one.connect()
  const producer = bus.producer()
  expect(await bus.admin.partitionsOf('t')).toBe(3)
  await expect(producer.send('t', 'x'.repeat(2_000))).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  await producer.send('u', 'x')
  expect(await bus.admin.partitionsOf('u')).toBe(2)
  expect(await (await two.connect()).admin.listTopics()).toEqual([])
  await expect(one.createTopic('t')).rejects.toMatchObject({ code: 'TOPIC_EXISTS' })
})

test('with the broker its clients are closed, and then it can be used no more', async () => {
  const broker = await startTestBroker()
  const bus = await broker.connect()
  const left = await broker.connect()
  await left.close()
  const producer = bus.producer()
  await producer.send('t', 'v')
  const { address } = broker
  await broker.close()
  await broker.close()
  await expect(producer.send('t', 'v')).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(broker.connect()).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(broker.produced('t')).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(broker.restart()).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(connect({ brokers: address, connectTimeoutMs: 500 })).rejects.toMatchObject({
    code: 'BROKER_UNREACHABLE',
  })
})

test('who connects while the broker is closed or started again gets an answer', async () => {
  const broker = await startTestBroker()
  const restarting = broker.restart()
  await (await broker.connect()).producer().send('t', 'v')
  await restarting
  const connecting = expect(broker.connect()).rejects.toMatchObject({ code: 'CLOSED' })
  const reading = expect(broker.produced('t')).rejects.toMatchObject({ code: 'CLOSED' })
  await broker.close()
  await Promise.all([connecting, reading])
})

test('a process that closed its broker ends by itself, and has printed nothing', () => {
  const script = `
    import { startTestBroker } from 'streambus/testing'
    const broker = await startTestBroker({ onDisk: true, clock: 'virtual' })
    const bus = await broker.connect({ clientId: 'app' })
    broker.faults.delay({ api: 'Fetch', delayMs: 60_000 })
    broker.faults.refuse({ api: 'Heartbeat', errorCode: 'NOT_COORDINATOR' })
    await bus.producer().send('t', 'v')
    void bus.consumer('t', { group: 'g' })[Symbol.asyncIterator]().next().catch(() => {})
    await broker.produced('t')
    await broker.close()
  `
  const printed = execFileSync(
    process.execPath,
    ['--import', 'tsx', '--conditions=streambus-source', '--input-type=module', '-e', script],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 50_000 },
  )
  expect(printed).toBe('')
})

test('on disk, the temporary folder is gone after the close, and a folder of the test stays', async () => {
  const before = temporaryFolders()
  const broker = await startTestBroker({ onDisk: true })
  expect(temporaryFolders().length).toBeGreaterThan(before.length)
  await (await broker.connect()).producer().send('t', 'v')
  expect(await values(broker, 't')).toEqual(['v'])
  await broker.close()
  expect(temporaryFolders().filter((name) => !before.includes(name))).toEqual([])

  const dataDir = mkdtempSync(join(tmpdir(), 'streambus-kit-'))
  try {
    {
      await using one = await startTestBroker({ dataDir })
      await (await one.connect()).producer().send('t', 'kept')
    }
    expect(existsSync(dataDir)).toBe(true)
    await using two = await startTestBroker({ dataDir })
    expect(await values(two, 't')).toEqual(['kept'])
  } finally {
    rmSync(dataDir, { recursive: true })
  }
})

test.each([
  [{ ondisk: true }, "startTestBroker has no option 'ondisk'; did you mean 'onDisk'?"],
  [
    { advertise: { host: 'a', port: 1 } },
    "startTestBroker has no option 'advertise'; its options are onDisk, dataDir, clock, durability, cacheBytes, truncateDamaged, autoCreateTopics, defaultPartitions, topicDefaults, retentionCheckIntervalMs, cleanerBackoffMs, maxFrameBytes, maxInFlightBytes, connectionIdleMs, maxConnections, maxPartitions, maxResponseBufferBytes, maxFetchSessions, transactions, shutdownTimeoutMs, groups, log.",
  ],
  [{ groups: 5 }, 'groups must be an object, not 5.'],
  ['disk', 'The options of startTestBroker must be an object, not disk.'],
])('options %j: there are no such options', async (options, message) => {
  await expect(startTestBroker(options as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message })
})

test('options that contradict each other are refused, and a start that fails leaves no folder', async () => {
  const before = temporaryFolders()
  await expect(startTestBroker({ onDisk: true, dataDir: '/tmp/x' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
  await expect(startTestBroker({ clock: 'real' as never })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: "clock can only be 'virtual', not real.",
  })
  await expect(startTestBroker({ onDisk: true, maxFrameBytes: -1 })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  })
  expect(temporaryFolders().filter((name) => !before.includes(name))).toEqual([])
})

test.each([
  { onDisk: false, kill: false },
  { onDisk: false, kill: true },
  { onDisk: true, kill: false },
  { onDisk: true, kill: true },
])('a restart keeps the address, the data, the groups and the clients: %o', async ({ onDisk, kill }) => {
  await using broker = await startTestBroker({ onDisk })
  const bus = await broker.connect()
  const producer = bus.producer()
  const { address } = broker
  await producer.send('t', 'before')
  await bus.admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 1 }])
  await broker.restart({ kill })
  expect(broker.address).toBe(address)
  await producer.send('t', 'after')
  await broker.restart({ kill })
  await producer.send('t', 'after both')
  expect(await values(broker, 't')).toEqual(['before', 'after', 'after both'])
  expect(await bus.admin.fetchOffsets('g')).toMatchObject([{ topic: 't', partition: 0, offset: 1 }])
})

test('a consumer in a group goes on after the broker was killed', async () => {
  await using broker = await startTestBroker()
  const bus = await broker.connect()
  const producer = bus.producer()
  await producer.send('t', 'one')
  const seen: (string | null)[] = []
  const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 50, limit: 2 })
  for await (const message of consumer) {
    seen.push(message.text())
    if (seen.length > 1) continue
    await broker.restart({ kill: true })
    await producer.send('t', 'two')
  }
  expect(new Set(seen)).toEqual(new Set(['one', 'two']))
})

test('restarts that are asked for at once come one after the other, and a close waits for them', async () => {
  const broker = await startTestBroker()
  const bus = await broker.connect()
  await bus.producer().send('t', 'v')
  await Promise.all([broker.restart(), broker.restart({ kill: true })])
  expect(await values(broker, 't')).toEqual(['v'])
  const restarting = broker.restart()
  await broker.close()
  await restarting
})
