// biome-ignore-all lint/suspicious/noExplicitAny: type parameters that are only inferred from are open on purpose.
/**
 * Writes and reads the records of the coordinators' logs in Kafka's own formats, so that tools made for
 * Kafka's `__consumer_offsets` and `__transaction_state` can read them. See `record-format.ts` for the bytes.
 */
import { decodeStandalone, encodeStandalone, readPrefix } from '../standalone-message.ts'
import type { RecordFormat } from './record-format.ts'

const KEY_VERSION = 0

/** The kinds of record that one log may hold. */
export interface RecordFormats<Format extends RecordFormat = RecordFormat> {
  readonly formats: readonly Format[]
  readonly byType: ReadonlyMap<number, Format>
}

export function recordFormats<const Formats extends readonly RecordFormat[]>(
  formats: Formats,
): RecordFormats<Formats[number]> {
  return { formats, byType: new Map(formats.map((format) => [format.type, format])) }
}

/** A key and its format, told apart by `kind`. */
export type DecodedKey<Format> =
  Format extends RecordFormat<infer Kind, infer Key>
    ? { readonly kind: Kind; readonly format: Format; readonly key: Key }
    : never

/** A record, told apart by `kind`. The value is null in a record that deletes what the key names. */
export type DecodedCoordinatorRecord<Format> =
  Format extends RecordFormat<infer Kind, infer Key, infer Value>
    ? { readonly kind: Kind; readonly key: Key; readonly value: Value | null }
    : never

/** Throws ProtocolError INVALID_VALUE if a value does not fit its field. */
export function encodeCoordinatorKey<KeyInput>(
  format: RecordFormat<string, any, any, KeyInput>,
  key: KeyInput,
): Uint8Array {
  return encodeStandalone(keyMessage(format), format.type, key)
}

/** Throws ProtocolError UNSUPPORTED_VERSION, or INVALID_VALUE if a value does not fit its field. */
export function encodeCoordinatorValue<ValueInput>(
  format: RecordFormat<string, any, any, any, ValueInput>,
  version: number,
  value: ValueInput,
): Uint8Array {
  return encodeStandalone(valueMessage(format, version), version, value)
}

/**
 * Reads a key. Null if its type is none of these formats: newer software may have written it, and Kafka skips
 * such records. Throws ProtocolError on bytes that are no key.
 */
export function decodeCoordinatorKey<Format extends RecordFormat>(
  formats: RecordFormats<Format>,
  bytes: Uint8Array,
): DecodedKey<Format> | null {
  const format = formats.byType.get(readPrefix('coordinator record key', bytes))
  if (format === undefined) return null
  const key: unknown = decodeStandalone(keyMessage(format), bytes)
  return { kind: format.kind, format, key } as DecodedKey<Format>
}

/** Reads a value of any version known. Fields its version lacks have their default. Throws ProtocolError. */
export function decodeCoordinatorValue<Value>(
  format: RecordFormat<string, any, Value>,
  bytes: Uint8Array,
): Value {
  const version = readPrefix(`${format.kind} value`, bytes)
  return decodeStandalone(valueMessage(format, version), bytes) as Value
}

/** Reads key and value. Null if the type of the key is none of these formats. Throws ProtocolError. */
export function decodeCoordinatorRecord<Format extends RecordFormat>(
  formats: RecordFormats<Format>,
  key: Uint8Array,
  value: Uint8Array | null,
): DecodedCoordinatorRecord<Format> | null {
  const decoded = decodeCoordinatorKey<RecordFormat>(formats, key)
  if (decoded === null) return null
  return {
    kind: decoded.kind,
    key: decoded.key,
    value: value === null ? null : decodeCoordinatorValue(decoded.format, value),
  } as DecodedCoordinatorRecord<Format>
}

function keyMessage({ kind, key }: RecordFormat) {
  return { name: `${kind} key`, schema: key, version: KEY_VERSION }
}

function valueMessage({ kind, value }: RecordFormat, version: number) {
  return { name: `${kind} value`, schema: value, version }
}
