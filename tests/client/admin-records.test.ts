import { expect, test } from 'vitest'
import { collect, startBus } from './test-bus.ts'

test('records are deleted from the start, and the answer is where the log begins now', async () => {
  await using session = await startBus()
  const { bus } = session
  const { admin } = bus
  await admin.createTopic('t', { partitions: 2 })
  for (const partition of [0, 1]) {
    await bus.producer().sendBatch(
      't',
      ['a', 'b', 'c'].map((value) => ({ value, partition })),
    )
  }
  const deleted = await admin.deleteRecords([
    { topic: 't', partition: 0, before: 2 },
    { topic: 't', partition: 1, before: 'latest' },
  ])
  expect(deleted).toEqual([
    { topic: 't', partition: 0, lowWatermark: 2 },
    { topic: 't', partition: 1, lowWatermark: 3 },
  ])
  const left = await collect(bus.consumer('t', { until: 'end' }))
  expect(left.map((message) => message.text())).toEqual(['c'])
})

test('where records of some partitions cannot be deleted, those of the others are', async () => {
  await using session = await startBus()
  const { bus } = session
  const { admin } = bus
  await bus.producer().sendBatch('t', [{ value: 'a' }, { value: 'b' }])
  const behindTheEnd = { topic: 'u', partition: 0, before: 5 }
  await admin.createTopic('u')
  await expect(
    admin.deleteRecords([
      { topic: 't', partition: 0, before: 1 },
      behindTheEnd,
      { topic: 't', partition: 7, before: 1 },
      { topic: 'nowhere', partition: 0, before: 1 },
    ]),
  ).rejects.toMatchObject({
    code: 'SOME_FAILED',
    failures: [
      { item: behindTheEnd, error: { code: 'OFFSET_OUT_OF_RANGE' } },
      { item: { partition: 7 }, error: { code: 'UNKNOWN_PARTITION' } },
      { item: { topic: 'nowhere' }, error: { code: 'UNKNOWN_TOPIC' } },
    ],
    succeeded: [{ topic: 't', partition: 0, lowWatermark: 1 }],
  })
})

test('the record with the largest timestamp is found, and offsets come with timestamps', async () => {
  await using session = await startBus()
  const { bus } = session
  for (const timestamp of [1_000, 3_000, 2_000]) await bus.producer().send('t', 'x', { timestamp })
  const place = { topic: 't', partition: 0 }
  const found = await bus.admin.listOffsets([
    { ...place, at: 'max_timestamp' },
    { ...place, at: { timestampMs: 1_500 } },
    { ...place, at: 'latest' },
  ])
  expect(found).toMatchObject([
    { offset: 1, timestampMs: 3_000 },
    { offset: 1, timestampMs: 3_000 },
    { offset: 3, timestampMs: null },
  ])
  await expect(bus.admin.listOffsets([{ ...place, at: 'middle' as never }])).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
})

test('the end of an open transaction is told apart from the end of the log', async () => {
  await using session = await startBus()
  const { bus } = session
  const question = [{ topic: 't', partition: 0, at: 'latest' }] as const
  await bus.admin.createTopic('t')
  const ends: (number | null)[] = []
  await bus.producer({ transactionalId: 'tx' }).transaction(async (tx) => {
    await tx.send('t', 'open')
    for (const isolation of ['read_uncommitted', 'read_committed'] as const) {
      ends.push((await bus.admin.listOffsets(question, { isolation }))[0]!.offset)
    }
  })
  expect(ends).toEqual([1, 0])
})

test('the end of an epoch of the leader is found', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: 'a' }, { value: 'b' }])
  const place = { topic: 't', partition: 0 }
  const leaderEpoch = (await bus.admin.listOffsets([{ ...place, at: 'latest' }]))[0]!.leaderEpoch!
  expect(await bus.admin.offsetsForLeaderEpochs([{ ...place, leaderEpoch }])).toEqual([
    { ...place, leaderEpoch, endOffset: 2 },
  ])
})

test('log folders are told with what is in them', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('t', 'x'.repeat(1000))
  const dirs = await bus.admin.describeLogDirs()
  for (const { broker, error } of dirs) expect({ broker, error }).toEqual({ broker: 1, error: null })
  const [replica, ...others] = dirs.flatMap(({ replicas }) => replicas.filter(({ topic }) => topic === 't'))
  expect(others).toEqual([])
  expect(replica).toMatchObject({ partition: 0, isFuture: false })
  expect(replica!.sizeBytes).toBeGreaterThan(1000)
  expect(await bus.admin.describeLogDirs({ brokers: [1] })).toHaveLength(dirs.length)
  expect(await bus.admin.describeLogDirs({ brokers: [] })).toEqual([])
})
