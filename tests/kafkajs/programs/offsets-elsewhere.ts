/** After https://kafka.js.org/docs/consuming: offsets kept by the program itself, and commits by hand. */
import { Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})

async function run() {
  const producer = kafka.producer()
  await producer.connect()
  const messages = ['a', 'b', 'c', 'd'].map((value) => ({ key: 'k', value }))
  await producer.send({ topic: 'topic-test', messages })
  await producer.disconnect()

  const store = { result: '', offset: '2' }
  const consumer = kafka.consumer({ groupId: 'my-group' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'topic-test' })
  const finished = new Promise<void>((resolve) => {
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        store.result += String(message.value)
        store.offset = String(Number(message.offset) + 1)
        if (store.offset === '4') resolve()
      },
    })
    consumer.seek({ topic: 'topic-test', partition: 0, offset: store.offset })
  })
  await finished
  console.log(store) // → { result: 'cd', offset: '4' }

  await consumer.commitOffsets([{ topic: 'topic-test', partition: 0, offset: '3', metadata: 'by hand' }])
  await consumer.disconnect()
  const admin = kafka.admin()
  await admin.connect()
  const [committed] = await admin.fetchOffsets({ groupId: 'my-group', topics: ['topic-test'] })
  console.log(committed?.partitions) // → [ { partition: 0, offset: '3', metadata: 'by hand' } ]
  await admin.disconnect()
}

run().catch((error) => console.error(error))
