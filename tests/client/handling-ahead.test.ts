import type { StreamBus } from '@streambus/client'
import { expect, test, vi } from 'vitest'
import { HandlerRuns } from '../../packages/client/src/handling/handler-runs.ts'
import { committed, fill, gate, turn, until } from './handling-setup.ts'
import { startBus } from './test-bus.ts'

const byKey = { concurrency: 10, order: 'key' } as const

/** Offsets 0 to `count` - 1, each with a key of its own. */
async function fillWithKeys(bus: StreamBus, count: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, index) => `key-${index}`)
  await fill(bus, 't', 1, count, keys)
}

test('a clean close() with order key leaves no message out before one that was handled', async () => {
  await using session = await startBus()
  const { bus } = session
  // Ten in a row share a key, so that those of other keys overtake them.
  const keys = Array.from({ length: 50 }, (_, index) => `key-${Math.floor(index / 10)}`)
  await fill(bus, 't', 1, 600, keys)
  const handled: number[] = []
  for (let round = 1; round <= 4; round++) {
    const consumer = bus.consumer('t', { group: 'g' })
    await consumer.consume(async ({ offset }) => {
      for (let turns = Math.floor(Math.random() * 8); turns >= 0; turns--) await turn()
      handled.push(offset)
      if (handled.length === round * 100) void consumer.close()
    }, byKey)
    // Nothing twice, nothing left out, and nothing started behind what was started when the consumer closed.
    expect(handled.toSorted((one, other) => one - other)).toEqual(handled.map((_, index) => index))
    expect(await committed(bus, 'g')).toEqual({ 't/0': handled.length })
  }
  expect(handled.length).toBeLessThan(600)
})

test('a partition that is revoked in good order is handled up to what was started', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 2, 20, ['a', 'a', 'a', 'b'])
  const slow = gate()
  const first: string[] = []
  const second: string[] = []
  const revoking = vi.spyOn(HandlerRuns.prototype, 'finish')
  const options = { group: 'g', heartbeatIntervalMs: 20 }
  const leaving = bus.consumer('t', options)
  const done = leaving.consume(
    async ({ partition, offset }) => {
      first.push(`${partition}/${offset}`)
      if (offset === 0) await slow.opened
    },
    { concurrency: 4, order: 'key' },
  )
  // All of b is handled, and the rest of a waits.
  await until(() => first.length === 12)
  const joining = bus.consumer('t', options)
  const alsoDone = joining.consume(({ partition, offset }) => {
    second.push(`${partition}/${offset}`)
  })
  await until(() => revoking.mock.calls.length > 0)
  const revoked = new Promise((resolve) => leaving.on('revoked', resolve))
  slow.open()
  await revoked
  await leaving.close()
  await joining.close()
  await Promise.all([done, alsoDone])
  revoking.mockRestore()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 20, 't/1': 20 })
  expect(new Set(first).size).toBe(40)
  expect(second).toEqual([])
})

test('handlers run ahead of a message that fails by maxAheadMessages, and so much comes again', async () => {
  await using session = await startBus()
  const { bus } = session
  await fillWithKeys(bus, 400)
  const handled: number[] = []
  const consumer = bus.consumer('t', { group: 'g' })
  const done = consumer.consume(
    ({ offset }) => {
      if (offset === 0) throw new Error('the bank is away')
      handled.push(offset)
    },
    {
      ...byKey,
      maxAheadMessages: 50,
      retry: { attempts: 10, backoff: { initialMs: 60_000, maxMs: 60_000 } },
      deadLetter: 't.dlq',
    },
  )
  await until(() => handled.length >= 50)
  for (let turns = 0; turns < 100; turns++) await turn()
  expect(handled).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  await consumer.close()
  await done
  expect(handled.length).toBe(50)
  expect((await committed(bus, 'g'))['t/0'] ?? 0).toBe(0)
})

test('what is too far ahead is started when the first message is handled', async () => {
  await using session = await startBus()
  const { bus } = session
  await fillWithKeys(bus, 400)
  const handled: number[] = []
  let furthest = 0
  const consumer = bus.consumer('t', { group: 'g', until: 'end' })
  await consumer.consume(
    async ({ offset }, { attempt }) => {
      furthest = Math.max(furthest, offset)
      if (offset % 100 === 0 && attempt === 1) throw new Error('the bank is away')
      await turn()
      handled.push(offset)
    },
    { ...byKey, maxAheadMessages: 20, retry: { attempts: 2, backoff: { initialMs: 20 } } },
  )
  expect(handled.length).toBe(400)
  expect(handled.indexOf(100)).toBe(120)
  expect(furthest).toBe(399)
  expect(await committed(bus, 'g')).toEqual({ 't/0': 400 })
})

test('a close() whose message fails without another attempt starts nothing behind it', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 40, ['a', 'a', 'a', 'b'])
  const slow = gate()
  const started: number[] = []
  const consumer = bus.consumer('t', { group: 'g' })
  const done = consumer.consume(
    async ({ offset }) => {
      started.push(offset)
      if (offset !== 0) return
      await slow.opened
      throw new Error('the bank is away')
    },
    { ...byKey, retry: { attempts: 5 } },
  )
  await until(() => started.length === 11)
  const closed = consumer.close()
  slow.open()
  await closed
  await done
  expect(started.length).toBe(11)
  expect((await committed(bus, 'g'))['t/0'] ?? 0).toBe(0)
})

test('maxAheadMessages must be a whole number above 0', async () => {
  await using session = await startBus()
  const consumer = session.bus.consumer('t', { group: 'g' })
  await expect(consumer.consume(() => {}, { maxAheadMessages: 0 })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
})
