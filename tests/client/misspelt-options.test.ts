import { connect, type ProducerOptions, type StreamBus } from '@streambus/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collect, failureOf, startBus } from './test-bus.ts'

// biome-ignore lint/suspicious/noExplicitAny: what JavaScript can write, and does not compile.
type Any = any

let session: Awaited<ReturnType<typeof startBus>>
beforeAll(async () => {
  session = await startBus()
})
afterAll(async () => await session[Symbol.asyncDispose]())

/** What a call says that throws at once or rejects. */
async function sentenceOf(call: (bus: Any) => unknown): Promise<string> {
  const failure = await failureOf(Promise.resolve().then(() => call(session.bus)))
  expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT', retriable: false })
  return failure.message
}

const plain = { mechanism: 'plain', username: 'u', password: 'p' }
const handler = () => {}
const consume = (options: unknown) => (bus: Any) => bus.consumer('t').consume(handler, options)
const typed = (options: unknown) => (bus: Any) => bus.topic('t').consumer().consume(handler, options)
const work = (options: object) => (bus: Any) =>
  bus.process({ from: 't', group: 'g', ...options }, () => undefined)

test.each<[string, (bus: Any) => unknown]>([
  ["connect has no option 'broker'; did you mean 'brokers'?", () => connect({ broker: 'b:1' } as Any)],
  ["connect has no option 'clientID'; did you mean 'clientId'?", () => connect({ clientID: 'c' } as Any)],
  [
    "connect has no option 'bootstrap'; its options are brokers, tls, sasl, clientId, connectTimeoutMs, requestTimeoutMs, retryTimeoutMs, retryBackoffMs, maxRetryBackoffMs, maxFrameBytes, metadataMaxAgeMs, logger, openTelemetry, signal.",
    () => connect({ bootstrap: 'b:1' } as Any),
  ],
  ['The options of connect must be an object, not a number.', () => connect(9092 as Any)],
  ['The options of connect must be an object, not null.', () => connect(null as Any)],
  [
    "sasl has no option 'userName'; did you mean 'username'?",
    () => connect({ sasl: { ...plain, userName: 'u' } } as Any),
  ],
  ['The options of sasl must be an object, not a string.', () => connect({ sasl: 'secret' } as Any)],
  ["producer has no option 'linger'; did you mean 'lingerMs'?", (bus) => bus.producer({ linger: 5 })],
  [
    "producer has no option 'transactionalID'; did you mean 'transactionalId'?",
    (bus) => bus.producer({ transactionalID: 'x' }),
  ],
  ['The options of producer must be an object, not a string.', (bus) => bus.producer('orders')],
  ["topic has no option 'values'; did you mean 'value'?", (bus) => bus.topic('t', { values: {} })],
  ['The options of topic must be an object, not a number.', (bus) => bus.topic('t', 3)],
  ["consumer has no option 'groop'; did you mean 'group'?", (bus) => bus.consumer('t', { groop: 'x' })],
  ["consumer has no option 'form'; did you mean 'from'?", (bus) => bus.consumer('t', { form: 'latest' })],
  [
    "consumer has no option 'instanceID'; did you mean 'instanceId'?",
    (bus) => bus.consumer('t', { group: 'g', instanceID: 'x' }),
  ],
  ['autoCommit has no meaning without a group.', (bus) => bus.consumer('t', { autoCommit: false })],
  ['partitions has no meaning with a group.', (bus) => bus.consumer('t', { group: 'g', partitions: [0] })],
  ['The options of consumer must be an object, not a string.', (bus) => bus.consumer('t', 'g')],
  [
    "consumer has no option 'oninvalid'; did you mean 'onInvalid'?",
    (bus) => bus.topic('t').consumer({ oninvalid: () => {} }),
  ],
  ['The options of consumer must be an object, not a number.', (bus) => bus.topic('t').consumer(5)],
  ["consume has no option 'deadletter'; did you mean 'deadLetter'?", consume({ deadletter: 'x' })],
  ["consume has no option 'concurency'; did you mean 'concurrency'?", typed({ concurency: 2 })],
  ['The options of consume must be an object, not a number.', consume(5)],
  ["retry has no option 'attemps'; did you mean 'attempts'?", consume({ retry: { attemps: 3 } })],
  ['The options of retry must be an object, not a number.', consume({ retry: 3 })],
  ['The options of retry must be an object, not a number.', typed({ retry: 3 })],
  [
    "retry.backoff has no option 'initial'; did you mean 'initialMs'?",
    consume({ retry: { backoff: { initial: 3 } } }),
  ],
  [
    "retry.delayTopics has no option 'partition'; did you mean 'partitions'?",
    consume({ retry: { delayTopics: { partition: 3 } } }),
  ],
  [
    'The options of retry.delayTopics must be an object, not a string.',
    consume({ retry: { delayTopics: 'yes' } }),
  ],
  [
    "deadLetter has no option 'maxStack'; its options are topic, maxStackBytes.",
    consume({ deadLetter: { topic: 'd', maxStack: 1 } }),
  ],
  ["process has no option 'too'; did you mean 'to'?", work({ too: 'x' })],
  ["process has no option 'startfrom'; did you mean 'startFrom'?", work({ startfrom: 'latest' })],
  [
    "process.retry has no option 'delayTopics'; its options are attempts, backoff, retryIf.",
    work({ retry: { delayTopics: true } }),
  ],
  ["retry.backoff has no option 'max'; did you mean 'maxMs'?", work({ retry: { backoff: { max: 3 } } })],
  [
    "process.producer has no option 'lingerms'; did you mean 'lingerMs'?",
    work({ producer: { lingerms: 1 } }),
  ],
  ['The options of process must be an object, not undefined.', (bus) => bus.process(undefined, handler)],
  [
    "createTopic has no option 'partition'; did you mean 'partitions'?",
    (bus) => bus.admin.createTopic('made', { partition: 3 }),
  ],
  ['The options of createTopic must be an object, not a number.', (bus) => bus.admin.createTopic('made', 3)],
  [
    "createTopics has no option 'config'; did you mean 'configs'?",
    (bus) => bus.admin.createTopics([{ name: 'made', config: {} }]),
  ],
  [
    "createTopics has no option 'validate'; its options are validateOnly, timeoutMs, signal, onRetry.",
    (bus) => bus.admin.createTopics([{ name: 'made' }], { validate: true }),
  ],
])('%s', async (sentence, call) => {
  expect(await sentenceOf(call)).toBe(sentence)
})

test.each<[string, (bus: Any) => unknown]>([
  [
    'tls can be true, false, or an object with certificates and the like.',
    () => connect({ tls: 'yes' } as Any),
  ],
  ['The option clientId of connect must be a string, not a number.', () => connect({ clientId: 5 } as Any)],
  [
    'The option openTelemetry of connect must be true or false, not a string.',
    () => connect({ openTelemetry: 'no' } as Any),
  ],
  ['The option signal of connect must be an AbortSignal, not a number.', () => connect({ signal: 5 } as Any)],
  ['brokers must be an address, host:port, or an array of them.', () => connect({ brokers: 9092 } as Any)],
  ['brokers must be an address, host:port, or an array of them.', () => connect([9092] as Any)],
  [
    'logger must have the methods debug and warn; console has them, and so has pino.',
    () => connect({ logger: 'debug' } as Any),
  ],
  [
    'The option idempotent of producer must be true or false, not a string.',
    (bus) => bus.producer({ idempotent: 'no' }),
  ],
  [
    'The option autoCommit of consumer must be true or false, not a string.',
    (bus) => bus.consumer('t', { group: 'g', autoCommit: 'no' }),
  ],
  [
    'The option onAssigned of consumer must be a function, not a number.',
    (bus) => bus.consumer('t', { group: 'g', onAssigned: 5 }),
  ],
  [
    'The option instanceId of consumer must be a string, not a number.',
    (bus) => bus.consumer('t', { group: 'g', instanceId: 5 }),
  ],
  [
    'The option onInvalid of consumer must be a function, not a boolean.',
    (bus) => bus.topic('t').consumer({ onInvalid: true }),
  ],
  ['partitions must be an array, not a number.', (bus) => bus.consumer('t', { partitions: 5 })],
  [
    "A partition must be a whole number from 0 on, not 'one'.",
    (bus) => bus.consumer('t', { partitions: ['one'] }),
  ],
  [
    'assignors must be an array, not a string.',
    (bus) => bus.consumer('t', { group: 'g', assignors: 'range' }),
  ],
  ['The option retryIf of retry must be a function, not a number.', consume({ retry: { retryIf: 5 } })],
  [
    'The option name of retry.delayTopics must be a function, not a string.',
    consume({ retry: { delayTopics: { name: 'later' } } }),
  ],
  ['The handler must be a function, not an object.', (bus) => bus.consumer('t').consume({})],
  ['The handler must be a function, not undefined.', (bus) => bus.process({ from: 't', group: 'g' })],
  [
    'The options of a message must be an object ({ key, headers, … }), not a string.',
    (bus) => bus.producer().send('made', 'value', 'key'),
  ],
  ["deliveryTimeoutMs must be a number above 0, not '5'.", (bus) => bus.producer({ deliveryTimeoutMs: '5' })],
  ["concurrency must be a whole number above 0, not '2'.", consume({ concurrency: '2' })],
  [
    "A consumer has no event 'asigned'; its events are assigned, revoked, lost, stalled, recovered, retrying, deadLettered, committed.",
    (bus) => bus.consumer('t').on('asigned', () => {}),
  ],
  [
    'What is committed up to must be a message, or have its topic, partition and offset.',
    (bus) => bus.consumer('t', { group: 'g' }).commit(5),
  ],
  [
    'The handler must be a function, not a number.',
    (bus) => bus.producer({ transactionalId: 'shop' }).transaction(5),
  ],
  [
    'Keys and values are written by a Standard Schema (Zod, Valibot, ArkType, …), or by an object with serialize and deserialize.',
    (bus) => bus.topic('t', { value: 'json' }),
  ],
  [
    'headers must be an object of names and values, or a list.',
    (bus) => bus.producer().send('made', 'value', { headers: 'trace' }),
  ],
  ['The messages to send must be an array, not an object.', (bus) => bus.producer().sendBatch('made', {})],
  [
    'A message must be an object ({ value, key, headers, … }), not a string.',
    (bus) => bus.producer().sendBatch('made', ['value']),
  ],
  ['The topics to create must be an array, not undefined.', (bus) => bus.admin.createTopics()],
  ['The topics to delete must be an array, not a string.', (bus) => bus.admin.deleteTopics('made')],
  [
    "The number of partitions must be a whole number from 0 on, not '3'.",
    (bus) => bus.admin.createPartitions('made', '3'),
  ],
])('of the wrong kind: %s', async (sentence, call) => {
  expect(await sentenceOf(call)).toBe(sentence)
})

const noName = (given: string) => `The name of a topic must be a string that is not empty, and is ${given}.`

test.each<[unknown, string]>([
  [undefined, 'undefined'],
  [null, 'null'],
  [5, 'a number'],
  ['', 'empty'],
])('%j is no topic to send to or to read', async (name, given) => {
  const sentence = noName(given)
  expect(await sentenceOf((bus) => bus.producer().send(name, 'x'))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.producer().sendBatch(name, [{ value: 'x' }]))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.topic(name))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.consumer(name))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.consumer(['t', name], { group: 'g' }))).toBe(sentence)
  expect(await sentenceOf(work({ from: name }))).toBe(sentence)
  if (name !== undefined) expect(await sentenceOf(work({ to: name }))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.createTopic(name))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.createTopics([{ name }]))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.createPartitions(name, 3))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.deleteTopic(name))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.deleteTopics([name]))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.describeTopic(name))).toBe(sentence)
  expect(await sentenceOf((bus) => bus.admin.partitionsOf(name))).toBe(sentence)
})

test('a list of no topics is nothing to read', async () => {
  expect(await sentenceOf((bus) => bus.consumer([]))).toBe('The list of topics to read is empty.')
  expect(await sentenceOf(work({ from: [] }))).toBe('The list of topics to read is empty.')
})

test('a topic that has no name leaves nothing behind that a close waits for', async () => {
  const bus = await connect(session.broker.address)
  const producer = bus.producer()
  await failureOf(producer.send(undefined as never, 'x'))
  expect(producer.bufferedMessages).toBe(0)
  await bus.close()
})

test('nothing was made or asked for by what was refused', async () => {
  expect((await session.bus.admin.listTopics()).map(({ name }) => name)).not.toContain('made')
})

test('an option that is known may be undefined', async () => {
  const undefinedOf = (...names: string[]): Any => Object.fromEntries(names.map((name) => [name, undefined]))
  const brokers = session.broker.address
  await using bus: StreamBus = await connect({ ...undefinedOf('sasl', 'tls', 'clientId', 'signal'), brokers })
  await bus.producer(undefinedOf('acks', 'compression') as ProducerOptions).send('there', 'x')
  const reading = bus.consumer('there', { ...undefinedOf('partitions', 'autoCommit'), until: 'end' })
  expect(await collect(reading)).toHaveLength(1)
  await bus
    .consumer('there', { until: 'end' })
    .consume(handler, undefinedOf('retry', 'deadLetter', 'concurrency'))
  await bus.admin.createTopic('more', undefinedOf('partitions', 'configs', 'signal'))
})
