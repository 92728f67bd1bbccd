// biome-ignore-all lint/suspicious/noExplicitAny: type parameters that are only inferred from are open on purpose.
/**
 * The language messages are described in. A schema is plain data, written once per message and annotated with
 * the versions in which a field exists, may be null, or is tagged, in the notation of Kafka's own definitions:
 * '3+', '0-12', '5'. Encoder, decoder and TypeScript types all come from it.
 *
 *     message({ versions: '3-13', flexible: '9+' }, {
 *       transactionalId: string({ nullable: '3+', default: null }),
 *       topicData: array({ name: string({ versions: '3-12', ignorable: true }), … }),
 *     })
 */

/** '3+' from version 3 on, '0-12' both inclusive, '5' only that one. */
export type VersionRange = `${number}+` | `${number}-${number}` | `${number}`

export type ScalarType =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'float64'
  | 'string'
  | 'uuid'
  | 'bytes'
  | 'records'

/** Bytes that are not in memory yet. An encoder passes them through; who writes the parts supplies them. */
export interface ExternalBytes {
  readonly byteLength: number
}

export interface FieldOptions<T = unknown> {
  /** Versions that have the field. All by default. */
  readonly versions?: VersionRange
  /** Versions in which it may be null. None by default. */
  readonly nullable?: VersionRange
  /** The field's tag (KIP-482): it is sent only when it differs from its default. */
  readonly tag?: number
  /** Versions in which it is tagged; all that have the field by default. Needs `tag`. */
  readonly tagged?: VersionRange
  /** What a receiver assumes in versions without the field: 0, '', false, empty or no bytes unless given. */
  readonly default?: T | null
  /** Whether a set value may be dropped silently in versions without the field. If not, encoding fails. */
  readonly ignorable?: true
}

/**
 * Tags from here on are StreamBus's own: of fields that Kafka's definitions do not have. Whoever does not know a tag
 * passes over it (KIP-482). They are sent only to those who ask for them by one, so that no other client meets them.
 */
export const OWN_TAGS = 0x5342

export interface FieldTypes<Decoded, Input, Optional extends boolean> {
  decoded: Decoded
  input: Input
  optional: Optional
}

/** A field of a message; `Types` exists for the compiler only. */
export interface Field<Types = any> {
  readonly type: ScalarType | 'array' | 'struct'
  readonly options: FieldOptions<any>
  /** Type of an array's elements. */
  readonly element: Field | undefined
  /** Fields of a struct, in wire order. */
  readonly fields: Fields | undefined
  readonly types?: Types
}

export interface Fields {
  readonly [name: string]: Field
}

type Optional<O> = O extends
  | { default: unknown }
  | { versions: string }
  | { tag: number }
  | { ignorable: true }
  ? true
  : false
type Nullable<T, O> = O extends { nullable: string } ? T | null : T
type FieldOf<Decoded, Input, O> = Field<FieldTypes<Nullable<Decoded, O>, Nullable<Input, O>, Optional<O>>>

type DecodedField<F> = F extends Field<FieldTypes<infer T, any, any>> ? T : never
type InputField<F> = F extends Field<FieldTypes<any, infer T, any>> ? T : never
type OptionalNames<F extends Fields> = {
  [K in keyof F]: F[K] extends Field<FieldTypes<any, any, true>> ? K : never
}[keyof F]

/** What decoding gives: every field, those the version lacks with their default. */
export type DecodedFields<F extends Fields> = { [K in keyof F]: DecodedField<F[K]> }
/** What encoding takes: fields with a default, and those that not every version has, may be left out. */
export type InputFields<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalNames<F>>]: InputField<F[K]>
} & { readonly [K in OptionalNames<F>]?: InputField<F[K]> | undefined }

type Scalar<Decoded, Input = Decoded> = <const O extends FieldOptions<Input> = Record<never, never>>(
  options?: O,
) => FieldOf<Decoded, Input, O>

function scalar<Decoded, Input = Decoded>(type: ScalarType): Scalar<Decoded, Input> {
  return (options) => ({ type, options: options ?? {}, element: undefined, fields: undefined })
}

export const bool = scalar<boolean>('bool')
export const int8 = scalar<number>('int8')
export const int16 = scalar<number>('int16')
export const uint16 = scalar<number>('uint16')
export const int32 = scalar<number>('int32')
export const uint32 = scalar<number>('uint32')
export const int64 = scalar<bigint>('int64')
export const float64 = scalar<number>('float64')
export const string = scalar<string>('string')
/** 16 bytes in Kafka's text form: 22 characters of unpadded base64url. May always be left out: no id. */
export const uuid = <const O extends FieldOptions<string> = Record<never, never>>(
  options?: O,
): Field<FieldTypes<Nullable<string, O>, Nullable<string, O>, true>> => ({
  type: 'uuid',
  options: options ?? {},
  element: undefined,
  fields: undefined,
})
/** Decoded as a view of the frame. */
export const bytes = scalar<Uint8Array>('bytes')
/** Record batches back to back. Decoded as a view of the frame; may be external when encoded. */
export const records = scalar<Uint8Array, Uint8Array | ExternalBytes>('records')

export function struct<F extends Fields, const O extends FieldOptions = Record<never, never>>(
  fields: F,
  options?: O,
): Field<StructTypes<F, O>> {
  return { type: 'struct', options: options ?? {}, element: undefined, fields }
}

/** Named, so that the declaration of a message does not double with each level of its depth. */
export interface StructTypes<F extends Fields, O> {
  decoded: Nullable<DecodedFields<F>, O>
  input: Nullable<InputFields<F>, O>
  optional: Optional<O>
}

export interface ArrayTypes<E extends Field | Fields, O> {
  decoded: Nullable<DecodedElement<E>[], O>
  input: Nullable<readonly InputElement<E>[], O>
  optional: Optional<O>
}

type DecodedElement<E> = E extends Field ? DecodedField<E> : E extends Fields ? DecodedFields<E> : never
type InputElement<E> = E extends Field ? InputField<E> : E extends Fields ? InputFields<E> : never

/** An array of scalars, `array(int32())`, or of structs, `array({ name: string() })`. */
export function array<E extends Field | Fields, const O extends FieldOptions = Record<never, never>>(
  element: E,
  options?: O,
): Field<ArrayTypes<E, O>> {
  return {
    type: 'array',
    options: options ?? {},
    element: isField(element) ? element : struct(element as Fields),
    fields: undefined,
  }
}

function isField(element: Field | Fields): element is Field {
  return typeof (element as Field).type === 'string'
}

/** One message: its fields in wire order and the versions it has. */
export interface MessageSchema<Decoded = any, Input = any> {
  readonly minVersion: number
  readonly maxVersion: number
  /** First version with compact lengths and tagged fields (KIP-482); Infinity if there is none. */
  readonly flexibleFrom: number
  readonly fields: Fields
  readonly types?: { decoded: Decoded; input: Input }
}

/** The decoded form of a schema's message. */
export type Message<S extends MessageSchema> = S extends MessageSchema<infer D, any> ? D : never
/** The form of a schema's message that encoders take. */
export type MessageInput<S extends MessageSchema> = S extends MessageSchema<any, infer I> ? I : never

export function message<F extends Fields>(
  annotations: { readonly versions: VersionRange; readonly flexible: VersionRange | 'none' },
  fields: F,
): MessageSchema<DecodedFields<F>, InputFields<F>> {
  const [minVersion, maxVersion] = parseVersions(annotations.versions)
  const flexibleFrom = annotations.flexible === 'none' ? Infinity : parseVersions(annotations.flexible)[0]
  return { minVersion, maxVersion, flexibleFrom, fields }
}

/** A request, its response, and the key that names the pair on the wire. */
export interface Api<Request = any, Response = any, RequestInput = any, ResponseInput = any> {
  readonly key: number
  /** Kafka's name: 'Produce'. */
  readonly name: string
  readonly request: MessageSchema<Request, RequestInput>
  readonly response: MessageSchema<Response, ResponseInput>
}

export function api<Req, Res, ReqInput, ResInput>(
  key: number,
  name: string,
  messages: { request: MessageSchema<Req, ReqInput>; response: MessageSchema<Res, ResInput> },
): Api<Req, Res, ReqInput, ResInput> {
  return { key, name, ...messages }
}

/** First and last version of a range; Infinity where it has no end. */
export function parseVersions(range: VersionRange): [first: number, last: number] {
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(range)
  if (match === null) throw new TypeError(`not a version range: ${range}`)
  const first = Number(match[1])
  return [first, match[2] === '+' ? Infinity : Number(match[3] ?? first)]
}

/** What one field is in one version of its message. */
export interface FieldInVersion {
  readonly present: boolean
  readonly nullable: boolean
  /** Undefined where it is an ordinary field. */
  readonly tag: number | undefined
}

export function fieldInVersion(field: Field, version: number): FieldInVersion {
  const { versions, nullable, tag, tagged } = field.options
  const present = covers(versions, version, true)
  return {
    present,
    nullable: covers(nullable, version, false),
    tag: present && tag !== undefined && covers(tagged, version, true) ? tag : undefined,
  }
}

function covers(range: VersionRange | undefined, version: number, whenAbsent: boolean): boolean {
  if (range === undefined) return whenAbsent
  const [first, last] = parseVersions(range)
  return first <= version && version <= last
}
