/** After https://kafka.js.org/docs/transactions: what a consumer read and what became of it count together. */
import { Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'transactional-client',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})

async function run() {
  const groupId = 'transformers'
  const producer = kafka.producer({
    transactionalId: 'transformer',
    maxInFlightRequests: 1,
    idempotent: true,
  })
  await producer.connect()
  await producer.send({
    topic: 'input',
    messages: ['one', 'two', 'bad', 'three'].map((value) => ({ key: 'k', value })),
  })

  const consumer = kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topics: ['input'], fromBeginning: true })
  await new Promise<void>((resolve) => {
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) => {
        const transaction = await producer.transaction()
        try {
          const value = String(message.value).toUpperCase()
          await transaction.send({ topic: 'output', messages: [{ key: message.key, value }] })
          if (value === 'BAD') throw new Error('nothing of this counts')
          await transaction.sendOffsets({
            consumerGroupId: groupId,
            topics: [{ topic, partitions: [{ partition, offset: String(Number(message.offset) + 1) }] }],
          })
          await transaction.commit()
        } catch (error) {
          await transaction.abort()
          console.log((error as Error).message, transaction.isActive()) // → nothing of this counts false
        }
        if (String(message.value) === 'three') resolve()
      },
    })
  })
  await consumer.disconnect()
  await producer.disconnect()

  const admin = kafka.admin()
  await admin.connect()
  const [offsets] = await admin.fetchOffsets({ groupId, topics: ['input'] })
  console.log(offsets?.partitions.map(({ offset }) => offset)) // → [ '4' ]
  await admin.disconnect()

  const reader = kafka.consumer({ groupId: 'readers' })
  await reader.connect()
  await reader.subscribe({ topics: ['output'], fromBeginning: true })
  await reader.run({
    eachMessage: async ({ message }) => {
      console.log(String(message.value)) // → ONE
      if (String(message.value) === 'THREE') setImmediate(() => reader.disconnect()) // → TWO
    }, // → THREE
  })
}

run().catch((error) => console.error(error))
