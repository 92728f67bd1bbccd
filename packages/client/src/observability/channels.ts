/**
 * What the client does, told on Node's diagnostics channels: under the names below whoever wants to know subscribes,
 * and where nobody does nothing is made or published. Names and fields are part of the public API.
 *
 * Operations that have a start and an end are tracing channels (`tracing:streambus:send:start`, `…:end`,
 * `…:asyncStart`, `…:asyncEnd`, `…:error`), whose five events share one object; everything else is one event.
 */
import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { ConsumerEvents } from '../consumer/consumer-events.ts'
import type { StreamBusError } from '../errors.ts'
import type { Message, MessageBatch, SentMessage } from '../message.ts'

/** The client something is of: the same object for everything that one `connect` made. */
export interface ClientIdentity {
  readonly clientId: string
}

/** A message on its way out. A subscriber of `start` may put other headers in the place of these. */
export interface MessageToSend {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | string | null
  headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
  readonly timestamp: number
}

interface Outcome<Result> {
  /** Set at its end, where it did not fail. */
  result?: Result
  /** Set where it failed. */
  error?: unknown
}

/** `streambus:send`: a call of `send` or `sendBatch`, until all of its messages are acknowledged or have failed. */
export interface SendTrace extends Outcome<SentMessage | readonly SentMessage[]> {
  readonly client: ClientIdentity
  readonly topic: string
  readonly messages: readonly MessageToSend[]
}

/** `streambus:handle`: one attempt of a handler with a message. */
export interface HandleTrace extends Outcome<unknown> {
  readonly client: ClientIdentity
  /** Null where messages are read without one. */
  readonly group: string | null
  readonly message: Message
  /** 1 for the first. */
  readonly attempt: number
  /** A subscriber of `start` may set it: the handler is run inside of it, in a context of the subscriber's. */
  runIn?: (run: () => unknown) => unknown
}

/** `streambus:request`: a request to a broker, from the call (time spent waiting included) to its answer. */
export interface RequestTrace extends Outcome<unknown> {
  readonly clientId: string
  /** Kafka's name of the request: `Produce`, `Fetch`, `JoinGroup`, `OffsetCommit`. */
  readonly api: string
  readonly host: string
  readonly port: number
}

/** `streambus:receive`: a batch is given out to whoever iterates. */
export interface ReceiveEvent extends MessageBatch {
  readonly client: ClientIdentity
  readonly group: string | null
}

/** `streambus:connection:opened`, `streambus:connection:failed` and `streambus:connection:closed`. */
export interface ConnectionEvent {
  readonly client: ClientIdentity
  readonly host: string
  readonly port: number
  /** Why it failed or is closed; CLOSED where the client did that. */
  readonly error?: StreamBusError
}

/** `streambus:retry`: something failed that is done again after a pause. */
export interface RetryEvent {
  readonly client: ClientIdentity
  readonly operation: 'produce' | 'fetch' | 'request'
  readonly error: StreamBusError
  /** How long the pause is. */
  readonly delayMs: number
  /** Where it concerns one partition. */
  readonly topic?: string
  readonly partition?: number
}

/** `streambus:consumer:assigned`, `streambus:consumer:retrying` …: the events of a consumer, with whose they are. */
export type ConsumerChannelEvent<E extends keyof ConsumerEvents> = ConsumerEvents[E] & {
  readonly client: ClientIdentity
  readonly group: string | null
}

/** A tracing channel, as far as it is used here; the types of Node.js have other parameters with each version. */
export interface Tracing<Trace extends object> {
  readonly asyncEnd: { readonly name: string | symbol }
  readonly hasSubscribers: boolean
  tracePromise<T>(run: () => Promise<T>, trace: Trace): Promise<T>
  subscribe(subscribers: TracingSubscribers<Trace>): void
  unsubscribe(subscribers: TracingSubscribers<Trace>): void
}

export interface TracingSubscribers<Trace> {
  start?(trace: Trace): void
  asyncEnd?(trace: Trace): void
}

function tracing<Trace extends object>(name: string): Tracing<Trace> {
  return tracingChannel(name) as unknown as Tracing<Trace>
}

export const channels = {
  send: tracing<SendTrace>('streambus:send'),
  handle: tracing<HandleTrace>('streambus:handle'),
  request: tracing<RequestTrace>('streambus:request'),
  receive: channel('streambus:receive'),
  connectionOpened: channel('streambus:connection:opened'),
  connectionFailed: channel('streambus:connection:failed'),
  connectionClosed: channel('streambus:connection:closed'),
  retry: channel('streambus:retry'),
} as const

export const consumerChannels: { readonly [E in keyof ConsumerEvents]: ReturnType<typeof channel> } = {
  assigned: channel('streambus:consumer:assigned'),
  revoked: channel('streambus:consumer:revoked'),
  lost: channel('streambus:consumer:lost'),
  stalled: channel('streambus:consumer:stalled'),
  recovered: channel('streambus:consumer:recovered'),
  retrying: channel('streambus:consumer:retrying'),
  deadLettered: channel('streambus:consumer:deadLettered'),
  committed: channel('streambus:consumer:committed'),
}

/** Runs a handler with a message, told on its channel. */
export function handled<T>(
  client: ClientIdentity,
  group: string | null,
  message: Message,
  attempt: number,
  run: () => T | Promise<T>,
): T | Promise<T> {
  if (!channels.handle.hasSubscribers) return run()
  const trace: HandleTrace = { client, group, message, attempt }
  return channels.handle.tracePromise(
    async () => (await (trace.runIn === undefined ? run() : trace.runIn(run))) as T,
    trace,
  )
}
