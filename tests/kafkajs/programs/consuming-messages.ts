/** After https://kafka.js.org/docs/consuming: eachMessage that pauses while something it depends on is overloaded. */
import { Kafka, logLevel } from 'streambus/kafkajs'

class TooManyRequestsError extends Error {}

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})
const consumer = kafka.consumer({ groupId: 'my-group', retry: { initialRetryTime: 50 } })

let calls = 0
async function sendToDependency(value: string) {
  if (++calls === 2) throw new TooManyRequestsError()
  console.log('sent', value) // → sent first
}

async function run() {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({
    topic: 'topic-test',
    messages: [{ value: 'first' }, { value: 'second' }, { value: 'third' }].map((one) => ({
      ...one,
      key: 'k',
    })),
  })
  await producer.disconnect()

  await consumer.connect()
  await consumer.subscribe({ topic: 'topic-test', fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message, pause }) => {
      try {
        await sendToDependency(String(message.value))
      } catch (error) {
        if (error instanceof TooManyRequestsError) {
          const resumeThisPartition = pause()
          setTimeout(() => {
            console.log('paused', JSON.stringify(consumer.paused())) // → paused [{"topic":"topic-test","partitions":[0]}]
            resumeThisPartition() // → sent second
          }, 200)
        }
        throw error
      } // → sent third
      if (String(message.value) === 'third') setImmediate(() => consumer.disconnect())
    },
  })
}

run().catch((error) => console.error(error))
