import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { connect, deadLetterHeaders } from '@streambus/client'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { collect, failureOf, startBus } from './test-bus.ts'

const exporter = new InMemorySpanExporter()

beforeEach(() => {
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  )
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
})

afterEach(() => {
  exporter.reset()
  trace.disable()
  context.disable()
  propagation.disable()
})

const tracer = () => trace.getTracer('test')

function spansNamed(name: string): ReadableSpan[] {
  return exporter.getFinishedSpans().filter((span) => span.name === name)
}

test('what handles a message is a child of what sent it, across the broker', async () => {
  await using session = await startBus({}, { clientId: 'shop' })
  const { bus } = session
  const traceId = await tracer().startActiveSpan('checkout', async (checkout) => {
    await bus.producer().send('orders', { id: 42 }, { key: 'k', partition: 0 })
    checkout.end()
    return checkout.spanContext().traceId
  })
  await bus.consumer('orders', { group: 'billing', limit: 1 }).consume(async () => {
    await Promise.resolve()
    tracer().startSpan('charge').end()
    await bus.producer().send('invoices', 'paid')
  })
  const [checkout] = spansNamed('checkout')
  const [send] = spansNamed('send orders')
  const [process] = spansNamed('process orders')
  expect(send).toMatchObject({
    kind: SpanKind.PRODUCER,
    parentSpanContext: { spanId: checkout?.spanContext().spanId },
    attributes: {
      'messaging.system': 'kafka',
      'messaging.system.name': 'kafka',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'orders',
      'messaging.destination.partition.id': '0',
      'messaging.client.id': 'shop',
      'messaging.message.body.size': 9,
      'kafka.message.key': 'k',
      'kafka.offset': 0,
    },
  })
  expect(process).toMatchObject({
    kind: SpanKind.CONSUMER,
    parentSpanContext: { spanId: send?.spanContext().spanId, isRemote: true },
    attributes: {
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'orders',
      'messaging.destination.partition.id': '0',
      'messaging.consumer.group.name': 'billing',
      'kafka.message.key': 'k',
      'kafka.offset': 0,
    },
  })
  for (const name of ['charge', 'send invoices']) {
    const [child] = spansNamed(name)
    expect(child?.parentSpanContext?.spanId).toBe(process?.spanContext().spanId)
  }
  expect(new Set(exporter.getFinishedSpans().map((span) => span.spanContext().traceId))).toEqual(
    new Set([traceId]),
  )
})

test('a batch has one span, which the batch that is received and each handler lead back to', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().sendBatch('t', [{ value: 'a' }, { value: null, key: Buffer.of(0xff) }])
  await collect(bus.consumer('t', { until: 'end' }))
  await bus.consumer('t', { until: 'end' }).consume(() => {})
  const [send, ...others] = spansNamed('send t')
  expect(others).toEqual([])
  expect(send?.attributes['messaging.batch.message_count']).toBe(2)
  const [receive] = spansNamed('receive t')
  expect(receive).toMatchObject({
    kind: SpanKind.CLIENT,
    attributes: { 'messaging.operation.type': 'receive', 'messaging.batch.message_count': 2 },
  })
  expect(receive?.links.map(({ context }) => context.spanId)).toEqual([
    send?.spanContext().spanId,
    send?.spanContext().spanId,
  ])
  const processed = spansNamed('process t')
  expect(processed.map((span) => span.parentSpanContext?.spanId)).toEqual([
    send?.spanContext().spanId,
    send?.spanContext().spanId,
  ])
  expect(processed[1]?.attributes).toMatchObject({ 'kafka.message.tombstone': true })
  expect(processed[1]?.attributes).not.toHaveProperty('kafka.message.key')
})

test('what fails has the status and the type of the error, and a dead letter stays in the trace', async () => {
  await using session = await startBus()
  const { bus } = session
  await failureOf(bus.producer().send('a b', 'x'))
  expect(spansNamed('send a b')).toMatchObject([
    { status: { code: SpanStatusCode.ERROR }, attributes: { 'error.type': 'INVALID_TOPIC' } },
  ])
  await bus.producer().send('t', 'x')
  await bus.consumer('t', { limit: 1 }).consume(
    () => {
      throw new RangeError('too much')
    },
    { retry: { attempts: 2, backoff: { initialMs: 1 } }, deadLetter: 'dlq' },
  )
  expect(spansNamed('process t')).toMatchObject(
    [1, 2].map((attempt) => ({
      status: { code: SpanStatusCode.ERROR, message: 'too much' },
      attributes: { 'error.type': 'RangeError', 'streambus.attempt': attempt },
      events: [{ name: 'exception' }],
    })),
  )
  const [send] = spansNamed('send t')
  const [setAside] = spansNamed('send dlq')
  expect(setAside?.spanContext().traceId).toBe(send?.spanContext().traceId)
  const [letter] = await collect(bus.consumer('dlq', { until: 'end' }))
  expect(letter?.headers.filter(({ key }) => key === 'traceparent')).toHaveLength(1)
  expect(letter?.header(deadLetterHeaders.reason)?.toString()).toBe('too much')
})

test('what a worker sends belongs to the message it was made of', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.producer().send('in', 'x')
  const worker = bus.process({ from: 'in', to: 'out', group: 'g', until: 'end' }, () => ({ value: 'y' }))
  await worker.finished
  const [process] = spansNamed('process in')
  const [out] = spansNamed('send out')
  expect(out?.parentSpanContext?.spanId).toBe(process?.spanContext().spanId)
})

test('a client that does not want it is not traced, nor is any without a tracer provider', async () => {
  await using session = await startBus({}, { openTelemetry: false })
  await session.bus.producer().send('t', 'x')
  trace.disable()
  await using later = await connect(session.broker.address)
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  )
  await later.producer().send('t', 'x')
  expect(exporter.getFinishedSpans()).toEqual([])
  const messages = await collect(later.consumer('t', { until: 'end' }))
  expect(messages.flatMap(({ headers }) => headers)).toEqual([])
})
