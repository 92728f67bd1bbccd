import {
  type HandleOptions,
  type Message,
  readDeadLetter,
  retryHeaders,
  type StreamBus,
} from '@streambus/client'
import { expect, test } from 'vitest'
import { committed, fill, gate, until } from './handling-setup.ts'
import { collect, failureOf, startBus } from './test-bus.ts'

const soon = {
  retry: { attempts: 3, backoff: { initialMs: 20, maxMs: 60, factor: 3 }, delayTopics: true },
} satisfies HandleOptions
/** The next attempt is not due while the test runs. */
const late = {
  retry: { attempts: 3, backoff: { initialMs: 600_000, maxMs: 600_000 }, delayTopics: true },
} satisfies HandleOptions

const place = ({ topic, partition, offset }: Message) => `${topic}/${partition}:${offset}`

/** Handles until the callback says that it is enough; resolves with what was handled. */
async function consumeUntil(
  bus: StreamBus,
  options: HandleOptions,
  handler: (message: Message, attempt: number) => unknown,
  isEnough: () => boolean,
  consuming: { from?: 'latest' } = {},
): Promise<void> {
  const consumer = bus.consumer('t', { group: 'g', ...consuming })
  const done = consumer.consume((message, { attempt }) => handler(message, attempt), options)
  await Promise.race([until(isEnough), done])
  await consumer.close()
  await done
}

test('a message that fails is handled again later, as it was, and its partition goes on meanwhile', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  await bus.producer().sendBatch('t', [
    { value: 'bad', key: 'k', partition: 1, headers: { own: 'x' }, timestamp: 1_234 },
    { value: 'good', key: 'k', partition: 1 },
  ])
  const handled: string[] = []
  const seen: Message[] = []
  await consumeUntil(
    bus,
    soon,
    (message, attempt) => {
      handled.push(`${message.text()} ${attempt}`)
      if (message.text() !== 'bad') return
      seen.push(message)
      if (attempt < 3) throw new Error('not yet')
    },
    () => handled.length === 4,
  )
  expect(handled[0]).toBe('bad 1')
  expect(handled.filter((one) => one.startsWith('bad'))).toEqual(['bad 1', 'bad 2', 'bad 3'])
  expect(handled).toContain('good 1')
  for (const message of seen) {
    expect(message).toMatchObject({ topic: 't', partition: 1, offset: 0, timestamp: 1_234 })
    expect(message.key?.toString()).toBe('k')
    expect(message.headers.map(({ key, value }) => `${key}=${value}`)).toEqual(['own=x'])
  }
  const topics = await bus.admin.listTopics()
  expect(topics.map(({ name, partitions }) => [name, partitions.length])).toEqual(
    expect.arrayContaining([
      ['t.g.retry.1', 2],
      ['t.g.retry.2', 2],
    ]),
  )
  const [waiting] = await collect(bus.consumer('t.g.retry.2', { until: 'end' }))
  const header = (name: keyof typeof retryHeaders) => waiting?.header(retryHeaders[name])?.toString()
  expect([header('topic'), header('partition'), header('offset')]).toEqual(['t', '1', '0'])
  expect([header('attempts'), header('reason'), header('timestamp')]).toEqual(['2', 'not yet', '1234'])
  const offsets = await committed(bus, 'g')
  expect(offsets).toMatchObject({ 't/1': 2 })
  const total = Object.entries(offsets).filter(([name]) => name.startsWith('t.g.retry.'))
  expect(total.reduce((sum, [, offset]) => sum + offset, 0)).toBe(2)
})

test('in the end a message is set aside with where it came from at first', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('t', 'bad', { headers: { own: 'x' } })
  let attempts = 0
  let isSetAside = false
  const consumer = bus.consumer('t', { group: 'g' })
  const retried: string[] = []
  consumer.on('retrying', ({ message, attempt, delayMs }) =>
    retried.push(`${place(message)} ${attempt} ${delayMs}`),
  )
  consumer.on('deadLettered', ({ message }) => {
    isSetAside = place(message) === 't/0:0'
  })
  const done = consumer.consume(
    () => {
      attempts++
      throw new TypeError('never')
    },
    { ...soon, deadLetter: 'dlq' },
  )
  await Promise.race([until(() => isSetAside), done])
  await consumer.close()
  await done
  expect(attempts).toBe(3)
  expect(retried).toEqual(['t/0:0 1 20', 't/0:0 2 60'])
  const [letter, ...others] = await collect(bus.consumer('dlq', { until: 'end' }))
  expect(others).toEqual([])
  expect(readDeadLetter(letter!)).toMatchObject({
    topic: 't',
    partition: 0,
    offset: 0,
    attempts: 3,
    group: 'g',
  })
  expect(letter?.headers.filter(({ key }) => !key.startsWith('streambus-dlq-'))).toEqual([
    { key: 'own', value: Buffer.from('x') },
  ])
})

test('without a dead letter topic the last attempt stops the consumer', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('t', 'bad')
  const done = bus.consumer('t', { group: 'g' }).consume(() => {
    throw new Error('never')
  }, soon)
  expect(await failureOf(done)).toMatchObject({
    code: 'HANDLER_FAILED',
    message: 'The handler failed with offset 0 of t/0 after 3 attempts: never.',
  })
})

test('what is not due holds up nothing: not the other messages, nor closing, nor memory', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 12 })
  const value = 'x'.repeat(500)
  const bad = Array.from({ length: 60 }, (_, index) => ({
    value,
    key: `bad ${index}`,
    partition: index % 12,
  }))
  await bus.producer().sendBatch('t', bad)
  const consumer = bus.consumer('t', {
    group: 'g',
    maxPartitionBytes: 600,
    prefetchBytes: 600,
    maxWaitMs: 20,
  })
  let handled = 0
  let delayed = 0
  consumer.on('retrying', () => delayed++)
  const done = consumer.consume(
    ({ key }) => {
      if (key !== null) throw new Error('no')
      handled++
    },
    { ...late, concurrency: 2 },
  )
  await Promise.race([until(() => delayed === 60), done])
  const good = Array.from({ length: 60 }, (_, index) => ({ value, partition: index % 12 }))
  await bus.producer().sendBatch('t', good)
  await Promise.race([until(() => handled === 60), done])
  await consumer.close()
  await done
  expect(delayed).toBe(60)
  expect(await committed(bus, 'g')).toMatchObject({ 't/0': 10, 't/5': 10, 't/11': 10 })
})

test('what waits when a consumer ends is handled by the next one, wherever that begins', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 1)
  let isDelayed = false
  // As after a crash, nothing is committed, neither of the topic nor of the delay topics.
  const consumer = bus.consumer('t', { group: 'g', autoCommit: false })
  consumer.on('retrying', () => {
    isDelayed = true
  })
  const done = consumer.consume(() => {
    throw new Error('no')
  }, late)
  await Promise.race([until(() => isDelayed), done])
  await consumer.close()
  await done
  expect(await committed(bus, 'g')).toEqual({})
  // Its longest pause is the bound of every wait.
  const handled: string[] = []
  await consumeUntil(
    bus,
    soon,
    (message, attempt) => handled.push(`${place(message)} ${attempt}`),
    () => handled.length === 1,
    { from: 'latest' },
  )
  expect(handled).toEqual(['t/0:0 2'])
})

test('a partition with messages that wait goes to another member at once', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 3, [null])
  const delayed = new Set<string>()
  const first = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20 })
  first.on('retrying', ({ message }) => delayed.add(place(message)))
  const ofFirst = first.consume(
    () => {
      throw new Error('no')
    },
    { retry: { ...late.retry, attempts: 2 } },
  )
  await Promise.race([until(() => delayed.size === 6), ofFirst])
  const { opened, open } = gate()
  const second = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20 })
  const handled: string[] = []
  second.on('assigned', ({ partitions }) => {
    if (partitions.some(({ topic }) => topic === 't.g.retry.1')) open()
  })
  const ofSecond = second.consume((message, { attempt }) => handled.push(`${place(message)} ${attempt}`), {
    retry: { ...soon.retry, attempts: 2 },
  })
  await Promise.race([opened, ofSecond])
  // What the first one has is still not due there; when it leaves, the second one has all of it.
  await first.close()
  await Promise.race([until(() => handled.length >= 6), ofSecond])
  await second.close()
  await Promise.all([ofFirst, ofSecond])
  expect(handled.sort()).toEqual([...delayed].map((one) => `${one} 2`).sort())
})

test('a message that cannot be put where it waits stops the consumer, and comes again', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 1)
  const small = { ...soon.retry, delayTopics: { configs: { 'max.message.bytes': '60' } } }
  const done = bus.consumer('t', { group: 'g' }).consume(
    () => {
      throw new Error('no')
    },
    { retry: small },
  )
  expect(await failureOf(done)).toMatchObject({ code: 'RETRY_FAILED', cause: { code: 'MESSAGE_TOO_LARGE' } })
  expect(await committed(bus, 'g')).toMatchObject({ 't/0': 0 })
})

test('delay topics that cannot be are refused at once', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('t', 'x')
  const consume = (consumer: { consume(handler: () => void, options: HandleOptions): Promise<void> }) =>
    failureOf(consumer.consume(() => {}, soon))
  for (const consumer of [
    bus.consumer('t'),
    bus.consumer('t', { group: 'g', limit: 1 }),
    bus.consumer('t', { group: 'g', until: 'end' }),
    bus.consumer('t', { group: 'a group' }),
  ]) {
    expect(await consume(consumer)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  }
  const many = { attempts: 100, backoff: { initialMs: 1, maxMs: 1e6, factor: 1.1 }, delayTopics: true }
  expect(await failureOf(bus.consumer('t', { group: 'g' }).consume(() => {}, { retry: many }))).toMatchObject(
    { code: 'INVALID_ARGUMENT', message: expect.stringContaining('at most 16') },
  )
})
