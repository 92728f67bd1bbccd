import { type ProcessOptions, readDeadLetter, type StreamBus } from '@streambus/client'
import { expect, test } from 'vitest'
import { committed, fill } from './handling-setup.ts'
import { collect, failureOf, startBus } from './test-bus.ts'

const options = {
  from: 'in',
  to: 'out',
  group: 'g',
  until: 'end',
  retry: { attempts: 3, backoff: { initialMs: 1, maxMs: 5 } },
} satisfies ProcessOptions

async function textsOf(bus: StreamBus, topic: string, isolation?: 'read_uncommitted'): Promise<string[]> {
  const consumer = bus.consumer(topic, { until: 'end', ...(isolation === undefined ? {} : { isolation }) })
  return (await collect(consumer)).map((message) => message.text() as string)
}

test('a message the handler fails with is tried again, and its partition stays in order', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 2, 4)
  const attempts: string[] = []
  const worker = bus.process(options, (message) => {
    const place = `${message.partition}:${message.offset}`
    attempts.push(place)
    const tried = attempts.filter((one) => one === place).length
    if (place === '0:1' && tried < 3) throw new Error('not yet')
    return { value: place, partition: 0 }
  })
  await worker.finished
  const out = await textsOf(bus, 'out')
  expect(out).toHaveLength(8)
  for (const partition of [0, 1]) {
    const places = out.filter((place) => place.startsWith(`${partition}:`))
    expect(places).toEqual([0, 1, 2, 3].map((offset) => `${partition}:${offset}`))
  }
  expect(attempts.filter((place) => place === '0:1')).toHaveLength(3)
  expect(attempts).toHaveLength(10)
  expect(worker.processed).toBe(8)
  expect(worker.transactionsAborted).toBe(0)
  expect(await committed(bus, 'g')).toEqual({ 'in/0': 4, 'in/1': 4 })
  expect(bus.metrics().topics.in).toMatchObject({ handledMessages: 8, failedAttempts: 2 })
})

test('nothing counts that an attempt sent before it failed', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 3)
  let tries = 0
  let late: Promise<unknown> | undefined
  const worker = bus.process(options, async ({ offset }, tx) => {
    const sent = tx.send('out', `first ${offset}`)
    if (offset === 1 && ++tries < 3) {
      late = new Promise((resolve) => setTimeout(resolve, 1)).then(() => tx.send('out', 'late'))
      late.catch(() => {})
      throw new Error('not yet')
    }
    await sent
    return { value: `second ${offset}` }
  })
  await worker.finished
  expect((await textsOf(bus, 'out')).sort()).toEqual(
    [0, 1, 2].flatMap((offset) => [`first ${offset}`, `second ${offset}`]).sort(),
  )
  expect(worker.transactionsAborted).toBe(2)
  expect(await failureOf(late as Promise<unknown>)).toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('after the last attempt a message is set aside in the transaction that commits its offset', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 3)
  let isAborted = false
  const lasting = { ...options, maxTransactionMs: 5_000, deadLetter: 'dlq' }
  const worker = bus.process(lasting, async ({ offset }, tx) => {
    if (offset === 1) throw new RangeError('never')
    if (offset === 2 && !isAborted) {
      // What was set aside before goes with this transaction, and is set aside again.
      isAborted = true
      await tx.send('out', 'in vain')
      throw new Error('once')
    }
    return { value: `${offset}` }
  })
  await worker.finished
  expect(await textsOf(bus, 'out')).toEqual(['0', '2'])
  expect(await textsOf(bus, 'dlq')).toEqual(['v1'])
  expect(await textsOf(bus, 'dlq', 'read_uncommitted')).toEqual(['v1', 'v1'])
  const [letter] = await collect(bus.consumer('dlq', { until: 'end' }))
  expect(readDeadLetter(letter!)).toMatchObject({
    reason: 'never',
    error: 'RangeError',
    topic: 'in',
    partition: 0,
    offset: 1,
    group: 'g',
    attempts: 3,
  })
  expect(await committed(bus, 'g')).toEqual({ 'in/0': 3 })
  expect(bus.metrics().topics.in).toMatchObject({ deadLetteredMessages: 1 })
})

test('an attempt that sent something and was the last is aborted, and its message set aside', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 3)
  let tries = 0
  const worker = bus.process({ ...options, deadLetter: 'dlq' }, async ({ offset }, tx) => {
    await tx.send('out', `${offset}`)
    if (offset !== 1) return
    tries++
    throw new Error('never')
  })
  await worker.finished
  expect(tries).toBe(3)
  expect(await textsOf(bus, 'out')).toEqual(['0', '2'])
  expect(await textsOf(bus, 'dlq')).toEqual(['v1'])
})

test('without a dead letter topic the worker stops with what the handler threw last', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 2)
  let tries = 0
  const worker = bus.process(options, () => {
    throw new Error(`attempt ${++tries}`)
  })
  expect(await failureOf(worker.finished)).toMatchObject({ message: 'attempt 3' })
  expect(await textsOf(bus, 'in')).toHaveLength(2)
  expect(await committed(bus, 'g')).toEqual({})

  const picky = bus.process({ ...options, retry: { ...options.retry, retryIf: () => false } }, () => {
    throw new Error(`attempt ${++tries}`)
  })
  expect(await failureOf(picky.finished)).toMatchObject({ message: 'attempt 4' })
})

test('a dead letter that cannot be published stops the worker with the reason', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 1)
  await bus.admin.createTopic('dlq', { configs: { 'max.message.bytes': '100' } })
  const worker = bus.process({ ...options, deadLetter: 'dlq' }, () => {
    throw new Error('never')
  })
  expect(await failureOf(worker.finished)).toMatchObject({
    code: 'DEAD_LETTER_FAILED',
    cause: { code: 'MESSAGE_TOO_LARGE' },
  })
  expect(await committed(bus, 'g')).toEqual({})
})

test('a worker that is closed while a message waits for its next attempt leaves it to the next one', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 'in', 1, 2)
  let failed = () => {}
  const hasFailed = new Promise<void>((resolve) => {
    failed = resolve
  })
  const { until: _, ...lasting } = options
  const patient = { ...lasting, retry: { attempts: 2, backoff: { initialMs: 600_000, maxMs: 600_000 } } }
  const worker = bus.process(patient, ({ offset }) => {
    if (offset === 0) return { value: '0' }
    failed()
    throw new Error('once')
  })
  await hasFailed
  await worker.close()
  const next = bus.process(options, ({ offset }) => ({ value: `${offset}` }))
  await next.finished
  expect(await textsOf(bus, 'out')).toEqual(['0', '1'])
})
