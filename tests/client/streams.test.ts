/** Consumers as readable streams, producers as writable ones: Web streams and those of Node. */
import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ReadableStream, TransformStream } from 'node:stream/web'
import type { Message, OutgoingMessage, StreamBus } from '@streambus/client'
import { eventually } from 'streambus/testing'
import { expect, test } from 'vitest'
import { committed, fill } from './handling-setup.ts'
import { collect, failureOf, startBus } from './test-bus.ts'

const texts = (messages: readonly Message[]) => messages.map((message) => message.text())
const expected = Array.from({ length: 500 }, (_, index) => `v${index}!`)

async function fillIn(bus: StreamBus): Promise<void> {
  await fill(bus, 'in', 1, 500)
  await bus.admin.createTopic('out', { partitions: 1 })
}

const exclaim = (message: Message): OutgoingMessage => ({ key: message.key, value: `${message.text()}!` })

test('a Web stream of a consumer, through a transformation, into a producer', async () => {
  await using session = await startBus()
  const { bus } = session
  await fillIn(bus)
  const consumer = bus.consumer('in', { group: 'g', until: 'end' })
  await ReadableStream.from(consumer)
    .pipeThrough(
      new TransformStream<Message, OutgoingMessage>({
        transform: (message, controller) => controller.enqueue(exclaim(message)),
      }),
    )
    .pipeTo(bus.producer().writable('out'))
  // The sink has waited for the acknowledgements.
  expect(texts(await collect(bus.consumer('out', { until: 'end' })))).toEqual(expected)
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
})

test('a pipeline of Node streams, with offsets that are committed behind it', async () => {
  await using session = await startBus()
  const { bus } = session
  await fillIn(bus)
  const consumer = bus.consumer('in', { group: 'g', until: 'end', autoCommit: false })
  await pipeline(
    Readable.from(consumer),
    new Transform({
      objectMode: true,
      transform: (message: Message, _, done) => done(null, exclaim(message)),
    }),
    Writable.fromWeb(bus.producer().writable('out'), { objectMode: true }),
  )
  expect(texts(await collect(bus.consumer('out', { until: 'end' })))).toEqual(expected)
  expect(await committed(bus, 'g')).toEqual({})
})

test.each<[string, (messages: AsyncIterable<Message>) => AsyncIterable<Message>, number]>([
  ['a Web stream', (messages) => ReadableStream.from(messages), 0],
  ['a Node stream', (messages) => Readable.from(messages), 1],
])(
  '%s asks for no more than it is asked for, and leaves the group when it is left',
  async (_, from, ahead) => {
    await using session = await startBus()
    const { bus } = session
    await fill(bus, 'in', 1, 500)
    const consumer = bus.consumer('in', { group: 'g' })
    const stream = from(consumer)
    let count = 0
    for await (const message of stream) {
      expect(message.offset).toBe(count)
      if (++count < 10) continue
      // Time to ask for more than it should.
      await new Promise((resolve) => setTimeout(resolve, 100))
      const [lag] = await consumer.lag()
      expect(lag!.position - message.offset).toBeLessThanOrEqual(ahead)
      break
    }
    // A loop over a Node stream does not wait until it is closed.
    await eventually(async () => (await bus.admin.describeGroup('g')).members.length === 0)
    // The message in hand does not count, as in a loop over the consumer itself.
    expect((await committed(bus, 'g'))['in/0']).toBe(9 + ahead)
  },
)

test('cancelling a stream that waits for messages leaves the group', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('in', { partitions: 1 })
  const web = ReadableStream.from(bus.consumer('in', { group: 'g' }))
  const reader = web.getReader()
  const waiting = reader.read()
  while ((await bus.admin.listGroups()).length === 0);
  await reader.cancel()
  expect(await waiting).toMatchObject({ done: true })
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
  const node = Readable.from(bus.consumer('in', { group: 'h' }))
  node.resume()
  while ((await bus.admin.listGroups()).length === 1);
  const closed = new Promise((resolve) => node.once('close', resolve))
  node.destroy()
  await closed
  expect((await bus.admin.describeGroup('h')).members).toEqual([])
})

test('what ends a consumer is the error of its stream', async () => {
  await using session = await startBus()
  const { bus } = session
  const missing = { code: 'UNKNOWN_TOPIC' }
  const web = ReadableStream.from(bus.consumer('missing'))
  expect(await failureOf(web.getReader().read())).toMatchObject(missing)
  const node = Readable.from(bus.consumer('missing'))
  expect(await failureOf(node.toArray())).toMatchObject(missing)
})

test('a message that cannot be sent fails the sink, and what feeds it is cancelled', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 500)
  await bus.admin.createTopic('out', { partitions: 1, configs: { 'max.message.bytes': '300' } })
  const consumer = bus.consumer('in', { group: 'g' })
  const large = new TransformStream<Message, OutgoingMessage>({
    transform: ({ offset }, controller) =>
      controller.enqueue({ value: 'x'.repeat(offset === 20 ? 1_000 : 1) }),
  })
  const piped = ReadableStream.from(consumer).pipeThrough(large).pipeTo(bus.producer().writable('out'))
  expect(await failureOf(piped)).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  await consumer.close()
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
})

test('a sink waits for room: what it holds stays within the bounds of its producer', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('out', { partitions: 1 })
  await using producer = bus.producer({ maxBufferedBytes: 20_000 })
  const writer = producer.writable('out').getWriter()
  let most = 0
  for (let index = 0; index < 2_000; index++) {
    await writer.ready
    void writer.write({ value: Buffer.alloc(1_000) })
    most = Math.max(most, producer.bufferedBytes)
  }
  await writer.close()
  expect(most).toBeLessThanOrEqual(25_000)
  expect(await collect(bus.consumer('out', { until: 'end' }))).toHaveLength(2_000)
})

test('commit(message) commits its partition up to it, whatever else was given out', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 2, 10)
  const consumer = bus.consumer('in', { group: 'g', autoCommit: false })
  const given: Message[] = []
  for await (const message of consumer) {
    given.push(message)
    if (given.length === 20) break
    if (given.length !== 15) continue
    const third = given.filter(({ partition }) => partition === 1)[2]!
    await consumer.commit(third)
    expect(await committed(bus, 'g')).toEqual({ 'in/1': 3 })
    // Not given out yet.
    const ahead = { topic: 'in', partition: 0, offset: 99 }
    expect(await failureOf(consumer.commit(ahead))).toMatchObject({ code: 'PARTITIONS_LOST' })
  }
  expect(await committed(bus, 'g')).toEqual({ 'in/1': 3 })
  expect(await failureOf(consumer.commit(given[0]))).toMatchObject({ code: 'PARTITIONS_LOST' })
  const handled = bus.consumer('in', { group: 'h', autoCommit: false, limit: 4 })
  await handled.consume(async (message) => {
    if (message.offset === 1) await handled.commit(message)
  })
  expect(Object.values(await committed(bus, 'h'))).toContain(2)
})
