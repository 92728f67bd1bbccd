import type { Consumer } from '../consumer/consumer.ts'
import { isStreamBusError, type StreamBusError } from '../errors.ts'
import type { GroupConsumer } from '../groups/group-consumer.ts'
import type { HandleOptions, HandlerContext } from '../handling/handle-options.ts'
import { checkHandleOptions } from '../known-options.ts'
import type { Message } from '../message.ts'
import { type MessageFormat, type TypedMessage, typedMessage } from './typed-message.ts'

export interface InvalidMessageOptions {
  /**
   * What becomes of a message that is not of the topic's type: with this, it is handed over here with the reason and
   * then passed over; without, reading ends with INVALID_MESSAGE, and to `consume` it is a message whose handler has
   * failed.
   */
  onInvalid?: (error: StreamBusError, message: Message) => void | Promise<void>
}

/**
 * Reads a topic whose keys and values have types. Iterate it once, leaving the loop closes it; or give it a handler.
 * All else (commits, the assignment, events, batches as they lie in the log) is with `source`.
 */
export class TypedConsumer<Value, Key, Source extends Consumer | GroupConsumer>
  implements AsyncIterable<TypedMessage<Value, Key>>
{
  /** The consumer it reads from. */
  readonly source: Source
  readonly #format: MessageFormat<Value, Key>
  readonly #onInvalid: InvalidMessageOptions['onInvalid']

  constructor(source: Source, format: MessageFormat<Value, Key>, { onInvalid }: InvalidMessageOptions) {
    this.source = source
    this.#format = format
    this.#onInvalid = onInvalid
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<TypedMessage<Value, Key>> {
    const messages = this.source[Symbol.asyncIterator]()
    const iterator: AsyncIterableIterator<TypedMessage<Value, Key>> = {
      [Symbol.asyncIterator]: () => iterator,
      next: () => this.#next(messages),
      return: async () => {
        await messages.return?.()
        return { value: undefined, done: true }
      },
    }
    return iterator
  }

  /**
   * Gives each message to a handler, as `consume` of the source does. A message that is not of the topic's type is not
   * tried again: it goes to the dead letter topic, where there is one.
   */
  async consume(
    handler: (message: TypedMessage<Value, Key>, context: HandlerContext) => unknown,
    options: HandleOptions = {},
  ): Promise<void> {
    checkHandleOptions(options)
    const { retry } = options
    const retryIf = (error: unknown) =>
      !(isStreamBusError(error) && error.code === 'INVALID_MESSAGE') && (retry?.retryIf?.(error) ?? true)
    return await this.source.consume(
      async (raw, context) => {
        let message: TypedMessage<Value, Key>
        try {
          message = await typedMessage(this.#format, raw)
        } catch (error) {
          if (!isStreamBusError(error) || this.#onInvalid === undefined) throw error
          return await this.#onInvalid(error, raw)
        }
        return await handler(message, context)
      },
      retry === undefined ? options : { ...options, retry: { ...retry, retryIf } },
    )
  }

  /** Ends the iteration. With a group: commits what was processed, and leaves it. */
  close(): Promise<void> {
    return this.source.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #next(messages: AsyncIterableIterator<Message>): Promise<IteratorResult<TypedMessage<Value, Key>>> {
    for (;;) {
      const next = await messages.next()
      if (next.done) return { value: undefined, done: true }
      try {
        const read = typedMessage(this.#format, next.value)
        return { value: read instanceof Promise ? await read : read, done: false }
      } catch (error) {
        const passedOver = isStreamBusError(error) && this.#onInvalid !== undefined
        try {
          if (!passedOver) throw error
          await this.#onInvalid?.(error, next.value)
        } catch (failure) {
          // A loop does not leave an iteration that failed: what it holds would stay open.
          await messages.return?.()
          throw failure
        }
      }
    }
  }
}
