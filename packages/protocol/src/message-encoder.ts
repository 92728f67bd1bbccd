// biome-ignore-all lint/suspicious/noExplicitAny: what a field may hold is known from its schema, not to the compiler.
import { type ByteWriter, outOfRange, type Part } from './byte-writer.ts'
import { defaultMaker, isDefault } from './field-default.ts'
import { ProtocolError } from './protocol-error.ts'
import { type Field, type Fields, fieldInVersion, type MessageSchema } from './schema.ts'

type Write = (writer: ByteWriter, value: any) => void
export type EncodeMessage = (writer: ByteWriter, message: unknown) => void

const compiled = new WeakMap<MessageSchema, (EncodeMessage | undefined)[]>()

/** The encoder of one version of a message, compiled at its first use. */
export function messageEncoder(schema: MessageSchema, version: number): EncodeMessage {
  let versions = compiled.get(schema)
  if (versions === undefined) {
    versions = []
    compiled.set(schema, versions)
  }
  versions[version] ??= compileStruct(schema.fields, version, version >= schema.flexibleFrom, '')
  return versions[version]
}

interface FieldWriter {
  readonly name: string
  readonly path: string
  readonly write: Write
  /** Written in place of undefined. */
  readonly whenAbsent: unknown
}

interface TaggedFieldWriter extends FieldWriter {
  readonly tag: number
  readonly field: Field
}

function compileStruct(fields: Fields, version: number, flexible: boolean, path: string): Write {
  const positional: FieldWriter[] = []
  const tagged: TaggedFieldWriter[] = []
  /** Fields this version cannot carry and that must not be dropped silently. */
  const refused: { name: string; path: string; field: Field }[] = []
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable, tag } = fieldInVersion(field, version)
    const fieldPath = path + name
    if (!present) {
      if (!field.options.ignorable) refused.push({ name, path: fieldPath, field })
      continue
    }
    const write = compileField(field, version, flexible, nullable, fieldPath)
    const entry = { name, path: fieldPath, write, whenAbsent: defaultMaker(field)() }
    if (tag === undefined) positional.push(entry)
    else tagged.push({ ...entry, tag, field })
  }
  tagged.sort((a, b) => a.tag - b.tag)

  return (writer, value) => {
    if (typeof value !== 'object' || value === null) throw outOfRange('struct', value)
    for (const { name, path, write, whenAbsent } of positional) {
      const given = value[name]
      writer.field = path
      write(writer, given === undefined ? whenAbsent : given)
    }
    for (const { name, path, field } of refused) {
      if (!isDefault(field, value[name])) {
        writer.field = path
        throw new ProtocolError('UNSUPPORTED_VERSION', `version ${version} has no such field`)
      }
    }
    if (flexible) writeTagged(writer, value, tagged)
  }
}

function writeTagged(writer: ByteWriter, struct: Record<string, unknown>, fields: TaggedFieldWriter[]): void {
  let count = 0
  for (const { name, field } of fields) {
    if (!isDefault(field, struct[name])) count++
  }
  writer.unsignedVarint(count)
  if (count === 0) return
  for (const { name, path, field, tag, write } of fields) {
    const value = struct[name]
    if (isDefault(field, value)) continue
    writer.field = path
    writer.tagged(tag, () => write(writer, value))
  }
}

function compileField(
  field: Field,
  version: number,
  flexible: boolean,
  nullable: boolean,
  path: string,
): Write {
  switch (field.type) {
    case 'bool':
      return (writer, value) => writer.bool(value)
    case 'int8':
      return (writer, value) => writer.int8(value)
    case 'int16':
      return (writer, value) => writer.int16(value)
    case 'uint16':
      return (writer, value) => writer.uint16(value)
    case 'int32':
      return (writer, value) => writer.int32(value)
    case 'uint32':
      return (writer, value) => writer.uint32(value)
    case 'int64':
      return (writer, value) => writer.int64(value)
    case 'float64':
      return (writer, value) => writer.float64(value)
    case 'uuid':
      return (writer, value) => writer.uuid(value)
    case 'string':
      return (writer, value: string | null) => {
        if (value !== null) writer.string(value, flexible)
        else writer.nullString(nullAllowed(nullable, flexible))
      }
    case 'bytes':
    case 'records':
      return (writer, value: Part | null) => {
        if (value !== null) writer.bytes(value, flexible)
        else writer.null(nullAllowed(nullable, flexible))
      }
    case 'array':
      return compileArray(field.element!, version, flexible, nullable, path)
    case 'struct': {
      const write = compileStruct(field.fields!, version, flexible, `${path}.`)
      if (!nullable) return write
      return (writer, value) => {
        writer.int8(value === null ? -1 : 1)
        if (value !== null) write(writer, value)
      }
    }
  }
}

function compileArray(
  element: Field,
  version: number,
  flexible: boolean,
  nullable: boolean,
  path: string,
): Write {
  const write = compileField(element, version, flexible, false, path)
  return (writer, value: readonly unknown[] | null) => {
    if (value === null) {
      writer.null(nullAllowed(nullable, flexible))
      return
    }
    if (!Array.isArray(value)) throw outOfRange('array', value)
    writer.length(value.length, flexible)
    for (let i = 0; i < value.length; i++) write(writer, value[i])
  }
}

function nullAllowed(nullable: boolean, flexible: boolean): boolean {
  if (!nullable) throw new ProtocolError('INVALID_VALUE', 'null is not allowed in this version')
  return flexible
}
