import { connect, isStreamBusError, type Message } from 'streambus'
import { Broker, type BrokerOptions } from 'streambus/broker'
import { startTestBroker, type TestBroker } from 'streambus/testing'

interface Order {
  id: number
}

const options: BrokerOptions = { port: 0 }
const broker = await Broker.start(options)
const bus = await connect(broker.address)
const sent = await bus.producer().send('orders', { id: 42 } satisfies Order)
for await (const message of bus.consumer('orders', { until: 'end' })) print(message)
await bus.close()
await broker.close()

const testBroker: TestBroker = await startTestBroker({ clock: 'virtual' })
await testBroker.clock.advance(60_000)
testBroker.faults.refuse({ api: 'Produce', errorCode: 'TOPIC_AUTHORIZATION_FAILED', times: 1 })
try {
  await (await testBroker.connect()).producer().send('orders', { id: 43 })
} catch (error) {
  console.log(isStreamBusError(error) ? error.code : error)
}
const produced: readonly { offset: number }[] = await testBroker.produced('orders')
console.log(`offset ${sent.offset}, then ${produced.length} messages`)
await testBroker.close()

function print(message: Message): void {
  console.log(message.json<Order>()?.id)
}
