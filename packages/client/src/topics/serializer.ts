import { StreamBusError } from '../errors.ts'

/** Turns values of one kind into bytes and back. Both directions throw where they are given something else. */
export interface Serializer<Value> {
  /** A string is written as UTF-8. */
  serialize(value: Value): Uint8Array | string
  /** `bytes` are a view of the memory they arrived in: what is kept for long is copied. */
  deserialize(bytes: Buffer): Value
}

const text: Serializer<string> = {
  serialize(value) {
    if (typeof value !== 'string') throw wrongType('a string', value)
    return value
  },
  deserialize: (bytes) => bytes.toString(),
}

const bytes: Serializer<Uint8Array> = {
  serialize(value) {
    if (!(value instanceof Uint8Array)) throw wrongType('bytes', value)
    return value
  },
  deserialize: (value) => value,
}

const json: Serializer<unknown> = {
  serialize(value) {
    const written = JSON.stringify(value) as string | undefined
    if (written === undefined) throw wrongType('a value that JSON knows', value)
    return written
  },
  deserialize: (value) => JSON.parse(value.toString()),
}

/** The serializers that come with the SDK. */
export const serializers = {
  /** UTF-8. */
  string: text,
  /** Bytes as they are. */
  bytes,
  /** JSON (RFC 8259). What is read is taken to be of the type named, without a check: a schema checks. */
  json: <Value>(): Serializer<Value> => json as Serializer<Value>,
} as const

function wrongType(expected: string, value: unknown): StreamBusError {
  return new StreamBusError(
    'INVALID_VALUE',
    `Expected ${expected}, not ${value === null ? 'null' : typeof value}.`,
  )
}
