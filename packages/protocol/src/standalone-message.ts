/**
 * Messages that stand alone, outside any frame: keys and values in the coordinators' logs, and what the
 * members of a group tell each other through the coordinator. An int16 comes before the fields and says how
 * to read them: the version, or the type of record in a key.
 */
import { ByteReader } from './byte-reader.ts'
import { messageDecoder } from './message-decoder.ts'
import { messageEncoder } from './message-encoder.ts'
import { ProtocolError } from './protocol-error.ts'
import type { MessageSchema } from './schema.ts'
import { returnWriter, takeWriter } from './scratch-writer.ts'

const PREFIX_BYTES = 2

export interface StandaloneMessage {
  /** What the message is, for error messages: 'OffsetCommit key'. */
  readonly name: string
  readonly schema: MessageSchema
  readonly version: number
}

/** Writes `prefix`, then the fields. Throws ProtocolError if a value does not fit its field. */
export function encodeStandalone(message: StandaloneMessage, prefix: number, body: unknown): Uint8Array {
  const { schema, version } = message
  expectVersion(message)
  const writer = takeWriter()
  try {
    writer.int16(prefix)
    messageEncoder(schema, version)(writer, body)
    return writer.toBytes()
  } catch (error) {
    throw during(message, writer.field, error)
  } finally {
    returnWriter(writer)
  }
}

/** The int16 that standalone bytes begin with. */
export function readPrefix(name: string, bytes: Uint8Array): number {
  if (bytes.length < PREFIX_BYTES) {
    throw new ProtocolError('TRUNCATED', `${name}: ${bytes.length} bytes are no version`, { position: 0 })
  }
  return ((bytes[0]! << 24) >> 16) | bytes[1]!
}

/**
 * Reads the fields after the prefix. Throws ProtocolError, also on bytes after the last field unless these
 * are allowed.
 */
export function decodeStandalone(
  message: StandaloneMessage,
  bytes: Uint8Array,
  options: { readonly maxElements?: number; readonly trailingBytes?: 'ignored' } = {},
): unknown {
  const { schema, version } = message
  expectVersion(message)
  const reader = new ByteReader(bytes, PREFIX_BYTES, options.maxElements)
  try {
    const body = messageDecoder(schema, version)(reader)
    if (reader.remaining > 0 && options.trailingBytes !== 'ignored') {
      reader.field = ''
      throw new ProtocolError('TRAILING_BYTES', `${reader.remaining} bytes left`, {
        position: reader.position,
      })
    }
    return body
  } catch (error) {
    throw during(message, reader.field, error)
  }
}

function expectVersion({ name, schema, version }: StandaloneMessage): void {
  if (version >= schema.minVersion && version <= schema.maxVersion) return
  throw new ProtocolError(
    'UNSUPPORTED_VERSION',
    `${name} has versions ${schema.minVersion} to ${schema.maxVersion}, not ${version}`,
  )
}

function during({ name, version }: StandaloneMessage, field: string, error: unknown): unknown {
  if (!(error instanceof ProtocolError)) return error
  return error.during(field === '' ? `${name} v${version}` : `${name} v${version}, ${field}`)
}
