import { StreamBusError } from '../errors.ts'
import type { OffsetToCommit } from '../groups/group-offsets.ts'
import type { OutgoingMessage, Sendable, SendOptions, SentMessage } from '../message.ts'
import type { OffsetOwner, Transaction } from './transaction.ts'

/**
 * The transaction as one attempt of a handler sees it: it knows whether the attempt made anything a part of the
 * transaction, which cannot be taken back without aborting all of it, and takes nothing more when the attempt failed.
 */
export class AttemptTransaction implements Transaction {
  readonly #transaction: Transaction
  #isUsed = false
  #isOver = false

  constructor(transaction: Transaction) {
    this.#transaction = transaction
  }

  get isUsed(): boolean {
    return this.#isUsed
  }

  get failure(): StreamBusError | undefined {
    return this.#transaction.failure
  }

  send(topic: string, value: Sendable, options?: SendOptions): Promise<SentMessage> {
    return this.#use(() => this.#transaction.send(topic, value, options))
  }

  sendBatch(topic: string, messages: readonly OutgoingMessage[]): Promise<SentMessage[]> {
    return this.#use(() => this.#transaction.sendBatch(topic, messages))
  }

  sendOffsets(owner: OffsetOwner, offsets: readonly OffsetToCommit[]): Promise<void> {
    return this.#use(() => this.#transaction.sendOffsets(owner, offsets))
  }

  waitForRoom(): Promise<void> {
    return this.#transaction.waitForRoom()
  }

  /** The attempt failed: what it does from here on is no part of the transaction. */
  end(): void {
    this.#isOver = true
  }

  #use<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isOver) {
      const message = 'The attempt of the handler has failed already: what it sends now belongs to nothing.'
      return Promise.reject(new StreamBusError('INVALID_ARGUMENT', message))
    }
    this.#isUsed = true
    return operation()
  }
}
