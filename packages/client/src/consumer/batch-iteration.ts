import type { MessageBatch } from '../message.ts'

/**
 * An iteration over batches, for every kind of consumer.
 *
 * @param next undefined ends the iteration.
 * @param leave called when a loop is left before the end.
 */
export function iterateBatches(
  next: () => Promise<MessageBatch | undefined>,
  leave: () => Promise<IteratorResult<MessageBatch>>,
): AsyncIterableIterator<MessageBatch> {
  const iterator: AsyncIterableIterator<MessageBatch> = {
    [Symbol.asyncIterator]: () => iterator,
    next: async () => {
      const batch = await next()
      return batch === undefined ? { value: undefined, done: true } : { value: batch, done: false }
    },
    return: leave,
  }
  return iterator
}
