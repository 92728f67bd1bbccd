import type { Message, StreamBus } from '@streambus/client'
import { expect, test } from 'vitest'
import { collect, failureOf, settled, startBus } from './test-bus.ts'

const texts = (messages: readonly Message[]) => messages.map((message) => message.text())

/** Two producers whose transactions lie in each other, some committed, some aborted, and messages of no transaction. */
async function writeMixed(bus: StreamBus): Promise<string[]> {
  await bus.admin.createTopic('t')
  const one = bus.producer({ transactionalId: 'one' })
  const two = bus.producer({ transactionalId: 'two', compression: 'gzip' })
  const plain = bus.producer()
  const visible: string[] = []
  for (let round = 0; round < 8; round++) {
    const outcome = (bit: number) => (round & bit) === 0
    const value = (name: string, part: number) => `${round} ${name}${part}`
    const write = async (name: string, send: (value: string) => Promise<unknown>, counts: boolean) => {
      for (const part of [0, 1]) {
        await send(value(name, part))
        if (counts) visible.push(value(name, part))
      }
    }
    await one
      .transaction(async (tx) => {
        await write('one', (text) => tx.send('t', text), outcome(1))
        await two
          .transaction(async (inner) => {
            await write('two', (text) => inner.send('t', text), outcome(2))
            await write('plain', (text) => plain.send('t', text), true)
            if (!outcome(2)) throw new Error('aborted')
          })
          .catch(() => {})
        if (!outcome(1)) throw new Error('aborted')
      })
      .catch(() => {})
  }
  await settled(bus)
  return visible
}

test('messages of aborted transactions are left out, and all others come in the order of the log', async () => {
  await using session = await startBus()
  const { bus } = session
  const visible = await writeMixed(bus)
  expect(texts(await collect(bus.consumer('t', { until: 'end' })))).toEqual(visible)
  expect(texts(await collect(bus.consumer('t', { until: 'end', group: 'g' })))).toEqual(visible)
  expect(await collect(bus.consumer('t', { until: 'end', group: 'g' }))).toEqual([])
  const all = await collect(bus.consumer('t', { until: 'end', isolation: 'read_uncommitted' }))
  expect(all).toHaveLength(8 * 6)
  const grouped = { until: 'end', group: 'h', isolation: 'read_uncommitted' } as const
  expect(await collect(bus.consumer('t', grouped))).toHaveLength(8 * 6)
})

test('reading from anywhere in a log of transactions, in answers of any size, gives what is committed from there on', async () => {
  await using session = await startBus()
  const { bus } = session
  const visible = await writeMixed(bus)
  const all = await collect(bus.consumer('t', { until: 'end', isolation: 'read_uncommitted' }))
  for (const { offset } of all) {
    const after = texts(all.filter((message) => message.offset >= offset))
    const read = await collect(
      bus.consumer('t', { from: offset, until: 'end', maxPartitionBytes: 1, maxBytes: 1 }),
    )
    expect(texts(read)).toEqual(visible.filter((text) => after.includes(text)))
  }
  expect(texts(await collect(bus.consumer('t', { until: 'end', limit: 5 })))).toEqual(visible.slice(0, 5))
})

test('the end of a log is where the first open transaction begins, until it is committed', async () => {
  await using session = await startBus()
  const { bus } = session
  const plain = bus.producer()
  const producer = bus.producer({ transactionalId: 'p' })
  await plain.send('t', 'before')
  const following = bus.consumer('t')
  const iterator = following[Symbol.asyncIterator]()
  expect((await iterator.next()).value.text()).toBe('before')
  const next = iterator.next()
  await producer.transaction(async (tx) => {
    await tx.send('t', 'in it')
    await plain.send('t', 'after')
    expect(texts(await collect(bus.consumer('t', { until: 'end' })))).toEqual(['before'])
    expect(texts(await collect(bus.consumer('t', { until: 'end', group: 'g' })))).toEqual(['before'])
    // Neither behind the end nor out of range: what is there is only not to be read yet.
    expect(await collect(bus.consumer('t', { until: 'end', from: 3 }))).toEqual([])
    expect(texts(await collect(bus.consumer('t', { until: 'end', from: -1 })))).toEqual(['before'])
    expect(await failureOf(collect(bus.consumer('t', { until: 'end', from: 4 })))).toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    })
    const all = await collect(bus.consumer('t', { until: 'end', isolation: 'read_uncommitted' }))
    expect(texts(all)).toEqual(['before', 'in it', 'after'])
  })
  expect((await next).value.text()).toBe('in it')
  expect((await iterator.next()).value.text()).toBe('after')
  await following.close()
})

test('an isolation that there is not is refused at once', async () => {
  await using session = await startBus()
  for (const group of [undefined, 'g']) {
    const options = { isolation: 'serializable', ...(group && { group }) }
    expect(() => session.bus.consumer('t', options as object)).toThrow(
      "isolation must be 'read_uncommitted' or 'read_committed', not serializable.",
    )
  }
})
