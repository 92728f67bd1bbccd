import { expect, test } from 'vitest'
import { fill } from './handling-setup.ts'
import { startBus } from './test-bus.ts'

/** A request that waits for new messages does so for longer than a test may take. */
const maxWaitMs = 600_000

test('what is sought is read at once, though a request for new messages waits', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  await bus.producer().sendBatch('t', [
    { value: '0', partition: 0 },
    { value: '1', partition: 0 },
  ])
  await using consumer = bus.consumer('t', { group: 'g', maxWaitMs })
  const messages = consumer[Symbol.asyncIterator]()
  for (const offset of [0, 1]) expect((await messages.next()).value).toMatchObject({ offset })
  for (const offset of [1, 0]) {
    await consumer.seek({ topic: 't', partition: 0, offset })
    expect((await messages.next()).value).toMatchObject({ offset })
  }
  consumer.pause()
  consumer.resume()
  expect((await messages.next()).value).toMatchObject({ offset: 1 })
})

test('a partition that has room again is read on, though a request for the others waits', async () => {
  await using session = await startBus()
  const { bus } = session
  const values = Array.from({ length: 50 }, (_, index) => ({
    value: `${index} ${'x'.repeat(1_000)}`,
    partition: 0,
  }))
  await bus.admin.createTopic('t', { partitions: 2 })
  for (const value of values) await bus.producer().send('t', value.value, value)
  await using consumer = bus.consumer('t', {
    group: 'g',
    maxWaitMs,
    maxPartitionBytes: 1_000,
    prefetchBytes: 1_000,
  })
  const offsets: number[] = []
  const done = consumer.consume(async ({ offset }) => {
    // The first ones take so long that the partition is full by then.
    if (offset % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    offsets.push(offset)
    if (offsets.length === values.length) void consumer.close()
  })
  await done
  expect(offsets).toEqual(values.map((_, index) => index))
})

test('new messages still arrive in all partitions after one was read in haste', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 3, 1)
  await using consumer = bus.consumer('t', { group: 'g', maxWaitMs: 100 })
  const messages = consumer[Symbol.asyncIterator]()
  const take = async (count: number) => {
    const places: string[] = []
    while (places.length < count) {
      const { partition, offset } = (await messages.next()).value
      places.push(`${partition}:${offset}`)
    }
    return places.sort()
  }
  expect(await take(3)).toEqual(['0:0', '1:0', '2:0'])
  for (let offset = 1; offset < 6; offset++) {
    const partition = offset % 3
    await consumer.seek({ topic: 't', partition, offset: 'latest' })
    await bus.producer().sendBatch(
      't',
      [0, 1, 2].map((one) => ({ value: 'x', partition: one })),
    )
    expect(await take(3)).toEqual([0, 1, 2].map((one) => `${one}:${offset}`))
  }
})
