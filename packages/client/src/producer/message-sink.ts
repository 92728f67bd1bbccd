import { WritableStream } from 'node:stream/web'
import type { OutgoingMessage } from '../message.ts'
import type { Producer } from './producer.ts'

/**
 * Messages for one topic as a Web stream. A write is over when the producer has room for more, so that messages share
 * batches and what is held stays bounded; closing waits for what is on its way. The first message that fails is the
 * error of the stream.
 */
export function messageSink(producer: Producer, topic: string): WritableStream<OutgoingMessage> {
  const underWay = new Set<Promise<void>>()
  return new WritableStream<OutgoingMessage>({
    async write({ value, ...options }, controller) {
      const sent = producer.send(topic, value, options).then(
        () => {},
        (error: unknown) => controller.error(error),
      )
      underWay.add(sent)
      void sent.then(() => underWay.delete(sent))
      await producer.waitForRoom()
    },
    async close() {
      await Promise.all(underWay)
    },
  })
}
