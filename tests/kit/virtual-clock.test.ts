import type { StreamBus } from 'streambus'
import { eventually, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { TransactionalProducer } from '../../packages/broker/src/testing/transactional-producer.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** A member that sends no heartbeat while the test runs, on a client of its own. */
async function joinSilently(bus: StreamBus, sessionTimeoutMs: number): Promise<AsyncDisposable> {
  let isMember = false
  const consumer = bus.consumer('t', {
    group: 'g',
    sessionTimeoutMs,
    heartbeatIntervalMs: HOUR_MS,
    onAssigned: () => {
      isMember = true
    },
  })
  const reading = consumer[Symbol.asyncIterator]().next()
  await eventually(() => isMember)
  return {
    [Symbol.asyncDispose]: async () => {
      await consumer.close()
      await reading
    },
  }
}

test('a member is put out when its session is over by the clock, and not before', async () => {
  await using broker = await startTestBroker({ clock: 'virtual' })
  await broker.createTopic('t')
  const bus = await broker.connect()
  await using _ = await joinSilently(bus, 10_000)
  const members = async () => (await bus.admin.describeGroups(['g'])).flatMap(({ members }) => members).length
  await broker.clock.advance(9_999)
  expect(await members()).toBe(1)
  await broker.clock.advance(1)
  expect(await members()).toBe(0)
})

test('a transaction past its timeout is aborted', async () => {
  await using broker = await startTestBroker({ clock: 'virtual' })
  await broker.createTopic('t')
  const raw = await RawClient.connect(broker)
  const producer = new TransactionalProducer(raw, 'tx', 'v2')
  const { admin } = await broker.connect()
  await eventually(async () => expect(await producer.init(60_000)).toBe(0))
  await producer.write('t', [0], ['never committed'])
  const state = async () => (await admin.describeTransaction('tx')).state
  await broker.clock.advance(50_000)
  expect(await state()).toBe('Ongoing')
  await broker.clock.advance(30_000)
  await eventually(async () => expect(await state()).toBe('CompleteAbort'))
  raw.close()
})

test('offsets expire a week after their group was left, on disk as in memory', async () => {
  for (const onDisk of [false, true]) {
    await using broker = await startTestBroker({ clock: 'virtual', onDisk })
    await broker.createTopic('t')
    const { admin } = await broker.connect()
    await admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 1 }])
    await broker.clock.advance(6 * DAY_MS)
    expect(await admin.fetchOffsets('g')).toHaveLength(1)
    await broker.clock.advance(2 * DAY_MS)
    await eventually(async () => expect(await admin.fetchOffsets('g')).toEqual([]))
  }
})

test('producers that are silent for long are forgotten, and the broker gives the time of its clock', async () => {
  await using broker = await startTestBroker({ clock: 'virtual' })
  await broker.createTopic('t', 1, { configs: { 'message.timestamp.type': 'LogAppendTime' } })
  const startMs = broker.clock.nowMs()
  const bus = await broker.connect()
  const producers = async () => (await bus.admin.describeProducers({ topic: 't', partition: 0 })).length
  await bus.producer({}).send('t', 'one')
  await broker.clock.advance(HOUR_MS)
  await bus.producer({}).send('t', 'two')
  expect(await producers()).toBe(2)
  await broker.clock.advance(2 * DAY_MS)
  await bus.producer({}).send('t', 'three')
  expect(await producers()).toBe(1)
  const times = (await broker.produced('t')).map(({ timestamp }) => timestamp - startMs)
  expect(times).toEqual([0, HOUR_MS, HOUR_MS + 2 * DAY_MS])
})

test('the clock goes on where it was when the broker is started again', async () => {
  await using broker = await startTestBroker({ clock: 'virtual' })
  await broker.createTopic('t')
  const startMs = broker.clock.nowMs()
  const bus = await broker.connect()
  await using _ = await joinSilently(bus, 10_000)
  await broker.clock.advance(5_000)
  await broker.restart()
  expect(broker.clock.nowMs()).toBe(startMs + 5_000)
  // Sessions begin anew with the coordinator.
  await broker.clock.advance(9_999)
  expect((await bus.admin.describeGroup('g')).members).toHaveLength(1)
  await broker.clock.advance(1)
  expect((await bus.admin.describeGroups(['g'])).flatMap(({ members }) => members)).toEqual([])
})

test('a clock that is not virtual, and time that would go back, are refused', async () => {
  await using real = await startTestBroker()
  expect(() => real.clock).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  await using broker = await startTestBroker({ clock: 'virtual' })
  const { clock } = broker
  const startMs = clock.nowMs()
  expect(() => clock.advance(-1)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  expect(() => clock.advance(Number.NaN)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  await Promise.all([clock.advance(1_000), clock.advance(0), clock.advance(500)])
  expect(clock.nowMs()).toBe(startMs + 1_500)
})
