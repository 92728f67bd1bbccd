// biome-ignore-all lint/suspicious/noExplicitAny: type parameters that are only inferred from are open on purpose.
import type { MessageSchema } from '../schema.ts'

/**
 * One kind of record in a coordinator's log. On disk:
 *
 *     key:   int16 type    | fields, in version 0
 *     value: int16 version | fields; no value at all deletes what the key names
 */
export interface RecordFormat<
  Kind extends string = string,
  Key = any,
  Value = any,
  KeyInput = any,
  ValueInput = any,
> {
  /** What keys begin with. Its meaning is local to a log: 0 is one thing in one log and another in another. */
  readonly type: number
  /** Kafka's name: 'OffsetCommit'. */
  readonly kind: Kind
  readonly key: MessageSchema<Key, KeyInput>
  readonly value: MessageSchema<Value, ValueInput>
}

export function recordFormat<Kind extends string, Key, Value, KeyInput, ValueInput>(
  type: number,
  kind: Kind,
  messages: { key: MessageSchema<Key, KeyInput>; value: MessageSchema<Value, ValueInput> },
): RecordFormat<Kind, Key, Value, KeyInput, ValueInput> {
  return { type, kind, ...messages }
}
