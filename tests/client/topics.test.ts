import {
  type Message,
  readDeadLetter,
  type Serializer,
  type StreamBusError,
  serializers,
} from '@streambus/client'
import { type } from 'arktype'
import * as v from 'valibot'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { failureOf, startBus } from './test-bus.ts'

interface Order {
  id: number
  note?: string
}

const read = { from: 'earliest', until: 'end' } as const

async function all<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const message of messages) list.push(message)
  return list
}

test('a topic of a type takes objects of it as JSON and gives them back, with string keys', async () => {
  await using started = await startBus()
  const orders = started.bus.topic<Order>('orders')
  const sent = await orders.send({ id: 42 }, { key: 'a', headers: { trace: 'x' } })
  expect(sent).toMatchObject({ topic: 'orders', offset: 0 })
  await orders.sendBatch([{ value: { id: 43, note: 'ü' } }, { value: null, key: 'a' }])
  const [first, second, tombstone] = await all(orders.consumer(read))
  expectTypeOf(first!.value).toEqualTypeOf<Order | null>()
  expectTypeOf(first!.key).toEqualTypeOf<string | null>()
  expect(first).toMatchObject({ topic: 'orders', partition: 0, offset: 0, key: 'a', value: { id: 42 } })
  expect(first!.header('trace')?.toString()).toBe('x')
  expect(second).toMatchObject({ key: null, value: { id: 43, note: 'ü' } })
  expect(tombstone).toMatchObject({ key: 'a', value: null })
})

const schemas = {
  zod: z.object({ id: z.number(), items: z.array(z.object({ price: z.number() })) }),
  valibot: v.object({ id: v.number(), items: v.array(v.object({ price: v.number() })) }),
  arktype: type({ id: 'number', items: type({ price: 'number' }).array() }),
}

test.each(Object.entries(schemas))(
  'a schema of %s checks what is sent, and says where it is wrong',
  async (_, schema) => {
    await using started = await startBus()
    const orders = started.bus.topic('orders', { value: schema })
    await orders.send({ id: 1, items: [{ price: 2 }] })
    const wrong = { id: 1, items: [{ price: 2 }, { price: 'three' }] } as never
    const failure = await failureOf(orders.send(wrong))
    expect(failure.code).toBe('INVALID_VALUE')
    expect(failure.message).toContain("The value for 'orders' cannot be sent: items[1].price")
    expect(
      (await failureOf(orders.sendBatch([{ value: { id: 2, items: [] } }, { value: wrong }]))).code,
    ).toBe('INVALID_VALUE')
    const messages = await all(orders.consumer(read))
    expect(messages.map(({ value }) => value)).toEqual([{ id: 1, items: [{ price: 2 }] }])
  },
)

test('types of values come from the schema: its input is sent, its output is read', async () => {
  await using started = await startBus()
  const schema = z.object({
    at: z.iso.datetime().transform((text) => new Date(text)),
    count: z.number().default(1),
  })
  const events = started.bus.topic('events', { value: schema })
  expectTypeOf(events.send).parameter(0).toEqualTypeOf<{ at: string; count?: number | undefined } | null>()
  await events.send({ at: '2026-11-23T10:00:00Z' })
  const [message] = await all(events.consumer(read))
  expectTypeOf(message!.value).toEqualTypeOf<{ at: Date; count: number } | null>()
  expect(message!.value).toEqual({ at: new Date('2026-11-23T10:00:00Z'), count: 1 })
  expect(message!.raw.text()).toBe('{"at":"2026-11-23T10:00:00Z"}')
})

test('a schema that checks asynchronously is waited for, on sending and on reading', async () => {
  await using started = await startBus()
  const even = z.number().refine(async (value) => value % 2 === 0, 'must be even')
  const numbers = started.bus.topic('numbers', { value: even })
  await numbers.sendBatch([{ value: 2 }, { value: 4 }])
  expect((await failureOf(numbers.send(3))).message).toBe(
    "The value for 'numbers' cannot be sent: must be even.",
  )
  expect((await all(numbers.consumer(read))).map(({ value }) => value)).toEqual([2, 4])
})

test('strings, bytes and a serializer of the user for keys and values', async () => {
  await using started = await startBus()
  const { bus } = started
  const uint32: Serializer<number> = {
    serialize(value) {
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(value)
      return bytes
    },
    deserialize: (bytes) => bytes.readUInt32BE(),
  }
  const topic = bus.topic('readings', { key: uint32, value: serializers.bytes })
  await topic.send(Buffer.from([0, 255]), { key: 7 })
  const failure = await failureOf(topic.send(Buffer.from('x'), { key: -1 }))
  expect(failure).toMatchObject({ code: 'INVALID_VALUE' })
  expect(failure.message).toContain("The key for 'readings' cannot be sent")
  const [message] = await all(topic.consumer(read))
  expect(message!.key).toBe(7)
  expect(message!.value).toEqual(Buffer.from([0, 255]))
  const lines = bus.topic('lines', { value: serializers.string })
  expect((await failureOf(lines.send(5 as never))).message).toBe(
    "The value for 'lines' cannot be sent: Expected a string, not number.",
  )
})

test('reading ends at a message that is not of the type, and says which and why', async () => {
  await using started = await startBus()
  const { bus } = started
  await bus.producer().send('orders', 'no JSON')
  const orders = bus.topic<Order>('orders')
  const failure = await failureOf(all(orders.consumer(read)))
  expect(failure.code).toBe('INVALID_MESSAGE')
  expect(failure.message).toContain('The message at orders/0, offset 0, is not of the topic')
  const schema = z.object({ id: z.number() })
  await bus.producer().send('typed', { id: 'x' })
  const second = await failureOf(all(bus.topic('typed', { value: schema }).consumer(read)))
  expect(second.message).toContain('offset 0, is not of the topic')
  expect(second.message).toContain('id: ')
})

test('with onInvalid such messages are handed over and passed over, and a group goes on behind them', async () => {
  await using started = await startBus()
  const { bus } = started
  const orders = bus.topic('orders', { value: z.object({ id: z.number() }) })
  await bus.producer().sendBatch('orders', [{ value: { id: 1 } }, { value: '{' }, { value: { id: 'x' } }])
  await orders.send({ id: 2 })
  const invalid: [StreamBusError, Message][] = []
  const consumer = orders.consumer({
    group: 'billing',
    until: 'end',
    onInvalid: (error, message) => void invalid.push([error, message]),
  })
  expect((await all(consumer)).map(({ value }) => value?.id)).toEqual([1, 2])
  expect(invalid.map(([{ code }, { offset }]) => [code, offset])).toEqual([
    ['INVALID_MESSAGE', 1],
    ['INVALID_MESSAGE', 2],
  ])
  const [committed] = await bus.admin.fetchOffsets('billing')
  expect(committed).toMatchObject({ topic: 'orders', partition: 0, offset: 4 })
})

test('what onInvalid throws ends the reading, and the message is not committed', async () => {
  await using started = await startBus()
  const { bus } = started
  const orders = bus.topic<Order>('orders')
  await orders.send({ id: 1 })
  await bus.producer().send('orders', '{')
  const onInvalid = () => {
    throw new Error('stop here')
  }
  await expect(all(orders.consumer({ group: 'g', onInvalid }))).rejects.toThrow('stop here')
  const [committed] = await bus.admin.fetchOffsets('g')
  expect(committed).toMatchObject({ offset: 1 })
})

test('producers that were asked for without options are one, and another one once it was closed', async () => {
  await using started = await startBus()
  const { bus } = started
  const shared = bus.producer()
  expect(bus.producer()).toBe(shared)
  expect(bus.producer({})).not.toBe(shared)
  await shared.close()
  expect(bus.producer()).not.toBe(shared)
  expect(await bus.producer().send('t', 'x')).toMatchObject({ offset: 0 })
})

test('a handler gets messages of the type; what is none is set aside at once, or handed over', async () => {
  await using started = await startBus()
  const { bus } = started
  const values = [{ id: 1 }, '{ no JSON', { id: 2 }]
  await bus.producer().sendBatch(
    'orders',
    values.map((value) => ({ value })),
  )
  const orders = bus.topic<Order>('orders')
  const attempts: string[] = []
  const options = { retry: { attempts: 2, backoff: { initialMs: 1 } }, deadLetter: 'orders.dlq' }
  await orders.consumer({ group: 'g', until: 'end' }).consume(({ value, key }, { attempt }) => {
    expectTypeOf(value).toEqualTypeOf<Order | null>()
    expectTypeOf(key).toEqualTypeOf<string | null>()
    attempts.push(`${value?.id} attempt ${attempt}`)
    if (value?.id === 2 && attempt === 1) throw new Error('again')
  }, options)
  expect(attempts).toEqual(['1 attempt 1', '2 attempt 1', '2 attempt 2'])
  const [letter] = await all(bus.consumer('orders.dlq', read))
  expect(letter!.text()).toBe('{ no JSON')
  expect(readDeadLetter(letter!)).toMatchObject({ topic: 'orders', offset: 1, attempts: 1 })
  const failing = orders.consumer(read).consume(() => {})
  expect(await failureOf(failing)).toMatchObject({
    code: 'HANDLER_FAILED',
    cause: { code: 'INVALID_MESSAGE' },
  })
  const invalid: number[] = []
  const seen: (number | undefined)[] = []
  const onInvalid = (_: StreamBusError, { offset }: Message) => void invalid.push(offset)
  await orders.consumer({ ...read, onInvalid }).consume(({ value }) => seen.push(value?.id))
  expect({ invalid, seen }).toEqual({ invalid: [1], seen: [1, 2] })
})
