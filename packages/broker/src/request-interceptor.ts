import type { Api } from '@streambus/protocol'
import type { Answer, Handler, RequestContext } from './handler.ts'

/** A request on its way from the dispatcher to the handler of its API. */
export interface InterceptedRequest extends RequestContext {
  readonly api: Api
  /** As the schema of the API decodes it in this version; valid until the request is answered. */
  readonly body: unknown
}

/**
 * Stands before the handlers: `handle` gives what the broker answers to a body. It may look at requests, hold
 * them up, or answer them itself; the order of a connection is kept, so that a request it holds up is to those
 * behind it as one that takes long. What it throws closes the connection.
 */
export type RequestInterceptor = (
  request: InterceptedRequest,
  handle: (body: unknown) => Answer<unknown>,
) => Answer<unknown>

export function intercepted(handler: Handler, intercept: RequestInterceptor): Handler {
  return {
    ...handler,
    handle: (body, context) =>
      intercept({ ...context, api: handler.api, body }, (given) => handler.handle(given, context)),
  }
}
