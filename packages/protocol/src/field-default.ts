import type { Field } from './schema.ts'

/** 16 zero bytes, Kafka's "no id". */
export const ZERO_UUID = 'AAAAAAAAAAAAAAAAAAAAAA'

const noBytes = new Uint8Array(0)

/** Makes what a receiver assumes where a field is not sent; a new object at every call. */
export function defaultMaker(field: Field): () => unknown {
  const { default: given } = field.options
  if (given !== undefined) return () => given
  switch (field.type) {
    case 'bool':
      return () => false
    case 'int64':
      return () => 0n
    case 'string':
      return () => ''
    case 'uuid':
      return () => ZERO_UUID
    case 'bytes':
    case 'records':
      return () => noBytes
    case 'array':
      return () => []
    case 'struct': {
      const makers = Object.entries(field.fields!).map(
        ([name, inner]) => [name, defaultMaker(inner)] as const,
      )
      return () => Object.fromEntries(makers.map(([name, make]) => [name, make()]))
    }
    default:
      return () => 0
  }
}

/** Tells whether a value equals the field's default, so that it need not be sent. */
export function isDefault(field: Field, value: unknown): boolean {
  if (value === undefined) return true
  const { default: given } = field.options
  if (given !== undefined) return value === given
  if (value === null) return false
  switch (field.type) {
    case 'bytes':
    case 'records':
      return (value as Uint8Array).byteLength === 0
    case 'array':
      return (value as unknown[]).length === 0
    case 'struct':
      return Object.entries(field.fields!).every(([name, inner]) =>
        isDefault(inner, (value as Record<string, unknown>)[name]),
      )
    default:
      return value === defaultMaker(field)()
  }
}
