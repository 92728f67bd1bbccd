/** After https://kafka.js.org/docs/consumer-example: a consumer that leaves its group when its process is told to end. */
import { Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'example-consumer',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})
const topic = 'topic-test'
const consumer = kafka.consumer({ groupId: 'test-group', maxWaitTimeInMs: 100 })

async function run() {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: [{ key: 'key', value: 'value', timestamp: '1700000000000' }] })
  await producer.disconnect()

  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      const prefix = `${topic}[${partition} | ${message.offset}] / ${message.timestamp}`
      console.log(`- ${prefix} ${message.key}#${message.value}`) // → - topic-test[0 | 0] / 1700000000000 key#value
      setTimeout(() => process.kill(process.pid, 'SIGTERM'), 100)
    },
  })
}

run().catch((error) => console.error(error))

for (const type of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) {
  process.once(type, async () => {
    await consumer.disconnect()
    const admin = kafka.admin()
    await admin.connect()
    const { groups } = await admin.describeGroups(['test-group'])
    console.log(type, groups[0]?.state) // → SIGTERM Empty
    await admin.disconnect()
    process.exit(0)
  })
}
