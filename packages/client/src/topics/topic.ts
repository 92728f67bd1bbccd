import type { Consumer, ConsumerOptions } from '../consumer/consumer.ts'
import type { GroupConsumer } from '../groups/group-consumer.ts'
import type { AnyConsumerOptions, GroupConsumerOptions } from '../groups/group-consumer-options.ts'
import { checkConsumerOptions, invalidMessageNames } from '../known-options.ts'
import type { SentMessage } from '../message.ts'
import type { Producer, ProducerOptions } from '../producer/producer.ts'
import { Format, type FormatOption } from './format.ts'
import { serializers } from './serializer.ts'
import { type InvalidMessageOptions, TypedConsumer } from './typed-consumer.ts'
import { type TypedOutgoingMessage, TypedProducer, type TypedSendOptions } from './typed-producer.ts'

export interface TopicOptions<Value, Key, Input = Value> {
  /**
   * How values are written: a serializer, or a Standard Schema (Zod, Valibot, ArkType, …) for JSON that is checked
   * on sending and on reading. Default: JSON that is not checked.
   */
  value?: FormatOption<Value, Input>
  /** How keys are written. Default: strings. */
  key?: FormatOption<Key>
}

/** What a topic needs of the client it belongs to. */
export interface TopicClient {
  producer(options?: ProducerOptions): Producer
  consumer(topic: string, options: GroupConsumerOptions): GroupConsumer
  consumer(topic: string, options?: ConsumerOptions): Consumer
  consumer(topic: string, options: AnyConsumerOptions): Consumer | GroupConsumer
}

/**
 * A topic whose keys and values have types. Nothing is asked of the cluster before it is used.
 *
 *     const orders = bus.topic('orders', { value: z.object({ id: z.number() }) })
 *     await orders.send({ id: 42 })
 *     for await (const { value } of orders.consumer({ group: 'billing' })) console.log(value?.id)
 */
export class Topic<Value, Key = string, Input = Value> {
  readonly name: string
  readonly #client: TopicClient
  readonly #key: Format<Key>
  readonly #value: Format<Value, Input>

  constructor(client: TopicClient, name: string, options: TopicOptions<Value, Key, Input> = {}) {
    this.name = name
    this.#client = client
    this.#key = new Format(options.key ?? (serializers.string as FormatOption<unknown> as FormatOption<Key>))
    this.#value = new Format(options.value ?? (serializers.json<Value>() as FormatOption<Value, Input>))
  }

  /** Sends one message with the producer that the client's users share. See `TypedProducer.send`. */
  send(value: Input | null, options?: TypedSendOptions<Key>): Promise<SentMessage> {
    return this.producer().send(value, options)
  }

  /** Sends several messages with the producer that the client's users share. See `TypedProducer.sendBatch`. */
  sendBatch(messages: readonly TypedOutgoingMessage<Input, Key>[]): Promise<SentMessage[]> {
    return this.producer().sendBatch(messages)
  }

  /** With options a producer of its own, without the shared one. */
  producer(options?: ProducerOptions): TypedProducer<Input, Key> {
    const format = { key: this.#key, value: this.#value as Format<unknown, Input> }
    return new TypedProducer(this.name, this.#client.producer(options), format)
  }

  /** Reads the topic; with a `group`, as one of its members. */
  consumer(options: GroupConsumerOptions & InvalidMessageOptions): TypedConsumer<Value, Key, GroupConsumer>
  consumer(options?: ConsumerOptions & InvalidMessageOptions): TypedConsumer<Value, Key, Consumer>
  // The compiler explains a mistake by the last overload: this one leads it to the options the caller meant.
  consumer(
    options: AnyConsumerOptions & InvalidMessageOptions,
  ): TypedConsumer<Value, Key, Consumer | GroupConsumer>
  consumer(
    options: AnyConsumerOptions & InvalidMessageOptions = {},
  ): TypedConsumer<Value, Key, Consumer | GroupConsumer> {
    checkConsumerOptions(options, invalidMessageNames)
    const { onInvalid, ...reading } = options
    const source = this.#client.consumer(this.name, reading)
    const format = { key: this.#key, value: this.#value as Format<Value, unknown> }
    return new TypedConsumer(source, format, onInvalid === undefined ? {} : { onInvalid })
  }
}
