import { type ConsumerEvents, type HandlerContext, readDeadLetter, type Stall } from '@streambus/client'
import { expect, test } from 'vitest'
import { committed, fill, until } from './handling-setup.ts'
import { collect, failureOf, startBus, startFlakyBus } from './test-bus.ts'

test('a handler that fails is tried again, in place, and what comes after it waits', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 3)
  const calls: string[] = []
  const retrying: [number, number, string][] = []
  const consumer = bus.consumer('t', { group: 'g', until: 'end' })
  consumer.on('retrying', ({ message, attempt, error }) =>
    retrying.push([message.offset, attempt, (error as Error).message]),
  )
  await consumer.consume(
    ({ partition, offset }, { attempt }) => {
      if (partition === 0) calls.push(`${offset} attempt ${attempt}`)
      if (partition === 0 && offset === 1 && attempt < 3) throw new Error('not yet')
    },
    { concurrency: 2, retry: { attempts: 3, backoff: { initialMs: 1, maxMs: 2 } } },
  )
  expect(calls).toEqual(['0 attempt 1', '1 attempt 1', '1 attempt 2', '1 attempt 3', '2 attempt 1'])
  expect(retrying).toEqual([
    [1, 1, 'not yet'],
    [1, 2, 'not yet'],
  ])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 3, 't/1': 3 })
})

test('a partition that is stuck in its retries does not hold up the others, however much it has to read', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 3 })
  const value = 'x'.repeat(1_000)
  const producer = bus.producer({ maxBatchBytes: 10_000 })
  await producer.sendBatch(
    't',
    Array.from({ length: 3_000 }, (_, index) => ({ value, partition: index % 3 })),
  )
  const sizes = { maxPartitionBytes: 10_000, maxBytes: 20_000, prefetchBytes: 40_000 }
  const consumer = bus.consumer('t', { group: 'g', ...sizes })
  const handled = [0, 0, 0]
  const done = consumer.consume(
    ({ partition }) => {
      if (partition === 0) throw new Error('not yet')
      handled[partition]!++
    },
    { concurrency: 2, retry: { attempts: 2, backoff: { initialMs: 1e9, maxMs: 1e9 } } },
  )
  await until(() => handled[1] === 1_000 && handled[2] === 1_000)
  await consumer.close()
  await done
  expect(await committed(bus, 'g')).toEqual({ 't/0': 0, 't/1': 1_000, 't/2': 1_000 })
})

test('without a dead letter topic the error stops the consumer, and the message comes again', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 3)
  const cause = new TypeError('cannot be handled.')
  let attempts = 0
  const failing = bus.consumer('t', { group: 'g' }).consume(
    ({ offset }) => {
      if (offset !== 1) return
      attempts++
      throw cause
    },
    { retry: { attempts: 2, backoff: { initialMs: 1 } } },
  )
  expect(await failureOf(failing)).toMatchObject({
    code: 'HANDLER_FAILED',
    message: 'The handler failed with offset 1 of t/0 after 2 attempts: cannot be handled.',
    cause,
  })
  expect(attempts).toBe(2)
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
  const plain = bus.consumer('t').consume(async () => {
    throw cause
  })
  expect(await failureOf(plain)).toMatchObject({
    code: 'HANDLER_FAILED',
    message: 'The handler failed with offset 0 of t/0: cannot be handled.',
    cause,
  })
})

test('what `retryIf` says is not worth another attempt gets none', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 1)
  let calls = 0
  const failing = session.bus.consumer('t').consume(
    () => {
      calls++
      throw new RangeError('for good')
    },
    { retry: { retryIf: (error) => !(error instanceof RangeError) } },
  )
  expect(await failureOf(failing)).toMatchObject({ code: 'HANDLER_FAILED' })
  expect(calls).toBe(1)
})

test('a dead letter has key, value and headers as they were, and says why and where from', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('orders', { partitions: 2 })
  const binary = Uint8Array.of(0xff, 0, 0xfe, 0x80)
  const headers = [
    { key: 'trace', value: binary },
    { key: 'trace', value: 'again' },
    { key: 'none', value: null },
  ]
  const sent = { key: binary, headers, partition: 1, timestamp: 1_700_000_000_000 }
  await bus.producer().send('orders', binary, sent)
  await bus.producer().send('orders', null, { partition: 1 })
  const error = new TypeError('no such customer: ä'.padEnd(2_000, 'ö'))
  error.stack = `TypeError\n${'x'.repeat(10_000)}`
  const told: ConsumerEvents['deadLettered'][] = []
  const consumer = bus.consumer('orders', { group: 'billing', until: 'end' })
  consumer.on('deadLettered', (event) => told.push(event))
  const options = {
    retry: { attempts: 2, backoff: { initialMs: 1 } },
    deadLetter: { topic: 'orders.dlq', maxStackBytes: 100 },
  }
  await consumer.consume(() => Promise.reject(error), options)
  expect(await committed(bus, 'billing')).toEqual({ 'orders/0': 0, 'orders/1': 2 })
  const [letter, tombstone] = await collect(bus.consumer('orders.dlq', { until: 'end' }))
  expect(letter!.key).toEqual(Buffer.from(binary))
  expect(letter!.value).toEqual(Buffer.from(binary))
  expect(letter!.headers.slice(0, 3)).toEqual([
    { key: 'trace', value: Buffer.from(binary) },
    { key: 'trace', value: Buffer.from('again') },
    { key: 'none', value: null },
  ])
  expect(letter!.headers.slice(3).every(({ key }) => key.startsWith('streambus-dlq-'))).toBe(true)
  const read = readDeadLetter(letter!)!
  expect(read).toMatchObject({
    error: 'TypeError',
    topic: 'orders',
    partition: 1,
    offset: 0,
    timestamp: 1_700_000_000_000,
    group: 'billing',
    attempts: 2,
  })
  expect(read.reason).toBe(error.message.slice(0, read.reason.length))
  expect(Buffer.byteLength(read.reason)).toBeLessThanOrEqual(1_024)
  expect(Buffer.byteLength(read.reason)).toBeGreaterThan(1_020)
  expect(read.stack).toBe(error.stack.slice(0, 100))
  expect(read.time).toBe(Number(letter!.header('streambus-dlq-time')))
  expect(tombstone).toMatchObject({ key: null, value: null })
  expect(
    told.map(({ message, attempts, deadLetter }) => [message.offset, attempts, deadLetter.offset]),
  ).toEqual([
    [0, 2, 0],
    [1, 2, 1],
  ])
})

test('a dead letter that cannot be published stops the consumer, and its message does not count', async () => {
  await using session = await startBus({ autoCreateTopics: false }, { retryTimeoutMs: 300 })
  const { bus } = session
  await fill(bus, 't', 1, 1)
  const failing = bus.consumer('t', { group: 'g' }).consume(
    () => {
      throw new Error('poison')
    },
    { deadLetter: 'missing' },
  )
  const failure = await failureOf(failing)
  expect(failure).toMatchObject({
    code: 'DEAD_LETTER_FAILED',
    cause: { code: 'UNKNOWN_TOPIC' },
  })
  expect(failure.message).toContain('offset 0 of t/0 (poison)')
  expect((await committed(bus, 'g'))['t/0'] ?? 0).toBe(0)
})

test('a handler past its time is told of, has its signal fired, and its attempt has failed', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 2)
  const events: string[] = []
  const reasons: unknown[] = []
  const consumer = bus.consumer('t', { limit: 2 })
  const name = (stall: Stall) =>
    stall.cause === 'handler' ? `${stall.message.offset} attempt ${stall.attempt}` : stall.cause
  consumer.on('stalled', (stall) => events.push(`stalled: ${name(stall)}`))
  consumer.on('recovered', (stall) => events.push(`recovered: ${name(stall)}`))
  consumer.on('retrying', ({ error }) => events.push((error as { code: string }).code))
  await consumer.consume(
    async ({ offset }, { attempt, signal }) => {
      if (offset > 0 || attempt > 1) return
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      reasons.push(signal.reason.code)
    },
    { handlerTimeoutMs: 60, stalledAfterMs: 20, retry: { attempts: 2, backoff: { initialMs: 1 } } },
  )
  expect(events).toEqual(['stalled: 0 attempt 1', 'recovered: 0 attempt 1', 'HANDLER_TIMEOUT'])
  expect(reasons).toEqual(['HANDLER_TIMEOUT'])
  const failing = bus.consumer('t').consume(() => new Promise(() => {}), { handlerTimeoutMs: 10 })
  expect(await failureOf(failing)).toMatchObject({
    code: 'HANDLER_FAILED',
    cause: {
      code: 'HANDLER_TIMEOUT',
      message: 'The handler took longer than 10 ms for offset 0 of t/0 (attempt 1).',
    },
  })
})

test('close() tells the handlers that run and waits for them; what they finish is committed', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 5)
  const contexts: HandlerContext[] = []
  const consumer = bus.consumer('t', { group: 'g' })
  const done = consumer.consume(
    async ({ partition }, context) => {
      contexts.push(context)
      await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
      if (partition === 1) throw new Error('stopped in the middle')
    },
    { concurrency: 2, retry: {}, deadLetter: 'unused' },
  )
  await until(() => contexts.length === 2)
  await consumer.close()
  await done
  expect(contexts).toHaveLength(2)
  expect(contexts.every(({ signal }) => signal.aborted && signal.reason.code === 'CLOSED')).toBe(true)
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1, 't/1': 0 })
  expect((await bus.admin.listTopics()).map(({ name }) => name)).not.toContain('unused')
})

test.each([undefined, 'g'])(
  'close() gives up a handler that does not end within closeTimeoutMs (group: %s)',
  async (group) => {
    const warnings: string[] = []
    const logger = { debug: () => {}, warn: (text: string) => warnings.push(text) }
    await using session = await startBus({}, { logger })
    const { bus } = session
    await fill(bus, 't', 1, 2)
    const consumer = group === undefined ? bus.consumer('t') : bus.consumer('t', { group })
    let started = false
    const done = consumer.consume(
      () => {
        started = true
        return new Promise(() => {})
      },
      { closeTimeoutMs: 20 },
    )
    await until(() => started)
    await consumer.close()
    await done
    expect(warnings.at(-1)).toContain('still running 20 ms after the consumer was closed')
    expect(warnings.at(-1)).toContain('offset 0 of t/0')
    if (group !== undefined) expect(await committed(bus, group)).toEqual({ 't/0': 0 })
  },
)

test('close() ends the pause before another attempt', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 1)
  const consumer = bus.consumer('t', { group: 'g' })
  const retrying = new Promise((resolve) => consumer.on('retrying', resolve))
  const done = consumer.consume(() => Promise.reject(new Error('later')), {
    retry: { backoff: { initialMs: 1e9, maxMs: 1e9 } },
  })
  await retrying
  await bus.close()
  await done
})

test('a signal ends the handling with ABORTED, and `limit` after so many messages', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 3, 20)
  let handled = 0
  await bus.consumer('t', { group: 'g', limit: 7 }).consume(async () => void handled++, { concurrency: 3 })
  expect(handled).toBe(7)
  const sum = Object.values(await committed(bus, 'g')).reduce((total, one) => total + one, 0)
  expect(sum).toBe(7)
  for (const group of [undefined, 'g']) {
    const abort = new AbortController()
    const options = { signal: abort.signal }
    const consumer =
      group === undefined ? bus.consumer('t', options) : bus.consumer('t', { group, ...options })
    const failing = consumer.consume(() => abort.abort(new Error('enough')))
    expect(await failureOf(failing)).toMatchObject({ code: 'ABORTED' })
  }
})

test('a coordinator that is out of reach is a stall that is told of, and so is its return', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy } = session
  await fill(bus, 't', 1, 1)
  const events: string[] = []
  const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20 })
  consumer.on('stalled', (stall) => {
    if (stall.cause !== 'handler') events.push(`stalled: ${stall.cause} ${stall.error.code}`)
  })
  consumer.on('recovered', ({ cause }) => events.push(`recovered: ${cause}`))
  let handled = 0
  const done = consumer.consume(() => void handled++)
  await until(() => handled === 1)
  proxy.refusing = true
  proxy.cut()
  await until(() => events.length === 2)
  expect(events.sort()).toEqual([
    expect.stringMatching(/^stalled: coordinator (CONNECTION_LOST|BROKER_UNREACHABLE)$/),
    expect.stringMatching(/^stalled: partition (CONNECTION_LOST|BROKER_UNREACHABLE)$/),
  ])
  proxy.refusing = false
  await until(() => events.length === 4)
  expect(events.slice(2).sort()).toEqual(['recovered: coordinator', 'recovered: partition'])
  await consumer.close()
  await done
})

test('what cannot be is refused with what to do', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 1)
  const consumer = bus.consumer('t', { until: 'end' })
  const cases: [object, string][] = [
    [{ concurrency: 0 }, 'concurrency must be a whole number above 0, not 0.'],
    [{ order: 'topic' }, "order must be 'partition' or 'key', not 'topic'."],
    [{ retry: { attempts: 1.5 } }, 'retry.attempts must be a whole number above 0, not 1.5.'],
    [{ retry: { backoff: { factor: 0 } } }, 'retry.backoff.factor must be at least 1, and is 0.'],
    [{ deadLetter: '' }, 'deadLetter must be the name of a topic.'],
    [{ handlerTimeoutMs: -1 }, 'handlerTimeoutMs must be a number above 0, not -1.'],
  ]
  for (const [options, message] of cases) {
    expect(await failureOf(consumer.consume(() => {}, options))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message,
    })
  }
  expect(await failureOf(consumer.consume(undefined as never))).toMatchObject({
    message: 'The handler must be a function, not undefined.',
  })
  await consumer.consume(() => {})
  expect(await failureOf(consumer.consume(() => {}))).toMatchObject({ code: 'INVALID_ARGUMENT' })
})
