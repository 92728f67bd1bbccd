import { EventEmitter } from 'node:events'
import { KafkaJSNonRetriableError } from './errors.ts'
import type { Logger } from './logger.ts'

export interface InstrumentationEvent<T> {
  id: string
  type: string
  /** Milliseconds since the Unix epoch. */
  timestamp: number
  payload: T
}

export type RemoveInstrumentationEventListener<_Name> = () => void

export type ConnectEvent = InstrumentationEvent<null>
export type DisconnectEvent = InstrumentationEvent<null>

let lastId = 0

/** The events of one producer, consumer or admin. */
export class Instrumentation {
  readonly #emitter = new EventEmitter()
  readonly #kind: string
  readonly #names: Readonly<Record<string, string>>
  readonly #logger: Logger

  /** @param kind `producer`, `consumer` or `admin` */
  constructor(kind: string, names: Readonly<Record<string, string>>, logger: Logger) {
    this.#kind = kind
    this.#names = names
    this.#logger = logger
  }

  /** What a listener throws or rejects with is logged. Throws where there is no event of that name. */
  on(eventName: string, listener: (event: InstrumentationEvent<never>) => unknown): () => void {
    if (!Object.values(this.#names).includes(eventName)) {
      const known = Object.keys(this.#names).map((key) => `${this.#kind}.events.${key}`)
      throw new KafkaJSNonRetriableError(`Event name should be one of ${known.join(', ')}`)
    }
    const call = async (event: InstrumentationEvent<never>) => {
      try {
        await listener(event)
      } catch (error) {
        const { message, stack } = error as Error
        this.#logger.error(`Failed to execute listener: ${message}`, { eventName, stack })
      }
    }
    this.#emitter.on(eventName, call)
    return () => this.#emitter.off(eventName, call)
  }

  emit(eventName: string, payload: unknown): void {
    if (this.#emitter.listenerCount(eventName) === 0) return
    const event = { id: String(lastId++), type: eventName, timestamp: Date.now(), payload }
    this.#emitter.emit(eventName, event)
  }
}
