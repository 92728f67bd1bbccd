import { expect, test } from 'vitest'
import { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import { TransactionalProducer } from '../../packages/broker/src/testing/transactional-producer.ts'
import { failureOf, startBus } from './test-bus.ts'

test('transactions are listed, described, and aborted with their producer fenced', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  const { admin } = bus
  await admin.createTopic('t', { partitions: 2 })
  expect(await admin.listTransactions()).toEqual([])
  const raw = await RawClient.connect(broker)
  const producer = new TransactionalProducer(raw, 'pay', 'v1')
  expect(await producer.init()).toBe(0)
  await producer.write('t', [0, 1], ['a', 'b'])
  const coordinator = { host: broker.host, port: broker.port }
  expect(await admin.listTransactions()).toMatchObject([
    { transactionalId: 'pay', producerId: producer.producer.producerId, state: 'Ongoing', coordinator },
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
    { producerId: producer.producer.producerId, transactionStartOffset: 0 },
  ])
  await admin.abortTransaction('pay')
  expect(await admin.describeTransaction('pay')).toMatchObject({ startedAtMs: null, partitions: [] })
  expect(await admin.describeProducers({ topic: 't', partition: 0 })).toMatchObject([
    { transactionStartOffset: null },
  ])
  expect(await producer.end(true)).not.toBe(0)
  raw.close()
  expect(await failureOf(admin.abortTransaction('pay'))).toMatchObject({
    code: 'UNKNOWN_TRANSACTION',
    message: "Transactional id 'pay' has no open transaction to abort: its state is Empty.",
  })
  expect(await failureOf(admin.abortTransaction('nobody'))).toMatchObject({ code: 'UNKNOWN_TRANSACTION' })
})

test('what hangs in one partition is ended there, by where it begins', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.admin.createTopic('t')
  const raw = await RawClient.connect(broker)
  const producer = new TransactionalProducer(raw, 'hang', 'v1')
  await producer.init()
  await producer.write('t', [0], ['a'])
  raw.close()
  const place = { topic: 't', partition: 0 }
  expect(await failureOf(bus.admin.abortHangingTransaction({ ...place, startOffset: 5 }))).toMatchObject({
    code: 'UNKNOWN_TRANSACTION',
    message: 'No open transaction began at offset 5 of t/0.',
  })
  await bus.admin.abortHangingTransaction({ ...place, startOffset: 0 })
  expect(await bus.admin.describeProducers(place)).toMatchObject([{ transactionStartOffset: null }])
})
