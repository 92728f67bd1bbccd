import type { Consumer } from '../consumer/consumer.ts'
import { isStreamBusError, type StreamBusError } from '../errors.ts'
import type { GroupConsumer } from '../groups/group-consumer.ts'
import type { Message } from '../message.ts'
import { type MessageFormat, type TypedMessage, typedMessage } from './typed-message.ts'

export interface InvalidMessageOptions {
  /**
   * What becomes of a message that is not of the topic's type: with this, it is handed over here with the reason and
   * then passed over; without, reading ends with INVALID_MESSAGE.
   */
  onInvalid?: (error: StreamBusError, message: Message) => void | Promise<void>
}

/**
 * Reads a topic whose keys and values have types. Iterate it once; leaving the loop closes it. All else (commits,
 * the assignment, batches as they lie in the log) is with `source`.
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
