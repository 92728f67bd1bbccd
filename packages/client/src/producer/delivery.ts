import type { StreamBusError } from '../errors.ts'
import type { SentMessage } from '../message.ts'

/** What a call of `send` or `sendBatch` waits for: one slot per message, settled as their batches are. */
export class Delivery {
  readonly promise: Promise<SentMessage[]>
  readonly #sent: SentMessage[]
  #remaining: number
  #resolve!: (sent: SentMessage[]) => void
  #reject!: (error: StreamBusError) => void

  constructor(messages: number) {
    this.#remaining = messages
    this.#sent = new Array(messages)
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  settle(slot: number, sent: SentMessage): void {
    this.#sent[slot] = sent
    if (--this.#remaining === 0) this.#resolve(this.#sent)
  }

  /** The first failure is the one reported; what else belongs to the call goes its way. */
  fail(error: StreamBusError): void {
    this.#reject(error)
  }
}
