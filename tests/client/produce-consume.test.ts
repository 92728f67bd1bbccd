import { expect, test } from 'vitest'
import { collect, failureOf, startBus } from './test-bus.ts'

test('strings, bytes, JSON and tombstones arrive as they were sent, with key, headers and timestamp', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer()
  const binary = Uint8Array.of(0, 255, 128, 10)
  await producer.send('t', 'text', { key: 'k', headers: { a: '1', b: null, c: binary }, timestamp: 1_000 })
  await producer.send('t', binary, { key: binary })
  await producer.send('t', { id: 42 })
  await producer.send('t', null, {
    key: 'gone',
    headers: [
      { key: 'twice', value: '1' },
      { key: 'twice', value: '2' },
    ],
  })
  const [text, bytes, json, tombstone] = await collect(bus.consumer('t', { until: 'end' }))
  expect(text).toMatchObject({ topic: 't', partition: 0, offset: 0, timestamp: 1_000 })
  expect(text!.text()).toBe('text')
  expect(text!.key!.toString()).toBe('k')
  expect(text!.headers.map(({ key, value }) => [key, value && [...value]])).toEqual([
    ['a', [0x31]],
    ['b', null],
    ['c', [...binary]],
  ])
  expect([...bytes!.value!]).toEqual([...binary])
  expect([...bytes!.key!]).toEqual([...binary])
  expect(json!.json()).toEqual({ id: 42 })
  expect(json!.key).toBeNull()
  expect(tombstone!.value).toBeNull()
  expect(tombstone!.text()).toBeNull()
  expect(tombstone!.header('twice')!.toString()).toBe('2')
  expect(tombstone!.header('none')).toBeUndefined()
})

test('send tells topic, partition, offset and timestamp, and offsets count up', async () => {
  await using session = await startBus()
  const producer = session.bus.producer()
  for (let offset = 0; offset < 3; offset++) {
    expect(await producer.send('t', 'x', { timestamp: new Date(5_000) })).toEqual({
      topic: 't',
      partition: 0,
      offset,
      timestamp: 5_000,
    })
  }
})

test('sends made at the same time share batches and keep their order', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer()
  await producer.send('t', 'first')
  const sent = await Promise.all(
    Array.from({ length: 5_000 }, (_, index) => producer.send('t', String(index))),
  )
  expect(sent.map(({ offset }) => offset)).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1))
  const sizes: number[] = []
  const values: string[] = []
  for await (const { messages } of bus.consumer('t', { from: 1, until: 'end' }).batches()) {
    sizes.push(messages.length)
    for (const message of messages) values.push(message.text()!)
  }
  expect(values).toEqual(Array.from({ length: 5_000 }, (_, index) => String(index)))
  expect(sizes.length).toBeLessThan(50)
})

test('a linger fills one batch from sends of several turns', async () => {
  await using session = await startBus()
  const producer = session.bus.producer({ lingerMs: 60_000 })
  const sending: Promise<unknown>[] = []
  for (let turn = 0; turn < 5; turn++) {
    sending.push(producer.send('t', String(turn)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await producer.flush()
  await Promise.all(sending)
  const sizes: number[] = []
  for await (const { messages } of session.bus.consumer('t', { until: 'end' }).batches())
    sizes.push(messages.length)
  expect(sizes).toEqual([5])
})

test('messages with a key go where the Java client sends them, those without are spread', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 4 })
  const producer = bus.producer({ maxBatchBytes: 100 })
  // (murmur2(key) & 0x7fffffff) % 4 with murmur2 as in the tests of Apache Kafka.
  expect((await producer.send('t', 'x', { key: '21' })).partition).toBe((-973932308 & 0x7fffffff) % 4)
  expect((await producer.send('t', 'x', { key: 'foobar' })).partition).toBe((-790332482 & 0x7fffffff) % 4)
  const sent = await Promise.all(Array.from({ length: 200 }, () => producer.send('t', 'x'.repeat(50))))
  expect(new Set(sent.map(({ partition }) => partition)).size).toBe(4)
  expect((await producer.send('t', 'x', { partition: 3 })).partition).toBe(3)
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('%s batches can be read back', async (compression) => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer({ compression })
  const values = Array.from({ length: 500 }, (_, index) => `value ${index} ${'abc'.repeat(20)}`)
  await producer.sendBatch(
    't',
    values.map((value) => ({ value, key: value })),
  )
  const read = await collect(bus.consumer('t', { until: 'end' }))
  expect(read.map((message) => message.text())).toEqual(values)
  const [described] = (await bus.admin.describeTopic('t')).partitions
  expect(described!.sizeBytes).toBeLessThan(values.join('').length)
})

test('a batch the topic does not take whole is split, and a single message that is too large is refused', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { configs: { 'max.message.bytes': '1000' } })
  const producer = bus.producer()
  const values = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(200, '.'))
  const sent = await producer.sendBatch(
    't',
    values.map((value) => ({ value })),
  )
  expect(sent.map(({ offset }) => offset)).toEqual(values.map((_, index) => index))
  expect(await failureOf(producer.send('t', 'x'.repeat(2_000)))).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  expect((await producer.send('t', 'after')).offset).toBe(40)
  const read = await collect(bus.consumer('t', { until: 'end' }))
  expect(read.map((message) => message.text())).toEqual([...values, 'after'])
})

test('acks 1 and 0 work too; without acknowledgement there is no offset', async () => {
  await using session = await startBus()
  const { bus } = session
  expect((await bus.producer({ acks: 1 }).send('t', 'one')).offset).toBe(0)
  expect((await bus.producer({ acks: 0 }).send('t', 'two')).offset).toBe(-1)
  const read = await collect(bus.consumer('t', { limit: 2 }))
  expect(read.map((message) => message.text())).toEqual(['one', 'two'])
})

test('reading starts at the beginning, the end, an offset, before the end, or a time, and stops where it should', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  const producer = bus.producer()
  for (let index = 0; index < 10; index++) {
    await producer.send('t', String(index), { partition: index % 2, timestamp: 1_000 * index })
  }
  const read = async (options: Parameters<typeof bus.consumer>[1]) =>
    (await collect(bus.consumer('t', { until: 'end', ...options }))).map((message) => message.text()).sort()
  expect(await read({})).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  expect(await read({ partitions: [1] })).toEqual(['1', '3', '5', '7', '9'])
  expect(await read({ from: 3 })).toEqual(['6', '7', '8', '9'])
  expect(await read({ from: -1 })).toEqual(['8', '9'])
  expect(await read({ from: -100 })).toHaveLength(10)
  expect(await read({ from: new Date(6_000) })).toEqual(['6', '7', '8', '9'])
  expect(await read({ from: new Date(6_500) })).toEqual(['7', '8', '9'])
  expect(await read({ from: new Date(1e12) })).toEqual([])
  expect(await read({ from: 'latest' })).toEqual([])
  expect(await read({ limit: 3, partitions: [0] })).toEqual(['0', '2', '4'])

  const fromNow = collect(bus.consumer('t', { from: 'latest', partitions: [0], limit: 1 }))
  let sent = false
  while (!sent) {
    // The consumer looks up the end at its own pace: messages are sent until it has seen one.
    await producer.send('t', 'new', { partition: 0 })
    sent = await Promise.race([
      fromNow.then(() => true),
      new Promise<false>((done) => setTimeout(done, 20, false)),
    ])
  }
  expect((await fromNow).map((message) => message.text())).toEqual(['new'])
})

test('several topics can be read by one consumer', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer()
  await producer.send('a', '1')
  await producer.send('b', '2')
  const read = await collect(bus.consumer(['a', 'b'], { until: 'end' }))
  expect(read.map(({ topic }) => topic).sort()).toEqual(['a', 'b'])
})

test('a message larger than a fetch is read nevertheless', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('t', Buffer.alloc(900_000, 7))
  const [message] = await collect(
    bus.consumer('t', { until: 'end', maxPartitionBytes: 1_000, maxBytes: 1_000 }),
  )
  expect(message!.value!.equals(Buffer.alloc(900_000, 7))).toBe(true)
})

test('reading ahead is bounded and resumes as messages are taken', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer({ maxBatchBytes: 10_000 })
  const values = Array.from({ length: 3_000 }, (_, index) => `${index}`.padEnd(100, '.'))
  await producer.sendBatch(
    't',
    values.map((value) => ({ value })),
  )
  const consumer = bus.consumer('t', { until: 'end', prefetchBytes: 20_000, maxBytes: 10_000 })
  const read = await collect(consumer)
  expect(read.map((message) => message.text())).toEqual(values)
})

test('leaving the loop closes the consumer, and a second iteration is refused', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: '1' }, { value: '2' }])
  const consumer = bus.consumer('t')
  for await (const message of consumer) {
    expect(message.text()).toBe('1')
    break
  }
  expect(() => consumer[Symbol.asyncIterator]()).toThrowError('iterated once')
})

test('close ends a consumer that waits, and an abort makes it throw', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  const consumer = bus.consumer('t')
  const reading = collect(consumer)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await consumer.close()
  expect(await reading).toEqual([])

  const aborter = new AbortController()
  const aborted = collect(bus.consumer('t', { signal: aborter.signal }))
  setTimeout(() => aborter.abort(), 50)
  expect(await failureOf(aborted)).toMatchObject({ code: 'ABORTED' })
})
