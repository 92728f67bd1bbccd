import { connect } from '@streambus/client'
import { expect, test } from 'vitest'
import { collect, failureOf, startFlakyBus } from './test-bus.ts'

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What is in the log, read past the proxy. */
async function logOf(address: string, topic: string): Promise<(string | null)[]> {
  await using bus = await connect(address)
  return (await collect(bus.consumer(topic, { until: 'end' }))).map((message) => message.text())
}

test('an idempotent producer writes every message once and in order, however often the connection is cut', async () => {
  await using session = await startFlakyBus()
  const { broker, bus, proxy } = session
  const producer = bus.producer({ maxBatchBytes: 500 })
  await producer.send('t', 'first')
  const values = Array.from({ length: 4_000 }, (_, index) => `message ${index}`)
  const sending: Promise<{ offset: number }>[] = []
  for (const [index, value] of values.entries()) {
    sending.push(producer.send('t', value))
    if (index % 100 === 0) await pause(1)
    // Answers are lost for some cuts, requests for others.
    if (index % 400 === 200) proxy.loseTowards(index % 800 === 200 ? 'client' : 'broker')
    if (index % 400 === 300) {
      proxy.cut()
      proxy.passTowards('client')
      proxy.passTowards('broker')
    }
  }
  const offsets = (await Promise.all(sending)).map(({ offset }) => offset)
  expect(offsets).toEqual(values.map((_, index) => index + 1))
  expect(await logOf(broker.address, 't')).toEqual(['first', ...values])
  expect(proxy.connections).toBeGreaterThan(3)
})

test('a message that is lost for good does not hold up those after it, nor doubles them', async () => {
  await using session = await startFlakyBus({ requestTimeoutMs: 60_000 })
  const { broker, bus, proxy } = session
  const producer = bus.producer({ deliveryTimeoutMs: 3_000 })
  await producer.send('t', 'before')
  proxy.loseTowards('broker')
  const lost = failureOf(producer.send('t', 'lost'))
  await pause(1_500)
  const survivor = producer.send('t', 'survivor')
  await pause(50)
  // Both were sent, under consecutive sequence numbers, and vanished.
  proxy.refusing = true
  proxy.cut()
  expect(await lost).toMatchObject({ code: 'DELIVERY_TIMEOUT' })
  proxy.refusing = false
  proxy.passTowards('broker')
  expect((await survivor).offset).toBe(1)
  expect((await producer.send('t', 'after')).offset).toBe(2)
  expect(await logOf(broker.address, 't')).toEqual(['before', 'survivor', 'after'])
})

test('a broker that does not answer makes the request time out, and the message is delivered by a retry', async () => {
  await using session = await startFlakyBus({ requestTimeoutMs: 300 })
  const { broker, bus, proxy } = session
  const producer = bus.producer()
  await producer.send('t', '0')
  proxy.loseTowards('client')
  const sending = producer.send('t', '1')
  await pause(700)
  proxy.cut()
  proxy.passTowards('client')
  expect((await sending).offset).toBe(1)
  expect(await logOf(broker.address, 't')).toEqual(['0', '1'])
})

test('what waits for the broker is bounded; the rest waits for room and goes out in order', async () => {
  await using session = await startFlakyBus()
  const { broker, bus, proxy } = session
  const producer = bus.producer({ maxBufferedBytes: 10_000, maxBatchBytes: 1_000 })
  await producer.send('t', 'first')
  proxy.loseTowards('broker')
  const values = Array.from({ length: 500 }, (_, index) => `${index}`.padEnd(90, '.'))
  const sending = values.map((value) => producer.send('t', value))
  await pause(50)
  expect(producer.bufferedBytes).toBeLessThanOrEqual(10_000)
  expect(producer.bufferedBytes).toBeGreaterThan(8_000)
  let hasRoom = false
  const room = producer.waitForRoom().then(() => {
    hasRoom = true
  })
  await pause(20)
  expect(hasRoom).toBe(false)
  proxy.cut()
  proxy.passTowards('broker')
  await room
  await Promise.all(sending)
  expect(await logOf(broker.address, 't')).toEqual(['first', ...values])
  expect(await failureOf(producer.send('t', 'x'.repeat(20_000)))).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
})

test('a consumer goes on where it was when its connection is cut, without a gap or a repeat', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy } = session
  const producer = bus.producer({ maxBatchBytes: 300 })
  const values = Array.from({ length: 2_000 }, (_, index) => String(index))
  await producer.sendBatch(
    't',
    values.map((value) => ({ value })),
  )
  const read: (string | null)[] = []
  for await (const message of bus.consumer('t', { until: 'end', maxBytes: 2_000, prefetchBytes: 4_000 })) {
    read.push(message.text())
    if (read.length % 200 === 0) proxy.cut()
    if (read.length % 50 === 0) await pause(1)
  }
  expect(read).toEqual(values)
})

test('a consumer whose broker stays away says so after the time it was given', async () => {
  await using session = await startFlakyBus({ retryTimeoutMs: 500, connectTimeoutMs: 200 })
  const { bus, proxy } = session
  await bus.admin.createTopic('t')
  const reading = failureOf(collect(bus.consumer('t')))
  await pause(100)
  proxy.refusing = true
  proxy.cut()
  expect(['BROKER_UNREACHABLE', 'CONNECTION_LOST']).toContain((await reading).code)
})

test('closing a client whose broker is gone ends, and what was not delivered is reported', async () => {
  await using session = await startFlakyBus({ connectTimeoutMs: 200 })
  const { bus, proxy } = session
  const producer = bus.producer({ deliveryTimeoutMs: 600 })
  await producer.send('t', 'x')
  proxy.refusing = true
  proxy.cut()
  const sending = failureOf(producer.send('t', 'y'))
  await bus.close()
  expect(await sending).toMatchObject({ code: 'DELIVERY_TIMEOUT' })
})

test('several producers and consumers use connections of their own and do not wait for each other', async () => {
  await using session = await startFlakyBus()
  const { bus } = session
  await bus.admin.createTopic('quiet')
  const waiting = Array.from({ length: 12 }, () => bus.consumer('quiet', { maxWaitMs: 60_000 }))
  const reading = waiting.map((consumer) => collect(consumer))
  await pause(50)
  for (let index = 0; index < 12; index++) expect((await bus.producer().send('t', 'x')).offset).toBe(index)
  await Promise.all(waiting.map((consumer) => consumer.close()))
  expect(await Promise.all(reading)).toEqual(waiting.map(() => []))
})

test('a member whose connection is cut while it joins stays one member, however often', async () => {
  const brokerOptions = { groups: { minSessionTimeoutMs: 100 } }
  await using session = await startFlakyBus({}, () => {}, brokerOptions)
  const { broker, bus, proxy } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  await bus.producer().send('t', 'x', { partition: 0 })
  await using direct = await connect(broker.address)
  const members = async () => (await direct.admin.describeGroup('g')).members
  const options = { group: 'g', heartbeatIntervalMs: 20 }
  // Holds a message, so that the rebalance that the other one begins waits.
  const holding = direct.consumer('t', options)
  const iterator = holding[Symbol.asyncIterator]()
  await iterator.next()
  const joining = bus.consumer('t', { ...options, sessionTimeoutMs: 1_000 })
  const reading = collect(joining)
  while ((await members()).length < 2) await pause(5)
  for (let cuts = 0; cuts < 3; cuts++) {
    const before = proxy.connections
    proxy.cut()
    while (proxy.connections === before) await pause(5)
    await pause(100)
  }
  const next = iterator.next()
  while (joining.assignment.length === 0) await pause(5)
  expect(await members()).toHaveLength(2)
  await holding.close()
  await next
  await joining.close()
  await reading
})
