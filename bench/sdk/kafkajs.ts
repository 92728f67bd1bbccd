import { createRequire } from 'node:module'
import type { OpenClient } from './client.ts'

interface Producer {
  connect(): Promise<void>
  send(record: { topic: string; acks: number; messages: { value: Buffer }[] }): Promise<unknown>
  disconnect(): Promise<void>
}

interface Consumer {
  connect(): Promise<void>
  subscribe(options: { topic: string; fromBeginning: boolean }): Promise<void>
  run(options: { eachMessage(payload: { message: { value: Buffer } }): Promise<void> }): Promise<void>
  disconnect(): Promise<void>
}

export const open: OpenClient = async (bootstrap, modulesDir) => {
  const { Kafka, logLevel, Partitioners } = createRequire(`${modulesDir}/package.json`)('kafkajs') as {
    Kafka: new (
      options: object,
    ) => { producer(options: object): Producer; consumer(options: object): Consumer }
    logLevel: { ERROR: number }
    Partitioners: { DefaultPartitioner: unknown }
  }
  const kafka = new Kafka({ clientId: 'bench', brokers: [bootstrap], logLevel: logLevel.ERROR })
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const send = (topic: string, messages: { value: Buffer }[]) => producer.send({ topic, acks: -1, messages })
  return {
    send: (topic, value) => send(topic, [{ value }]),
    sendBatch: (topic, values) =>
      send(
        topic,
        values.map((value) => ({ value })),
      ),
    async consume(topic, groupId, onMessage) {
      const consumer = kafka.consumer({ groupId })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      await consumer.run({ eachMessage: async ({ message }) => onMessage(message.value) })
      return { stop: () => consumer.disconnect() }
    },
    close: () => producer.disconnect(),
  }
}
