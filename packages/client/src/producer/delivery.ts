import type { StreamBusError } from '../errors.ts'
import type { SentMessage } from '../message.ts'

/** What a call waits for: one slot per message, settled as their batches are. */
export interface Delivery {
  readonly promise: Promise<unknown>
  settle(slot: number, sent: SentMessage): void
  /** The first failure is the one reported; what else belongs to the call goes its way. */
  fail(error: StreamBusError): void
}

let resolveLast: (sent: SentMessage) => void
let rejectLast: (error: StreamBusError) => void
/** One for all: a function made for each message would be a good part of what a message costs. */
const keepFunctions = (
  resolve: (sent: SentMessage) => void,
  reject: (error: StreamBusError) => void,
): void => {
  resolveLast = resolve
  rejectLast = reject
}

export class SingleDelivery implements Delivery {
  readonly promise: Promise<SentMessage>
  readonly #resolve: (sent: SentMessage) => void
  readonly #reject: (error: StreamBusError) => void

  constructor() {
    this.promise = new Promise(keepFunctions)
    this.#resolve = resolveLast
    this.#reject = rejectLast
  }

  settle(_slot: number, sent: SentMessage): void {
    this.#resolve(sent)
  }

  fail(error: StreamBusError): void {
    this.#reject(error)
  }
}

export class GroupDelivery implements Delivery {
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

  fail(error: StreamBusError): void {
    this.#reject(error)
  }
}
