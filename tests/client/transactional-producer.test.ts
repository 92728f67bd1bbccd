import { connect, type Message, type StreamBus } from '@streambus/client'
import { startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { collect, failureOf, needsStreamBus, settled, startBus, startFlakyBus } from './test-bus.ts'
import { limitTransactions, type TransactionVersion } from './transaction-versions.ts'

const versions: readonly TransactionVersion[] = [1, 2]
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const texts = (messages: readonly Message[]) => messages.map((message) => message.text())

function startVersion(version: TransactionVersion, options: Parameters<typeof startFlakyBus>[0] = {}) {
  return startFlakyBus(options, (proxy) => limitTransactions(proxy, version))
}

async function committed(bus: StreamBus, topic: string): Promise<(string | null)[]> {
  await settled(bus)
  return texts(await collect(bus.consumer(topic, { until: 'end' }))).sort()
}

async function everything(bus: StreamBus, topic: string): Promise<(string | null)[]> {
  return texts(await collect(bus.consumer(topic, { until: 'end', isolation: 'read_uncommitted' }))).sort()
}

test.each(versions)(
  'what a transaction sends counts when it is committed, over all partitions (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    await bus.admin.createTopic('t', { partitions: 3 })
    const producer = bus.producer({ transactionalId: 'p' })
    const result = await producer.transaction(async (tx) => {
      const sent = await tx.send('t', 'a', { partition: 0 })
      expect(sent).toMatchObject({ topic: 't', partition: 0, offset: 0 })
      await tx.sendBatch('t', [
        { value: 'b', partition: 1 },
        { value: 'c', partition: 2 },
      ])
      expect(await committed(bus, 't')).toEqual([])
      expect(await everything(bus, 't')).toEqual(['a', 'b', 'c'])
      // Not awaited: the commit waits for it.
      void tx.send('t', 'd', { partition: 2 })
      return 'done'
    })
    expect(result).toBe('done')
    expect(await committed(bus, 't')).toEqual(['a', 'b', 'c', 'd'])
    await producer.transaction((tx) => tx.send('t', 'e', { partition: 0 }))
    expect(await committed(bus, 't')).toEqual(['a', 'b', 'c', 'd', 'e'])
    // With version 2 each transaction has an epoch of its own.
    const { producerEpoch, state } = await bus.admin.describeTransaction('p')
    expect({ producerEpoch, state }).toEqual({
      producerEpoch: version === 1 ? 0 : 2,
      state: 'CompleteCommit',
    })
  },
)

test.each(versions)(
  'a callback that throws aborts, its error is rethrown, and the next transaction works (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    const producer = bus.producer({ transactionalId: 'p' })
    for (let round = 0; round < 3; round++) {
      const aborting = producer.transaction(async (tx) => {
        await tx.send('t', `aborted ${round}`)
        void tx.send('t', `on its way ${round}`)
        throw new RangeError('no')
      })
      await expect(aborting).rejects.toThrow(new RangeError('no'))
      await producer.transaction((tx) => tx.send('t', `committed ${round}`))
    }
    expect(await committed(bus, 't')).toEqual(['committed 0', 'committed 1', 'committed 2'])
    expect((await everything(bus, 't')).length).toBeGreaterThanOrEqual(6)
  },
)

test.each(versions)(
  'committed offsets of a group are those of committed transactions (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    const fetchOffsets = async () => {
      await settled(bus)
      return await bus.admin.fetchOffsets('g')
    }
    await bus.admin.createTopic('in')
    const producer = bus.producer({ transactionalId: 'p' })
    const offsets = [{ topic: 'in', partition: 0, offset: 5, metadata: 'note' }]
    await producer.transaction(async (tx) => {
      await tx.send('out', 'x')
      await tx.sendOffsets({ group: 'g' }, offsets)
    })
    expect(await fetchOffsets()).toEqual(offsets)
    const failing = producer.transaction(async (tx) => {
      await tx.sendOffsets({ group: 'g' }, [{ topic: 'in', partition: 0, offset: 9 }])
      throw new Error('no')
    })
    await failureOf(failing)
    expect(await fetchOffsets()).toEqual(offsets)
    // Offsets alone make a transaction, too.
    await producer.transaction((tx) =>
      tx.sendOffsets({ group: 'g' }, [{ topic: 'in', partition: 0, offset: 6 }]),
    )
    expect(await fetchOffsets()).toMatchObject([{ offset: 6 }])
  },
)

test.each(versions)(
  'a member that was replaced cannot commit offsets, and the transaction fails (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    await bus.admin.createTopic('in')
    const producer = bus.producer({ transactionalId: 'p' })
    const former = { generation: 7, memberId: 'somebody', instanceId: null }
    const failure = await failureOf(
      producer.transaction(async (tx) => {
        await tx.send('out', 'x')
        await tx.sendOffsets({ group: 'g', member: former }, [{ topic: 'in', partition: 0, offset: 1 }])
      }),
    )
    expect(failure).toMatchObject({ code: 'PARTITIONS_LOST' })
    expect(await committed(bus, 'out')).toEqual([])
    expect(await bus.admin.fetchOffsets('g')).toEqual([])
    // A consumer that is between two generations: for the coordinator it would be anybody.
    const nobody = { group: 'g', member: { generation: -1, memberId: '', instanceId: null } }
    const offsets = [{ topic: 'in', partition: 0, offset: 1 }]
    expect(await failureOf(producer.transaction((tx) => tx.sendOffsets(nobody, offsets)))).toMatchObject({
      code: 'PARTITIONS_LOST',
    })
    await producer.transaction((tx) => tx.send('out', 'y'))
    expect(await committed(bus, 'out')).toEqual(['y'])
  },
)

test.each(versions)('transactions of one producer run one after the other (v%i)', async (version) => {
  await using session = await startVersion(version)
  const { bus } = session
  const producer = bus.producer({ transactionalId: 'p' })
  let running = 0
  let most = 0
  const transactions = Array.from({ length: 20 }, (_, index) =>
    producer.transaction(async (tx) => {
      most = Math.max(most, ++running)
      await tx.send('t', `${index}`.padStart(2, '0'))
      running--
    }),
  )
  await Promise.all(transactions)
  expect(most).toBe(1)
  await settled(bus)
  const read = texts(await collect(bus.consumer('t', { until: 'end' })))
  expect(read).toEqual(Array.from({ length: 20 }, (_, index) => `${index}`.padStart(2, '0')))
})

test.each(versions)(
  'a later producer of the same id fences the one before for good, and aborts what it left (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    const former = bus.producer({ transactionalId: 'p' })
    const later = bus.producer({ transactionalId: 'p' })
    const failure = await failureOf(
      former.transaction(async (tx) => {
        await tx.send('t', 'former')
        await later.transaction((other) => other.send('t', 'later'))
      }),
    )
    expect(failure).toMatchObject({ code: 'PRODUCER_FENCED' })
    expect(await committed(bus, 't')).toEqual(['later'])
    expect(await failureOf(former.transaction((tx) => tx.send('t', 'again')))).toMatchObject({
      code: 'PRODUCER_FENCED',
    })
    await later.transaction((tx) => tx.send('t', 'and on'))
    expect(await committed(bus, 't')).toEqual(['and on', 'later'])
  },
)

test.each(versions)(
  'a message of the former that is refused by its epoch fences it as well (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    const former = bus.producer({ transactionalId: 'p' })
    const later = bus.producer({ transactionalId: 'p' })
    const failure = await failureOf(
      former.transaction(async (tx) => {
        await tx.send('t', 'former')
        await later.transaction((other) => other.send('t', 'later'))
        await tx.send('t', 'too late')
      }),
    )
    expect(failure).toMatchObject({ code: 'PRODUCER_FENCED' })
    expect(await failureOf(former.ready())).toMatchObject({ code: 'PRODUCER_FENCED' })
  },
)

test.each(versions)(
  'one failed message aborts the transaction, also where nobody awaits it (v%i)',
  async (version) => {
    await using session = await startVersion(version)
    const { bus } = session
    await bus.admin.createTopic('small', { configs: { 'max.message.bytes': '1000' } })
    const producer = bus.producer({ transactionalId: 'p' })
    const failing = producer.transaction(async (tx) => {
      await tx.send('t', 'x')
      void tx.send('small', 'y'.repeat(5_000))
    })
    expect(await failureOf(failing)).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    expect(await failureOf(producer.transaction((tx) => tx.send('t', 'x', { partition: 9 })))).toMatchObject({
      code: 'UNKNOWN_PARTITION',
    })
    const swallowing = producer.transaction(async (tx) => {
      await failureOf(tx.send('small', 'y'.repeat(5_000)))
      expect(await failureOf(tx.send('t', 'after'))).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    })
    expect(await failureOf(swallowing)).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    await producer.transaction((tx) => tx.send('t', 'good'))
    expect(await committed(bus, 't')).toEqual(['good'])
  },
)

test.each(versions)('transactions stay whole however often the connection is cut (v%i)', async (version) => {
  await using session = await startVersion(version)
  const { broker, bus, proxy } = session
  await bus.admin.createTopic('t', { partitions: 2 })
  const producer = bus.producer({ transactionalId: 'p' })
  const cutting = (async () => {
    for (let round = 0; round < 24; round++) {
      await pause(20)
      if (round % 3 === 0) proxy.loseTowards(round % 2 === 0 ? 'client' : 'broker')
      await pause(5)
      proxy.cut()
      proxy.passTowards('client')
      proxy.passTowards('broker')
    }
  })()
  const counted: string[] = []
  for (let number = 0; number < 60; number++) {
    const values = [`${number} a`, `${number} b`, `${number} c`]
    await producer
      .transaction(async (tx) => {
        for (const [index, value] of values.entries()) void tx.send('t', value, { partition: index % 2 })
        if (number % 5 === 4) throw new Error('aborted')
        counted.push(...values)
      })
      .catch((error: Error) => expect(error.message).toBe('aborted'))
    await pause(5)
  }
  await cutting
  expect(proxy.connections).toBeGreaterThan(10)
  await using direct = await connect(broker.address)
  expect(await committed(direct, 't')).toEqual(counted.sort())
})

test.each(versions)(
  'a commit that is not answered is in doubt, and the producer finds out before it goes on (v%i)',
  async (version) => {
    await using session = await startVersion(version, {
      connectTimeoutMs: 100,
      requestTimeoutMs: 200,
      retryTimeoutMs: 600,
    })
    const { broker, bus, proxy } = session
    const producer = bus.producer({ transactionalId: 'p' })
    await producer.transaction((tx) => tx.send('t', 'first'))
    for (const lost of ['client', 'broker'] as const) {
      const doubtful = producer.transaction(async (tx) => {
        await tx.send('t', `lost towards the ${lost}`)
        proxy.loseTowards(lost)
      })
      expect(await failureOf(doubtful)).toMatchObject({ code: 'TRANSACTION_IN_DOUBT' })
      proxy.cut()
      proxy.passTowards(lost)
      await producer.transaction((tx) => tx.send('t', `after ${lost}`))
    }
    await using direct = await connect(broker.address)
    const expected = ['after broker', 'after client', 'first', 'lost towards the client']
    expect(await committed(direct, 't')).toEqual(expected)
  },
)

test('a commit that was refused, first because the id was busy and then for good, is not in doubt', async (context) => {
  needsStreamBus(context, 'its broker refuses on demand')
  await using broker = await startTestBroker()
  const bus = await broker.connect()
  const producer = bus.producer({ transactionalId: 'p' })
  broker.faults.refuse({ api: 'EndTxn', errorCode: 'CONCURRENT_TRANSACTIONS', times: 1 })
  broker.faults.refuse({ api: 'EndTxn', errorCode: 'PRODUCER_FENCED' })
  expect(await failureOf(producer.transaction((tx) => tx.send('t', 'x')))).toMatchObject({
    code: 'PRODUCER_FENCED',
  })
})

test('a transaction that takes longer than its time is aborted by the broker', async () => {
  await using session = await startBus({ transactions: { abortTimedOutIntervalMs: 20 } })
  const { bus } = session
  const producer = bus.producer({ transactionalId: 'p', transactionTimeoutMs: 100 })
  const failure = await failureOf(
    producer.transaction(async (tx) => {
      await tx.send('t', 'x')
      for (let state = ''; state !== 'CompleteAbort'; await pause(20)) {
        state = (await bus.admin.describeTransaction('p')).state
      }
    }),
  )
  // StreamBus fences its producer, too; Apache Kafka lets it go on.
  expect(['PRODUCER_FENCED', 'TRANSACTION_ABORTED']).toContain(failure.code)
  expect(await committed(bus, 't')).toEqual([])
})

test('a message that is not delivered in time aborts the transaction', async () => {
  await using session = await startVersion(2, { requestTimeoutMs: 200 })
  const { bus, proxy } = session
  // A cluster may take longer than that to make the topic.
  await bus.producer().send('t', 'before')
  const producer = bus.producer({ transactionalId: 'p', deliveryTimeoutMs: 500 })
  const failing = producer.transaction(async (tx) => {
    await tx.send('t', 'a')
    proxy.loseTowards('broker')
    const lost = failureOf(tx.send('t', 'b'))
    expect(await lost).toMatchObject({ code: 'DELIVERY_TIMEOUT' })
    proxy.cut()
    proxy.passTowards('broker')
  })
  expect(await failureOf(failing)).toMatchObject({ code: 'DELIVERY_TIMEOUT' })
  await producer.transaction((tx) => tx.send('t', 'c'))
  expect(await committed(bus, 't')).toEqual(['before', 'c'])
})

test('a signal aborts the transaction, whatever its callback waits for', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer({ transactionalId: 'p' })
  const stop = new AbortController()
  const waiting = producer.transaction(
    async (tx) => {
      await tx.send('t', 'x')
      stop.abort()
      await new Promise(() => {})
    },
    { signal: stop.signal },
  )
  expect(await failureOf(waiting)).toMatchObject({ code: 'ABORTED' })
  expect(await failureOf(producer.transaction(() => {}, { signal: stop.signal }))).toMatchObject({
    code: 'ABORTED',
  })
  await producer.transaction((tx) => tx.send('t', 'y'))
  expect(await committed(bus, 't')).toEqual(['y'])
})

test('closing the client aborts the open transaction; further ones fail', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await using other = await connect(broker.address)
  const producer = other.producer({ transactionalId: 'p' })
  let opened!: () => void
  const open = new Promise<void>((resolve) => {
    opened = resolve
  })
  const waiting = failureOf(
    producer.transaction(async (tx) => {
      await tx.send('t', 'x')
      opened()
      await new Promise(() => {})
    }),
  )
  await open
  await other.close()
  expect(await waiting).toMatchObject({ code: 'CLOSED' })
  expect(await failureOf(producer.transaction(() => {}))).toMatchObject({ code: 'CLOSED' })
  expect(await bus.admin.describeTransaction('p')).toMatchObject({ state: 'CompleteAbort' })
  expect(await committed(bus, 't')).toEqual([])
})

test('closing does not wait until what a broker that is away holds up could be delivered', async () => {
  await using session = await startVersion(2, { retryTimeoutMs: 300, connectTimeoutMs: 100 })
  const { bus, proxy } = session
  const producer = bus.producer({ transactionalId: 'p' })
  let returned!: () => void
  const returning = new Promise<void>((resolve) => {
    returned = resolve
  })
  const waiting = failureOf(
    producer.transaction(async (tx) => {
      await tx.send('t', 'delivered')
      proxy.refusing = true
      proxy.cut()
      void tx.send('t', 'held up')
      returned()
    }),
  )
  await returning
  await pause(20)
  await producer.close()
  expect(await waiting).toMatchObject({ code: 'CLOSED' })
})

test('what is sent when the transaction is over is refused, and a transaction without messages costs nothing', async () => {
  await using session = await startBus()
  const { bus } = session
  const producer = bus.producer({ transactionalId: 'p' })
  const late = await producer.transaction((tx) => () => tx.send('t', 'late'))
  expect(await failureOf(late())).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await bus.admin.describeTransaction('p')).toMatchObject({ state: 'Empty', producerEpoch: 0 })
  await producer.transaction((tx) => tx.send('t', 'x'))
  expect(await committed(bus, 't')).toEqual(['x'])
})

test('options that contradict a transactional producer are refused at once', async () => {
  await using session = await startBus()
  const { bus } = session
  const refused = [
    { transactionalId: '' },
    { transactionalId: 'p', acks: 1 },
    { transactionalId: 'p', idempotent: false },
    { transactionalId: 'p', transactionTimeoutMs: 0 },
    { transactionTimeoutMs: 1_000 },
  ]
  for (const options of refused) {
    expect(() => bus.producer(options as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  }
  const tooLong = bus.producer({ transactionalId: 'p', transactionTimeoutMs: 10 * 3_600_000 })
  const failure = await failureOf(tooLong.transaction((tx) => tx.send('t', 'x')))
  expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(failure.message).toContain('transactionTimeoutMs of 36000000')
  const producer = bus.producer({ transactionalId: 'p' })
  const offsets = [{ topic: 't', partition: 0, offset: -1 }]
  expect(
    await failureOf(producer.transaction((tx) => tx.sendOffsets({ group: 'g' }, offsets))),
  ).toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
})
