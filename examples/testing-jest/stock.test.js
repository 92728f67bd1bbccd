import { startTestBroker } from 'streambus/testing'
import { countStock } from './stock.js'

let broker
let bus

beforeEach(async () => {
  broker = await startTestBroker()
  bus = await broker.connect()
})

afterEach(async () => {
  await broker.close()
})

test('movements of one item add up', async () => {
  await broker.createTopic('movements', 3)
  await bus.producer().sendBatch('movements', [
    { key: 'apple', value: { item: 'apple', count: 5 } },
    { key: 'pear', value: { item: 'pear', count: 1 } },
    { key: 'apple', value: { item: 'apple', count: -2 } },
  ])
  expect(Object.fromEntries(await countStock(bus))).toEqual({ apple: 3, pear: 1 })
  expect(await broker.produced('movements')).toHaveLength(3)
})

test('whoever may not read the movements is told so', async () => {
  await broker.createTopic('movements')
  await bus.producer().send('movements', { item: 'apple', count: 5 })
  broker.faults.refuse({ api: 'Fetch', errorCode: 'TOPIC_AUTHORIZATION_FAILED', times: 1 })
  await expect(countStock(bus)).rejects.toMatchObject({ code: 'NOT_AUTHORIZED' })
})
