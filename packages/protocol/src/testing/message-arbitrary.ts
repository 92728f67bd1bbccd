import fc from 'fast-check'
import { defaultMaker } from '../field-default.ts'
import { type Field, type Fields, fieldInVersion, type MessageSchema } from '../schema.ts'

/** Any message of a version, in its decoded form: fields the version lacks have their default. */
export function anyMessage(schema: MessageSchema, version: number): fc.Arbitrary<unknown> {
  return anyStruct(schema.fields, version)
}

function anyStruct(fields: Fields, version: number): fc.Arbitrary<unknown> {
  const arbitraries: Record<string, fc.Arbitrary<unknown>> = {}
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable } = fieldInVersion(field, version)
    if (!present) arbitraries[name] = fc.constant(null).map(defaultMaker(field))
    else if (nullable) arbitraries[name] = fc.option(anyValue(field, version), { freq: 4 })
    else arbitraries[name] = anyValue(field, version)
  }
  return fc.record(arbitraries, { noNullPrototype: true })
}

function anyValue(field: Field, version: number): fc.Arbitrary<unknown> {
  switch (field.type) {
    case 'bool':
      return fc.boolean()
    case 'int8':
      return fc.integer({ min: -0x80, max: 0x7f })
    case 'int16':
      return fc.integer({ min: -0x8000, max: 0x7fff })
    case 'uint16':
      return fc.nat(0xffff)
    case 'int32':
      return fc.integer()
    case 'uint32':
      return fc.nat(0xffffffff)
    case 'int64':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    case 'float64':
      return fc.double()
    case 'string':
      return fc.oneof(
        { weight: 5, arbitrary: fc.string({ unit: 'grapheme', maxLength: 60 }) },
        { weight: 1, arbitrary: fc.integer({ min: 40, max: 300 }).map((length) => 'é'.repeat(length)) },
      )
    case 'uuid':
      return anyBytes(16, 16).map((bytes) => bytes.toString('base64url'))
    case 'bytes':
    case 'records':
      return fc.oneof(
        anyBytes(0, 200),
        fc.integer({ min: 4000, max: 5000 }).map((size) => Buffer.alloc(size, 7)),
      )
    case 'array':
      return fc.array(anyValue(field.element!, version), { maxLength: 3 })
    case 'struct':
      return anyStruct(field.fields!, version)
  }
}

function anyBytes(minLength: number, maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes))
}
