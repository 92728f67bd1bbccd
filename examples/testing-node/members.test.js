import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, startTestBroker } from 'streambus/testing'

/** Joins a group, and tells which partitions it has. */
function join(bus, options = {}) {
  const owned = new Set()
  const consumer = bus.consumer('jobs', {
    group: 'workers',
    heartbeatIntervalMs: 50,
    onAssigned: (partitions) => {
      for (const { partition } of partitions) owned.add(partition)
    },
    onRevoked: (partitions) => {
      for (const { partition } of partitions) owned.delete(partition)
    },
    ...options,
  })
  const done = (async () => {
    for await (const _ of consumer) {
      // There are no jobs.
    }
  })()
  return { owned, close: () => consumer.close().then(() => done) }
}

test('two workers share the partitions, also after a rebalance', async (t) => {
  const broker = await startTestBroker()
  t.after(() => broker.close())
  await broker.createTopic('jobs', 4)
  const one = join(await broker.connect())
  const two = join(await broker.connect())
  const areShared = () => assert.deepEqual([one.owned.size, two.owned.size], [2, 2])
  await eventually(areShared)
  await broker.forceRebalance('workers')
  await eventually(areShared)
  await Promise.all([one.close(), two.close()])
})

test('a worker that is silent for longer than its session is put out, without the test waiting for it', async (t) => {
  const broker = await startTestBroker({ clock: 'virtual' })
  t.after(() => broker.close())
  await broker.createTopic('jobs', 4)
  const bus = await broker.connect()
  const silent = join(bus, { sessionTimeoutMs: 30_000, heartbeatIntervalMs: 600_000 })
  await eventually(() => silent.owned.size === 4)
  await broker.clock.advance(30_000)
  const groups = await bus.admin.describeGroups(['workers'])
  assert.deepEqual(
    groups.flatMap(({ members }) => members),
    [],
  )
  await silent.close()
})
