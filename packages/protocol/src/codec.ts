// biome-ignore-all lint/suspicious/noExplicitAny: an API of any types is taken where only one of its four types matters.
/**
 * Requests and responses as frames. A frame on the wire is a 4-byte length, a header, and a body:
 *
 *     request:  int32 length | int16 apiKey, int16 apiVersion, int32 correlationId, string clientId, [tags] | body
 *     response: int32 length | int32 correlationId, [tags] | body
 *
 * The tags are there when the body's version is flexible, except in the answer to ApiVersions: a client must
 * be able to read it before it knows which versions the broker has (KIP-511). The client id keeps its
 * two-byte length in every version for the same reason.
 */
import { apiByKey } from './apis.ts'
import { ByteReader, MAX_REQUEST_ELEMENTS } from './byte-reader.ts'
import type { ByteWriter, Part } from './byte-writer.ts'
import { messageDecoder } from './message-decoder.ts'
import { messageEncoder } from './message-encoder.ts'
import { apiVersions } from './messages/18-api-versions.ts'
import { ProtocolError } from './protocol-error.ts'
import type { Api, MessageSchema } from './schema.ts'
import { returnWriter, takeWriter } from './scratch-writer.ts'

export type { Part } from './byte-writer.ts'

export interface RequestHeader {
  apiKey: number
  apiVersion: number
  correlationId: number
  clientId: string | null
}

/**
 * Reads the header of a request frame (without its length). Keys that have no schema here are read as not
 * flexible; a version above those known is read as flexible if the newest known one is.
 */
export function decodeRequestHeader(frame: Uint8Array): { header: RequestHeader; bodyOffset: number } {
  const reader = new ByteReader(frame)
  try {
    const apiKey = reader.int16()
    const apiVersion = reader.int16()
    const correlationId = reader.int32()
    const clientIdLength = reader.int16()
    if (clientIdLength < -1) {
      throw new ProtocolError('INVALID_LENGTH', `client id of ${clientIdLength} bytes`, { position: 8 })
    }
    const clientId = clientIdLength === -1 ? null : reader.text(clientIdLength)
    const api = apiByKey(apiKey)
    if (api !== undefined && apiVersion >= api.request.flexibleFrom) reader.skipTaggedFields()
    return { header: { apiKey, apiVersion, correlationId, clientId }, bodyOffset: reader.position }
  } catch (error) {
    throw during('request header', '', error)
  }
}

/** Reads the body of a request whose header ended at `bodyOffset`. */
export function decodeRequest<Req>(
  api: Api<Req, any, any, any>,
  version: number,
  frame: Uint8Array,
  bodyOffset: number,
): Req {
  return decodeBody(api, 'request', version, new ByteReader(frame, bodyOffset, MAX_REQUEST_ELEMENTS)) as Req
}

export function encodeRequest<ReqInput>(
  api: Api<any, any, ReqInput, any>,
  version: number,
  header: { readonly correlationId: number; readonly clientId: string | null },
  body: ReqInput,
): Part[] {
  return encodeFrame(api, 'request', version, (writer, schema) => {
    writer.int16(api.key)
    writer.int16(version)
    writer.int32(header.correlationId)
    if (header.clientId === null) writer.nullString(false)
    else writer.string(header.clientId, false)
    if (version >= schema.flexibleFrom) writer.unsignedVarint(0)
    messageEncoder(schema, version)(writer, body)
  })
}

/** Reads the header of the response to a request of this API and version. */
export function decodeResponseHeader(
  api: Api,
  version: number,
  frame: Uint8Array,
): { correlationId: number; bodyOffset: number } {
  const reader = new ByteReader(frame)
  try {
    const correlationId = reader.int32()
    if (hasTaggedHeader(api, version)) reader.skipTaggedFields()
    return { correlationId, bodyOffset: reader.position }
  } catch (error) {
    throw during(`${api.name} v${version} response header`, '', error)
  }
}

/**
 * Reads the response to a request of this API and version. A broker that does not know the version of an
 * ApiVersions request answers in version 0 with UNSUPPORTED_VERSION; that is read as such.
 */
export function decodeResponse<Res>(
  api: Api<any, Res, any, any>,
  version: number,
  frame: Uint8Array,
): { correlationId: number; body: Res } {
  const { correlationId, bodyOffset } = decodeResponseHeader(api, version, frame)
  const reader = new ByteReader(frame, bodyOffset)
  const bodyVersion = isApiVersionsFallback(api, frame, bodyOffset) ? 0 : version
  return { correlationId, body: decodeBody(api, 'response', bodyVersion, reader) as Res }
}

export function encodeResponse<ResInput>(
  api: Api<any, any, any, ResInput>,
  version: number,
  correlationId: number,
  body: ResInput,
): Part[] {
  return encodeFrame(api, 'response', version, (writer, schema) => {
    writer.int32(correlationId)
    if (hasTaggedHeader(api, version)) writer.unsignedVarint(0)
    messageEncoder(schema, version)(writer, body)
  })
}

function hasTaggedHeader(api: Api, version: number): boolean {
  return version >= api.response.flexibleFrom && api.key !== apiVersions.key
}

const unsupportedVersion = 35

function isApiVersionsFallback(api: Api, frame: Uint8Array, bodyOffset: number): boolean {
  return (
    api.key === apiVersions.key && frame[bodyOffset] === 0 && frame[bodyOffset + 1] === unsupportedVersion
  )
}

type Kind = 'request' | 'response'

function schemaOf(api: Api, kind: Kind, version: number): MessageSchema {
  const schema = api[kind]
  if (version >= schema.minVersion && version <= schema.maxVersion) return schema
  throw new ProtocolError(
    'UNSUPPORTED_VERSION',
    `${api.name} ${kind} has versions ${schema.minVersion} to ${schema.maxVersion}, not ${version}`,
  )
}

function decodeBody(api: Api, kind: Kind, version: number, reader: ByteReader): unknown {
  const decode = messageDecoder(schemaOf(api, kind, version), version)
  try {
    const body = decode(reader)
    if (reader.remaining > 0) {
      reader.field = ''
      throw new ProtocolError('TRAILING_BYTES', `${reader.remaining} bytes left`, {
        position: reader.position,
      })
    }
    return body
  } catch (error) {
    throw during(`${api.name} v${version} ${kind}`, reader.field, error)
  }
}

function encodeFrame(
  api: Api,
  kind: Kind,
  version: number,
  write: (writer: ByteWriter, schema: MessageSchema) => void,
): Part[] {
  const schema = schemaOf(api, kind, version)
  const writer = takeWriter()
  try {
    writer.int32(0)
    write(writer, schema)
    writer.setInt32(0, writer.byteLength - 4)
    return writer.parts()
  } catch (error) {
    throw during(`${api.name} v${version} ${kind}`, writer.field, error)
  } finally {
    returnWriter(writer)
  }
}

/** Adds to an error what was being read or written. */
function during(message: string, field: string, error: unknown): unknown {
  if (!(error instanceof ProtocolError)) return error
  return error.during(field === '' ? message : `${message}, ${field}`)
}
