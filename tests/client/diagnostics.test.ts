import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import {
  type ConnectionEvent,
  type ConsumerChannelEvent,
  type HandleTrace,
  isStreamBusError,
  type ReceiveEvent,
  type RequestTrace,
  type RetryEvent,
  type SendTrace,
} from '@streambus/client'
import { expect, test } from 'vitest'
import { until } from './handling-setup.ts'
import { collect, failureOf, startBus, startFlakyBus } from './test-bus.ts'

/** Collects what is published on a channel while the callback runs. */
async function published<T>(name: string, run: () => Promise<unknown>): Promise<T[]> {
  const events: T[] = []
  const onEvent = (event: unknown) => events.push(event as T)
  subscribe(name, onEvent)
  try {
    await run()
  } finally {
    unsubscribe(name, onEvent)
  }
  return events
}

test('sends are traced from the call to the acknowledgement, and take headers from a subscriber', async () => {
  await using session = await startBus({}, { clientId: 'shop' })
  const { bus } = session
  const order: string[] = []
  const subscribers = {
    start: (trace: SendTrace) => {
      order.push('start')
      for (const message of trace.messages) {
        message.headers = [...message.headers, { key: 'trace', value: Buffer.from('7') }]
      }
    },
    end: () => order.push('end'),
    asyncStart: () => {},
    asyncEnd: ({ client, topic, result }: SendTrace) =>
      order.push(`${client.clientId} ${topic} ${JSON.stringify(result)}`),
    error: ({ error }: SendTrace) => order.push(`error ${isStreamBusError(error) && error.code}`),
  }
  const channel = tracingChannel<unknown, SendTrace>('streambus:send')
  channel.subscribe(subscribers as never)
  try {
    const sent = await bus.producer().send('t', 'one', { headers: { own: 'x' }, timestamp: 5 })
    await bus.producer().sendBatch('t', [{ value: 'two' }, { value: 'three' }])
    expect(order).toHaveLength(6)
    expect(order.slice(0, 3)).toEqual(['start', 'end', `shop t ${JSON.stringify(sent)}`])
    order.length = 0
    await failureOf(bus.producer().send('t', 'four', { partition: 9 }))
    expect(order).toEqual(['start', 'end', 'error UNKNOWN_PARTITION', 'shop t undefined'])
  } finally {
    channel.unsubscribe(subscribers as never)
  }
  const messages = await collect(bus.consumer('t', { until: 'end' }))
  expect(messages.map(({ headers }) => headers.map(({ key, value }) => `${key}=${value}`))).toEqual([
    ['own=x', 'trace=7'],
    ['trace=7'],
    ['trace=7'],
  ])
})

test('attempts of handlers are traced, and run inside of what a subscriber wants around them', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: '0' }, { value: '1' }])
  const attempts: string[] = []
  let isInside = false
  const subscribers = {
    start: (trace: HandleTrace) => {
      trace.runIn = (run) => {
        isInside = true
        const running = run()
        isInside = false
        return running
      }
    },
    end: () => {},
    asyncStart: () => {},
    asyncEnd: ({ group, message, attempt, error }: HandleTrace) =>
      attempts.push(`${group} ${message.offset} ${attempt} ${error}`),
    error: () => {},
  }
  const channel = tracingChannel<unknown, HandleTrace>('streambus:handle')
  channel.subscribe(subscribers as never)
  const wasInside: boolean[] = []
  try {
    await bus.consumer('t', { group: 'g', limit: 2 }).consume(
      ({ offset }, { attempt }) => {
        wasInside.push(isInside)
        if (offset === 0 && attempt === 1) throw new Error('once')
      },
      { retry: { attempts: 2, backoff: { initialMs: 1 } } },
    )
  } finally {
    channel.unsubscribe(subscribers as never)
  }
  expect(attempts).toEqual(['g 0 1 Error: once', 'g 0 2 undefined', 'g 1 1 undefined'])
  expect(wasInside).toEqual([true, true, true])
})

test('requests, batches and the events of consumers are published with whose they are', async () => {
  await using session = await startBus({}, { clientId: 'shop' })
  const { bus } = session
  await bus.producer().send('t', 'x')
  const requests: string[] = []
  const onRequest = (trace: unknown) => requests.push((trace as RequestTrace).api)
  subscribe('tracing:streambus:request:asyncEnd', onRequest)
  const assigned: ConsumerChannelEvent<'assigned'>[] = []
  const onAssigned = (event: unknown) => assigned.push(event as ConsumerChannelEvent<'assigned'>)
  subscribe('streambus:consumer:assigned', onAssigned)
  const batches = await published<ReceiveEvent>('streambus:receive', () =>
    collect(bus.consumer('t', { group: 'g', limit: 1 })),
  )
  unsubscribe('streambus:consumer:assigned', onAssigned)
  unsubscribe('tracing:streambus:request:asyncEnd', onRequest)
  expect(requests).toEqual(
    expect.arrayContaining(['JoinGroup', 'SyncGroup', 'Fetch', 'OffsetCommit', 'LeaveGroup']),
  )
  expect(assigned).toEqual([
    { client: { clientId: 'shop' }, group: 'g', partitions: [{ topic: 't', partition: 0 }] },
  ])
  expect(batches).toMatchObject([
    { client: { clientId: 'shop' }, group: 'g', topic: 't', partition: 0, messages: [{ offset: 0 }] },
  ])
  expect(batches[0]?.client).toBe(assigned[0]?.client)
})

test('connections that are opened, fail and end, and what is tried again, are published', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy } = session
  const producer = bus.producer()
  const events: string[] = []
  const opened = (event: unknown) => events.push(`opened ${(event as ConnectionEvent).port === proxy.port}`)
  subscribe('streambus:connection:opened', opened)
  let closed: ConnectionEvent[] = []
  const retries = await published<RetryEvent>('streambus:retry', async () => {
    closed = await published<ConnectionEvent>('streambus:connection:closed', async () => {
      await producer.send('t', 'one')
      proxy.cut()
      await producer.send('t', 'two')
      // Its answer is lost, so that it has to be sent again.
      proxy.loseTowards('client')
      let isAsked = false
      const onRequest = (trace: unknown) => {
        isAsked ||= (trace as RequestTrace).api === 'Produce'
      }
      subscribe('tracing:streambus:request:start', onRequest)
      const pending = producer.send('t', 'three')
      await until(() => isAsked)
      unsubscribe('tracing:streambus:request:start', onRequest)
      proxy.cut()
      proxy.passTowards('client')
      await pending
    })
  })
  unsubscribe('streambus:connection:opened', opened)
  expect(events.length).toBeGreaterThan(1)
  expect(new Set(events)).toEqual(new Set(['opened true']))
  expect(closed.map(({ error }) => error?.code)).toContain('CONNECTION_LOST')
  expect(retries).toContainEqual({
    client: { clientId: 'streambus' },
    operation: 'produce',
    error: expect.objectContaining({ code: 'CONNECTION_LOST' }),
    delayMs: expect.any(Number),
    topic: 't',
    partition: 0,
  })
  const { lostConnections, retries: retriesByCode } = bus.metrics()
  expect(lostConnections).toBe(closed.length)
  expect(retriesByCode.CONNECTION_LOST).toBe(
    retries.filter(({ error }) => error.code === 'CONNECTION_LOST').length,
  )
})
