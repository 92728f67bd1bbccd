import { connect } from '@streambus/client'
import { expect, test } from 'vitest'
import { until } from './handling-setup.ts'
import { collect, failureOf, startBus, startFlakyBus } from './test-bus.ts'

test('a client counts what it sends and receives, by topic and by request', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { configs: { 'max.message.bytes': '2000' } })
  await bus.producer().sendBatch('t', [{ value: '0' }, { value: '1' }])
  await bus.producer().send('t', '2')
  await failureOf(bus.producer().send('t', 'x'.repeat(3_000)))
  const before = bus.metrics()
  expect(before.topics.t).toMatchObject({
    sentMessages: 3,
    sentBatches: 2,
    failedMessages: 1,
    receivedMessages: 0,
    lagMessages: 0,
  })
  expect(before.unsentMessages).toBe(0)
  expect(before.unsentBytes).toBe(0)
  const produced = before.requests.Produce
  expect(produced).toMatchObject({ count: 3, failed: 0, durationMs: { count: 3 } })
  expect(produced?.durationMs.buckets.at(-1)).toEqual({ upToMs: Number.POSITIVE_INFINITY, count: 3 })
  expect(before.sentBytes).toBeGreaterThan(before.topics.t?.sentBytes as number)

  await collect(bus.consumer('t', { until: 'end' }))
  const after = bus.metrics()
  expect(after.topics.t).toMatchObject({ receivedMessages: 3, receivedBatches: 2 })
  expect(after.topics.t?.receivedBytes).toBe(before.topics.t?.sentBytes)
  expect(after.receivedBytes).toBeGreaterThan(after.topics.t?.receivedBytes as number)
  expect(after.openedConnections).toBeGreaterThan(after.openConnections)
  expect(after.lostConnections).toBe(0)
})

test('handlers, their failures, dead letters and rebalances are counted', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: '0' }, { value: '1' }, { value: '2' }])
  await bus.consumer('t', { group: 'g', limit: 3 }).consume(
    ({ offset }) => {
      if (offset === 1) throw new Error('no')
    },
    { retry: { attempts: 2, backoff: { initialMs: 1 } }, deadLetter: 'dlq' },
  )
  const { topics, rebalances } = bus.metrics()
  expect(topics.t).toMatchObject({
    handledMessages: 2,
    failedAttempts: 2,
    deadLetteredMessages: 1,
    handlerDurationMs: { count: 4 },
  })
  expect(topics.dlq).toMatchObject({ sentMessages: 1 })
  expect(rebalances).toBe(1)
})

test('what waits is told as it is at the moment: unsent messages, and how far consumers are behind', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy, broker } = session
  await bus.admin.createTopic('t')
  const producer = bus.producer()
  await producer.send('t', 'first')
  proxy.loseTowards('broker')
  const sending = [producer.send('t', 'second'), producer.send('t', 'third')]
  expect(bus.metrics()).toMatchObject({ unsentMessages: 2 })
  expect(bus.metrics().unsentBytes).toBe(producer.bufferedBytes)
  proxy.cut()
  proxy.passTowards('broker')
  await Promise.all(sending)
  expect(bus.metrics()).toMatchObject({ unsentMessages: 0, unsentBytes: 0 })

  await using direct = await connect(broker.address)
  const consumer = direct.consumer('t', { maxWaitMs: 20 })
  const messages = consumer[Symbol.asyncIterator]()
  await messages.next()
  expect(direct.metrics().topics.t?.lagMessages).toBe(0)
  await bus.producer().sendBatch(
    't',
    Array.from({ length: 10 }, () => ({ value: 'x' })),
  )
  await until(() => direct.metrics().topics.t?.lagMessages === 10)
  expect(direct.metrics().prefetchedBytes).toBeGreaterThan(0)
  await consumer.close()
  expect(direct.metrics()).toMatchObject({ prefetchedBytes: 0, topics: { t: { lagMessages: 0 } } })
})
