/** Topics that store batches in a codec of their own: whoever reads and writes them notices nothing. */
import { randomBytes } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { expect, test } from 'vitest'
import { collect, failureOf, settled, startBus } from './test-bus.ts'

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const types = ['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** From no byte to some hundred kilobytes, of what can be compressed and what cannot. */
const values = [
  Buffer.alloc(0),
  Buffer.from('a'),
  Buffer.alloc(200_000, 'compressible '),
  randomBytes(50_000),
  Buffer.from('the last'),
]

test.each(types)('what is sent in any codec to a topic of %s comes back as it was', async (type) => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { configs: { 'compression.type': type } })
  const timestamp = Date.now() - 60_000
  for (const compression of codecs) {
    // As many batches on their way as a connection takes.
    const producer = bus.producer({ compression, maxBatchBytes: 1 })
    await Promise.all(
      values.map((value, at) => {
        const headers = { from: compression }
        return producer.send('t', value, { key: `${compression} ${at}`, headers, timestamp: timestamp + at })
      }),
    )
  }
  const messages = await collect(bus.consumer('t', { until: 'end' }))
  const expected = codecs.flatMap((codec) => values.map((value, at) => ({ codec, value, at })))
  expect(messages.map(({ key }) => String(key))).toEqual(expected.map(({ codec, at }) => `${codec} ${at}`))
  for (const [index, { codec, value, at }] of expected.entries()) {
    const message = messages[index]!
    expect(message.offset).toBe(index)
    expect(value.equals(message.value!)).toBe(true)
    expect(Number(message.timestamp)).toBe(timestamp + at)
    expect(message.headers.map(({ key, value }) => [key, String(value)])).toEqual([['from', codec]])
  }
  const [described] = (await bus.admin.describeTopic('t')).partitions
  const contentBytes = codecs.length * values.reduce((sum, { length }) => sum + length, 0)
  if (type === 'uncompressed') expect(described!.sizeBytes).toBeGreaterThan(contentBytes)
  else expect(described!.sizeBytes).toBeLessThan(contentBytes / 2)
})

test('transactions commit and abort in a topic that compresses anew', async () => {
  await using session = await startBus()
  const { bus } = session
  await bus.admin.createTopic('t', { configs: { 'compression.type': 'zstd' } })
  const producer = bus.producer({ transactionalId: 'p', compression: 'gzip' })
  const kept: string[] = []
  for (let round = 0; round < 6; round++) {
    const fails = round % 3 === 2
    await producer
      .transaction(async (tx) => {
        for (let at = 0; at < 3; at++) await tx.send('t', `${round} ${at}`.padEnd(20_000, '.'))
        if (fails) throw new Error('aborted')
      })
      .catch((error: Error) => expect(error.message).toBe('aborted'))
    if (!fails) kept.push(...[0, 1, 2].map((at) => `${round} ${at}`))
  }
  await settled(bus)
  const read = await collect(bus.consumer('t', { until: 'end' }))
  expect(read.map((message) => message.text()!.split('.')[0])).toEqual(kept)
})

test('a batch that is too large as it would be stored is split', async () => {
  await using session = await startBus()
  const { bus } = session
  const configs = { 'compression.type': 'uncompressed', 'max.message.bytes': '1000' }
  await bus.admin.createTopic('t', { configs })
  const producer = bus.producer({ compression: 'gzip' })
  const values = Array.from({ length: 40 }, (_, index) => `${index}`.padEnd(200, '.'))
  await producer.sendBatch(
    't',
    values.map((value) => ({ value })),
  )
  expect(await failureOf(producer.send('t', 'x'.repeat(2_000)))).toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
  const read = await collect(bus.consumer('t', { until: 'end' }))
  expect(read.map((message) => message.text())).toEqual(values)
})

test('kafkajs reads what a broker has compressed', async () => {
  await using session = await startBus()
  const { bus, broker } = session
  await bus.admin.createTopic('t', { configs: { 'compression.type': 'gzip' } })
  for (const compression of codecs) await bus.producer({ compression }).send('t', compression.padEnd(50_000))
  const kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: 'g' })
  await consumer.connect()
  await consumer.subscribe({ topic: 't', fromBeginning: true })
  const read: string[] = []
  await consumer.run({
    eachMessage: async ({ message }) => {
      read.push(message.value!.toString().trimEnd())
    },
  })
  await expect.poll(() => read, { timeout: 20_000 }).toEqual(codecs)
  await consumer.disconnect()
})
