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

const API_VERSIONS_KEY = 18

/** Routes each request to the handler of its API; what the handler answers is encoded in the same version. */
export class Dispatch implements RequestExecutor {
  readonly #byKey: (Handler | undefined)[] = []
  readonly #apiVersions: Handler

  /** @param handlers every API but ApiVersions, which tells of them. */
  constructor(handlers: readonly Handler[]) {
    this.#apiVersions = apiVersionsHandler(handlers)
    for (const handler of [...handlers, this.#apiVersions]) this.#byKey[handler.api.key] = handler
  }

  mayOverlap(frame: Uint8Array): boolean {
    if (frame.byteLength < 2) return false
    return this.#byKey[(frame[0]! << 8) | frame[1]!]?.mayOverlap === true
  }

  execute(frame: Uint8Array, requester: Requester): EncodedResponse | Promise<EncodedResponse> {
    const { header, bodyOffset } = decoding(() => decodeRequestHeader(frame))
    const { apiKey, apiVersion: version, correlationId } = header
    const handler = this.#byKey[apiKey]
    if (handler === undefined) {
      throw new ConnectionRefusal(`it sent a request with API key ${apiKey}, which is not served`)
    }
    if (version < handler.minVersion || version > handler.maxVersion) {
      // The one request that may come in a version that is too new: its sender cannot know ours yet.
      if (apiKey === API_VERSIONS_KEY) return this.#apiVersionsFallback(correlationId)
      throw new ConnectionRefusal(
        `it sent ${handler.api.name} version ${version}, served are ${handler.minVersion}–${handler.maxVersion}`,
      )
    }
    const context: RequestContext = { version, requester }
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
