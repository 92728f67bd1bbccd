import {
  decodeRequest,
  decodeRequestHeader,
  ErrorCode,
  encodeResponse,
  type Part,
  ProtocolError,
} from '@streambus/protocol'
import type { Handler, RequestContext } from './handler.ts'
import { advertisedVersions, apiVersionsHandler } from './handlers/18-api-versions.ts'
import {
  ConnectionRefusal,
  type EncodedResponse,
  type RequestExecutor,
  type Requester,
} from './network/connection.ts'
import { intercepted, type RequestInterceptor } from './request-interceptor.ts'

const API_VERSIONS_KEY = 18
/** API key, version and correlation id begin every request. */
const CORRELATION_ID_END = 8

/** Routes each request to the handler of its API; what the handler answers is encoded in the same version. */
export class Dispatch implements RequestExecutor {
  readonly #byKey: (Handler | undefined)[] = []
  readonly #apiVersions: Handler

  /** @param handlers every API but ApiVersions, which tells of them. */
  constructor(handlers: readonly Handler[], interceptor?: RequestInterceptor) {
    this.#apiVersions = apiVersionsHandler(handlers)
    for (const handler of [...handlers, this.#apiVersions]) {
      this.#byKey[handler.api.key] = interceptor === undefined ? handler : intercepted(handler, interceptor)
    }
  }

  mayOverlap(frame: Uint8Array): boolean {
    if (frame.byteLength < 2) return false
    return this.#byKey[readInt16(frame, 0)]?.mayOverlap === true
  }

  execute(frame: Uint8Array, requester: Requester): EncodedResponse | Promise<EncodedResponse> {
    if (frame.byteLength < CORRELATION_ID_END) {
      throw new ConnectionRefusal(`it sent a request of ${frame.byteLength} bytes, too short for any`)
    }
    // Not decoded with the rest of the header: what the rest looks like depends on these.
    const apiKey = readInt16(frame, 0)
    const version = readInt16(frame, 2)
    const handler = this.#byKey[apiKey]
    if (handler === undefined) {
      throw new ConnectionRefusal(`it sent a request with API key ${apiKey}, which is not served`)
    }
    if (version < handler.minVersion || version > handler.maxVersion) {
      // The one request that may come in a version that is too new: its sender cannot know ours yet.
      if (apiKey === API_VERSIONS_KEY) return this.#apiVersionsFallback(readInt32(frame, 4))
      throw new ConnectionRefusal(
        `it sent ${handler.api.name} version ${version}, served are ${handler.minVersion}–${handler.maxVersion}`,
      )
    }
    const { header, bodyOffset } = decoding(() => decodeRequestHeader(frame))
    const { correlationId, clientId } = header
    const context: RequestContext = { version, clientId, requester }
    const request = decoding(() => decodeRequest(handler.api, version, frame, bodyOffset))
    const answer = handler.handle(request, context)
    if (!(answer instanceof Promise)) return encode(handler, version, correlationId, answer)
    return answer.then((body) => encode(handler, version, correlationId, body))
  }

  #apiVersionsFallback(correlationId: number): Part[] {
    const { api } = this.#apiVersions
    return encodeResponse(api, 0, correlationId, {
      errorCode: ErrorCode.UNSUPPORTED_VERSION,
      apiKeys: advertisedVersions([this.#apiVersions]),
    })
  }
}

/** What the client got wrong is told apart from what goes wrong here: only this closes without a stack trace. */
function decoding<T>(decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    throw new ConnectionRefusal(`it sent a malformed request: ${error.message}`, { cause: error })
  }
}

function encode(handler: Handler, version: number, correlationId: number, body: unknown): EncodedResponse {
  return body === null ? null : encodeResponse(handler.api, version, correlationId, body)
}

function readInt16(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) >> 16) | bytes[at + 1]!
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (readInt16(bytes, at) << 16) | (readInt16(bytes, at + 2) & 0xffff)
}
