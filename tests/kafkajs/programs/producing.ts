/** After https://kafka.js.org/docs/producing: messages, headers, several topics, compression, a partitioner. */
import { CompressionTypes, type ICustomPartitioner, Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})

const byLength: ICustomPartitioner = () => {
  return ({ partitionMetadata, message }) => String(message.value).length % partitionMetadata.length
}

async function run() {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'topic-name', numPartitions: 2 }] })
  await admin.disconnect()

  const producer = kafka.producer({ createPartitioner: byLength })
  await producer.connect()
  const answers = await producer.send({
    topic: 'topic-name',
    compression: CompressionTypes.GZIP,
    messages: [
      {
        key: 'key1',
        value: 'hello world',
        headers: { 'correlation-id': '2bfb68bb', 'system-id': 'my-system' },
      },
      { key: 'key2', value: 'hey hey!' },
    ],
  })
  for (const { topicName, partition, errorCode, baseOffset } of sorted(answers)) {
    console.log(topicName, partition, errorCode, baseOffset) // → topic-name 0 0 0
  } // → topic-name 1 0 0

  const batch = await producer.sendBatch({
    topicMessages: [
      { topic: 'topic-a', messages: [{ key: 'key', value: 'hello topic-a' }] },
      { topic: 'topic-b', messages: [{ key: 'key', value: 'hello topic-b' }] },
    ],
  })
  console.log(batch.map(({ topicName }) => topicName).sort()) // → [ 'topic-a', 'topic-b' ]
  await producer.disconnect()

  const consumer = kafka.consumer({ groupId: 'test-group' })
  await consumer.connect()
  await consumer.subscribe({ topics: ['topic-name'], fromBeginning: true })
  const messages = new Map<string, string>()
  await consumer.run({
    eachMessage: async ({ message }) => {
      const headers = Object.entries(message.headers ?? {}).map(([name, value]) => `${name}=${value}`)
      messages.set(String(message.key), `${message.value} ${headers.join(' ')}`)
      if (messages.size < 2) return
      console.log(messages.get('key1')) // → hello world correlation-id=2bfb68bb system-id=my-system
      setImmediate(() => consumer.disconnect())
    },
  })
}

function sorted<T extends { partition: number }>(answers: T[]): T[] {
  return answers.sort((a, b) => a.partition - b.partition)
}

run().catch((error) => console.error(error))
