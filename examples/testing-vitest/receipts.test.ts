import { eventually, startTestBroker, type TestBroker } from 'streambus/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeReceipts } from './receipts.ts'

let broker: TestBroker
let stop: AbortController
let running: Promise<void>

beforeEach(async () => {
  broker = await startTestBroker()
  await broker.createTopic('orders')
  stop = new AbortController()
  running = writeReceipts(await broker.connect({ clientId: 'receipts' }), stop.signal)
})

afterEach(async () => {
  stop.abort()
  await running
  await broker.close()
})

test('each order gets a receipt', async () => {
  const orders = (await broker.connect()).producer()
  await orders.send('orders', { id: 1, cents: 1250 })
  await orders.send('orders', { id: 2, cents: 990 })

  await eventually(async () => expect(await broker.produced('receipts')).toHaveLength(2))
  expect(await broker.snapshot('receipts')).toMatchInlineSnapshot(`
    {
      "partitions": [
        [
          {
            "key": "1",
            "offset": 0,
            "value": {
              "order": 1,
              "paid": 12.5,
            },
          },
          {
            "key": "2",
            "offset": 1,
            "value": {
              "order": 2,
              "paid": 9.9,
            },
          },
        ],
      ],
      "topic": "receipts",
    }
  `)
})

test('no receipt is lost when the broker refuses it first, cuts the connection and is killed', async () => {
  const orders = (await broker.connect()).producer()
  broker.faults.refuse({ api: 'Produce', clientId: 'receipts', errorCode: 'NOT_ENOUGH_REPLICAS', times: 2 })
  await orders.send('orders', { id: 1, cents: 100 })
  await eventually(async () => expect(await broker.produced('receipts')).toHaveLength(1))

  broker.faults.dropConnections({ clientId: 'receipts' })
  await orders.send('orders', { id: 2, cents: 100 })
  await eventually(async () => expect((await broker.produced('receipts')).at(-1)?.key).toBe('2'))

  await broker.restart({ kill: true })
  await orders.send('orders', { id: 3, cents: 100 })
  await eventually(async () => expect((await broker.produced('receipts')).at(-1)?.key).toBe('3'))
})
