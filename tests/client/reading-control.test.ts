/** Pauses, seeks and lag of consumers without a group. */
import type { Consumer, ConsumerOptions, Message, SeekTarget, StreamBus } from '@streambus/client'
import { expect, test } from 'vitest'
import { fill, gate, until } from './handling-setup.ts'
import { collect, failureOf, startBus } from './test-bus.ts'

const first = { topic: 't', partition: 0 }
const second = { topic: 't', partition: 1 }

/** The two ways to read: `take` gives the next message, of one partition where that is said. */
interface Reading {
  readonly consumer: Consumer
  take(partition?: number): Promise<Message>
  close(): Promise<void>
}

function iterating(bus: StreamBus, options: ConsumerOptions = {}): Reading {
  const consumer = bus.consumer('t', options)
  const messages = consumer[Symbol.asyncIterator]()
  return {
    consumer,
    take: async (partition) => {
      for (;;) {
        const { value } = await messages.next()
        if (partition === undefined || value.partition === partition) return value
      }
    },
    close: () => consumer.close(),
  }
}

/** A handler that ends when the next message is asked for. */
function handling(bus: StreamBus, options: ConsumerOptions = {}): Reading {
  const consumer = bus.consumer('t', options)
  const given: Message[] = []
  let finish = () => {}
  const done = consumer.consume((message, { signal }) => {
    given.push(message)
    return new Promise<void>((resolve) => {
      finish = resolve
      signal.addEventListener('abort', () => resolve())
    })
  })
  return {
    consumer,
    take: async (partition) => {
      for (;;) {
        finish()
        await until(() => given.length > 0)
        const message = given.shift() as Message
        if (partition === undefined || message.partition === partition) return message
      }
    },
    close: async () => {
      await consumer.close()
      await done
    },
  }
}

const ways: [string, (bus: StreamBus, options?: ConsumerOptions) => Reading][] = [
  ['iterating', iterating],
  ['with a handler', handling],
]

test.each(ways)(
  'a partition that is paused gives nothing, and goes on where it was (%s)',
  async (_, read) => {
    await using session = await startBus()
    await fill(session.bus, 't', 2, 20)
    const { consumer, take, close } = read(session.bus)
    const seen: Record<number, number[]> = { 0: [], 1: [] }
    const note = ({ partition, offset }: Message) => seen[partition]!.push(offset)
    while (seen[0]!.length < 3) note(await take())
    consumer.pause([first])
    while (seen[1]!.length < 20) note(await take())
    expect(seen[0]).toEqual([0, 1, 2])
    consumer.resume([first])
    while (seen[0]!.length < 10) note(await take())
    // Both at once, before anything else is asked for.
    consumer.pause()
    consumer.resume()
    while (seen[0]!.length < 20) note(await take())
    await close()
    const all = Array.from({ length: 20 }, (_, offset) => offset)
    expect(seen).toEqual({ 0: all, 1: all })
  },
)

test.each(ways)('everything may be paused: it waits until it is resumed (%s)', async (_, read) => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 5)
  const { consumer, take, close } = read(session.bus)
  expect(await take()).toMatchObject({ offset: 0 })
  consumer.pause()
  let arrived = false
  const next = take().then((message) => {
    arrived = true
    return message
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(arrived).toBe(false)
  consumer.resume()
  expect(await next).toMatchObject({ offset: 1 })
  await close()
})

test.each(ways)('a seek goes on elsewhere, and nothing from before comes after it (%s)', async (_, read) => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 1 })
  const messages = Array.from({ length: 20 }, (_, index) => ({
    value: `v${index}`,
    timestamp: index * 1_000,
  }))
  await bus.producer().sendBatch('t', messages)
  const { consumer, take, close } = read(bus)
  await take()
  const targets: [SeekTarget, number][] = [
    [{ ...first, offset: 15 }, 15],
    [{ ...first, offset: 'earliest' }, 0],
    [{ ...first, timestamp: 7_500 }, 8],
    [{ ...first, timestamp: new Date(3_000) }, 3],
  ]
  for (const [target, offset] of targets) {
    const sought = consumer.seek(target)
    // The seek need not be over: what is asked for now comes from the new place already.
    expect(await take()).toMatchObject({ offset })
    await sought
    expect(await take()).toMatchObject({ offset: offset + 1 })
  }
  await consumer.seek({ ...first, offset: 'latest' })
  await bus.producer().send('t', 'new')
  expect(await take()).toMatchObject({ offset: 20 })
  await close()
})

test.each(ways)('a paused partition that is sought in goes on from the new place (%s)', async (_, read) => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 20)
  const { consumer, take, close } = read(session.bus)
  await take()
  consumer.pause([first])
  await consumer.seek({ ...first, offset: 9 })
  const next = take()
  consumer.resume([first])
  expect(await next).toMatchObject({ offset: 9 })
  expect(await take()).toMatchObject({ offset: 10 })
  await close()
})

test.each(ways)(
  '`limit` counts what was given out, not what a pause or a seek took back (%s)',
  async (_, read) => {
    await using session = await startBus()
    await fill(session.bus, 't', 2, 50)
    const { consumer, take } = read(session.bus, { limit: 60 })
    const seen: number[] = []
    for (let count = 0; count < 60; count++) {
      seen.push((await take()).partition)
      if (count === 5) await consumer.seek({ ...first, offset: 40 })
      if (count === 10) consumer.pause([second])
      if (count === 15) consumer.resume([second])
    }
    expect(seen).toHaveLength(60)
    await consumer.close()
  },
)

test('`assigned` tells what is read before anything is; who listens may seek and pause', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 10)
  const consumer = bus.consumer('t', { limit: 3 })
  consumer.on('assigned', ({ partitions }) => {
    expect(partitions).toEqual([first, second])
    consumer.pause([second])
    void consumer.seek({ ...first, offset: 7 })
  })
  expect(consumer.assignment).toEqual([])
  const messages = await collect(consumer)
  expect(messages.map(({ partition, offset }) => `${partition}/${offset}`)).toEqual(['0/7', '0/8', '0/9'])
})

test('with `until: end`, pauses and seeks keep to the end that was', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 10)
  const seen: string[] = []
  const consumer = bus.consumer('t', { until: 'end' })
  let sought = false
  for await (const { partition, offset } of consumer) {
    seen.push(`${partition}/${offset}`)
    if (partition !== 0 || offset !== 9 || sought) continue
    sought = true
    consumer.pause([second])
    await bus.producer().send('t', 'behind the end', { partition: 0 })
    await consumer.seek({ ...first, offset: 8 })
    setTimeout(() => consumer.resume([second]), 20)
  }
  const ofFirst = seen.filter((place) => place.startsWith('0/'))
  expect(ofFirst.slice(-4)).toEqual(['0/8', '0/9', '0/8', '0/9'])
  expect(new Set(seen).size).toBe(20)
})

test('lag tells what is given out and still to come, per partition', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 2, 10)
  const { consumer, take, close } = iterating(session.bus)
  for (let taken = 0; taken < 5; taken++) await take()
  const lags = await consumer.lag()
  expect(lags.every(({ position, end, lag }) => end === 10 && lag === end - position)).toBe(true)
  expect(lags.reduce((sum, { position }) => sum + position, 0)).toBe(5)
  expect(lags.every(({ committed }) => committed === null)).toBe(true)
  await close()
})

test('while a handler runs, a seek waits for it, and it is not tried again', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 10)
  const events: string[] = []
  const busy = gate()
  const consumer = session.bus.consumer('t', { limit: 3 })
  const done = consumer.consume(
    async ({ offset }) => {
      events.push(`begin ${offset}`)
      if (offset === 0) {
        await busy.opened
        throw new Error('it would be tried again')
      }
    },
    { retry: { attempts: 3 } },
  )
  await until(() => events.length === 1)
  await consumer.seek({ ...first, offset: 6 })
  busy.open()
  await done
  expect(events).toEqual(['begin 0', 'begin 6', 'begin 7'])
})

test('what cannot be paused or sought is refused with what is wrong', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 5)
  const { consumer, take, close } = iterating(session.bus)
  expect(() => consumer.pause([first])).toThrow('This consumer does not have t/0.')
  await take()
  const foreign = { topic: 't', partition: 7 }
  const sentence = 'This consumer does not have t/7.'
  expect(() => consumer.pause([foreign])).toThrow(sentence)
  expect(() => consumer.resume([foreign])).toThrow(sentence)
  expect(await failureOf(consumer.seek({ ...foreign, offset: 1 }))).toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: sentence,
  })
  expect(await failureOf(consumer.seek({ ...first, offset: -1 }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  await close()
})

test('a consumer of nothing ends', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 5)
  expect(await collect(session.bus.consumer('t', { partitions: [] }))).toEqual([])
})
