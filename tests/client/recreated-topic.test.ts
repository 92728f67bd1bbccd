/** A topic that is deleted and made anew under its name is another one: its offsets begin again. */
import type { GroupConsumerOptions, StreamBus } from '@streambus/client'
import { eventually, startTestBroker } from 'streambus/testing'
import { expect, test } from 'vitest'
import { committed, fill } from './handling-setup.ts'
import { collect, failureOf, needsStreamBus, startBus } from './test-bus.ts'

/** With more messages than there were: the old position is an offset in the new log, too. */
async function makeAnew(bus: StreamBus, count = 9): Promise<void> {
  await bus.admin.deleteTopic('t')
  await bus.admin.createTopic('t', { partitions: 1 })
  await bus.producer().sendBatch(
    't',
    Array.from({ length: count }, (_, index) => ({ value: `new ${index}` })),
  )
}

test('a reader without a group is told, and does not go on in the middle of the new log', async () => {
  await using session = await startBus()
  const { bus } = session
  await fill(bus, 't', 1, 5)
  const messages = bus.consumer('t')[Symbol.asyncIterator]()
  for (let count = 0; count < 5; count++) await messages.next()
  const arriving = messages.next()
  arriving.catch(() => {})
  await makeAnew(bus)
  expect(await failureOf(arriving)).toMatchObject({
    code: 'TOPIC_RECREATED',
    message: "Topic 't' was deleted and made anew while it was read: offset 5 of t/0 is not the one it was.",
  })
})

test.each<[string, GroupConsumerOptions]>([
  ['classic', { group: 'g' }],
  ['consumer', { group: 'g', groupProtocol: 'consumer' }],
])('a group goes on where its options say, and says so (%s)', async (_, options) => {
  await using broker = await startTestBroker({ groups: { consumerHeartbeatIntervalMs: 50 } })
  const warnings: string[] = []
  const bus = await broker.connect({ logger: { debug: () => {}, warn: (text) => warnings.push(text) } })
  await fill(bus, 't', 1, 5)
  const consumer = bus.consumer('t', { autoCommitIntervalMs: 20, ...options })
  const messages = consumer[Symbol.asyncIterator]()
  for (let count = 0; count < 5; count++) await messages.next()
  const arriving = messages.next()
  await eventually(async () => (await committed(bus, 'g'))['t/0'] === 5)
  await makeAnew(bus)
  const seen = new Set<string | null>([(await arriving).value.text()])
  expect(seen).toEqual(new Set(['new 0']))
  // The consumer protocol may give the partition of the new topic once more, from the beginning.
  while (seen.size < 9) seen.add((await messages.next()).value.text())
  expect([...seen]).toEqual(Array.from({ length: 9 }, (_, index) => `new ${index}`))
  await consumer.close()
  expect(await committed(bus, 'g')).toEqual({ 't/0': 8 })
  if (options.groupProtocol !== 'consumer') {
    expect(warnings).toContain("Topic 't' was deleted and made anew; in t/0 group 'g' goes on at 0.")
  }
})

test('who read up to an end is told that there is none any more', async () => {
  await using session = await startBus()
  const { bus } = session
  // In batches that are fetched one after the other.
  for (let batch = 0; batch < 50; batch++) await fill(bus, 't', 1, 100)
  const small = { group: 'g', until: 'end', maxPartitionBytes: 1_000, prefetchBytes: 1_000 } as const
  const messages = bus.consumer('t', small)[Symbol.asyncIterator]()
  await messages.next()
  await makeAnew(bus, 6_000)
  const rest = async () => {
    while (!(await messages.next()).done);
  }
  expect(await failureOf(rest())).toMatchObject({ code: 'TOPIC_RECREATED' })
})

test('an old view of the cluster alone is no reason to fail', async (context) => {
  needsStreamBus(context, 'it is about what the broker of the test kit does at once')
  await using broker = await startTestBroker()
  const [bus, other] = [await broker.connect(), await broker.connect()]
  await fill(bus, 't', 1, 5)
  expect(await collect(bus.consumer('t', { until: 'end' }))).toHaveLength(5)
  await makeAnew(other)
  expect(await collect(bus.consumer('t', { until: 'end' }))).toHaveLength(9)
  expect(await collect(bus.consumer('t', { group: 'g', until: 'end' }))).toHaveLength(9)
})
