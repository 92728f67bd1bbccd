import type { Message, StreamBus } from '@streambus/client'

/** A message of a topic as a test wants to look at it. */
export interface ProducedMessage {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number
  /** As text. */
  readonly key: string | null
  /** As text, in the order they were sent; of several of one name the last. */
  readonly headers: Readonly<Record<string, string | null>>
  /** The value as it was sent; null for a tombstone. */
  readonly bytes: Buffer | null
  /** The value as text; null for a tombstone. */
  text(): string | null
  /** The value read as JSON; null for a tombstone. Throws a SyntaxError where it is none. */
  json<T = unknown>(): T | null
}

/** Every message that the topic holds, by partition and offset. Rejects with UNKNOWN_TOPIC. */
export async function readToEnd(bus: StreamBus, topic: string): Promise<ProducedMessage[]> {
  const messages: ProducedMessage[] = []
  for await (const message of bus.consumer(topic, { from: 'earliest', until: 'end' })) {
    messages.push(produced(message))
  }
  return messages.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

function produced(message: Message): ProducedMessage {
  const { partition, offset, timestamp, key, value: bytes, headers } = message
  const text = bytes === null ? null : bytes.toString()
  return {
    partition,
    offset,
    timestamp,
    key: key === null ? null : key.toString(),
    headers: Object.fromEntries(
      headers.map((header) => [header.key, header.value === null ? null : header.value.toString()]),
    ),
    bytes,
    text: () => text,
    json: <T>() => (text === null ? null : (JSON.parse(text) as T)),
  }
}
