import { connect } from '@streambus/client'
import { describe, expect, test } from 'vitest'
import { collect } from '../client/test-bus.ts'
import { clients, failureOf, fill, type Setup, start } from './clients.ts'

async function producerOf(setup: Setup, config = {}) {
  const producer = setup.kafka.producer(config)
  setup.clean(producer)
  await producer.connect()
  return producer
}

async function messagesOf({ broker }: Setup, topic: string) {
  await using bus = await connect(broker.address)
  return await collect(bus.consumer(topic, { until: 'end' }))
}

describe.each(clients)('%s', (_, client) => {
  test('messages are sent with keys, headers and timestamps, and the answer says where they are', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 1, 2)
    const producer = await producerOf(setup)
    const sent = await producer.send({
      topic: 'topic',
      messages: [
        { key: 'a', value: 'one', partition: 0, timestamp: '1700000000000' },
        {
          key: Buffer.from('b'),
          value: Buffer.from('two'),
          partition: 0,
          headers: { h: 'x', many: ['1', '2'] },
        },
        { value: null, partition: 1 },
      ],
    })
    expect(sent.sort((a, b) => a.partition - b.partition)).toMatchObject([
      { topicName: 'topic', partition: 0, errorCode: 0, baseOffset: '1', logAppendTime: '-1' },
      { topicName: 'topic', partition: 1, errorCode: 0, baseOffset: '0', logAppendTime: '-1' },
    ])
    const messages = await messagesOf(setup, 'topic')
    const first = messages.find(({ partition, offset }) => partition === 0 && offset === 1)!
    expect([String(first.key), first.text(), first.timestamp]).toEqual(['a', 'one', 1700000000000])
    const second = messages.find(({ partition, offset }) => partition === 0 && offset === 2)!
    expect(second.headers.map(({ key, value }) => [key, String(value)])).toEqual([
      ['h', 'x'],
      ['many', '1'],
      ['many', '2'],
    ])
    expect(messages.find(({ partition }) => partition === 1)!.value).toBeNull()
  })

  test('sendBatch sends to several topics, and puts together what is named twice', async () => {
    await using setup = await start(client)
    await fill(setup, 'one', 0)
    await fill(setup, 'other', 0)
    const producer = await producerOf(setup)
    const sent = await producer.sendBatch({
      topicMessages: [
        { topic: 'one', messages: [{ value: 'a' }] },
        { topic: 'other', messages: [{ value: 'b' }] },
        { topic: 'one', messages: [{ value: 'c' }] },
      ],
    })
    expect(sent.map(({ topicName, baseOffset }) => [topicName, baseOffset]).sort()).toEqual([
      ['one', '0'],
      ['other', '0'],
    ])
    expect((await messagesOf(setup, 'one')).map((message) => message.text())).toEqual(['a', 'c'])
  })

  test('nobody answers for messages that need no acknowledgement', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const producer = await producerOf(setup)
    expect(await producer.send({ topic: 'topic', acks: 0, messages: [{ value: 'x' }] })).toEqual([])
  })

  test('a partitioner of the program decides, with the partitions and the message before it', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0, 3)
    const producer = await producerOf(setup, {
      createPartitioner: () => {
        return ({ topic, partitionMetadata, message }: Parameters<ReturnType<PartitionerOf>>[0]) => {
          expect([topic, partitionMetadata.length]).toEqual(['topic', 3])
          expect(partitionMetadata.every(({ leader, isr }) => leader >= 0 && isr.length === 1)).toBe(true)
          return Number(message.headers!.partition)
        }
      },
    })
    const messages = ['2', '0', '2'].map((partition) => ({ value: 'x', headers: { partition } }))
    const sent = await producer.send({ topic: 'topic', messages })
    expect(sent.map(({ partition }) => partition).sort()).toEqual([0, 2])
    expect((await messagesOf(setup, 'topic')).map(({ partition }) => partition).sort()).toEqual([0, 2, 2])
  })

  test('messages without a key go round the partitions', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0, 3)
    const producer = await producerOf(setup)
    const sent = await producer.send({
      topic: 'topic',
      messages: [{ value: 'a' }, { value: 'b' }, { value: 'c' }],
    })
    expect(sent.map(({ partition }) => partition).sort()).toEqual([0, 1, 2])
  })

  test('a topic that is not there is created, unless the program does not want that', async () => {
    await using setup = await start(client)
    const producer = await producerOf(setup)
    expect(await producer.send({ topic: 'new', messages: [{ value: 'x' }] })).toHaveLength(1)
    const careful = await producerOf(setup, { allowAutoTopicCreation: false })
    const failure = await failureOf(() => careful.send({ topic: 'missing', messages: [{ value: 'x' }] }))
    expect([failure.type, (failure.cause as { type?: string } | undefined)?.type]).toContain(
      'UNKNOWN_TOPIC_OR_PARTITION',
    )
  })

  test('what cannot be sent is refused in the words of kafkajs', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const producer = await producerOf(setup)
    const refusal = async (record: object) => {
      const { name, message } = await failureOf(() => producer.send(record as never))
      return [name, message]
    }
    const name = 'KafkaJSNonRetriableError'
    expect(await refusal({ topic: '', messages: [] })).toEqual([name, 'Invalid topic'])
    expect(await refusal({ topic: 'topic' })).toEqual([
      name,
      'Invalid messages array [undefined] for topic "topic"',
    ])
    expect(await refusal({ topic: 'topic', messages: [{ key: 'k' }] })).toEqual([
      name,
      'Invalid message without value for topic "topic": {"key":"k"}',
    ])
    const idempotent = await producerOf(setup, { idempotent: true })
    expect(idempotent.isIdempotent()).toBe(true)
    const failure = await failureOf(() =>
      idempotent.send({ topic: 'topic', acks: 1, messages: [{ value: 'x' }] }),
    )
    expect([failure.name, failure.message]).toEqual([
      name,
      "Not requiring ack for all messages invalidates the idempotent producer's EoS guarantees",
    ])
    const tooLarge = await failureOf(() =>
      producer.send({ topic: 'topic', messages: [{ value: Buffer.alloc(3_000_000) }] }),
    )
    expect(tooLarge).toMatchObject({ name: 'KafkaJSProtocolError', type: 'MESSAGE_TOO_LARGE', code: 10 })
  })

  test('a producer sends between connect and disconnect, as often as these are called', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const producer = setup.kafka.producer()
    const send = () => producer.send({ topic: 'topic', messages: [{ value: 'x' }] })
    const events: string[] = []
    const remove = producer.on(producer.events.CONNECT, ({ type }) => events.push(type))
    producer.on(producer.events.DISCONNECT, ({ type }) => events.push(type))
    expect(await failureOf(send)).toMatchObject({
      name: 'KafkaJSError',
      message: 'The producer is disconnected',
    })
    await producer.connect()
    await send()
    await producer.disconnect()
    expect(await failureOf(send)).toMatchObject({ message: 'The producer is disconnected' })
    remove()
    await producer.connect()
    expect(await send()).toMatchObject([{ baseOffset: '1' }])
    await producer.disconnect()
    expect(events).toEqual(['producer.connect', 'producer.disconnect', 'producer.disconnect'])
    expect(await failureOf(() => producer.on('nothing' as never, () => {}))).toMatchObject({
      name: 'KafkaJSNonRetriableError',
    })
  })

  test('a transaction counts when it is committed, with the offsets sent in it', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const config = { transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true }
    const producer = await producerOf(setup, config)
    const aborted = await producer.transaction()
    await aborted.send({ topic: 'topic', messages: [{ value: 'aborted' }] })
    await aborted.sendOffsets({
      consumerGroupId: 'g',
      topics: [{ topic: 'topic', partitions: [{ partition: 0, offset: '7' }] }],
    })
    expect(aborted.isActive()).toBe(true)
    expect(await failureOf(() => producer.transaction())).toMatchObject({
      message: expect.stringContaining('There is already an ongoing transaction'),
    })
    await aborted.abort()
    expect(aborted.isActive()).toBe(false)
    const ended = {
      name: 'KafkaJSNonRetriableError',
      message: 'Cannot continue to use transaction once ended',
    }
    expect(await failureOf(() => aborted.commit())).toMatchObject(ended)
    expect(await failureOf(() => aborted.abort())).toMatchObject(ended)
    expect(await failureOf(() => aborted.send({ topic: 'topic', messages: [] }))).toMatchObject(ended)

    const committed = await producer.transaction()
    await committed.sendBatch({ topicMessages: [{ topic: 'topic', messages: [{ value: 'committed' }] }] })
    await committed.sendOffsets({
      consumerGroupId: 'g',
      topics: [{ topic: 'topic', partitions: [{ partition: 0, offset: '5' }] }],
    })
    await committed.commit()
    expect(committed.isActive()).toBe(false)
    expect((await messagesOf(setup, 'topic')).map((message) => message.text())).toEqual(['committed'])
    const admin = setup.kafka.admin()
    setup.clean(admin)
    await admin.connect()
    expect(await admin.fetchOffsets({ groupId: 'g', topics: ['topic'] })).toMatchObject([
      { partitions: [{ partition: 0, offset: '5' }] },
    ])
    const plain = await producerOf(setup)
    expect(await failureOf(() => plain.transaction())).toMatchObject({
      message: 'Must provide transactional id for transactional producer',
    })
  })

  test('a producer that another took the transactional id from is fenced', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const config = { transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true }
    const first = await producerOf(setup, config)
    const transaction = await first.transaction()
    await transaction.send({ topic: 'topic', messages: [{ value: 'first' }] })
    const second = await producerOf(setup, config)
    const later = await second.transaction()
    const failure = await failureOf(async () => {
      await transaction.send({ topic: 'topic', messages: [{ value: 'fenced' }] })
      await transaction.commit()
    })
    expect(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED']).toContain(failure.type)
    await later.send({ topic: 'topic', messages: [{ value: 'second' }] })
    await later.commit()
    expect((await messagesOf(setup, 'topic')).map((message) => message.text())).toEqual(['second'])
  })
})

type PartitionerOf = import('streambus/kafkajs').ICustomPartitioner

const [, [, shim]] = clients as [unknown, [string, (typeof clients)[0][1]]]

test('every codec is built in, also in transactions, and what programs assign to them does no harm', async () => {
  const { CompressionCodecs, CompressionTypes } = shim
  CompressionCodecs[CompressionTypes.Snappy] = () => ({ compress: () => {}, decompress: () => {} })
  await using setup = await start(shim)
  await fill(setup, 'topic', 0)
  const producer = await producerOf(setup)
  const transactional = await producerOf(setup, { transactionalId: 'tx' })
  for (const compression of Object.values(CompressionTypes)) {
    await producer.send({ topic: 'topic', compression, messages: [{ value: `plain ${compression}` }] })
    const transaction = await transactional.transaction()
    await transaction.send({ topic: 'topic', compression, messages: [{ value: `tx ${compression}` }] })
    await transaction.commit()
  }
  const expected = [0, 1, 2, 3, 4].flatMap((type) => [`plain ${type}`, `tx ${type}`])
  expect((await messagesOf(setup, 'topic')).map((message) => message.text())).toEqual(expected)
})

test('after a commit that failed the transaction may still be aborted, and the next one begun', async () => {
  await using setup = await start(shim)
  await fill(setup, 'topic', 0)
  const producer = await producerOf(setup, { transactionalId: 'tx' })
  const failing = await producer.transaction()
  await failureOf(() => failing.send({ topic: 'topic', messages: [{ value: Buffer.alloc(3_000_000) }] }))
  await failureOf(() => failing.commit())
  await failing.abort()
  const next = await producer.transaction()
  await next.send({ topic: 'topic', messages: [{ value: 'next' }] })
  await next.commit()
  expect((await messagesOf(setup, 'topic')).map((message) => message.text())).toEqual(['next'])
})

test('a producer that is disconnected in the middle of a transaction aborts it', async () => {
  await using setup = await start(shim)
  await fill(setup, 'topic', 0)
  const producer = setup.kafka.producer({ transactionalId: 'tx' })
  await producer.connect()
  const transaction = await producer.transaction()
  await transaction.send({ topic: 'topic', messages: [{ value: 'lost' }] })
  await producer.disconnect()
  expect(transaction.isActive()).toBe(false)
  expect(await messagesOf(setup, 'topic')).toEqual([])
})
