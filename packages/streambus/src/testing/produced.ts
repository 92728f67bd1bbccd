import { type Message, type StreamBus, StreamBusError } from '@streambus/client'

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

export interface TopicContent {
  readonly partitionCount: number
  /** By partition and offset. */
  readonly messages: readonly ProducedMessage[]
}

/** Everything that the topic holds. Rejects with UNKNOWN_TOPIC. */
export async function readToEnd(bus: StreamBus, topic: string): Promise<TopicContent> {
  // Asks about all topics, so that what the client knows of this one is of now, and so that one that is missing
  // is not waited for: whoever was to create it has done so, or not.
  const found = (await bus.admin.listTopics({ internal: true })).find(({ name }) => name === topic)
  if (found === undefined) throw new StreamBusError('UNKNOWN_TOPIC', `There is no topic '${topic}'.`)
  const messages: ProducedMessage[] = []
  for await (const message of bus.consumer(topic, { from: 'earliest', until: 'end' })) {
    messages.push(produced(message))
  }
  messages.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  return { partitionCount: found.partitions.length, messages }
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
