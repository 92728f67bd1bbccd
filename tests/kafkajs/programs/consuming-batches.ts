/** After https://kafka.js.org/docs/consuming: eachBatch that can be interrupted and leaves nothing out. */
import { Kafka, logLevel } from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})

async function consumeSome(count: number): Promise<string[]> {
  const consumer = kafka.consumer({ groupId: 'my-group' })
  await consumer.connect()
  await consumer.subscribe({ topics: ['topic-test'], fromBeginning: true })
  const processed: string[] = []
  await new Promise<void>((resolve, reject) => {
    consumer
      .run({
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
          for (const message of batch.messages) {
            if (!isRunning() || isStale() || processed.length === count) break
            processed.push(`${message.offset}=${message.value}`)
            resolveOffset(message.offset)
            await heartbeat()
          }
          if (processed.length === count) resolve()
        },
      })
      .catch(reject)
  })
  // The batch ends, and its resolved offsets are committed, before the consumer has stopped.
  await consumer.disconnect()
  return processed
}

async function run() {
  const producer = kafka.producer()
  await producer.connect()
  const messages = ['a', 'b', 'c', 'd', 'e'].map((value) => ({ key: 'k', value }))
  await producer.send({ topic: 'topic-test', messages })
  await producer.disconnect()

  console.log((await consumeSome(2)).join(' ')) // → 0=a 1=b
  console.log((await consumeSome(3)).join(' ')) // → 2=c 3=d 4=e
}

run().catch((error) => console.error(error))
