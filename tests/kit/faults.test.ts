import {
  endTxn,
  fetch,
  findCoordinator,
  heartbeat,
  initProducerId,
  joinGroup,
  metadata,
  offsetCommit,
  offsetFetch,
  produce,
  syncGroup,
} from '@streambus/protocol'
import { isStreamBusError, type StreamBus, type StreamBusErrorCode } from 'streambus'
import { eventually, type RefusableApi, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchRequest,
  produceRequest,
} from '../../packages/broker/src/testing/requests.ts'

const values = (messages: readonly { text(): string | null }[]) => messages.map((message) => message.text())

async function readGroup(bus: StreamBus): Promise<void> {
  for await (const _ of bus.consumer('t', { group: 'g', heartbeatIntervalMs: 20 })) {
    // Until it fails.
  }
}

async function readConsumerGroup(bus: StreamBus): Promise<void> {
  for await (const _ of bus.consumer('t', { group: 'g', groupProtocol: 'consumer' })) {
    // Until it fails.
  }
}

test.each<[RefusableApi, string, StreamBusErrorCode, (bus: StreamBus) => Promise<unknown>]>([
  ['Produce', 'TOPIC_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', (bus) => bus.producer().send('t', 'v')],
  [
    'Fetch',
    'TOPIC_AUTHORIZATION_FAILED',
    'NOT_AUTHORIZED',
    (bus) => bus.consumer('t')[Symbol.asyncIterator]().next(),
  ],
  ['Metadata', 'TOPIC_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', (bus) => bus.producer().send('t', 'v')],
  ['FindCoordinator', 'GROUP_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', readGroup],
  ['JoinGroup', 'GROUP_MAX_SIZE_REACHED', 'GROUP_FULL', readGroup],
  ['SyncGroup', 'GROUP_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', readGroup],
  ['Heartbeat', 'FENCED_INSTANCE_ID', 'MEMBER_FENCED', readGroup],
  ['ConsumerGroupHeartbeat', 'GROUP_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', readConsumerGroup],
  ['OffsetFetch', 'GROUP_AUTHORIZATION_FAILED', 'NOT_AUTHORIZED', (bus) => bus.admin.fetchOffsets('g')],
  [
    'OffsetCommit',
    'TOPIC_AUTHORIZATION_FAILED',
    'NOT_AUTHORIZED',
    (bus) => bus.admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 0 }]),
  ],
  [
    'InitProducerId',
    'CLUSTER_AUTHORIZATION_FAILED',
    'NOT_AUTHORIZED',
    (bus) => bus.producer({ idempotent: true }).send('t', 'v'),
  ],
])('%s refused with %s fails with %s', async (api, errorCode, code, operation) => {
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  await (await broker.connect()).producer().send('t', 'there')
  const bus = await broker.connect({ clientId: 'app' })
  broker.faults.refuse({ api, errorCode: errorCode as never, clientId: 'app' })
  const error = await operation(bus).catch((error: unknown) => error)
  expect(isStreamBusError(error) && { code: error.code, brokerError: error.brokerError }).toEqual({
    code,
    brokerError: errorCode,
  })
})

/** Everything that is called an error code, wherever it stands. */
function errorCodesIn(body: unknown): number[] {
  if (typeof body !== 'object' || body === null || ArrayBuffer.isView(body)) return []
  return Object.entries(body).flatMap(([key, value]) =>
    key === 'errorCode' ? [value as number] : errorCodesIn(value),
  )
}

test('every version of an API has its place for the error', async () => {
  await using broker = await startTestBroker()
  const raw = await RawClient.connect(broker)
  const { topicId } = await createTopic(raw, 't')
  const member = { groupId: 'g', generationId: 1, memberId: 'm', groupInstanceId: null }
  const { topicData, ...produced } = produceRequest('t', [{ index: 0, records: batchOf(['v']) }])
  const fetched = fetchRequest('t', [{ partition: 0, fetchOffset: 0 }])
  const withId = <T extends object>(topics: readonly T[]) => topics.map((topic) => ({ ...topic, topicId }))
  const committed = { partitionIndex: 0, committedOffset: 1n, committedMetadata: null }
  const asked = { name: 't', topicId, partitionIndexes: [0] }
  const requests: [typeof produce | { name: string }, number, number, (version: number) => object][] = [
    [produce, 3, 13, () => ({ ...produced, topicData: withId(topicData) })],
    [fetch, 4, 17, () => ({ ...fetched, topics: withId(fetched.topics) })],
    [metadata, 0, 13, () => ({ topics: [{ name: 't' }] })],
    [
      findCoordinator,
      0,
      6,
      (version) => (version < 4 ? { key: 'g' } : { keyType: 0, coordinatorKeys: ['g', 'h'] }),
    ],
    [
      joinGroup,
      0,
      9,
      () => ({
        ...member,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 10_000,
        protocolType: 'consumer',
        protocols: [],
      }),
    ],
    [syncGroup, 0, 5, () => ({ ...member, assignments: [] })],
    [heartbeat, 0, 4, () => member],
    [
      offsetCommit,
      0,
      10,
      () => ({ groupId: 'g', memberId: '', topics: [{ name: 't', topicId, partitions: [committed] }] }),
    ],
    [
      offsetFetch,
      0,
      10,
      (version) =>
        version < 8 ? { groupId: 'g', topics: [asked] } : { groups: [{ groupId: 'g', topics: [asked] }] },
    ],
    [initProducerId, 0, 5, () => ({ transactionalId: null, transactionTimeoutMs: 1_000 })],
    [endTxn, 0, 5, () => ({ transactionalId: 'x', producerId: 1n, producerEpoch: 0, committed: true })],
  ]
  for (const [api, first, last, body] of requests) {
    broker.faults.refuse({ api: api.name as RefusableApi, errorCode: 'POLICY_VIOLATION' })
    for (let version = first; version <= last; version++) {
      const answer = await raw.request(api as typeof produce, version, body(version) as never)
      const codes = errorCodesIn(answer).filter((code) => code !== 0)
      expect({ api: api.name, version, codes: new Set(codes) }).toEqual({
        api: api.name,
        version,
        codes: new Set([44]),
      })
    }
    broker.faults.clear()
  }
  raw.close()
  expect(await broker.produced('t')).toEqual([])
})

test('a fetch session ends first, so that the error reaches each partition', async () => {
  await using broker = await startTestBroker()
  const raw = await RawClient.connect(broker)
  await createTopic(raw, 't')
  const full = fetchRequest('t', [{ partition: 0, fetchOffset: 0 }], { sessionId: 0, sessionEpoch: 0 })
  const { sessionId } = await raw.request(fetch, 12, full)
  broker.faults.refuse({ api: 'Fetch', errorCode: 'OFFSET_OUT_OF_RANGE', times: 1 })
  const next = { ...full, sessionId, sessionEpoch: 1, topics: [] }
  expect(await raw.request(fetch, 12, next)).toMatchObject({ errorCode: 70, responses: [] })
  const refused = await raw.request(fetch, 12, full)
  expect(refused.responses[0]!.partitions[0]).toMatchObject({ partitionIndex: 0, errorCode: 1 })
  expect((await raw.request(fetch, 12, full)).responses[0]!.partitions[0]!.errorCode).toBe(0)
  raw.close()
})

test('the next produces fail, producers try them again, and nothing is lost or there twice', async () => {
  await using broker = await startTestBroker()
  const producer = (await broker.connect()).producer()
  await producer.send('t', 'one')
  broker.faults.failProduces(3)
  await producer.send('t', 'two')
  expect(values(await broker.produced('t'))).toEqual(['one', 'two'])
  broker.faults.failProduces(1, { errorCode: 'TOPIC_AUTHORIZATION_FAILED' })
  await expect(producer.send('t', 'refused')).rejects.toMatchObject({ code: 'NOT_AUTHORIZED' })
  await producer.send('t', 'three')
  expect(values(await broker.produced('t'))).toEqual(['one', 'two', 'three'])
})

test('a refusal concerns the client it names, so many times, and never the helpers', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  const named = (await broker.connect({ clientId: 'named' })).producer()
  const other = (await broker.connect({ clientId: 'other' })).producer()
  const api = 'Produce'
  broker.faults.refuse({ api, clientId: 'named', errorCode: 29, times: 2 })
  broker.faults.refuse({ api: 'Fetch', errorCode: 'TOPIC_AUTHORIZATION_FAILED' })
  await other.send('t', 'other')
  await expect(named.send('t', 'x')).rejects.toMatchObject({ brokerError: 'TOPIC_AUTHORIZATION_FAILED' })
  await expect(named.send('t', 'x')).rejects.toMatchObject({ brokerError: 'TOPIC_AUTHORIZATION_FAILED' })
  await named.send('t', 'named')
  expect(values(await broker.produced('t'))).toEqual(['other', 'named'])
  broker.faults.refuse({ api, errorCode: 29 })
  await expect(other.send('t', 'x')).rejects.toMatchObject({ code: 'NOT_AUTHORIZED' })
  broker.faults.clear()
  await other.send('t', 'cleared')
})

test('a produce without acknowledgement is refused as a broker does it: by closing the connection', async () => {
  await using broker = await startTestBroker()
  const raw = await RawClient.connect(broker)
  await createTopic(raw, 't')
  broker.faults.refuse({ api: 'Produce', errorCode: 'NOT_ENOUGH_REPLICAS' })
  raw.send(produce, 9, produceRequest('t', [{ index: 0, records: batchOf(['v']) }], { acks: 0 }))
  await raw.closed
  expect(await broker.produced('t')).toEqual([])
})

test('a delayed request is executed when the clock has come so far, or the faults are cleared', async () => {
  await using broker = await startTestBroker({ clock: 'virtual' })
  await broker.createTopic('t')
  const producer = (await broker.connect({ clientId: 'slow' })).producer()
  const other = (await broker.connect({ clientId: 'other' })).producer()
  broker.faults.delay({ api: 'Produce', clientId: 'slow', delayMs: 60_000, times: 1 })
  let isDone = false
  const sent = producer.send('t', 'late').then(() => {
    isDone = true
  })
  await other.send('t', 'first')
  await broker.clock.advance(59_999)
  await other.send('t', 'second')
  expect(isDone).toBe(false)
  // Until the request is there the clock has nothing to count.
  await eventually(() => broker.clock.advance(1_000).then(() => isDone))
  await sent
  expect(values(await broker.produced('t'))).toEqual(['first', 'second', 'late'])
  await producer.send('t', 'third')
})

test('what is held up goes on when the faults are cleared, and no later request is held up', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  const producer = (await broker.connect()).producer()
  broker.faults.delay({ api: 'Produce', delayMs: 600_000 })
  const held = producer.send('t', 'held')
  await broker.produced('t')
  broker.faults.clear()
  await held
  await producer.send('t', 'not held')
  broker.faults.delay({ api: 'Produce', delayMs: 5, times: 1 })
  await producer.send('t', 'held for a moment')
  expect(values(await broker.produced('t'))).toEqual(['held', 'not held', 'held for a moment'])
})

test('what is held up when the broker is killed is never executed; when it is stopped it is', async () => {
  for (const kill of [true, false]) {
    await using broker = await startTestBroker({ clock: 'virtual' })
    const raw = await RawClient.connect(broker)
    await createTopic(raw, 't')
    broker.faults.delay({ api: 'Produce', delayMs: 1_000 })
    const answer = raw
      .request(produce, 9, produceRequest('t', [{ index: 0, records: batchOf(['v']) }]))
      .catch((error: Error) => error.message)
    // The broker has it when it answers what was sent on another connection after it.
    await broker.produced('t')
    await broker.restart({ kill })
    await broker.clock.advance(2_000)
    if (kill) expect(await answer).toBe('the connection was closed')
    else expect(await answer).toMatchObject({ responses: [{ partitionResponses: [{ errorCode: 0 }] }] })
    expect(values(await broker.produced('t'))).toEqual(kill ? [] : ['v'])
  }
})

test('connections are dropped in the middle of what is asked, of all clients or of one', async () => {
  await using broker = await startTestBroker()
  await broker.createTopic('t')
  const named = await broker.connect({ clientId: 'named' })
  const other = await broker.connect({ clientId: 'other' })
  const raw = await RawClient.connect(broker)
  await broker.createTopic('idle')
  const waiting = raw.request(
    fetch,
    12,
    fetchRequest('idle', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 }),
  )
  const cut = expect(waiting).rejects.toThrow('the connection was closed')
  const producer = named.producer()
  await Promise.all([producer.send('t', 'one'), other.admin.listTopics()])
  expect(broker.faults.dropConnections({ clientId: 'nobody' })).toBe(0)
  expect(broker.faults.dropConnections({ clientId: 'named' })).toBeGreaterThan(0)
  expect(broker.faults.dropConnections({ clientId: 'named' })).toBe(0)
  await producer.send('t', 'two')
  expect(broker.faults.dropConnections()).toBeGreaterThan(1)
  await cut
  await producer.send('t', 'three')
  expect(values(await broker.produced('t'))).toEqual(['one', 'two', 'three'])
})

test('what cannot be a fault is refused at the call, with what can', async () => {
  await using broker = await startTestBroker()
  const { faults } = broker
  const refusal = (message: string) => expect.objectContaining({ code: 'INVALID_ARGUMENT', message })
  expect(() => faults.refuse({ api: 'ListOffsets' as never, errorCode: 6 })).toThrow(
    refusal(
      "'ListOffsets' cannot be refused with an error code; these can: Produce, Fetch, Metadata, OffsetCommit, OffsetFetch, FindCoordinator, JoinGroup, Heartbeat, ConsumerGroupHeartbeat, SyncGroup, InitProducerId, EndTxn.",
    ),
  )
  for (const errorCode of ['NO_SUCH_ERROR', 'NONE', 0, 9_999, 'toString']) {
    expect(() => faults.refuse({ api: 'Produce', errorCode: errorCode as never })).toThrow(
      refusal(
        `'${errorCode}' is no error of Kafka's protocol; write its name, 'NOT_COORDINATOR', or its number, 16.`,
      ),
    )
  }
  expect(() => faults.failProduces(0)).toThrow(refusal('times must be a number above 0, not 0.'))
  expect(() => faults.failProduces(1.5)).toThrow(refusal('times must be a whole number, not 1.5.'))
  expect(() => faults.delay({ api: 'Produce', delayMs: -1 })).toThrow(
    refusal('delayMs must be a number above 0, not -1.'),
  )
  expect(() => faults.failProduces('2' as never)).toThrow(refusal("times must be a number above 0, not '2'."))
  expect(() => faults.failProduces(1, { client: 'shop' } as never)).toThrow(
    refusal("failProduces has no option 'client'; did you mean 'clientId'?"),
  )
  expect(() => faults.delay({ api: 'produce', delayMs: 1 })).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/^There is no API 'produce' to delay; there are Produce, /),
    }),
  )
})
