import { connect, type Message, type StreamBus } from '@streambus/client'
import { leaveGroup } from '@streambus/protocol'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { collect, failureOf, settled, startBus, startFlakyBus } from './test-bus.ts'
import { limitTransactions } from './transaction-versions.ts'

const texts = (messages: readonly Message[]) => messages.map((message) => message.text())
const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index}`)

async function committed(bus: StreamBus, topic: string): Promise<(string | null)[]> {
  await settled(bus)
  return texts(await collect(bus.consumer(topic, { until: 'end' })))
}

/** Reads until there are so many; what else there is besides, `committed` tells. */
async function arrived(bus: StreamBus, topic: string, count: number): Promise<(string | null)[]> {
  return texts(await collect(bus.consumer(topic, { limit: count })))
}

test.each([1, 2] as const)(
  'what the handler returns is sent, and the offsets are committed with it (v%i)',
  async (version) => {
    await using session = await startFlakyBus({}, (proxy) => limitTransactions(proxy, version))
    const { bus } = session
    await bus.admin.createTopic('in', { partitions: 3 })
    const values = numbers(500)
    await bus.producer().sendBatch(
      'in',
      values.map((value) => ({ key: value, value })),
    )
    const options = { from: 'in', to: 'out', group: 'g', maxTransactionMessages: 40 }
    await using worker = bus.process({ ...options, until: 'end' }, (message) => ({
      key: message.key,
      value: `${message.text()}!`,
    }))
    await worker.finished
    const expected = values.map((value) => `${value}!`).sort()
    expect((await committed(bus, 'out')).sort()).toEqual(expected)
    expect(worker.processed).toBe(500)
    expect(worker.transactionsCommitted).toBeGreaterThanOrEqual(500 / 40)
    expect(worker.transactionsAborted).toBe(0)
    const offsets = await bus.admin.fetchOffsets('g')
    expect(offsets.reduce((sum, { offset }) => sum + offset, 0)).toBe(500)
    // The next one goes on where this one has come to.
    await bus.producer().send('in', 'last')
    const next = bus.process({ ...options, until: 'end' }, (message) => [
      { value: `${message.text()}?` },
      { topic: 'other', value: 'elsewhere' },
    ])
    await next.finished
    expect((await committed(bus, 'out')).sort()).toEqual([...expected, 'last?'].sort())
    expect(await committed(bus, 'other')).toEqual(['elsewhere'])
  },
)

test('a handler may return nothing, and send by itself', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch(
    'in',
    numbers(4).map((value) => ({ value })),
  )
  const worker = bus.process({ from: ['in'], group: 'g', until: 'end' }, async (message, tx) => {
    if (Number(message.text()) % 2 === 0) await tx.send('even', message.text())
  })
  await worker.finished
  expect(await committed(bus, 'even')).toEqual(['0', '2'])
  expect(await bus.admin.fetchOffsets('g')).toMatchObject([{ offset: 4 }])
})

test('an error of the handler stops the worker, nothing of its transaction counts, and the next worker begins there', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch(
    'in',
    numbers(10).map((value) => ({ value })),
  )
  const options = {
    from: 'in',
    to: 'out',
    group: 'g',
    maxTransactionMessages: 4,
    maxTransactionMs: 5_000,
  } as const
  const failing = bus.process(options, (message) => {
    if (message.offset === 6) throw new RangeError('not six')
    return { value: message.text() }
  })
  await expect(failing.finished).rejects.toThrow(new RangeError('not six'))
  await failing.close()
  expect(await committed(bus, 'out')).toEqual(numbers(4))
  expect(failing.processed).toBe(4)
  expect(failing.transactionsAborted).toBe(1)
  const unwatched = bus.process(options, (message) => {
    if (message.offset === 6) throw new RangeError('not six')
    return { value: message.text() }
  })
  while ((await bus.admin.describeGroup('g')).members.length === 0) await new Promise((r) => setTimeout(r, 5))
  while ((await bus.admin.describeGroup('g')).members.length > 0) await new Promise((r) => setTimeout(r, 5))
  // Nobody asked how it ended, so that closing it tells.
  await expect(unwatched.close()).rejects.toThrow('not six')
  const working = bus.process({ ...options, until: 'end' }, (message) => ({ value: message.text() }))
  await working.finished
  expect(await committed(bus, 'out')).toEqual(numbers(10))
})

test('a worker that is closed commits what it processed, and leaves', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('in')
  const worker = bus.process({ from: 'in', to: 'out', group: 'g', maxTransactionMs: 9_000 }, (message) => ({
    value: message.text(),
  }))
  let handled!: () => void
  const second = new Promise<void>((resolve) => {
    handled = resolve
  })
  const watching = bus.process({ from: 'in', group: 'watch' }, (message) => {
    if (message.offset === 1) handled()
  })
  await bus.producer().send('in', 'a')
  await bus.producer().send('in', 'b')
  await second
  const both = collect(bus.consumer('out', { limit: 2, isolation: 'read_uncommitted' }))
  await both
  expect(await committed(bus, 'out')).toEqual([])
  await worker.close()
  expect(await committed(bus, 'out')).toEqual(['a', 'b'])
  await watching.close()
  expect((await bus.admin.describeGroup('g')).members).toEqual([])
  expect(worker.processed).toBe(2)
})

test('closing does not wait for a handler for longer than a transaction may take', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('in', 'x')
  let called!: () => void
  const calling = new Promise<void>((resolve) => {
    called = resolve
  })
  const worker = bus.process({ from: 'in', to: 'out', group: 'g', transactionTimeoutMs: 300 }, () => {
    called()
    return new Promise(() => {})
  })
  await calling
  await worker.close()
  expect(worker.processed).toBe(0)
  expect(await bus.admin.fetchOffsets('g')).toEqual([])
})

test('a second worker takes over half of the partitions, and nothing is processed twice or left out', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.admin.createTopic('in', { partitions: 4 })
  const producer = bus.producer()
  const options = { from: 'in', to: 'out', group: 'g', heartbeatIntervalMs: 50, maxTransactionMessages: 20 }
  const handler = async (message: Message) => {
    if (message.offset % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    return { value: message.text() }
  }
  await using one = bus.process(options, handler)
  const values = numbers(1_200)
  await using other = await connect(broker.address)
  let two: ReturnType<StreamBus['process']> | undefined
  for (const [index, value] of values.entries()) {
    await producer.send('in', value, { partition: index % 4 })
    if (index === 300) two = other.process(options, handler)
    // Its part of what was sent since is there for it.
    while (index === 600 && two!.assignment.length === 0)
      await new Promise((resolve) => setTimeout(resolve, 5))
    while (index === 900 && two!.processed === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    if (index === 900) await two!.close()
  }
  await arrived(bus, 'out', values.length)
  expect((await committed(bus, 'out')).sort()).toEqual(values.sort())
  expect(one.processed + two!.processed).toBe(values.length)
  expect(two!.processed).toBeGreaterThan(0)
})

test('a worker whose transaction took too long processes its messages again', async () => {
  await using session = await startBus({ transactions: { abortTimedOutIntervalMs: 20 } })
  const { bus } = session
  await bus.producer().send('in', 'slow')
  let calls = 0
  const options = { transactionTimeoutMs: 1_000, maxTransactionMs: 50, until: 'end' } as const
  const worker = bus.process({ from: 'in', group: 'g', ...options }, async (message, tx) => {
    await tx.send('out', `${message.text()} ${++calls}`)
    while (calls === 1 && (await bus.admin.listTransactions())[0]?.state !== 'CompleteAbort') {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    // Longer than the transaction may take, by the clock of the worker as well.
    if (calls === 1) await new Promise((resolve) => setTimeout(resolve, 1_050))
  })
  await worker.finished
  expect(await committed(bus, 'out')).toEqual(['slow 2'])
  expect(worker.transactionsAborted).toBe(1)
})

test('of two workers with one transactional id the later one works', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('in', { partitions: 2 })
  const options = { from: 'in', to: 'out', group: 'g', transactionalId: 'same', heartbeatIntervalMs: 50 }
  const producer = bus.producer()
  const former = bus.process(options, (message) => ({ value: message.text() }))
  await producer.send('in', 'a', { partition: 0 })
  await arrived(bus, 'out', 1)
  await using later = bus.process(options, (message) => ({ value: message.text() }))
  const fenced = failureOf(former.finished)
  let sent = 0
  const sending = setInterval(() => {
    for (const partition of [0, 1]) void producer.send('in', `${sent++}`, { partition })
  }, 20)
  const failure = await fenced
  clearInterval(sending)
  expect(failure).toMatchObject({ code: 'PRODUCER_FENCED' })
  await arrived(bus, 'out', sent + 1)
  expect((await committed(bus, 'out')).sort()).toEqual(['a', ...numbers(sent)].sort())
  expect(later.processed).toBeGreaterThan(0)
})

test('options that cannot be are refused at once, and a message for no topic stops the worker', async () => {
  await using session = await startBus()
  const { bus } = session
  const refused = [
    { from: 'in', group: '' },
    { from: 'in', group: 'g', transactionTimeoutMs: 100, maxTransactionMs: 100 },
    { from: 'in', group: 'g', maxTransactionMessages: 0 },
    { from: 'in', group: 'g', transactionalId: '' },
  ]
  for (const options of refused) {
    expect(() => bus.process(options, () => {})).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  }
  await bus.producer().send('in', 'x')
  const worker = bus.process({ from: 'in', group: 'g' }, () => ({ value: 'nowhere' }))
  expect(await failureOf(worker.finished)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await bus.admin.fetchOffsets('g')).toEqual([])
})

test('what cannot be delivered in time is processed again', async () => {
  await using session = await startFlakyBus({ requestTimeoutMs: 300 })
  const { bus, broker, proxy } = session
  await using direct = await connect(broker.address)
  await direct.producer().sendBatch(
    'in',
    numbers(6).map((value) => ({ value })),
  )
  await direct.admin.createTopic('out')
  let calls = 0
  const options = { from: 'in', to: 'out', group: 'g', producer: { deliveryTimeoutMs: 200 } }
  await using worker = bus.process({ ...options, maxTransactionMessages: 4 }, (message) => {
    // In the middle of the second transaction.
    if (++calls === 6) {
      proxy.loseTowards('broker')
      setTimeout(() => {
        proxy.cut()
        proxy.passTowards('broker')
      }, 500)
    }
    return { value: message.text() }
  })
  await arrived(direct, 'out', 6)
  await worker.close()
  expect(await committed(direct, 'out')).toEqual(numbers(6))
  expect(worker.transactionsAborted).toBeGreaterThan(0)
  expect(worker.processed).toBe(6)
  expect(calls).toBeGreaterThan(6)
})

test.each([
  { noticed: 'at once', heartbeatIntervalMs: 20 },
  { noticed: 'by its commit', heartbeatIntervalMs: 3_000 },
])(
  'what a worker processed that was put out of its group does not count, and it goes on: noticed $noticed',
  async ({ heartbeatIntervalMs }) => {
    await using session = await startBus()
    const { bus, broker } = session
    await bus.admin.createTopic('in', { partitions: 2 })
    const send = (values: readonly string[]) =>
      bus.producer().sendBatch(
        'in',
        values.map((value, index) => ({ value, partition: index % 2 })),
      )
    await send(numbers(10))
    const options = { from: 'in', to: 'out', group: 'g' }
    let called!: () => void
    let release!: () => void
    const calling = new Promise<void>((resolve) => {
      called = resolve
    })
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    await using slow = bus.process({ ...options, heartbeatIntervalMs }, async (message) => {
      called()
      await released
      return { value: message.text() }
    })
    await calling
    const [member] = (await bus.admin.describeGroup('g')).members
    const raw = await RawClient.connect(broker)
    await raw.request(leaveGroup, 3, { groupId: 'g', members: [{ memberId: member!.memberId }] })
    raw.close()
    await using other = bus.process({ ...options, heartbeatIntervalMs: 20 }, (message) => ({
      value: message.text(),
    }))
    while (other.processed === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(slow.processed).toBe(0)
    release()
    await arrived(bus, 'out', 10)
    while ((await bus.admin.describeGroup('g')).members.length < 2) await new Promise((r) => setTimeout(r, 5))
    while (slow.assignment.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await send(numbers(20).slice(10))
    await arrived(bus, 'out', 20)
    await slow.close()
    await other.close()
    expect((await committed(bus, 'out')).sort()).toEqual(numbers(20).sort())
    expect(slow.transactionsAborted).toBe(1)
    expect(slow.processed).toBeGreaterThan(0)
  },
)

test('with an end, what could not be committed at the end is processed again', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.producer().sendBatch(
    'in',
    numbers(3).map((value) => ({ value })),
  )
  let calls = 0
  const options = {
    from: 'in',
    to: 'out',
    group: 'g',
    until: 'end',
    heartbeatIntervalMs: 3_000,
    // All three are one transaction, however slowly the first is handled.
    maxTransactionMs: 9_000,
  } as const
  const worker = bus.process(options, async (message) => {
    if (++calls === 1) {
      const [member] = (await bus.admin.describeGroup('g')).members
      const raw = await RawClient.connect(broker)
      await raw.request(leaveGroup, 3, { groupId: 'g', members: [{ memberId: member!.memberId }] })
      raw.close()
    }
    return { value: message.text() }
  })
  await worker.finished
  expect(await committed(bus, 'out')).toEqual(numbers(3))
  expect(worker.processed).toBe(3)
  expect(worker.transactionsAborted).toBe(1)
  expect(calls).toBeGreaterThan(3)
})
