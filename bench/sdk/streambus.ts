import { connect } from 'streambus'
import type { OpenClient } from './client.ts'

export const open: OpenClient = async (bootstrap) => {
  const bus = await connect(bootstrap)
  const producer = bus.producer()
  return {
    send: (topic, value) => producer.send(topic, value),
    sendBatch: (topic, values) =>
      producer.sendBatch(
        topic,
        values.map((value) => ({ value })),
      ),
    async consume(topic, group, onMessage) {
      const consumer = bus.consumer(topic, { group })
      const reading = (async () => {
        for await (const message of consumer) onMessage(message.value!)
      })()
      return {
        async stop() {
          await consumer.close()
          await reading
        },
      }
    },
    close: () => bus.close(),
  }
}
