import type { ByteReader } from './byte-reader.ts'
import { defaultMaker } from './field-default.ts'
import { ProtocolError } from './protocol-error.ts'
import { type Field, type Fields, fieldInVersion, type MessageSchema } from './schema.ts'

type Read = (reader: ByteReader) => unknown
export type DecodeMessage = (reader: ByteReader) => unknown

const compiled = new WeakMap<MessageSchema, (DecodeMessage | undefined)[]>()

/** The decoder of one version of a message, compiled at its first use. */
export function messageDecoder(schema: MessageSchema, version: number): DecodeMessage {
  let versions = compiled.get(schema)
  if (versions === undefined) {
    versions = []
    compiled.set(schema, versions)
  }
  versions[version] ??= compileStruct(schema.fields, version, version >= schema.flexibleFrom, '')
  return versions[version]
}

/**
 * A decoded struct is a copy of a template with every field in schema order, so that all messages of a kind
 * share one hidden class whatever their version.
 */
function compileStruct(fields: Fields, version: number, flexible: boolean, path: string): Read {
  const template: Record<string, unknown> = {}
  const names: string[] = []
  const paths: string[] = []
  const reads: Read[] = []
  const fresh: { name: string; make: () => unknown }[] = []
  const tagged = new Map<number, TaggedField>()
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable, tag } = fieldInVersion(field, version)
    const make = defaultMaker(field)
    template[name] = make()
    if (present && tag === undefined) {
      names.push(name)
      paths.push(path + name)
      reads.push(compileField(field, version, flexible, nullable, path + name))
      continue
    }
    if (tag !== undefined) {
      const read = compileField(field, version, flexible, nullable, path + name)
      tagged.set(tag, { name, path: path + name, read })
    }
    // A default object is made anew for every message: messages belong to their receiver.
    if (typeof template[name] === 'object' && template[name] !== null) fresh.push({ name, make })
  }
  const count = names.length
  return (reader) => {
    const struct = { ...template }
    for (let i = 0; i < count; i++) {
      reader.field = paths[i]!
      struct[names[i]!] = reads[i]!(reader)
    }
    for (const { name, make } of fresh) struct[name] = make()
    if (flexible) {
      if (tagged.size === 0) reader.skipTaggedFields()
      else readTagged(reader, struct, tagged)
    }
    return struct
  }
}

interface TaggedField {
  name: string
  path: string
  read: Read
}

function readTagged(
  reader: ByteReader,
  struct: Record<string, unknown>,
  fields: ReadonlyMap<number, TaggedField>,
): void {
  const count = reader.unsignedVarint()
  for (let i = 0; i < count; i++) {
    const field = fields.get(reader.unsignedVarint())
    const size = reader.unsignedVarint()
    if (field === undefined) {
      reader.take(size)
      continue
    }
    const start = reader.position
    reader.field = field.path
    struct[field.name] = field.read(reader)
    if (reader.position !== start + size) {
      throw new ProtocolError(
        'INVALID_LENGTH',
        `tagged field of ${size} bytes has ${reader.position - start}`,
        { position: start },
      )
    }
  }
}

function compileField(
  field: Field,
  version: number,
  flexible: boolean,
  nullable: boolean,
  path: string,
): Read {
  switch (field.type) {
    case 'bool':
      return (reader) => reader.bool()
    case 'int8':
      return (reader) => reader.int8()
    case 'int16':
      return (reader) => reader.int16()
    case 'uint16':
      return (reader) => reader.uint16()
    case 'int32':
      return (reader) => reader.int32()
    case 'uint32':
      return (reader) => reader.uint32()
    case 'int64':
      return (reader) => reader.int64()
    case 'float64':
      return (reader) => reader.float64()
    case 'uuid':
      return (reader) => reader.uuid()
    case 'string':
      return (reader) => {
        const length = reader.stringLength(flexible)
        return length < 0 ? nullAllowed(reader, length, nullable) : reader.text(length)
      }
    case 'bytes':
    case 'records':
      return (reader) => {
        const length = reader.length(flexible)
        return length < 0 ? nullAllowed(reader, length, nullable) : reader.view(length)
      }
    case 'array':
      return compileArray(field.element!, version, flexible, nullable, path)
    case 'struct':
      return compileStructField(field.fields!, version, flexible, nullable, path)
  }
}

function compileArray(
  element: Field,
  version: number,
  flexible: boolean,
  nullable: boolean,
  path: string,
): Read {
  const read = compileField(element, version, flexible, false, path)
  const minElementBytes = minBytes(element, version, flexible)
  return (reader) => {
    const length = reader.length(flexible)
    if (length < 0) return nullAllowed(reader, length, nullable)
    reader.expectElements(length, minElementBytes)
    const elements: unknown[] = []
    for (let i = 0; i < length; i++) elements.push(read(reader))
    return elements
  }
}

function compileStructField(
  fields: Fields,
  version: number,
  flexible: boolean,
  nullable: boolean,
  path: string,
): Read {
  const read = compileStruct(fields, version, flexible, `${path}.`)
  if (!nullable) return read
  return (reader) => (reader.int8() < 0 ? null : read(reader))
}

function nullAllowed(reader: ByteReader, length: number, nullable: boolean): null {
  if (nullable && length === -1) return null
  throw new ProtocolError(
    'INVALID_LENGTH',
    length === -1 ? 'null where a value is needed' : `length ${length}`,
    { position: reader.position },
  )
}

/** Fewest bytes a value can have on the wire. */
function minBytes(field: Field, version: number, flexible: boolean): number {
  switch (field.type) {
    case 'bool':
    case 'int8':
      return 1
    case 'int16':
    case 'uint16':
      return 2
    case 'int32':
    case 'uint32':
      return 4
    case 'int64':
    case 'float64':
      return 8
    case 'uuid':
      return 16
    case 'string':
      return flexible ? 1 : 2
    case 'bytes':
    case 'records':
    case 'array':
      return flexible ? 1 : 4
    case 'struct': {
      let sum = flexible ? 1 : 0
      for (const inner of Object.values(field.fields!)) {
        const { present, nullable, tag } = fieldInVersion(inner, version)
        if (!present || tag !== undefined) continue
        sum += inner.type === 'struct' && nullable ? 1 : minBytes(inner, version, flexible)
      }
      return sum
    }
  }
}
