import { StreamBusError, sentenceOf } from '../errors.ts'
import { type Serializer, serializers } from './serializer.ts'
import { isStandardSchema, issueSentence, type SchemaResult, type StandardSchema } from './standard-schema.ts'

/** How keys or values are written: by a serializer, or as JSON that a schema checks. */
export type FormatOption<Value, Input = Value> = Serializer<Value> | StandardSchema<Input, Value>

/**
 * Keys or values of one topic on their way to bytes and back.
 *
 * With a schema, what is written is what was given, once the schema has accepted it; what is read is what the
 * schema makes of it. So a schema that transforms (a string into a date) does so once, on reading.
 */
export class Format<Value, Input = Value> {
  readonly #serializer: Serializer<unknown>
  readonly #schema: StandardSchema<Input, Value> | undefined

  constructor(option: FormatOption<Value, Input>) {
    checkFormat(option)
    this.#schema = isStandardSchema(option) ? option : undefined
    this.#serializer = isStandardSchema(option) ? serializers.json() : (option as Serializer<unknown>)
  }

  /** Throws INVALID_VALUE; a promise only where the schema needs one. Null stays null. */
  write(value: Input | null, what: string): Written | Promise<Written> {
    if (value === null) return null
    if (this.#schema === undefined) return this.#serialize(value, what)
    const result = this.#schema['~standard'].validate(value)
    if (result instanceof Promise) return result.then((one) => this.#writeChecked(value, one, what))
    return this.#writeChecked(value, result, what)
  }

  /** Throws what the serializer throws, or an error that says what the schema found. */
  read(bytes: Buffer | null): Value | null | Promise<Value | null> {
    if (bytes === null) return null
    const value = this.#serializer.deserialize(bytes)
    if (this.#schema === undefined) return value as Value
    const result = this.#schema['~standard'].validate(value)
    return result instanceof Promise ? result.then(accepted) : accepted(result)
  }

  #writeChecked(value: Input, result: SchemaResult<Value>, what: string): Written {
    if (result.issues !== undefined) throw invalidValue(what, issueSentence(result.issues))
    return this.#serialize(value, what)
  }

  #serialize(value: Input, what: string): Written {
    try {
      return this.#serializer.serialize(value)
    } catch (error) {
      throw invalidValue(what, sentenceOf(error), error)
    }
  }
}

/** Schemas of some libraries are functions. */
function checkFormat(option: unknown): void {
  const isObject = (typeof option === 'object' && option !== null) || typeof option === 'function'
  if (isObject && isStandardSchema(option)) return
  const { serialize, deserialize } = (isObject ? option : {}) as Partial<Serializer<unknown>>
  if (typeof serialize === 'function' && typeof deserialize === 'function') return
  const message =
    'Keys and values are written by a Standard Schema (Zod, Valibot, ArkType, …), or by an object with serialize and deserialize.'
  throw new StreamBusError('INVALID_ARGUMENT', message)
}

export type Written = Uint8Array | string | null

function accepted<Value>(result: SchemaResult<Value>): Value {
  if (result.issues !== undefined) throw new Error(issueSentence(result.issues))
  return result.value
}

function invalidValue(what: string, reason: string, cause?: unknown): StreamBusError {
  return new StreamBusError('INVALID_VALUE', `${what} cannot be sent: ${reason.replace(/\.$/, '')}.`, {
    cause,
  })
}
