import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { OpenClient } from './client.ts'

interface Producer {
  send(options: { acks: number; messages: { topic: string; value: Buffer }[] }): Promise<unknown>
  close(): Promise<void>
}

interface Stream {
  on(event: 'data', listener: (message: { value: Buffer }) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  close(): Promise<void>
}

interface Consumer {
  consume(options: object): Promise<Stream>
  close(force: boolean): Promise<void>
}

export const open: OpenClient = async (bootstrap, modulesDir) => {
  const location = createRequire(`${modulesDir}/package.json`).resolve('@platformatic/kafka')
  const { Producer, Consumer } = (await import(pathToFileURL(location).href)) as {
    Producer: new (options: object) => Producer
    Consumer: new (options: object) => Consumer
  }
  const common = { clientId: 'bench', bootstrapBrokers: [bootstrap] }
  const producer = new Producer(common)
  const send = (messages: { topic: string; value: Buffer }[]) => producer.send({ acks: -1, messages })
  return {
    send: (topic, value) => send([{ topic, value }]),
    sendBatch: (topic, values) => send(values.map((value) => ({ topic, value }))),
    async consume(topic, groupId, onMessage) {
      const consumer = new Consumer({ ...common, groupId, maxWaitTime: 200 })
      const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: 5_000 })
      stream.on('data', ({ value }) => onMessage(value))
      stream.on('error', (error) => {
        throw error
      })
      return {
        async stop() {
          await stream.close()
          await consumer.close(true)
        },
      }
    },
    close: () => producer.close(),
  }
}
