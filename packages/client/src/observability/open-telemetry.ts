/**
 * Traces messages with OpenTelemetry, by the semantic conventions for messaging and Kafka (1.45.0), as a subscriber of
 * the diagnostics channels. The package `@opentelemetry/api` is looked for when a client connects, and nothing happens
 * where it is not installed or no tracer provider was registered with it.
 *
 * - `send orders` (producer): from the call to the acknowledgement; its context goes along in the headers.
 * - `process orders` (consumer): an attempt of a handler. Its parent is the span that sent the message, and what the
 *   handler does is in its context.
 * - `receive orders` (client): a batch was given out to a loop, with links to the spans that sent its messages.
 */
import type { Attributes, Context, Link, Span, TextMapGetter } from '@opentelemetry/api'
import type { Cluster } from '../cluster.ts'
import { isStreamBusError, sentenceOf } from '../errors.ts'
import type { Message, SentMessage } from '../message.ts'
import { version } from '../version.ts'
import {
  type ClientIdentity,
  channels,
  type HandleTrace,
  type MessageToSend,
  type ReceiveEvent,
  type SendTrace,
} from './channels.ts'

type Api = typeof import('@opentelemetry/api')

const schemaUrl = 'https://opentelemetry.io/schemas/1.45.0'
/** Clients of this copy of the SDK: another one has subscribers of its own. */
const traced = new Set<ClientIdentity>()
let loading: Promise<Api | undefined> | undefined
let subscription: Subscription | undefined

/** Traces what the client does until it is closed. */
export async function traceWithOpenTelemetry(cluster: Cluster): Promise<void> {
  loading ??= load()
  const api = await loading.catch((error) => {
    cluster.settings.logger.warn(`OpenTelemetry cannot be used: ${sentenceOf(error)}`)
    return undefined
  })
  if (api === undefined || !hasProvider(api) || cluster.isClosed) return
  const { client } = cluster.metrics
  traced.add(client)
  subscription ??= subscribe(api)
  cluster.onClose(() => {
    traced.delete(client)
    if (traced.size > 0) return
    subscription?.end()
    subscription = undefined
  })
}

async function load(): Promise<Api | undefined> {
  try {
    return await import('@opentelemetry/api')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/** Where none was registered, every proxy has the same one behind it, that does nothing. */
function hasProvider({ trace, ProxyTracerProvider }: Api): boolean {
  const provider = trace.getTracerProvider()
  if (!(provider instanceof ProxyTracerProvider)) return true
  return provider.getDelegate() !== new ProxyTracerProvider().getDelegate()
}

interface Subscription {
  end(): void
}

function subscribe({
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace: tracing,
}: Api): Subscription {
  const tracer = tracing.getTracerProvider().getTracer('streambus', version, { schemaUrl })
  const spans = new WeakMap<object, Span>()

  const fail = (span: Span, error: unknown): void => {
    span.setAttribute('error.type', typeOf(error))
    span.setStatus({ code: SpanStatusCode.ERROR, message: sentenceOf(error) })
    span.recordException(error instanceof Error ? error : sentenceOf(error))
  }
  const end = (trace: SendTrace | HandleTrace): void => {
    const span = spans.get(trace)
    if (span === undefined) return
    spans.delete(trace)
    if (trace.error !== undefined) fail(span, trace.error)
    span.end()
  }
  /** A message that is sent on outside of any span, to a dead letter topic say, stays in its trace. */
  const parentOf = (messages: readonly MessageToSend[]): Context => {
    const active = context.active()
    const [only] = messages
    if (tracing.getSpan(active) !== undefined || only === undefined || messages.length > 1) return active
    return propagation.extract(active, only, headersToSend)
  }

  const send = {
    start(trace: SendTrace): void {
      if (!traced.has(trace.client)) return
      const { client, topic, messages } = trace
      const parent = parentOf(messages)
      const attributes = { ...attributesOf(client, 'send', 'send', topic), ...contentOf(messages) }
      const span = tracer.startSpan(`send ${topic}`, { kind: SpanKind.PRODUCER, attributes }, parent)
      spans.set(trace, span)
      const fields: Record<string, string> = {}
      propagation.inject(tracing.setSpan(parent, span), fields)
      const added = Object.entries(fields).map(([key, value]) => ({ key, value: Buffer.from(value) }))
      for (const message of messages) {
        const kept = message.headers.filter(({ key }) => fields[key] === undefined)
        message.headers = [...kept, ...added]
      }
    },
    asyncEnd(trace: SendTrace): void {
      const { result } = trace
      if (result !== undefined && !Array.isArray(result)) {
        const { partition, offset } = result as SentMessage
        spans.get(trace)?.setAttributes({
          'messaging.destination.partition.id': String(partition),
          ...(offset < 0 ? {} : { 'kafka.offset': offset }),
        })
      }
      end(trace)
    },
  }

  const handle = {
    start(trace: HandleTrace): void {
      if (!traced.has(trace.client)) return
      const { client, group, message, attempt } = trace
      const { topic, partition, offset } = message
      const parent = propagation.extract(ROOT_CONTEXT, message, receivedHeaders)
      const attributes = {
        ...attributesOf(client, 'process', 'process', topic, group, partition),
        ...contentOf([message]),
        'kafka.offset': offset,
        'streambus.attempt': attempt,
      }
      const span = tracer.startSpan(`process ${topic}`, { kind: SpanKind.CONSUMER, attributes }, parent)
      spans.set(trace, span)
      trace.runIn = (run) => context.with(tracing.setSpan(parent, span), run)
    },
    asyncEnd: end,
  }

  const receive = (event: unknown): void => {
    const { client, group, topic, partition, messages } = event as ReceiveEvent
    if (!traced.has(client)) return
    const attributes = {
      ...attributesOf(client, 'receive', 'receive', topic, group, partition),
      'messaging.batch.message_count': messages.length,
    }
    const links = messages.map((message): Link | undefined => {
      const sender = tracing.getSpanContext(propagation.extract(ROOT_CONTEXT, message, receivedHeaders))
      return sender && { context: sender, attributes: { 'kafka.offset': message.offset } }
    })
    tracer
      .startSpan(`receive ${topic}`, {
        kind: SpanKind.CLIENT,
        attributes,
        links: links.filter((link) => link !== undefined),
      })
      .end()
  }

  channels.send.subscribe(send)
  channels.handle.subscribe(handle)
  channels.receive.subscribe(receive)
  return {
    end: () => {
      channels.send.unsubscribe(send)
      channels.handle.unsubscribe(handle)
      channels.receive.unsubscribe(receive)
    },
  }
}

function attributesOf(
  { clientId }: ClientIdentity,
  name: string,
  type: string,
  topic: string,
  group: string | null = null,
  partition?: number,
): Attributes {
  return {
    // The name it had up to 1.44.0, by which many know it.
    'messaging.system': 'kafka',
    'messaging.system.name': 'kafka',
    'messaging.operation.name': name,
    'messaging.operation.type': type,
    'messaging.destination.name': topic,
    'messaging.client.id': clientId,
    ...(group === null ? {} : { 'messaging.consumer.group.name': group }),
    ...(partition === undefined ? {} : { 'messaging.destination.partition.id': String(partition) }),
  }
}

function contentOf(messages: readonly Pick<MessageToSend, 'key' | 'value'>[]): Attributes {
  const [only] = messages
  if (only === undefined || messages.length > 1) return { 'messaging.batch.message_count': messages.length }
  const { key, value } = only
  return {
    ...(key === null ? {} : keyAttribute(key)),
    ...(value === null
      ? { 'kafka.message.tombstone': true }
      : { 'messaging.message.body.size': Buffer.byteLength(value) }),
  }
}

/** Left out where the key is no text: then it has no form as a string that others would give it, too. */
function keyAttribute(key: Uint8Array): Attributes {
  try {
    return { 'kafka.message.key': strictUtf8.decode(key) }
  } catch {
    return {}
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

function typeOf(error: unknown): string {
  if (isStreamBusError(error)) return error.code
  return error instanceof Error ? error.name : '_OTHER'
}

const receivedHeaders: TextMapGetter<Message> = {
  keys: ({ headers }) => headers.map(({ key }) => key),
  get: (message, key) => message.header(key)?.toString(),
}

const headersToSend: TextMapGetter<MessageToSend> = {
  keys: ({ headers }) => headers.map(({ key }) => key),
  get: ({ headers }, name) => {
    const value = headers.findLast(({ key }) => key === name)?.value
    return value ? Buffer.from(value).toString() : undefined
  },
}
