import { StreamBusError, sentenceOf } from '../errors.ts'
import type { Message, MessageHeader } from '../message.ts'
import type { Format } from './format.ts'

/** A message of a topic whose keys and values have types. */
export class TypedMessage<Value, Key> {
  readonly key: Key | null
  /** Null is a tombstone: in a compacted topic it deletes what was stored under the key. */
  readonly value: Value | null
  /** The message as it lies in the log. */
  readonly raw: Message

  constructor(raw: Message, key: Key | null, value: Value | null) {
    this.raw = raw
    this.key = key
    this.value = value
  }

  get topic(): string {
    return this.raw.topic
  }

  get partition(): number {
    return this.raw.partition
  }

  get offset(): number {
    return this.raw.offset
  }

  /** Milliseconds since the Unix epoch; -1 where the message has none. */
  get timestamp(): number {
    return this.raw.timestamp
  }

  get headers(): readonly MessageHeader[] {
    return this.raw.headers
  }

  /** The last header of that name. */
  header(name: string): Buffer | null | undefined {
    return this.raw.header(name)
  }
}

export interface MessageFormat<Value, Key> {
  readonly key: Format<Key>
  readonly value: Format<Value, unknown>
}

/** Reads key and value. Throws INVALID_MESSAGE; a promise only where a schema needs one. */
export function typedMessage<Value, Key>(
  format: MessageFormat<Value, Key>,
  raw: Message,
): TypedMessage<Value, Key> | Promise<TypedMessage<Value, Key>> {
  try {
    const key = format.key.read(raw.key)
    const value = format.value.read(raw.value)
    if (!(key instanceof Promise) && !(value instanceof Promise)) return new TypedMessage(raw, key, value)
    return Promise.all([key, value]).then(
      (read) => new TypedMessage(raw, ...read),
      (error) => {
        throw invalidMessage(raw, error)
      },
    )
  } catch (error) {
    throw invalidMessage(raw, error)
  }
}

function invalidMessage({ topic, partition, offset }: Message, cause: unknown): StreamBusError {
  const reason = sentenceOf(cause).replace(/\.$/, '')
  const message = `The message at ${topic}/${partition}, offset ${offset}, is not of the topic's type: ${reason}.`
  return new StreamBusError('INVALID_MESSAGE', message, { cause })
}
