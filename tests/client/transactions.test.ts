import { expect, test } from 'vitest'
import { gate } from './handling-setup.ts'
import { failureOf, startBus } from './test-bus.ts'

test('transactions are listed, described, and aborted with their producer fenced', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  const { admin } = bus
  await admin.createTopic('t', { partitions: 2 })
  expect(await admin.listTransactions()).toEqual([])
  const opened = gate()
  const ended = gate()
  const producer = bus.producer({ transactionalId: 'pay' })
  const failing = failureOf(
    producer.transaction(async (tx) => {
      await tx.sendBatch('t', [
        { value: 'a', partition: 0 },
        { value: 'b', partition: 1 },
      ])
      opened.open()
      await ended.opened
    }),
  )
  await opened.opened
  const { producerId } = await admin.describeTransaction('pay')
  const coordinator = { host: broker.host, port: broker.port }
  expect(await admin.listTransactions()).toMatchObject([
    { transactionalId: 'pay', producerId, state: 'Ongoing', coordinator },
  ])
  expect(await admin.describeTransaction('pay')).toMatchObject({
    state: 'Ongoing',
    timeoutMs: 60_000,
    startedAtMs: expect.any(Number),
    partitions: [
      { topic: 't', partition: 0 },
      { topic: 't', partition: 1 },
    ],
  })
  expect(await admin.describeProducers({ topic: 't', partition: 0 })).toMatchObject([
    { producerId, transactionStartOffset: 0 },
  ])
  await admin.abortTransaction('pay')
  expect(await admin.describeTransaction('pay')).toMatchObject({ startedAtMs: null, partitions: [] })
  expect(await admin.describeProducers({ topic: 't', partition: 0 })).toMatchObject([
    { transactionStartOffset: null },
  ])
  ended.open()
  expect(await failing).toMatchObject({ code: 'PRODUCER_FENCED' })
  expect(await failureOf(admin.abortTransaction('pay'))).toMatchObject({
    code: 'UNKNOWN_TRANSACTION',
    message: "Transactional id 'pay' has no open transaction to abort: its state is Empty.",
  })
  expect(await failureOf(admin.abortTransaction('nobody'))).toMatchObject({ code: 'UNKNOWN_TRANSACTION' })
})

test('what hangs in one partition is ended there, by where it begins', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t')
  const opened = gate()
  const ended = gate()
  const producer = bus.producer({ transactionalId: 'hang' })
  const transaction = producer.transaction(async (tx) => {
    await tx.send('t', 'a')
    opened.open()
    await ended.opened
    throw new Error('enough')
  })
  await opened.opened
  const place = { topic: 't', partition: 0 }
  expect(await failureOf(bus.admin.abortHangingTransaction({ ...place, startOffset: 5 }))).toMatchObject({
    code: 'UNKNOWN_TRANSACTION',
    message: 'No open transaction began at offset 5 of t/0.',
  })
  await bus.admin.abortHangingTransaction({ ...place, startOffset: 0 })
  expect(await bus.admin.describeProducers(place)).toMatchObject([{ transactionStartOffset: null }])
  ended.open()
  await expect(transaction).rejects.toThrow('enough')
})
