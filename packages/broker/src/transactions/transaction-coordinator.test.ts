import {
  describeConfigs,
  describeTransactions,
  ErrorCode,
  encodeRecordBatch,
  listTransactions,
  txnOffsetCommit,
} from '@streambus/protocol'
import { type LogStore, MemoryLogStore, type ReadRequest } from '@streambus/storage'
import { afterEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { partitionOf } from '../coordinator/internal-topics.ts'
import type { Scheduler } from '../coordinator/scheduler.ts'
import { GroupCoordinator } from '../groups/group-coordinator.ts'
import { resolveGroupOptions } from '../groups/group-options.ts'
import { silentLogger } from '../logger.ts'
import type { BrokerOptions } from '../options.ts'
import { ProducerIds } from '../producer-ids.ts'
import { CapturedLog } from '../testing/captured-log.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'
import { type ClientKind, TransactionalProducer } from '../testing/transactional-producer.ts'
import { readPartition } from '../testing/transactional-reader.ts'
import { TransactionCoordinator } from './transaction-coordinator.ts'
import { resolveTransactionOptions } from './transaction-options.ts'

const { NONE, PRODUCER_FENCED, COORDINATOR_LOAD_IN_PROGRESS } = ErrorCode

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function brokerWith(options: BrokerOptions): Promise<RawClient> {
  const broker = await Broker.start({ port: 0, ...options })
  cleanUps.push(() => broker.close())
  const client = await RawClient.connect(broker)
  cleanUps.push(() => client.close())
  return client
}

async function stateOf(client: RawClient, transactionalId: string) {
  const { transactionStates } = await client.request(describeTransactions, 0, {
    transactionalIds: [transactionalId],
  })
  return transactionStates[0]!
}

async function untilState(client: RawClient, transactionalId: string, state: string): Promise<void> {
  while ((await stateOf(client, transactionalId)).transactionState !== state) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A clock that can be put forward. */
function adjustableClock() {
  const adjustable = { aheadMs: 0, now: () => Date.now() + adjustable.aheadMs }
  return adjustable
}

test.each<ClientKind>(['v1', 'v2'])(
  'a transaction of a %s producer that takes too long is aborted, and its producer fenced',
  async (kind) => {
    const clock = adjustableClock()
    const client = await brokerWith({ clock: clock.now, transactions: { abortTimedOutIntervalMs: 5 } })
    await createTopic(client, 'words')
    const slow = new TransactionalProducer(client, 'slow', kind)
    const patient = new TransactionalProducer(client, 'patient', kind)
    await slow.init(60_000)
    await patient.init(600_000)
    await slow.write('words', [0], ['lost'])
    await patient.write('words', [0], ['kept'])
    clock.aheadMs = 61_000
    await untilState(client, 'slow', 'CompleteAbort')
    expect(await slow.end(true)).toBe(PRODUCER_FENCED)
    expect(await slow.end(false)).toBe(PRODUCER_FENCED)
    expect(await slow.send('words', [0], ['late'])).toEqual([ErrorCode.INVALID_PRODUCER_EPOCH])
    expect(await stateOf(client, 'patient')).toMatchObject({ transactionState: 'Ongoing' })
    expect(await patient.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: ['kept'] })
    expect(await slow.init()).toBe(NONE)
    await slow.write('words', [0], ['again'])
    expect(await slow.end(true)).toBe(NONE)
  },
)

test('an id that was not used for long is forgotten, also after a restart; one with a transaction is kept', async () => {
  const clock = adjustableClock()
  const store = await MemoryLogStore.open({ clock: clock.now })
  const options = {
    store,
    clock: clock.now,
    transactions: { removeExpiredIntervalMs: 5, idExpirationMs: 1000 },
  }
  const client = await brokerWith(options)
  await createTopic(client, 'words')
  const idle = new TransactionalProducer(client, 'idle', 'v1')
  const open = new TransactionalProducer(client, 'open', 'v1')
  await idle.init()
  await open.init(600_000)
  await open.write('words', [0], ['a'])
  clock.aheadMs = 5000
  while ((await stateOf(client, 'idle')).errorCode === NONE)
    await new Promise((resolve) => setTimeout(resolve, 5))
  expect(await stateOf(client, 'idle')).toMatchObject({ errorCode: ErrorCode.TRANSACTIONAL_ID_NOT_FOUND })
  expect(await stateOf(client, 'open')).toMatchObject({ transactionState: 'Ongoing' })
  expect(await idle.end(false)).toBe(ErrorCode.INVALID_PRODUCER_ID_MAPPING)

  const restarted = await brokerWith({ store: keptOpen(store), clock: clock.now })
  await untilState(restarted, 'open', 'Ongoing')
  expect(await stateOf(restarted, 'idle')).toMatchObject({ errorCode: ErrorCode.TRANSACTIONAL_ID_NOT_FOUND })
  expect(await idle.on(restarted).init(60_000, idle.producer)).toBe(NONE)
})

function keptOpen(store: LogStore): LogStore {
  return withOverrides(store, { close: async () => undefined })
}

test('while it loads everyone is told to come back, in the way of each API', async () => {
  const store = await MemoryLogStore.open()
  const first = await brokerWith({ store: keptOpen(store) })
  await createTopic(first, 'words')
  const producer = new TransactionalProducer(first, 'orders', 'v1')
  await producer.init()
  await producer.write('words', [0], ['a'])

  let letGo!: () => void
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const stalling = withOverrides(keptOpen(store), {
    read: async (requests: readonly ReadRequest[], limits) => {
      await gate
      return store.read(requests, limits)
    },
  })
  const client = await brokerWith({ store: stalling })
  const same = producer.on(client)
  const young = new TransactionalProducer(client, 'orders', 'v2')
  young.producer = producer.producer
  expect(await young.init()).toBe(COORDINATOR_LOAD_IN_PROGRESS)
  expect(await same.add('words', [0])).toEqual([COORDINATOR_LOAD_IN_PROGRESS])
  expect(await same.addOffsets('readers')).toBe(COORDINATOR_LOAD_IN_PROGRESS)
  expect(await same.end(true)).toBe(COORDINATOR_LOAD_IN_PROGRESS)
  expect(await same.send('words', [0], ['x'])).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS])
  expect(await young.send('words', [0], ['x'])).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS])
  expect(await same.commitOffset('readers', 'words', 0, 1)).toBe(COORDINATOR_LOAD_IN_PROGRESS)
  const { topics } = await client.request(txnOffsetCommit, 1, {
    transactionalId: 'orders',
    groupId: 'readers',
    producerId: 1n,
    producerEpoch: 0,
    topics: [
      { name: 'words', partitions: [{ partitionIndex: 0, committedOffset: 1n, committedMetadata: null }] },
    ],
  })
  expect(topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
  expect(await stateOf(client, 'orders')).toMatchObject({ errorCode: COORDINATOR_LOAD_IN_PROGRESS })
  const listed = await client.request(listTransactions, 0, { stateFilters: [], producerIdFilters: [] })
  expect(listed.errorCode).toBe(COORDINATOR_LOAD_IN_PROGRESS)

  letGo()
  await untilState(client, 'orders', 'Ongoing')
  expect(await producer.on(client).end(true)).toBe(NONE)
  expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: ['a'] })
})

test('a broker whose log another one took over says so, and changes nothing any more', async () => {
  const store = await MemoryLogStore.open()
  const old = await brokerWith({ store: keptOpen(store) })
  await createTopic(old, 'words')
  const producer = new TransactionalProducer(old, 'orders', 'v2')
  await producer.init()
  await producer.write('words', [0], ['a'])
  const log = new CapturedLog()
  const young = await brokerWith({ store: keptOpen(store), log })
  await untilState(young, 'orders', 'Ongoing')
  expect(await producer.end(true)).toBe(ErrorCode.NOT_COORDINATOR)
  expect(await producer.init()).toBe(ErrorCode.NOT_COORDINATOR)
  expect(await producer.send('words', [0], ['x'])).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS])
  expect(await stateOf(old, 'orders')).toMatchObject({ errorCode: ErrorCode.NOT_COORDINATOR })
  expect(await producer.on(young).end(true)).toBe(NONE)
  expect(await readPartition(young, 'words', 0)).toMatchObject({ committed: ['a'] })
})

test('a log that holds what no coordinator wrote stops the ids in it, and no others', async () => {
  const store = await MemoryLogStore.open()
  const first = await brokerWith({ store: keptOpen(store) })
  await new TransactionalProducer(first, 'orders', 'v2').init()
  const topic = store.topics.byName('__transaction_state')!
  const logId = topic.logs[partitionOf('orders', topic.logs.length)]!
  const bytes = encodeRecordBatch([{ key: new Uint8Array([0, 0, 9]), value: 'x', timestamp: 1 }])
  await store.append([{ logId, bytes }])
  const log = new CapturedLog()
  const client = await brokerWith({ store: keptOpen(store), log })
  await log.has(/cannot be read/)
  expect(await new TransactionalProducer(client, 'orders', 'v2').init()).toBe(
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
  )
  expect(await new TransactionalProducer(client, 'other', 'v2').init()).toBe(NONE)
})

test('its log stays about as long as what it says, and says the same', async () => {
  const store = await MemoryLogStore.open()
  const time = new ManualTime()
  const begin = async (): Promise<TransactionCoordinator> => {
    const options = resolveGroupOptions({}, false)
    const groups = new GroupCoordinator({
      store,
      scheduler: time,
      options,
      log: silentLogger,
      newId: () => 'm',
    })
    const transactions = new TransactionCoordinator({
      store,
      scheduler: time,
      options: resolveTransactionOptions({}),
      producerIds: new ProducerIds(store),
      offsets: groups,
      log: silentLogger,
    })
    transactions.start()
    await transactions.loaded()
    return transactions
  }
  const coordinator = await begin()
  const producer = await coordinator.initProducer('orders', 60_000, null)
  const partition = (number: number) => ({ topic: 'words', partition: number })
  const first = Array.from({ length: 9000 }, (_, number) => partition(number))
  expect(await coordinator.addPartitions('orders', producer, first, 2)).toBe(NONE)
  for (let number = 9000; number < 9200; number++) {
    expect(await coordinator.addPartitions('orders', producer, [partition(number)], 2)).toBe(NONE)
  }
  const { logs } = store.topics.byName('__transaction_state')!
  const logId = logs[partitionOf('orders', logs.length)]!
  const [long] = await store.state([logId])
  await time.pass(30_000)
  for (;;) {
    const [state] = await store.state([logId])
    if (state!.sizeBytes < long!.sizeBytes / 10) break
    await time.pass(0)
  }
  coordinator.close()
  const next = await begin()
  const found = next.describe('orders')
  if (typeof found === 'number') throw new Error(`not found: ${found}`)
  expect(found.state).toBe('Ongoing')
  expect(found.partitions.size).toBe(9200)
  expect(next.verify('orders', producer.producerId, producer.producerEpoch, 'words', 9199)).toBe(NONE)
  next.close()
})

test('the broker tells its limits, and refuses those that make no sense', async () => {
  const client = await brokerWith({ transactions: { maxTimeoutMs: 5000 } })
  const { results } = await client.request(describeConfigs, 4, {
    resources: [
      {
        resourceType: 4,
        resourceName: '1',
        configurationKeys: ['transaction.max.timeout.ms', 'transactional.id.expiration.ms'],
      },
    ],
  })
  expect(results[0]!.configs.map(({ name, value, configSource }) => [name, value, configSource])).toEqual([
    ['transaction.max.timeout.ms', '5000', 4],
    ['transactional.id.expiration.ms', '604800000', 5],
  ])
  for (const maxIds of [0, 1.5, Number.NaN]) {
    await expect(Broker.start({ port: 0, transactions: { maxIds } })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    })
  }
})

/** Time that passes when it is told to. */
class ManualTime implements Scheduler {
  #nowMs = 1_700_000_000_000
  #timers: { atMs: number; run: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void) {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  /** What is due runs, and what follows from it has the time to happen. */
  async pass(durationMs: number): Promise<void> {
    this.#nowMs += durationMs
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)
    this.#timers = this.#timers.filter((timer) => !due.includes(timer))
    for (const { run } of due) run()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
