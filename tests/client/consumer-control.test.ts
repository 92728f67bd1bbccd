import type { GroupConsumer, Message, SeekTarget, StreamBus } from '@streambus/client'
import { expect, test } from 'vitest'
import { gate, until } from './handling-setup.ts'
import { failureOf, startBus } from './test-bus.ts'

/** `count` messages in each partition, the timestamp a thousand times the offset. */
async function fill(bus: StreamBus, partitions: number, count: number): Promise<void> {
  await bus.admin.createTopic('t', { partitions })
  for (let partition = 0; partition < partitions; partition++) {
    const messages = Array.from({ length: count }, (_, offset) => ({
      key: `k${offset % 3}`,
      value: `v${offset}`,
      partition,
      timestamp: offset * 1_000,
    }))
    await bus.producer().sendBatch('t', messages)
  }
}

const first = { topic: 't', partition: 0 }
const second = { topic: 't', partition: 1 }

/** The two ways to read: `take` gives the next message, of one partition where that is said. */
interface Reading {
  readonly consumer: GroupConsumer
  take(partition?: number): Promise<Message>
  close(): Promise<void>
}

function iterating(bus: StreamBus): Reading {
  const consumer = bus.consumer('t', { group: 'g' })
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
function handling(bus: StreamBus): Reading {
  const consumer = bus.consumer('t', { group: 'g' })
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

const ways: [string, (bus: StreamBus) => Reading][] = [
  ['iterating', iterating],
  ['with a handler', handling],
]

test.each(ways)(
  'a partition that is paused gives nothing, and goes on where it was (%s)',
  async (_, read) => {
    await using session = await startBus()
    await fill(session.bus, 2, 20)
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

test.each(ways)('everything may be paused; the consumer stays a member (%s)', async (_, read) => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 1, 5)
  const { consumer, take, close } = read(bus)
  expect(await take()).toMatchObject({ offset: 0 })
  consumer.pause()
  let arrived = false
  const next = take().then((message) => {
    arrived = true
    return message
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(arrived).toBe(false)
  expect((await bus.admin.describeGroup('g')).members).toHaveLength(1)
  consumer.resume()
  expect(await next).toMatchObject({ offset: 1 })
  await close()
})

test.each(ways)(
  'a seek goes on elsewhere, and nothing from before is given out after it (%s)',
  async (_, read) => {
    await using session = await startBus()
    const { bus } = session
    await fill(bus, 2, 20)
    const { consumer, take, close } = read(bus)
    await take(0)
    const targets: [SeekTarget, number][] = [
      [{ ...first, offset: 15 }, 15],
      [{ ...first, offset: 'earliest' }, 0],
      [{ ...first, timestamp: 7_500 }, 8],
      [{ ...first, timestamp: new Date(3_000) }, 3],
    ]
    for (const [target, offset] of targets) {
      const sought = consumer.seek(target)
      // The seek need not be over: what is asked for now comes from the new place already.
      expect(await take(0)).toMatchObject({ offset })
      await sought
      expect(await take(0)).toMatchObject({ offset: offset + 1 })
    }
    await consumer.seek({ ...first, offset: 'latest' })
    await bus.producer().send('t', 'new', { partition: 0 })
    expect(await take(0)).toMatchObject({ offset: 20 })
    await consumer.seek({ ...first, timestamp: 9e12 })
    const [lag] = (await consumer.lag()).filter(({ partition }) => partition === 0)
    expect(lag).toMatchObject({ position: 21, end: 21, lag: 0 })
    await close()
    expect(await bus.admin.fetchOffsets('g', [first])).toMatchObject([{ offset: 21 }])
  },
)

test.each(ways)(
  'a partition that is paused and sought in goes on from the new place (%s)',
  async (_, read) => {
    await using session = await startBus()
    await fill(session.bus, 1, 20)
    const { consumer, take, close } = read(session.bus)
    await take()
    consumer.pause([first])
    await consumer.seek({ ...first, offset: 9 })
    const next = take()
    consumer.resume([first])
    expect(await next).toMatchObject({ offset: 9 })
    expect(await take()).toMatchObject({ offset: 10 })
    await close()
  },
)

test('of two seeks at once the later one counts', async () => {
  await using session = await startBus()
  await fill(session.bus, 1, 20)
  const { consumer, take, close } = iterating(session.bus)
  await take()
  await Promise.all([
    consumer.seek({ ...first, offset: 'earliest' }),
    consumer.seek({ ...first, offset: 12 }),
  ])
  expect(await take()).toMatchObject({ offset: 12 })
  await close()
})

test('a seek that comes too late is no failure: the consumer is closed, or the partition is gone', async () => {
  await using session = await startBus()
  await fill(session.bus, 1, 20)
  for (const read of [iterating, handling]) {
    const { consumer, take, close } = read(session.bus)
    await take()
    await Promise.all([consumer.seek({ ...first, offset: 'latest' }), close()])
  }
  expect(await session.bus.admin.fetchOffsets('g')).toEqual([])
})

test('where a place cannot be looked up, the seek says so, and reading goes on as it would without it', async () => {
  await using session = await startBus({}, { retryTimeoutMs: 1_000 })
  const { bus } = session
  await fill(bus, 1, 20)
  const { consumer, take } = iterating(bus)
  await take()
  await bus.admin.deleteTopic('t')
  const missing = { code: 'UNKNOWN_TOPIC' }
  expect(await failureOf(consumer.seek({ ...first, offset: 'earliest' }))).toMatchObject(missing)
  expect(await failureOf(take())).toMatchObject(missing)
})

test.each(['onAssigned', 'assigned'])('`%s` may seek and pause before anything is read', async (when) => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 2, 10)
  const seen: string[] = []
  const prepare = () => {
    consumer.pause([second])
    void consumer.seek({ ...first, offset: 7 })
  }
  const consumer: GroupConsumer = bus.consumer('t', {
    group: 'g',
    limit: 3,
    ...(when === 'onAssigned' ? { onAssigned: prepare } : {}),
  })
  if (when === 'assigned') consumer.on('assigned', prepare)
  await consumer.consume(({ partition, offset }) => seen.push(`${partition}/${offset}`), { concurrency: 2 })
  expect(seen).toEqual(['0/7', '0/8', '0/9'])
})

test('a seek while handlers run: what comes next waits for them, and they count no more', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 1, 10)
  const events: string[] = []
  const old = gate()
  const options = { group: 'g', autoCommitIntervalMs: 1, maxWaitMs: 5, limit: 6 }
  const consumer = bus.consumer('t', options)
  const done = consumer.consume(
    async ({ offset }) => {
      events.push(`begin ${offset}`)
      // One of each key, and room for one more.
      if (offset < 3) await old.opened
      events.push(`end ${offset}`)
    },
    { concurrency: 4, order: 'key' },
  )
  await until(() => events.length === 3)
  await consumer.seek({ ...first, offset: 7 })
  await consumer.seek({ ...first, offset: 6 })
  // Long enough for the messages of the new place to arrive.
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(events).toEqual(['begin 0', 'begin 1', 'begin 2'])
  old.open()
  await done
  expect(events.slice(3, 6)).toEqual(['end 0', 'end 1', 'end 2'])
  expect(events.filter((one) => one.startsWith('begin')).slice(3)).toEqual(['begin 6', 'begin 7', 'begin 8'])
  expect(await bus.admin.fetchOffsets('g')).toMatchObject([{ offset: 9 }])
})

test('with `until: end`, pauses and seeks keep to the end that was', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 2, 10)
  const seen: string[] = []
  const consumer = bus.consumer('t', { group: 'g', until: 'end' })
  let sought = false
  const done = consumer.consume(async ({ partition, offset }) => {
    seen.push(`${partition}/${offset}`)
    if (partition === 0 && offset === 9 && !sought) {
      sought = true
      consumer.pause([second])
      await bus.producer().send('t', 'behind the end', { partition: 0 })
      await consumer.seek({ ...first, offset: 8 })
      setTimeout(() => consumer.resume([second]), 20)
    }
  })
  await done
  const ofFirst = seen.filter((place) => place.startsWith('0/'))
  expect(ofFirst.slice(-4)).toEqual(['0/8', '0/9', '0/8', '0/9'])
  expect(new Set(seen).size).toBe(20)
})

test('lag tells what is committed, processed and still to come, per partition', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 2, 10)
  const { consumer, take, close } = iterating(bus)
  for (let taken = 0; taken < 4; taken++) await take()
  await consumer.commit()
  await take()
  await take()
  const lags = (await consumer.lag()).sort((a, b) => a.partition - b.partition)
  expect(lags).toHaveLength(2)
  expect(lags.every(({ position, end, lag }) => end === 10 && lag === end - position)).toBe(true)
  expect(lags.reduce((sum, { position }) => sum + position, 0)).toBe(5)
  expect(lags.reduce((sum, { committed }) => sum + (committed ?? 0), 0)).toBe(4)
  await close()
})

test('what cannot be paused or sought is refused with what is wrong', async () => {
  await using session = await startBus()
  await fill(session.bus, 1, 5)
  const { consumer, take, close } = iterating(session.bus)
  await take()
  const foreign = { topic: 't', partition: 7 }
  const sentence = "This consumer of group 'g' does not have t/7."
  expect(() => consumer.pause([foreign])).toThrow(sentence)
  expect(() => consumer.resume([foreign])).toThrow(sentence)
  const cases: [SeekTarget, string][] = [
    [{ ...foreign, offset: 1 }, sentence],
    [{ ...first, offset: -1 }, "offset must be a whole number from 0 on, 'earliest' or 'latest', not '-1'."],
    [{ ...first } as never, 'A seek needs an offset or a timestamp, and not both.'],
    [{ ...first, timestamp: Number.NaN }, 'NaN is not a timestamp in whole milliseconds.'],
  ]
  for (const [target, message] of cases) {
    expect(await failureOf(consumer.seek(target))).toMatchObject({ code: 'INVALID_ARGUMENT', message })
  }
  await close()
})

test('lag and seeks end where the first open transaction begins, unless everything is read', async () => {
  await using started = await startBus()
  const { bus } = started
  await fill(bus, 1, 3)
  const producer = bus.producer({ transactionalId: 'open' })
  const opened = gate()
  const end = gate()
  const transaction = producer.transaction(async (tx) => {
    await tx.send('t', 'not yet')
    opened.open()
    await end.opened
  })
  await opened.opened
  for (const [isolation, expected] of [
    ['read_committed', 3],
    ['read_uncommitted', 4],
  ] as const) {
    const consumer = bus.consumer('t', { group: isolation, isolation })
    const messages = consumer[Symbol.asyncIterator]()
    await messages.next()
    expect(await consumer.lag()).toMatchObject([{ end: expected, lag: expected }])
    await consumer.seek({ ...first, offset: 'latest' })
    expect(await consumer.lag()).toMatchObject([{ position: expected, lag: 0 }])
    await consumer.close()
  }
  end.open()
  await transaction
})
