/** Where no progress is possible a consumer says so, and past a bound ends with an error. */
import type { Consumer, ConsumerEvents, GroupConsumer, Stall } from '@streambus/client'
import { eventually, type RefusableApi, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { withClients } from './group-members.ts'
import { fill, gate } from './handling-setup.ts'
import { collect, failureOf } from './test-bus.ts'

/** What the consumer tells of its stalls, in order. */
function stallsOf(consumer: Consumer | GroupConsumer): string[] {
  const told: string[] = []
  const name = (stall: Stall) =>
    stall.cause === 'handler' ? stall.cause : `${stall.cause} ${stall.error.code}`
  consumer.on('stalled', (stall) => told.push(`stalled: ${name(stall)}`))
  consumer.on('recovered', (stall: ConsumerEvents['recovered']) => told.push(`recovered: ${name(stall)}`))
  return told
}

const groups = { consumerHeartbeatIntervalMs: 50 }
const ways: [string, { group: string; groupProtocol?: 'consumer' } | undefined][] = [
  ['without a group', undefined],
  ['classic', { group: 'g' }],
  ['consumer', { group: 'g', groupProtocol: 'consumer' }],
]

test.each(ways)(
  'a partition without a leader stalls, recovers, and ends it past the bound (%s)',
  async (_, group) => {
    await using broker = await startTestBroker({ groups })
    const bus = await broker.connect({ clientId: 'app', retryTimeoutMs: 1_000 })
    await fill(bus, 't', 1, 1)
    const options = { maxWaitMs: 10 }
    const consumer =
      group === undefined ? bus.consumer('t', options) : bus.consumer('t', { ...options, ...group })
    const told = stallsOf(consumer)
    const messages = consumer[Symbol.asyncIterator]()
    await messages.next()
    const refusal = { api: 'Fetch', errorCode: 'NOT_LEADER_OR_FOLLOWER', clientId: 'app' } as const
    broker.faults.refuse({ ...refusal, times: 2 })
    const next = messages.next()
    await eventually(() => told.length === 2)
    const once = ['stalled: partition LEADER_UNAVAILABLE', 'recovered: partition LEADER_UNAVAILABLE']
    expect(told).toEqual(once)
    broker.faults.refuse(refusal)
    expect(await failureOf(next)).toMatchObject({ code: 'LEADER_UNAVAILABLE' })
    expect(told).toEqual([...once, once[0]])
  },
)

test.each(ways)(
  'where reading begins cannot be found out: that is a stall, and then an error (%s)',
  async (_, group) => {
    await using broker = await startTestBroker({ groups })
    await broker.createTopic('t')
    const bus = await broker.connect({ clientId: 'app', retryTimeoutMs: 1_000 })
    broker.faults.refuse({ api: 'Metadata', errorCode: 'NETWORK_EXCEPTION', clientId: 'app' })
    const consumer = group === undefined ? bus.consumer('t') : bus.consumer('t', group)
    const told = stallsOf(consumer)
    expect(await failureOf(collect(consumer))).toMatchObject({ brokerError: 'NETWORK_EXCEPTION' })
    expect(told).toEqual(['stalled: start BROKER_ERROR'])
  },
)

test.each(ways.slice(1))(
  'offsets that wait for a transaction hold up the beginning, not silently (%s)',
  async (_, group) => {
    await using broker = await startTestBroker({ groups })
    const bus = await broker.connect({ retryTimeoutMs: 20_000 })
    await fill(bus, 't', 1, 3)
    const producer = bus.producer({ transactionalId: 'open' })
    const [opened, end] = [gate(), gate()]
    const transaction = producer.transaction(async (tx) => {
      await tx.sendOffsets({ group: 'g' }, [{ topic: 't', partition: 0, offset: 2 }])
      opened.open()
      await end.opened
    })
    await opened.opened
    const consumer = bus.consumer('t', group as { group: string })
    const told = stallsOf(consumer)
    const arriving = consumer[Symbol.asyncIterator]().next()
    await eventually(() => told.length === 1)
    expect(told).toEqual(['stalled: start BROKER_ERROR'])
    end.open()
    await transaction
    expect((await arriving).value).toMatchObject({ offset: 2 })
    expect(told[1]).toBe('recovered: start BROKER_ERROR')
    await consumer.close()
  },
)

test.each(ways)(
  'a transaction that stays open holds up what lies behind it, and that is told (%s)',
  async (_, group) => {
    await using broker = await startTestBroker({ groups })
    const bus = await broker.connect({ retryTimeoutMs: 200 })
    await fill(bus, 't', 1, 1)
    const [opened, end] = [gate(), gate()]
    const transaction = bus.producer({ transactionalId: 'open' }).transaction(async (tx) => {
      await tx.send('t', 'in the transaction')
      opened.open()
      await end.opened
    })
    await opened.opened
    const options = { maxWaitMs: 10 }
    const consumer =
      group === undefined ? bus.consumer('t', options) : bus.consumer('t', { ...options, ...group })
    const told = stallsOf(consumer)
    const messages = consumer[Symbol.asyncIterator]()
    await messages.next()
    const next = messages.next()
    await eventually(() => told.length === 1)
    expect(told).toEqual(['stalled: partition TRANSACTION_OPEN'])
    end.open()
    await transaction
    expect((await next).value.text()).toBe('in the transaction')
    expect(told[1]).toBe('recovered: partition TRANSACTION_OPEN')
    await consumer.close()
  },
)

test('a rebalance that others hold up is told of by those who wait', async () => {
  await using broker = await startTestBroker()
  await withClients(broker.address, 2, async ([one, two]) => {
    await fill(one!, 't', 2, 2)
    const first = one!.consumer('t', { group: 'g', heartbeatIntervalMs: 20 })
    const messages = first[Symbol.asyncIterator]()
    await messages.next()
    const second = two!.consumer('t', { group: 'g', rebalanceTimeoutMs: 400 })
    const told = stallsOf(second)
    const arriving = second[Symbol.asyncIterator]().next()
    await eventually(() => told.length === 1)
    expect(told).toEqual(['stalled: coordinator REBALANCE_DELAYED'])
    const next = messages.next()
    await Promise.all([next, arriving])
    expect(told[1]).toBe('recovered: coordinator REBALANCE_DELAYED')
    await Promise.all([first.close(), second.close()])
  })
})

test.each(ways.slice(0, 2))(
  'a topic that is deleted while it is read is a stall, and then an error (%s)',
  async (_, group) => {
    await using broker = await startTestBroker()
    const bus = await broker.connect({ retryTimeoutMs: 500 })
    await fill(bus, 't', 1, 1)
    const options = { maxWaitMs: 10 }
    const consumer =
      group === undefined ? bus.consumer('t', options) : bus.consumer('t', { ...options, ...group })
    const told = stallsOf(consumer)
    const messages = consumer[Symbol.asyncIterator]()
    await messages.next()
    const next = messages.next()
    next.catch(() => {})
    await bus.admin.deleteTopic('t')
    expect(await failureOf(next)).toMatchObject({ code: 'UNKNOWN_TOPIC' })
    expect(told).toEqual(['stalled: partition UNKNOWN_TOPIC'])
  },
)

test.each<[string, object]>([
  ['classic', { heartbeatIntervalMs: 20, sessionTimeoutMs: 300 }],
  ['consumer', { groupProtocol: 'consumer' }],
])('a coordinator that is not ready is a stall, and then an error (%s)', async (_, options) => {
  await using broker = await startTestBroker({ groups })
  await broker.createTopic('t')
  const bus = await broker.connect({ clientId: 'app', retryTimeoutMs: 500 })
  const refuse = (api: RefusableApi) =>
    broker.faults.refuse({ api, errorCode: 'COORDINATOR_NOT_AVAILABLE', clientId: 'app' })
  const unavailable = { code: 'COORDINATOR_UNAVAILABLE' }
  const consumer = bus.consumer('t', { group: 'g', ...options })
  const told = stallsOf(consumer)
  const reading = collect(consumer)
  reading.catch(() => {})
  await eventually(() => consumer.assignment.length === 1)
  for (const api of ['Heartbeat', 'JoinGroup', 'ConsumerGroupHeartbeat'] as const) refuse(api)
  expect(await failureOf(reading)).toMatchObject(unavailable)
  expect(told).toEqual(['stalled: coordinator COORDINATOR_UNAVAILABLE'])
  refuse('FindCoordinator')
  const second = bus.consumer('t', { group: 'h', ...options })
  const toldBySecond = stallsOf(second)
  expect(await failureOf(collect(second))).toMatchObject(unavailable)
  expect(toldBySecond).toEqual(['stalled: coordinator COORDINATOR_UNAVAILABLE'])
})
