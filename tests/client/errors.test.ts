import net from 'node:net'
import { connect, errorTable } from '@streambus/client'
import { expect, test } from 'vitest'
import { collect, failureOf, startBus } from './test-bus.ts'

test('an offset past the end is a typed error that names the range', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: '0' }, { value: '1' }])
  const failure = await failureOf(collect(bus.consumer('t', { from: 100 })))
  expect(failure).toMatchObject({
    code: 'OFFSET_OUT_OF_RANGE',
    message: 'Offset 100 of t/0 is out of range: its log holds offsets 0 to 1, the next one is 2.',
  })
})

test('topics and partitions that do not exist are named', async () => {
  await using session = await startBus({ autoCreateTopics: false })
  const { bus } = session
  expect(await failureOf(collect(bus.consumer('missing')))).toMatchObject({
    code: 'UNKNOWN_TOPIC',
    message: "There is no topic 'missing' on this cluster.",
  })
  expect(await failureOf(bus.producer().send('missing', 'x'))).toMatchObject({ code: 'UNKNOWN_TOPIC' })
  expect(await failureOf(bus.admin.deleteTopic('missing'))).toMatchObject({ code: 'UNKNOWN_TOPIC' })
  expect(await failureOf(bus.admin.describeTopic('missing'))).toMatchObject({ code: 'UNKNOWN_TOPIC' })
  await bus.admin.createTopic('there', { partitions: 2 })
  expect(await failureOf(collect(bus.consumer('there', { partitions: [2] })))).toMatchObject({
    code: 'UNKNOWN_PARTITION',
    message: "Topic 'there' has no partition 2: it has partitions 0 to 1.",
  })
  expect(await failureOf(bus.producer().send('there', 'x', { partition: 5 }))).toMatchObject({
    code: 'UNKNOWN_PARTITION',
  })
})

test('what the broker refuses of a new topic has a code of its own', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t')
  expect(await failureOf(admin.createTopic('t'))).toMatchObject({ code: 'TOPIC_EXISTS' })
  expect(await failureOf(admin.createTopic('a b'))).toMatchObject({ code: 'INVALID_TOPIC' })
  expect(await failureOf(admin.createTopic('u', { partitions: 0 }))).toMatchObject({
    code: 'INVALID_PARTITIONS',
  })
  expect(await failureOf(admin.createTopic('u', { replicationFactor: 3 }))).toMatchObject({
    code: 'INVALID_REPLICATION_FACTOR',
  })
  expect(await failureOf(admin.createTopic('u', { configs: { 'retention.ms': 'soon' } }))).toMatchObject({
    code: 'INVALID_CONFIG',
  })
  expect(await failureOf(session.bus.producer().send('a b', 'x'))).toMatchObject({ code: 'INVALID_TOPIC' })
})

test('what the broker refuses without a sentence of its own says what is allowed', async () => {
  await using session = await startBus()
  const { bus } = session
  const allowed = expect.stringMatching(/ Use 1 to 249 letters, digits, dots, underscores and hyphens/)
  const refused = { code: 'INVALID_TOPIC', message: allowed, brokerError: 'INVALID_TOPIC_EXCEPTION' }
  expect(await failureOf(bus.producer().send('a/b', 'x'))).toMatchObject(refused)
  expect(await failureOf(collect(bus.consumer('a/b', { until: 'end' })))).toMatchObject(refused)
  await bus.admin.createTopic('t')
  const tooShort = bus.consumer('t', { group: 'g', sessionTimeoutMs: 10, until: 'end' })
  expect(await failureOf(collect(tooShort))).toMatchObject({
    code: 'INVALID_SESSION_TIMEOUT',
    message: expect.stringContaining('between group.min.session.timeout.ms and group.max.session.timeout.ms'),
  })
  // Here the broker says it itself, and that is enough.
  expect(await failureOf(bus.admin.createTopic('a/b'))).toMatchObject({
    code: 'INVALID_TOPIC',
    message: expect.stringMatching(/'a\/b'.* \(INVALID_TOPIC_EXCEPTION\)\.$/),
  })
})

test('a topic that is deleted while it is read ends the reading with an error', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  const reading = collect(bus.consumer('t', { maxWaitMs: 50 }))
  await new Promise((resolve) => setTimeout(resolve, 100))
  await bus.admin.deleteTopic('t')
  expect(await failureOf(reading)).toMatchObject({ code: 'UNKNOWN_TOPIC' })
})

test('where nobody listens, connecting fails at once and names the address', async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  expect(await failureOf(connect(`127.0.0.1:${port}`))).toMatchObject({
    code: 'BROKER_UNREACHABLE',
    message: `No broker answers at 127.0.0.1:${port} (connection refused).`,
  })
  expect(await failureOf(connect([`127.0.0.1:${port}`, `127.0.0.1:${port + 1}`]))).toMatchObject({
    code: 'BROKER_UNREACHABLE',
  })
})

test.each([
  ['says nothing', (_: net.Socket) => {}, 'REQUEST_TIMEOUT'],
  [
    'answers with HTTP',
    (socket: net.Socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'PROTOCOL_ERROR',
  ],
  ['hangs up', (socket: net.Socket) => socket.end(), 'CONNECTION_LOST'],
])('a server that %s is not taken for a broker', async (_, behave, code) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => behave(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  expect(await failureOf(connect({ brokers: `127.0.0.1:${port}`, connectTimeoutMs: 300 }))).toMatchObject({
    code,
  })
  await new Promise((resolve) => server.close(resolve))
})

test('the second address is used where the first does not answer', async () => {
  await using session = await startBus()
  await using bus = await connect(['127.0.0.1:1', session.broker.address])
  expect((await bus.admin.describeCluster()).brokers).toHaveLength(1)
})

test('wrong arguments are refused before anything is sent', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer()
  expect(await failureOf(producer.send('t', undefined as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await failureOf(producer.send('t', 'x', { partition: -1 }))).toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
  expect(await failureOf(producer.send('t', 'x', { key: 7 as never }))).toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
  const circular: Record<string, unknown> = {}
  circular.self = circular
  expect(await failureOf(producer.send('t', circular))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(() => bus.producer({ compression: 'rar' as never })).toThrowError("'rar' is not a compression")
  expect(() => bus.producer({ idempotent: true, acks: 1 })).toThrowError("needs acks 'all'")
  expect(() => bus.consumer('t', { from: 1.5 })).toThrowError('not a position')
  expect(() => bus.consumer('t', { limit: 0 })).toThrowError('limit')
  expect(await failureOf(connect('nonsense:port'))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await failureOf(connect([]))).toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('what is used after close says so', async () => {
  const session = await startBus()
  const { bus } = session
  const producer = bus.producer()
  const reading = collect(bus.consumer('t', { signal: new AbortController().signal }))
  await producer.send('t', 'x')
  const failing = failureOf(reading)
  await session[Symbol.asyncDispose]()
  expect(await failing).toMatchObject({ code: 'CLOSED' })
  expect(await failureOf(producer.send('t', 'x'))).toMatchObject({ code: 'CLOSED' })
  expect(await failureOf(collect(bus.consumer('t')))).toMatchObject({ code: 'CLOSED' })
  expect(await failureOf(bus.admin.listTopics())).toMatchObject({ code: 'CLOSED' })
})

test('a consumer that was closed before it was read says so', async () => {
  await using session = await startBus()
  for (const consumer of [session.bus.consumer('t'), session.bus.consumer('t', { group: 'g' })]) {
    await consumer.close()
    expect(await failureOf(consumer.consume(() => {}))).toMatchObject({ code: 'CLOSED' })
    expect(() => consumer[Symbol.asyncIterator]()).toThrow('The consumer was closed.')
  }
})

test('dead letters do not go where they are read from', async () => {
  await using session = await startBus()
  const { bus } = session
  const refused = { code: 'INVALID_ARGUMENT', message: expect.stringContaining("'t' itself") }
  for (const consumer of [bus.consumer(['s', 't']), bus.consumer(['s', 't'], { group: 'g' })]) {
    expect(await failureOf(consumer.consume(() => {}, { deadLetter: 't' }))).toMatchObject(refused)
  }
  const options = { from: ['s', 't'], to: 'u', group: 'g', deadLetter: 't' }
  expect(() => bus.process(options, () => null)).toThrow(expect.objectContaining(refused))
})

test('every error code says what happened and what to do', () => {
  for (const [code, row] of Object.entries(errorTable)) {
    expect(code).toMatch(/^[A-Z_]+$/)
    expect(row.meaning).toMatch(/^[A-Z].*\.$/)
    expect(row.remedy).toMatch(/^[A-Z].*\.$/)
  }
})
