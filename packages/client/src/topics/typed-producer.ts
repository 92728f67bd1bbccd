import type { SendOptions, SentMessage } from '../message.ts'
import type { Producer } from '../producer/producer.ts'
import type { Format, Written } from './format.ts'

export interface TypedSendOptions<Key> extends Omit<SendOptions, 'key'> {
  /** Decides the partition, as with `SendOptions`; of the type that the topic has for its keys. Default: none. */
  key?: Key | null
}

export interface TypedOutgoingMessage<Input, Key> extends TypedSendOptions<Key> {
  /** Null is a tombstone. */
  value: Input | null
}

export interface OutgoingFormat<Input, Key> {
  readonly key: Format<Key>
  readonly value: Format<unknown, Input>
}

/** Sends to one topic whose keys and values have types. */
export class TypedProducer<Input, Key> {
  readonly topic: string
  /** The producer it sends with. */
  readonly source: Producer
  readonly #format: OutgoingFormat<Input, Key>

  constructor(topic: string, source: Producer, format: OutgoingFormat<Input, Key>) {
    this.topic = topic
    this.source = source
    this.#format = format
  }

  /** Rejects with INVALID_VALUE where key or value are not of the topic's type, and as `Producer.send` does. */
  async send(value: Input | null, options: TypedSendOptions<Key> = {}): Promise<SentMessage> {
    const message = this.#outgoing({ ...options, value })
    const { value: bytes, ...rest } = message instanceof Promise ? await message : message
    return await this.source.send(this.topic, bytes, rest)
  }

  /** Sends all or, with INVALID_VALUE, none; otherwise as `Producer.sendBatch`. */
  async sendBatch(messages: readonly TypedOutgoingMessage<Input, Key>[]): Promise<SentMessage[]> {
    return await this.source.sendBatch(
      this.topic,
      await Promise.all(messages.map((message) => this.#outgoing(message))),
    )
  }

  /** Resolves when everything sent before this call is acknowledged or has failed. */
  flush(): Promise<void> {
    return this.source.flush()
  }

  close(): Promise<void> {
    return this.source.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #outgoing(message: TypedOutgoingMessage<Input, Key>): WrittenMessage | Promise<WrittenMessage> {
    const value = this.#format.value.write(message.value, `The value for '${this.topic}'`)
    const key = this.#format.key.write(message.key ?? null, `The key for '${this.topic}'`)
    if (!(value instanceof Promise) && !(key instanceof Promise)) return { ...message, key, value }
    return Promise.all([key, value]).then(([writtenKey, writtenValue]) => ({
      ...message,
      key: writtenKey,
      value: writtenValue,
    }))
  }
}

interface WrittenMessage extends Omit<SendOptions, 'key'> {
  key: Written
  value: Written
}
