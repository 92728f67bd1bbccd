import { isDeepStrictEqual } from 'node:util'
import { Broker } from '@streambus/broker'
import { connect } from '@streambus/client'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../cli/built-cli.ts'
import { failureOf, needsStreamBus, seen, startBus } from './test-bus.ts'

const NOTHING_WAITS = { logsToCompact: 0, bytesToCompact: 0, filesToMerge: 0, bytesToMerge: 0 }

test('the oldest record of each partition is told, by any broker', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t', { partitions: 2, configs: { 'retention.ms': '-1' } })
  const producer = session.bus.producer()
  await producer.send('t', 'a', { partition: 1, timestamp: 5_000 })
  await producer.send('t', 'b', { partition: 1, timestamp: 7_000 })
  const oldest = async () =>
    (await admin.describeStorage('t')).map(({ partition, oldestTimestampMs }) => [
      partition,
      oldestTimestampMs,
    ])
  expect(await oldest()).toEqual([
    [0, null],
    [1, 5_000],
  ])
  await admin.deleteRecords([{ topic: 't', partition: 1, before: 1 }])
  expect(await oldest()).toEqual([
    [0, null],
    [1, 7_000],
  ])
  expect(await failureOf(admin.describeStorage('missing'))).toMatchObject({ code: 'UNKNOWN_TOPIC' })
})

test('other brokers leave out what only StreamBus tells', async (context) => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t')
  const [storage] = await admin.describeStorage('t')
  const maintenance = (await admin.describeLogDirs()).map((dir) => dir.maintenance)
  if (storage!.log === null) {
    for (const one of maintenance) expect(one).toBeNull()
    context.skip(true, 'it is another broker')
  }
  expect(storage!.log).toMatchObject({ compaction: null, expiredTo: 0 })
  expect(maintenance).toMatchObject([{ failures: 0, lastFailure: null, backlog: NOTHING_WAITS }])
})

test('retention and compaction of a broker on disk are seen: what waits, what was done, what it freed', async (context) => {
  needsStreamBus(context, 'Kafka tells nothing of it')
  await using folder = await temporaryFolder()
  const options = { port: 0, dataDir: folder.path, retentionCheckIntervalMs: 20, cleanerBackoffMs: 20 }
  await using broker = await Broker.start(options)
  await using bus = await connect(broker.address)
  const { admin } = bus
  const producer = bus.producer()

  // Old enough for the hour that is set later.
  await admin.createTopic('old', { configs: { 'retention.ms': '-1' } })
  for (let index = 0; index < 5; index++) await producer.send('old', 'x'.repeat(1_000), { timestamp: 1_000 })
  const logOf = async (topic: string) => (await admin.describeStorage(topic))[0]!.log!
  const { heldBytes } = await logOf('old')
  expect(heldBytes).toBeGreaterThan(5_000)
  expect(await logOf('old')).toMatchObject({ files: 1, segments: 0, expiredTo: null, compaction: null })
  await admin.alterConfigs('old', { 'retention.ms': '3600000' })
  await seen(async () => broker.metrics().maintenance.retention.freedBytes).toBe(heldBytes)

  const compact = { 'cleanup.policy': 'compact', 'min.cleanable.dirty.ratio': '0.01' }
  await admin.createTopic('table', { configs: compact })
  for (let index = 0; index < 20; index++) await producer.send('table', `${index}`, { key: 'k' })
  const before = (await logOf('table')).compaction!
  expect(before).toMatchObject({ waitsFor: 'file', dirtyRatio: 0, lastPassAtMs: null })
  expect(before.dirtyBytes).toBeGreaterThan(20 * 60)
  await admin.alterConfigs('table', { 'segment.ms': '1' })
  await seen(async () => (await logOf('table')).compaction).toMatchObject({
    waitsFor: 'records',
    lastPassAtMs: expect.any(Number),
  })
  const after = await logOf('table')
  expect(after.segments).toBe(1)
  expect(after.compaction!.dirtyBytes).toBeLessThan(before.dirtyBytes / 10)

  const [dir] = await admin.describeLogDirs()
  expect(dir!.maintenance).toMatchObject({
    retention: { freedBytes: heldBytes },
    compaction: { passes: 1 },
    merging: { passes: 0, writtenBytes: 0 },
    segments: 1,
    failures: 0,
    lastFailure: null,
  })
  expect(dir!.maintenance!.compaction.writtenBytes).toBeGreaterThan(0)
  // What the broker tells of itself in the process is what it tells on the wire; checks and removals go on meanwhile.
  await seen(async () => {
    const { retention: _, ...onWire } = (await admin.describeLogDirs())[0]!.maintenance!
    const { retention, ...told } = broker.metrics().maintenance
    return isDeepStrictEqual(onWire, told) && retention.checks > 1
  }).toBe(true)
})
