import { expect, test } from 'vitest'
import { startBus } from './test-bus.ts'

test('groups are listed by state and type', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  await bus.admin.commitOffsets('idle', [{ topic: 't', partition: 0, offset: 0 }])
  await bus.producer().send('t', 'x')
  const running = bus.consumer('t', { group: 'busy' })
  for await (const _ of running) {
    const ids = async (filter: { states?: string[]; types?: string[] }) =>
      (await bus.admin.listGroups(filter)).map(({ groupId }) => groupId)
    expect(await ids({})).toEqual(['busy', 'idle'])
    expect(await ids({ states: ['Empty'] })).toEqual(['idle'])
    expect(await ids({ states: ['Stable'] })).toEqual(['busy'])
    expect(await ids({ types: ['classic'] })).toEqual(['busy', 'idle'])
    expect(await ids({ types: ['share'] })).toEqual([])
    break
  }
})

test('members are sent out of a group, static ones by their instance ids', async () => {
  await using session = await startBus()
  const { bus } = session
  const { admin } = bus
  await admin.createTopic('t', { partitions: 2 })
  await bus.producer().sendBatch('t', [
    { value: 'x', partition: 0 },
    { value: 'x', partition: 1 },
  ])
  const consumer = bus.consumer('t', { group: 'g', instanceId: 'one' })
  for await (const _ of consumer) {
    const before = (await admin.describeGroup('g')).members
    expect(before).toMatchObject([{ instanceId: 'one' }])
    const unknown = { memberId: 'nobody' }
    await expect(
      admin.removeMembers('g', { members: [{ instanceId: 'one' }, unknown], reason: 'the machine is gone' }),
    ).rejects.toMatchObject({
      code: 'SOME_FAILED',
      failures: [{ item: unknown, error: { brokerError: 'UNKNOWN_MEMBER_ID' } }],
      succeeded: [{ instanceId: 'one' }],
    })
    const after = (await admin.describeGroup('g')).members
    expect(after.map(({ memberId }) => memberId)).not.toContain(before[0]!.memberId)
    break
  }
})

test('all members are sent out at once, and a group without any stays as it is', async () => {
  await using session = await startBus()
  const { bus } = session
  const { admin } = bus
  await bus.producer().send('t', 'x')
  await expect(admin.removeMembers('g')).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' })
  for await (const _ of bus.consumer('t', { group: 'g' })) {
    const [member] = (await admin.describeGroup('g')).members
    await admin.removeMembers('g')
    expect((await admin.describeGroup('g')).members.map(({ memberId }) => memberId)).not.toContain(
      member!.memberId,
    )
    break
  }
  await admin.removeMembers('g')
  expect((await admin.describeGroup('g')).members).toEqual([])
})

test('a fenced producer cannot go on, and what it had open is aborted', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  const producer = bus.producer({ transactionalId: 'tx' })
  await expect(
    producer.transaction(async (tx) => {
      await tx.send('t', 'x')
      const { producerEpoch } = await bus.admin.fenceProducer('tx')
      expect(producerEpoch).toBeGreaterThan(0)
      expect(await bus.admin.describeTransaction('tx')).toMatchObject({ startedAtMs: null, partitions: [] })
    }),
  ).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  await bus.admin.fenceProducer('nobody yet')
  await bus.producer({ transactionalId: 'nobody yet' }).transaction((tx) => tx.send('t', 'y'))
})

test('transactions are listed by state, producer, duration and pattern', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  for (const transactionalId of ['shop-1', 'shop-2', 'bank']) {
    await bus.producer({ transactionalId }).transaction((tx) => tx.send('t', 'x'))
  }
  const ids = async (filter: Parameters<typeof bus.admin.listTransactions>[0]) =>
    (await bus.admin.listTransactions(filter)).map(({ transactionalId }) => transactionalId)
  expect(await ids({ idPattern: '.*shop-.*' })).toEqual(['shop-1', 'shop-2'])
  expect(await ids({ states: ['Ongoing'] })).toEqual([])
  expect(await ids({ minDurationMs: 3_600_000 })).toEqual([])
  const { producerId } = await bus.admin.describeTransaction('bank')
  expect(await ids({ producerIds: [producerId] })).toEqual(['bank'])
  await expect(ids({ states: ['Sleeping'] })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: 'Transactions have no such state: Sleeping.',
  })
})

test('what may be done is told for the cluster, a topic and a group', async () => {
  await using session = await startBus()
  const { admin } = session.bus
  await admin.createTopic('t')
  await admin.commitOffsets('g', [{ topic: 't', partition: 0, offset: 0 }])
  expect(await admin.authorizedOperations('cluster')).toContain('create')
  expect(await admin.authorizedOperations({ topic: 't' })).toEqual(expect.arrayContaining(['read', 'write']))
  expect(await admin.authorizedOperations({ group: 'g' })).toEqual(expect.arrayContaining(['read', 'delete']))
  await expect(admin.authorizedOperations({ topic: 'u' })).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC' })
  await expect(admin.authorizedOperations({ group: 'h' })).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' })
})
