/** After the TypeScript examples of https://kafka.js.org/docs/producer-example and consumer-example. */
import {
  type Consumer,
  type ConsumerSubscribeTopics,
  type EachBatchPayload,
  type EachMessagePayload,
  Kafka,
  type KafkaMessage,
  logLevel,
  type Message,
  type Producer,
  type ProducerBatch,
  type ProducerRecord,
  type RecordMetadata,
  type TopicMessages,
} from 'streambus/kafkajs'

const kafka = new Kafka({
  clientId: 'client-id',
  brokers: process.env.KAFKA_BROKERS!.split(','),
  logLevel: logLevel.NOTHING,
})

class ProducerFactory {
  private producer: Producer = kafka.producer()

  public async start(): Promise<void> {
    await this.producer.connect()
  }

  public async shutdown(): Promise<void> {
    await this.producer.disconnect()
  }

  public async send(topic: string, values: string[]): Promise<RecordMetadata[]> {
    const messages: Message[] = values.map((value) => ({ key: 'key', value }))
    const record: ProducerRecord = { topic, messages, acks: -1 }
    return this.producer.send(record)
  }

  public async sendBatch(topic: string, values: string[]): Promise<RecordMetadata[]> {
    const topicMessages: TopicMessages = { topic, messages: values.map((value) => ({ key: 'key', value })) }
    const batch: ProducerBatch = { topicMessages: [topicMessages] }
    return this.producer.sendBatch(batch)
  }
}

class ExampleConsumer {
  private consumer: Consumer
  private handle: (message: KafkaMessage) => void

  public constructor(groupId: string, handle: (message: KafkaMessage) => void) {
    this.consumer = kafka.consumer({ groupId })
    this.handle = handle
  }

  public async startConsumer(topics: ConsumerSubscribeTopics): Promise<void> {
    await this.consumer.connect()
    await this.consumer.subscribe(topics)
    await this.consumer.run({
      eachMessage: async ({ message }: EachMessagePayload) => this.handle(message),
    })
  }

  public async startBatchConsumer(topics: ConsumerSubscribeTopics): Promise<void> {
    await this.consumer.connect()
    await this.consumer.subscribe(topics)
    await this.consumer.run({
      eachBatch: async ({ batch }: EachBatchPayload) => {
        for (const message of batch.messages) this.handle(message)
      },
    })
  }

  public async shutdown(): Promise<void> {
    await this.consumer.disconnect()
  }
}

async function run() {
  const producer = new ProducerFactory()
  await producer.start()
  console.log((await producer.send('example-topic', ['a', 'b'])).map(({ baseOffset }) => baseOffset)) // → [ '0' ]
  console.log((await producer.sendBatch('example-topic', ['c'])).map(({ baseOffset }) => baseOffset)) // → [ '2' ]
  await producer.shutdown()

  const topics = { topics: ['example-topic'], fromBeginning: true }
  for (const start of ['startConsumer', 'startBatchConsumer'] as const) {
    const seen: string[] = []
    await new Promise<void>((resolve) => {
      const consumer = new ExampleConsumer(start, ({ offset, value, timestamp }) => {
        seen.push(`${offset}#${value}#${Number(timestamp) > 0}`)
        if (seen.length === 3) setImmediate(() => consumer.shutdown().then(resolve))
      })
      consumer[start](topics)
    })
    console.log(seen.join(' ')) // → 0#a#true 1#b#true 2#c#true
  } // → 0#a#true 1#b#true 2#c#true
}

run().catch((error) => console.error(error))
