import type { Message } from '../message.ts'

/** A message the handler failed with. */
export interface FailingMessage {
  readonly offset: number
  readonly attempts: number
  readonly error: unknown
  /** There is to be no further attempt. */
  readonly isOver: boolean
}

/**
 * What a worker remembers of the message of each partition that the handler failed with last, so that attempts are
 * counted across aborted transactions. There is one at most: what lies behind it waits.
 */
export class FailingMessages {
  readonly #byPartition = new Map<string, FailingMessage>()

  of({ topic, partition, offset }: Message): FailingMessage | undefined {
    const failing = this.#byPartition.get(`${topic}/${partition}`)
    return failing?.offset === offset ? failing : undefined
  }

  note({ topic, partition }: Message, failing: FailingMessage): void {
    this.#byPartition.set(`${topic}/${partition}`, failing)
  }
}
