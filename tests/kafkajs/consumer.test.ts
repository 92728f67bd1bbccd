import type { EachMessagePayload } from 'streambus/kafkajs'
import { describe, expect, test } from 'vitest'
import { clients, failureOf, fill, quick, type Setup, start, until } from './clients.ts'

const text = ({ message }: EachMessagePayload) => String(message.value)

async function consumerOf(setup: Setup, groupId = 'group', config = {}) {
  const consumer = setup.kafka.consumer({ groupId, ...quick, ...config })
  setup.clean(consumer)
  await consumer.connect()
  return consumer
}

async function committed({ kafka }: Setup, topic: string, groupId = 'group'): Promise<string[]> {
  const admin = kafka.admin()
  await admin.connect()
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
  await admin.disconnect()
  return offsets!.partitions.map(({ offset }) => offset)
}

describe.each(clients)('%s', (_, client) => {
  test('a handler that throws gets the same message again, and none is left out', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 5)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const seen: string[] = []
    await consumer.run({
      eachMessage: async (payload) => {
        seen.push(text(payload))
        if (text(payload) === '2' && seen.length === 3) throw new Error('not yet')
      },
    })
    await until(() => seen.length === 6)
    expect(seen).toEqual(['0', '1', '2', '2', '3', '4'])
    await until(async () => (await committed(setup, 'topic'))[0] === '5')
  })

  test('past the retries the consumer crashes, says so, starts again and gets the message again', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 3)
    const consumer = await consumerOf(setup)
    const events: string[] = []
    for (const event of ['STOP', 'DISCONNECT', 'CONNECT', 'CRASH'] as const) {
      consumer.on(consumer.events[event], () => events.push(event))
    }
    const crashes: { error: Error; restart: boolean }[] = []
    consumer.on(consumer.events.CRASH, ({ payload }) => crashes.push(payload))
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const seen: string[] = []
    await consumer.run({
      eachMessage: async (payload) => {
        seen.push(text(payload))
        if (text(payload) === '1' && seen.length < 5) throw new Error('broken')
      },
    })
    await until(() => seen.length === 6)
    expect(seen).toEqual(['0', '1', '1', '1', '1', '2'])
    expect(crashes).toMatchObject([
      { restart: true, error: { name: 'KafkaJSNumberOfRetriesExceeded', retryCount: 2, message: 'broken' } },
    ])
    expect(events).toEqual(['CONNECT', 'STOP', 'DISCONNECT', 'CRASH', 'CONNECT'])
  })

  test('restartOnFailure decides whether a consumer that crashed starts again', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 1)
    const asked: string[] = []
    const consumer = await consumerOf(setup, 'group', {
      retry: {
        initialRetryTime: 50,
        retries: 0,
        restartOnFailure: async (error: Error) => {
          asked.push(error.name)
          return false
        },
      },
    })
    const crashes: boolean[] = []
    consumer.on(consumer.events.CRASH, ({ payload }) => crashes.push(payload.restart))
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    await consumer.run({ eachMessage: () => Promise.reject(new Error('broken')) })
    await until(() => crashes.length === 1)
    expect(asked).toEqual(['KafkaJSNumberOfRetriesExceeded'])
    expect(crashes).toEqual([false])
  })

  test('a mistake of the program is not retried, and the consumer stays down', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 1)
    const consumer = await consumerOf(setup)
    const crashes: { error: Error; restart: boolean }[] = []
    consumer.on(consumer.events.CRASH, ({ payload }) => crashes.push(payload))
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    let calls = 0
    await consumer.run({
      eachMessage: async () => {
        calls++
        throw new TypeError('undefined is not a function')
      },
    })
    await until(() => crashes.length === 1)
    expect(crashes).toMatchObject([{ restart: false, error: { name: 'KafkaJSNonRetriableError' } }])
    expect(calls).toBe(1)
  })

  test('of a batch that fails, what was not resolved comes again', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 5)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const batches: string[][] = []
    await consumer.run({
      eachBatch: async ({ batch, resolveOffset }) => {
        batches.push(batch.messages.map(({ value }) => String(value)))
        if (batches.length > 1) return
        resolveOffset(batch.messages[1]!.offset)
        throw new Error('not yet')
      },
    })
    await until(() => batches.length === 2)
    expect(batches).toEqual([
      ['0', '1', '2', '3', '4'],
      ['2', '3', '4'],
    ])
  })

  test('with eachBatchAutoResolve off, a batch comes again until its offsets are resolved', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 4)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const batches: string[][] = []
    await consumer.run({
      eachBatchAutoResolve: false,
      eachBatch: async ({ batch, resolveOffset }) => {
        batches.push(batch.messages.map(({ value }) => String(value)))
        if (batches.length === 1) return
        resolveOffset(batch.messages[batches.length === 2 ? 2 : 0]!.offset)
      },
    })
    await until(async () => (await committed(setup, 'topic'))[0] === '4')
    expect(batches).toEqual([['0', '1', '2', '3'], ['0', '1', '2', '3'], ['3']])
  })

  test('eachBatch tells of the batch, and its helpers commit what is resolved', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 4)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const told: unknown[] = []
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (payload) => {
        const { batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, uncommittedOffsets } = payload
        if (told.length > 0) return
        told.push([batch.topic, batch.partition, batch.highWatermark, batch.isEmpty()])
        told.push([batch.firstOffset(), batch.lastOffset(), batch.offsetLag(), batch.offsetLagLow()])
        told.push([payload.isRunning(), payload.isStale()])
        resolveOffset(batch.messages[1]!.offset)
        await heartbeat()
        const { topics } = uncommittedOffsets()
        told.push(topics.map(({ topic, partitions }) => [topic, partitions.map(({ offset }) => offset)]))
        await commitOffsetsIfNecessary({
          topics: [{ topic: 'topic', partitions: [{ partition: 0, offset: '2' }] }],
        })
        told.push(uncommittedOffsets().topics)
      },
    })
    await until(async () => (await committed(setup, 'topic'))[0] === '2')
    await until(() => told.length === 5)
    expect(told).toEqual([
      ['topic', 0, '4', false],
      ['0', '3', '0', '3'],
      [true, false],
      [['topic', ['2']]],
      [],
    ])
  })

  test('a partition paused by its handler goes on where it was when it is resumed', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 6)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const seen: string[] = []
    let resume = () => {}
    await consumer.run({
      eachMessage: async (payload) => {
        seen.push(text(payload))
        if (text(payload) === '2') resume = payload.pause()
      },
    })
    await until(() => seen.length === 3)
    expect(consumer.paused()).toEqual([{ topic: 'topic', partitions: [0] }])
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(seen).toEqual(['0', '1', '2'])
    resume()
    await until(() => seen.length === 6)
    expect(seen).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(consumer.paused()).toEqual([])
  })

  test('topics are paused and resumed, also before they are assigned', async () => {
    await using setup = await start(client)
    await fill(setup, 'one', 1)
    await fill(setup, 'other', 1)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['one', 'other'], fromBeginning: true })
    const seen: string[] = []
    const running = consumer.run({ eachMessage: async ({ topic }) => void seen.push(topic) })
    await until(() => isRunning(consumer.pause, [{ topic: 'other' }]))
    await running
    await until(() => seen.length === 1)
    expect(seen).toEqual(['one'])
    expect(consumer.paused()).toEqual([{ topic: 'other', partitions: [0] }])
    consumer.resume([{ topic: 'other' }])
    await until(() => seen.length === 2)
  })

  test('seek goes to an offset, the beginning or the end, from outside and from a handler', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 6)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const seen: string[] = []
    await consumer.run({
      eachMessage: async (payload) => {
        seen.push(text(payload))
        if (text(payload) === '1' && seen.length === 2) {
          consumer.seek({ topic: 'topic', partition: 0, offset: '4' })
        }
      },
    })
    await until(() => seen.length === 4)
    expect(seen).toEqual(['0', '1', '4', '5'])
    consumer.seek({ topic: 'topic', partition: 0, offset: '-2' })
    await until(() => seen.length === 10)
    expect(seen.slice(4)).toEqual(['0', '1', '2', '3', '4', '5'])
    const wrong = await failureOf(() => consumer.seek({ topic: 'topic', partition: 0, offset: '-7' }))
    expect(wrong).toMatchObject({ name: 'KafkaJSNonRetriableError' })
  })

  test('without autoCommit only what the program commits is committed, with its note', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 5)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const seen: string[] = []
    await consumer.run({ autoCommit: false, eachMessage: async (payload) => void seen.push(text(payload)) })
    await until(() => seen.length === 5)
    await consumer.commitOffsets([{ topic: 'topic', partition: 0, offset: '3', metadata: 'note' }])
    await consumer.disconnect()
    const admin = setup.kafka.admin()
    setup.clean(admin)
    await admin.connect()
    expect(await admin.fetchOffsets({ groupId: 'group', topics: ['topic'] })).toEqual([
      { topic: 'topic', partitions: [{ partition: 0, offset: '3', metadata: 'note' }] },
    ])
    await consumer.connect()
    await consumer.run({ eachMessage: async (payload) => void seen.push(text(payload)) })
    await until(() => seen.length === 7)
    expect(seen.slice(5)).toEqual(['3', '4'])
  })

  test('a threshold commits in the middle of a batch', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 5)
    const consumer = await consumerOf(setup)
    const commits: string[] = []
    consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) => {
      for (const { partitions } of payload.topics) commits.push(...partitions.map(({ offset }) => offset))
    })
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    await consumer.run({ autoCommitThreshold: 2, eachMessage: async () => {} })
    await until(() => commits.includes('5'))
    expect(commits).toEqual(['2', '4', '5'])
  })

  test('partitions are consumed at the same time, as many as are asked for', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0, 3)
    const producer = setup.kafka.producer()
    setup.clean(producer)
    await producer.connect()
    const messages = [0, 1, 2].map((partition) => ({ value: String(partition), partition }))
    await producer.send({ topic: 'topic', messages })
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
    const waiting: (() => void)[] = []
    await consumer.run({
      partitionsConsumedConcurrently: 2,
      eachMessage: () => new Promise((resolve) => waiting.push(resolve)),
    })
    await until(() => waiting.length === 2)
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(waiting).toHaveLength(2)
    waiting[0]!()
    await until(() => waiting.length === 3)
    for (const resolve of waiting) resolve()
  })

  test('topics are found by a regular expression, and each is read from where its subscription says', async () => {
    await using setup = await start(client)
    await fill(setup, 'audit.a', 1)
    await fill(setup, 'audit.b', 1)
    await fill(setup, 'other', 1)
    const consumer = await consumerOf(setup)
    await consumer.subscribe({ topics: [/^audit\./], fromBeginning: true })
    await consumer.subscribe({ topic: 'other' })
    const seen: string[] = []
    await consumer.run({
      eachMessage: async ({ topic, message }) => void seen.push(`${topic} ${message.offset}`),
    })
    const producer = setup.kafka.producer()
    setup.clean(producer)
    await producer.connect()
    await until(() => seen.length === 2)
    // Where the end is, is found out after the group is joined.
    await new Promise((resolve) => setTimeout(resolve, 200))
    await producer.send({ topic: 'other', messages: [{ value: 'new' }] })
    await until(() => seen.length === 3)
    expect(seen.sort()).toEqual(['audit.a 0', 'audit.b 0', 'other 1'])
  })

  test('what a consumer must not do at the moment is refused', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const consumer = await consumerOf(setup)
    const place = { topic: 'topic', partition: 0, offset: '0' }
    for (const attempt of [
      () => consumer.seek(place),
      () => consumer.pause([{ topic: 'topic' }]),
      () => consumer.commitOffsets([place]),
    ]) {
      expect(await failureOf(attempt)).toMatchObject({
        name: 'KafkaJSNonRetriableError',
        message: 'Consumer group was not initialized, consumer#run must be called first',
      })
    }
    await consumer.subscribe({ topics: ['topic'] })
    await consumer.run({ eachMessage: async () => {} })
    expect(await failureOf(() => consumer.subscribe({ topics: ['topic'] }))).toMatchObject({
      message: 'Cannot subscribe to topic while consumer is running',
    })
    expect(await failureOf(() => setup.kafka.consumer({ groupId: '' }))).toMatchObject({
      message: 'Consumer groupId must be a non-empty string.',
    })
    const slow = { groupId: 'g', heartbeatInterval: 9_000, sessionTimeout: 8_000 }
    expect((await failureOf(() => setup.kafka.consumer(slow))).message).toContain('must be lower than')
  })

  test('messages of aborted transactions are seen by those alone who read uncommitted', async () => {
    await using setup = await start(client)
    await fill(setup, 'topic', 0)
    const producer = setup.kafka.producer({ transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true })
    setup.clean(producer)
    await producer.connect()
    for (const [value, end] of [
      ['aborted', 'abort'],
      ['committed', 'commit'],
    ] as const) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: 'topic', messages: [{ value }] })
      await transaction[end]()
    }
    for (const [groupId, readUncommitted, expected] of [
      ['careful', false, ['committed']],
      ['careless', true, ['aborted', 'committed']],
    ] as const) {
      const consumer = await consumerOf(setup, groupId, { readUncommitted })
      await consumer.subscribe({ topics: ['topic'], fromBeginning: true })
      const seen: string[] = []
      await consumer.run({ eachMessage: async (payload) => void seen.push(text(payload)) })
      await until(() => seen.includes('committed'))
      expect(seen).toEqual(expected)
      await until(async () => Number((await committed(setup, 'topic', groupId))[0]) >= 3)
    }
  })
})

/** Whether it could be called. */
function isRunning<T>(call: (argument: T) => void, argument: T): boolean {
  try {
    call(argument)
    return true
  } catch {
    return false
  }
}
