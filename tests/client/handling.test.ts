import type { HandlerContext, Message, StreamBus } from '@streambus/client'
import { leaveGroup } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { withClients } from './group-members.ts'
import { committed, fill, gate, turn, until } from './handling-setup.ts'
import { collect, settled, startBus, startFlakyBus } from './test-bus.ts'

/** What handlers do at the same time, and in which order. */
class Overlap {
  readonly #running = new Map<string, number>()
  readonly order = new Map<string, number[]>()
  most = 0
  violations = 0
  #count = 0

  async run(key: string, offset: number): Promise<void> {
    const running = (this.#running.get(key) ?? 0) + 1
    this.#running.set(key, running)
    if (running > 1) this.violations++
    this.most = Math.max(this.most, ++this.#count)
    const order = this.order.get(key) ?? []
    order.push(offset)
    this.order.set(key, order)
    for (let turns = Math.floor(Math.random() * 4); turns >= 0; turns--) await turn()
    this.#running.set(key, running - 1)
    this.#count--
  }
}

const isSorted = (offsets: readonly number[]) =>
  offsets.every((one, index) => index === 0 || one > offsets[index - 1]!)

test.each([undefined, 'g'])(
  'by partition: several partitions at once, each in its order (group: %s)',
  async (group) => {
    await using session = await startBus()
    const { bus } = session
    await fill(bus, 't', 6, 50)
    const overlap = new Overlap()
    const consumer =
      group === undefined ? bus.consumer('t', { until: 'end' }) : bus.consumer('t', { group, until: 'end' })
    await consumer.consume(({ partition, offset }) => overlap.run(`${partition}`, offset), { concurrency: 4 })
    expect(overlap.violations).toBe(0)
    expect(overlap.most).toBe(4)
    expect([...overlap.order.values()].every((offsets) => offsets.length === 50 && isSorted(offsets))).toBe(
      true,
    )
    if (group !== undefined) expect(Object.values(await committed(bus, group))).toEqual(Array(6).fill(50))
  },
)

test.each([undefined, 'g'])(
  'by key: the messages of a key one after the other, keys of one partition at once (group: %s)',
  async (group) => {
    await using session = await startBus()
    const { bus } = session
    await fill(bus, 't', 1, 300, ['a', 'b', 'c', 'd', 'e'])
    const overlap = new Overlap()
    const consumer =
      group === undefined ? bus.consumer('t', { until: 'end' }) : bus.consumer('t', { group, until: 'end' })
    await consumer.consume(({ key, offset }) => overlap.run(String(key), offset), {
      concurrency: 4,
      order: 'key',
    })
    expect(overlap.violations).toBe(0)
    expect(overlap.most).toBe(4)
    expect([...overlap.order.values()].every((offsets) => offsets.length === 60 && isSorted(offsets))).toBe(
      true,
    )
    if (group !== undefined) expect(await committed(bus, group)).toEqual({ 't/0': 300 })
  },
)

test('messages without a key overlap in the order of keys', async () => {
  await using session = await startBus()
  await fill(session.bus, 't', 1, 4, [null])
  const started = new Set<number>()
  const all = gate()
  const consumer = session.bus.consumer('t', { limit: 4 })
  await consumer.consume(
    async ({ offset }) => {
      started.add(offset)
      if (started.size === 4) all.open()
      await all.opened
    },
    { concurrency: 4, order: 'key' },
  )
  expect(started.size).toBe(4)
})

test('an offset is committed only when everything before it is handled, whatever ended behind it', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 10, ['a', 'b', 'c', 'd', 'e'])
  const slow = gate()
  const handled: number[] = []
  const offsets: number[] = []
  const consumer = bus.consumer('t', { group: 'g', autoCommitIntervalMs: 1, until: 'end' })
  consumer.on('committed', (event) => offsets.push(event.offsets[0]!.offset))
  const done = consumer.consume(
    async ({ offset }) => {
      if (offset === 2) await slow.opened
      handled.push(offset)
    },
    { concurrency: 3, order: 'key' },
  )
  // Offset 7 has the key of offset 2, and waits for it.
  await until(() => handled.length === 8 && offsets.includes(2))
  expect(handled).not.toContain(7)
  expect(await committed(bus, 'g')).toEqual({ 't/0': 2 })
  slow.open()
  await done
  expect(handled.indexOf(2)).toBeLessThan(handled.indexOf(7))
  expect(await committed(bus, 'g')).toEqual({ 't/0': 10 })
  expect(isSorted(offsets)).toBe(true)
})

test('after a crash, messages behind one that was not handled come again, and none is left out', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await fill(bus, 't', 1, 10, ['a', 'b', 'c', 'd', 'e'])
  const first: number[] = []
  await withClients(broker.address, 1, async ([crashing]) => {
    const consumer = crashing!.consumer('t', { group: 'g', autoCommitIntervalMs: 1 })
    let committedTo = 0
    consumer.on('committed', ({ offsets }) => {
      committedTo = offsets[0]!.offset
    })
    const done = consumer.consume(
      async ({ offset }, { signal }) => {
        if (offset !== 3) return first.push(offset)
        // It never ends: as far as the group knows, the process died in the middle of it.
        return await new Promise((_, reject) => signal.addEventListener('abort', reject))
      },
      { concurrency: 3, order: 'key' },
    )
    await until(() => first.length === 8 && committedTo === 3)
    expect(await committed(bus, 'g')).toEqual({ 't/0': 3 })
    const raw = await RawClient.connect(broker)
    const { members } = await bus.admin.describeGroup('g')
    await raw.request(leaveGroup, 5, { groupId: 'g', members: [{ memberId: members[0]!.memberId }] })
    raw.close()
    await consumer.close()
    await done
  })
  const second = await collect(bus.consumer('t', { group: 'g', until: 'end' }))
  expect(second.map(({ offset }) => offset)).toEqual([3, 4, 5, 6, 7, 8, 9])
  expect(new Set([...first, ...second.map(({ offset }) => offset)]).size).toBe(10)
})

test('without autoCommit only commit() commits: what is handled, and nothing behind what is not', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 6, ['a', 'b', 'c'])
  const consumer = bus.consumer('t', { group: 'g', autoCommit: false })
  const slow = gate()
  const handled: number[] = []
  const done = consumer.consume(
    async ({ offset }) => {
      if (offset === 1) await slow.opened
      handled.push(offset)
    },
    { concurrency: 2, order: 'key' },
  )
  await until(() => handled.length === 4)
  await consumer.commit()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
  slow.open()
  await until(() => handled.length === 6)
  await consumer.close()
  await done
  expect(await committed(bus, 'g')).toEqual({ 't/0': 1 })
})

test.each<'range' | 'cooperative-sticky'>(['range', 'cooperative-sticky'])(
  'members come and go while handlers are slow and fail: nothing is lost, no partition has two handlers (%s)',
  async (assignor) => {
    await using session = await startBus()
    const { bus, broker } = session
    await fill(bus, 't', 6, 60)
    const handled = new Set<string>()
    const running = new Set<number>()
    let violations = 0
    let repeated = 0
    const member = (client: StreamBus) => {
      const consumer = client.consumer('t', {
        group: 'g',
        assignors: [assignor],
        heartbeatIntervalMs: 20,
        autoCommitIntervalMs: 10,
      })
      const handler = async ({ partition, offset }: Message, { attempt }: HandlerContext) => {
        if (running.has(partition)) violations++
        running.add(partition)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10))
        running.delete(partition)
        if (offset % 10 === 3 && attempt === 1) throw new Error('the first time fails')
        const place = `${partition}/${offset}`
        if (handled.has(place)) repeated++
        handled.add(place)
      }
      const done = consumer.consume(handler, {
        concurrency: 3,
        retry: { attempts: 3, backoff: { initialMs: 5 } },
      })
      return { consumer, done }
    }
    await withClients(broker.address, 3, async ([one, two, three]) => {
      const a = member(one!)
      await until(() => handled.size > 20)
      const b = member(two!)
      await until(() => handled.size > 100)
      const c = member(three!)
      await until(() => handled.size > 180)
      await a.consumer.close()
      await a.done
      await until(() => handled.size === 360)
      await Promise.all([b.consumer.close(), c.consumer.close()])
      await Promise.all([b.done, c.done])
    })
    expect(violations).toBe(0)
    expect(repeated).toBe(0)
    expect(Object.values(await committed(bus, 'g'))).toEqual(Array(6).fill(60))
  },
)

test('a partition that is lost fires the signals of its handlers, and what they do counts no more', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await fill(bus, 't', 1, 3)
  const events: string[] = []
  const attempts: number[] = []
  const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20, limit: 4 })
  for (const name of ['assigned', 'lost'] as const) consumer.on(name, () => events.push(name))
  const started = gate()
  const done = consumer.consume(async ({ offset }, { signal }) => {
    attempts.push(offset)
    if (attempts.length > 1) return
    started.open()
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    events.push(signal.reason.code)
  })
  await started.opened
  const raw = await RawClient.connect(broker)
  const { members } = await bus.admin.describeGroup('g')
  await raw.request(leaveGroup, 5, { groupId: 'g', members: [{ memberId: members[0]!.memberId }] })
  raw.close()
  await done
  expect(events).toEqual(['assigned', 'lost', 'PARTITIONS_LOST', 'assigned'])
  expect(attempts).toEqual([0, 0, 1, 2])
  expect(await committed(bus, 'g')).toEqual({ 't/0': 3 })
})

test('a handler that holds up a rebalance for too long loses its partition, and is told', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await fill(bus, 't', 1, 3)
  const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20, rebalanceTimeoutMs: 300 })
  const reasons: unknown[] = []
  let started = false
  const done = consumer.consume(async (_, { signal }) => {
    started = true
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    reasons.push(signal.reason.code)
  })
  await until(() => started)
  await withClients(broker.address, 1, async ([other]) => {
    const offsets: number[] = []
    const second = other!.consumer('t', { group: 'g', rebalanceTimeoutMs: 300, limit: 3 })
    await second.consume(({ offset }) => offsets.push(offset))
    expect(offsets).toEqual([0, 1, 2])
    await until(() => reasons.length > 0)
  })
  expect(reasons).toEqual(['PARTITIONS_LOST'])
  await consumer.close()
  await done
  expect(await committed(bus, 'g')).toEqual({ 't/0': 3 })
})

test('connections that are cut while keys overlap and fail: every message is handled, and committed', async () => {
  await using session = await startFlakyBus()
  const { bus, proxy, broker } = session
  await withClients(broker.address, 1, async ([direct]) => {
    const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
    await fill(direct!, 't', 3, 400, keys)
    const last = new Map<string, number>()
    const handled = new Set<string>()
    let violations = 0
    const consumer = bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20, autoCommitIntervalMs: 5 })
    const done = consumer.consume(
      async ({ partition, offset, key }, { attempt }) => {
        await turn()
        if (offset % 50 === 7 && attempt === 1) throw new Error('the first time fails')
        const chain = `${partition}/${key}`
        if (offset <= (last.get(chain) ?? -1)) violations++
        last.set(chain, offset)
        handled.add(`${partition}/${offset}`)
      },
      { concurrency: 8, order: 'key', retry: { backoff: { initialMs: 1, maxMs: 5 } } },
    )
    for (let cut = 1; cut <= 5; cut++) {
      await until(() => handled.size >= cut * 200)
      proxy.cut()
    }
    await until(() => handled.size === 1_200)
    await consumer.close()
    await done
    // Cut connections cost no partition, so that nothing comes twice either.
    expect(violations).toBe(0)
    expect(Object.values(await committed(direct!, 'g'))).toEqual([400, 400, 400])
  })
})

test('control records between and behind messages are passed, also when nothing follows', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { partitions: 1 })
  const producer = bus.producer({ transactionalId: 'pay' })
  for (const values of [['a', 'b'], ['c']]) {
    await producer.transaction((tx) =>
      tx.sendBatch(
        't',
        values.map((value) => ({ value })),
      ),
    )
  }
  await settled(bus)
  const seen: (string | null)[] = []
  for (const order of ['partition', 'key'] as const) {
    const consumer = bus.consumer('t', { group: `g-${order}`, until: 'end' })
    await consumer.consume((message) => seen.push(message.text()), { order })
    expect(await committed(bus, `g-${order}`)).toEqual({ 't/0': 5 })
  }
  expect(seen).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
})
