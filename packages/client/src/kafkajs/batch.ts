import type { Message } from '../message.ts'
import type { Batch, KafkaMessage } from './consumer-types.ts'
import type { IHeaders } from './types.ts'

/** What one fetch brought of a partition, as kafkajs hands it to `eachBatch`. */
export class FetchedBatch implements Batch {
  readonly topic: string
  readonly partition: number
  readonly highWatermark: string
  readonly messages: KafkaMessage[]
  readonly #firstOffset: number
  /** Behind the last record, also where it is none to show: an aborted one, or the end of a transaction. */
  readonly #nextOffset: number
  readonly #highWatermark: number

  constructor(
    { topic, partition, highWatermark }: { topic: string; partition: number; highWatermark: number },
    messages: readonly Message[],
    nextOffset: number,
  ) {
    this.topic = topic
    this.partition = partition
    this.highWatermark = String(highWatermark)
    this.messages = messages.map(kafkaMessage)
    this.#firstOffset = messages[0]?.offset ?? nextOffset - 1
    this.#nextOffset = nextOffset
    this.#highWatermark = highWatermark
  }

  isEmpty(): boolean {
    return this.messages.length === 0
  }

  firstOffset(): string | null {
    return String(this.#firstOffset)
  }

  lastOffset(): string {
    return String(this.#nextOffset - 1)
  }

  /** How many records lie behind this batch. */
  offsetLag(): string {
    return String(this.#highWatermark - this.#nextOffset)
  }

  /** How many records lie behind its first one. */
  offsetLagLow(): string {
    return String(this.#highWatermark - 1 - this.#firstOffset)
  }
}

function kafkaMessage(message: Message): KafkaMessage {
  let headers: IHeaders | undefined
  return {
    key: message.key,
    value: message.value,
    timestamp: String(message.timestamp),
    attributes: 0,
    offset: String(message.offset),
    get headers() {
      headers ??= headersOf(message)
      return headers
    },
  }
}

/** A name that occurs several times has all its values. */
function headersOf(message: Message): IHeaders {
  const headers: Record<string, Buffer | null | (Buffer | null)[]> = {}
  for (const { key, value } of message.headers) {
    const known = Object.hasOwn(headers, key) ? headers[key] : undefined
    if (known === undefined) headers[key] = value
    else headers[key] = Array.isArray(known) ? [...known, value] : [known, value]
  }
  return headers as IHeaders
}
