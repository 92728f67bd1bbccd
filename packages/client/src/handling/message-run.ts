import type { StreamBusError } from '../errors.ts'
import type { Message } from '../message.ts'
import type { DelayedMessage } from './delay-topics.ts'
import type { Handler, HandlerContext } from './handle-options.ts'
import type { LaneMessage, PartitionLane } from './partition-lane.ts'

/** What the handler sees of one attempt. */
class Attempt implements HandlerContext {
  readonly attempt: number
  #controller: AbortController | undefined
  #reason: StreamBusError | undefined

  constructor(attempt: number) {
    this.attempt = attempt
  }

  /** Made when it is asked for: most handlers do not. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  abort(reason: StreamBusError): void {
    this.#reason ??= reason
    this.#controller?.abort(reason)
  }
}

/** One message with the handler: its attempts, one after the other. */
export class MessageRun {
  readonly lane: PartitionLane
  readonly entry: LaneMessage
  readonly message: Message
  /** 1 for the first. */
  attempt: number
  /** Start of the attempt; infinite while none runs. */
  startedAtMs = Number.POSITIVE_INFINITY
  /** How long the last attempt took. */
  tookMs = 0
  #current: Attempt | undefined
  #isEnding = false
  #expire: ((error: StreamBusError) => void) | undefined
  #endPause: (() => void) | undefined

  /** @param delayed what the message is, where it comes out of a delay topic */
  constructor(lane: PartitionLane, entry: LaneMessage, delayed: DelayedMessage | undefined) {
    this.lane = lane
    this.entry = entry
    this.message = delayed?.message ?? entry.message
    this.attempt = delayed?.attempts ?? 0
  }

  /** True when the message is not tried again here: it comes again, to whoever reads its partition next. */
  get isEnding(): boolean {
    return this.#isEnding
  }

  /** Gives the message to the handler; rejects with what that failed with. */
  async tryOnce(handler: Handler, isBounded: boolean): Promise<void> {
    this.#current = new Attempt(++this.attempt)
    this.startedAtMs = performance.now()
    try {
      const handling = handler(this.message, this.#current)
      if (isBounded) await this.#bounded(handling)
      else await handling
    } finally {
      this.tookMs = performance.now() - this.startedAtMs
      this.startedAtMs = Number.POSITIVE_INFINITY
      this.#expire = undefined
    }
  }

  /** Waits before the next attempt, unless there is to be none. */
  async pause(ms: number): Promise<void> {
    if (this.#isEnding) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endPause = undefined
  }

  /** The attempt has taken too long. It may go on in spite of its signal, but what becomes of it does not count. */
  expire(error: StreamBusError): void {
    this.#current?.abort(error)
    this.#expire?.(error)
  }

  /** Lets the attempt end, and makes no other. */
  end(): void {
    this.#isEnding = true
    this.#endPause?.()
  }

  /** The same, and tells the handler. */
  abort(reason: StreamBusError): void {
    this.#current?.abort(reason)
    this.end()
  }

  async #bounded(handling: unknown): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#expire = reject
      Promise.resolve(handling).then(() => resolve(), reject)
    })
  }
}
