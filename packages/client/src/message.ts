import type { Record as LogRecord } from '@streambus/protocol'
import { StreamBusError } from './errors.ts'

/** What can be sent: strings as UTF-8, bytes as they are, null as a tombstone, anything else as JSON. */
export type Sendable = string | Uint8Array | null | object | number | boolean

export type HeaderInput =
  | Readonly<Record<string, string | Uint8Array | null>>
  | readonly { readonly key: string; readonly value: string | Uint8Array | null }[]

export interface SendOptions {
  /**
   * Decides the partition: messages of the same key are in the same one, in the order they were sent, as long as the
   * topic has as many partitions. A compacted topic keeps the last message of each key. Strings are sent as UTF-8.
   * Default: none.
   */
  key?: string | Uint8Array | null
  /** Default: by key as the Java client does it; without a key all of one batch to one partition. */
  partition?: number
  /** Names and values that go along, strings as UTF-8; in a list a name may occur more than once. Default: none. */
  headers?: HeaderInput
  /** Milliseconds since the Unix epoch. Default: now. */
  timestamp?: number | Date
}

export interface OutgoingMessage extends SendOptions {
  /** Strings as UTF-8, bytes as they are, null as a tombstone, anything else as JSON. */
  value: Sendable
}

/** Where a message went. */
export interface SentMessage {
  readonly topic: string
  readonly partition: number
  /** -1 where the broker does not tell: with acks 0. */
  readonly offset: number
  /** Milliseconds since the Unix epoch, as stored: the broker's clock on LogAppendTime topics. */
  readonly timestamp: number
}

export interface MessageHeader {
  readonly key: string
  readonly value: Buffer | null
}

/**
 * One message as it lies in the log.
 *
 * Offsets are numbers: exact up to 2^53 - 1, which no log reaches (a million messages a second take 285
 * years), and beyond that the SDK refuses with OFFSET_NOT_EXACT instead of rounding. Key, value and headers are
 * views of the memory the message arrived in, made when they are first read: whoever keeps a few bytes for
 * long copies them.
 */
export class Message {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly #record: LogRecord
  #key: Buffer | null | undefined
  #value: Buffer | null | undefined
  #headers: readonly MessageHeader[] | undefined

  constructor(topic: string, partition: number, offset: number, record: LogRecord) {
    this.topic = topic
    this.partition = partition
    this.offset = offset
    this.#record = record
  }

  /** Milliseconds since the Unix epoch, exact up to 2^53; -1 where the message has none. */
  get timestamp(): number {
    return Number(this.#record.timestamp)
  }

  get key(): Buffer | null {
    if (this.#key === undefined) this.#key = asBuffer(this.#record.key)
    return this.#key
  }

  /** Null is a tombstone: in a compacted topic it deletes what was stored under the key. */
  get value(): Buffer | null {
    if (this.#value === undefined) this.#value = asBuffer(this.#record.value)
    return this.#value
  }

  /** In the order they were sent; a key may occur more than once. */
  get headers(): readonly MessageHeader[] {
    this.#headers ??= this.#record.headers.map(({ key, value }) => ({ key, value: asBuffer(value) }))
    return this.#headers
  }

  /** The last header of that name, which is the one that counts by Kafka's convention. */
  header(name: string): Buffer | null | undefined {
    return this.headers.findLast(({ key }) => key === name)?.value
  }

  /** The value as text; null for a tombstone. */
  text(): string | null {
    return this.value === null ? null : this.value.toString()
  }

  /** The value read as JSON; null for a tombstone. Throws a SyntaxError where it is none. */
  json<T = unknown>(): T | null {
    return this.value === null ? null : (JSON.parse(this.value.toString()) as T)
  }
}

function asBuffer(bytes: Uint8Array | null): Buffer | null {
  if (bytes === null || Buffer.isBuffer(bytes)) return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Messages of one partition that arrived together. */
export interface MessageBatch {
  readonly topic: string
  readonly partition: number
  /** Not empty; offsets grow but may have gaps (compaction, transactions). */
  readonly messages: readonly Message[]
  /** End of the log when the batch was read: what is still to come is this less the last offset less one. */
  readonly highWatermark: number
}

export function keyBytes(key: string | Uint8Array | null | undefined): Uint8Array | null {
  if (key === undefined || key === null) return null
  if (typeof key === 'string') return Buffer.from(key)
  if (key instanceof Uint8Array) return key
  throw new StreamBusError('INVALID_ARGUMENT', 'A key must be a string, bytes or null.')
}

export function valueContent(value: Sendable): Uint8Array | string | null {
  if (value === null || typeof value === 'string' || value instanceof Uint8Array) return value
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw new StreamBusError('INVALID_ARGUMENT', `The value cannot be written as JSON: ${String(error)}.`, {
      cause: error,
    })
  }
  if (json === undefined) {
    throw new StreamBusError('INVALID_ARGUMENT', `A value of type ${typeof value} cannot be sent.`)
  }
  return json
}

const noHeaders: readonly { key: string; value: Uint8Array | null }[] = []

export function headerList(
  headers: HeaderInput | undefined,
): readonly { key: string; value: Uint8Array | null }[] {
  if (headers === undefined) return noHeaders
  if (typeof headers !== 'object' || headers === null) {
    throw new StreamBusError('INVALID_ARGUMENT', 'headers must be an object of names and values, or a list.')
  }
  const pairs = Array.isArray(headers)
    ? (headers as readonly { key: string; value: string | Uint8Array | null }[])
    : Object.entries(headers as Record<string, string | Uint8Array | null>).map(([key, value]) => ({
        key,
        value,
      }))
  return pairs.map(({ key, value }) => {
    if (
      typeof key !== 'string' ||
      !(value === null || typeof value === 'string' || value instanceof Uint8Array)
    ) {
      throw new StreamBusError('INVALID_ARGUMENT', 'A header is a name and a string, bytes or null.')
    }
    return { key, value: typeof value === 'string' ? Buffer.from(value) : value }
  })
}

export function timestampOf(timestamp: number | Date | undefined): number {
  if (timestamp === undefined) return Date.now()
  const value = timestamp instanceof Date ? timestamp.getTime() : timestamp
  if (!Number.isSafeInteger(value)) {
    throw new StreamBusError('INVALID_ARGUMENT', `${String(value)} is not a timestamp in whole milliseconds.`)
  }
  return value
}
