import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetch, metadata } from '@streambus/protocol'
import { MemoryLogStore } from '@streambus/storage'
import { expect, test } from 'vitest'
import { Broker } from './broker.ts'
import { StallingStore } from './testing/controlled-store.ts'
import { RawClient } from './testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchPartition,
  fetchRequest,
  produceBatch,
  valuesOf,
} from './testing/requests.ts'
import { until } from './testing/until.ts'

test('a broker without a folder keeps records in memory and tells its address', async () => {
  await using broker = await Broker.start({ port: 0 })
  expect(broker.address).toBe(`127.0.0.1:${broker.port}`)
  expect(broker.clusterId).toMatch(/^[\w-]{22}$/)
  expect(broker.store.durability).toBe('memory')
})

test('records outlive the broker in its data folder', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'streambus-broker-'))
  try {
    let clusterId: string
    {
      await using broker = await Broker.start({ port: 0, dataDir })
      clusterId = broker.clusterId
      const client = await RawClient.connect(broker)
      await createTopic(client, 'words')
      await produceBatch(client, 'words', batchOf(['kept', 'too']))
      client.close()
    }
    await using broker = await Broker.start({ port: 0, dataDir })
    expect(broker.clusterId).toBe(clusterId)
    const client = await RawClient.connect(broker)
    expect(await produceBatch(client, 'words', batchOf(['next']))).toMatchObject({ baseOffset: 2n })
    const { records } = await fetchPartition(client, 'words', 0)
    expect(valuesOf(records).map(({ value }) => value)).toEqual(['kept', 'too', 'next'])
    client.close()
  } finally {
    await rm(dataDir, { recursive: true })
  }
})

test('twenty brokers in one process share nothing', async () => {
  const brokers = await Promise.all(Array.from({ length: 20 }, () => Broker.start({ port: 0 })))
  expect(new Set(brokers.map(({ port }) => port)).size).toBe(20)
  expect(new Set(brokers.map(({ clusterId }) => clusterId)).size).toBe(20)
  await Promise.all(
    brokers.map(async (broker, i) => {
      const client = await RawClient.connect(broker)
      await createTopic(client, `topic-${i}`)
      await produceBatch(client, `topic-${i}`, batchOf([`${i}`]))
      const { topics } = await client.request(metadata, 9, { topics: null })
      expect(topics.map(({ name }) => name)).toEqual([`topic-${i}`])
      client.close()
    }),
  )
  await Promise.all(brokers.map((broker) => broker.close()))
})

test('a port in use is told in a sentence, and the data folder is not touched', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const parent = await mkdtemp(join(tmpdir(), 'streambus-broker-'))
  try {
    const start = Broker.start({ port, dataDir: join(parent, 'data') })
    await expect(start).rejects.toMatchObject({
      name: 'BrokerError',
      code: 'PORT_IN_USE',
      message: `Port ${port} on 127.0.0.1 is in use: choose another with --port or stop the process that listens there.`,
    })
    expect(await readdir(parent)).toEqual([])
  } finally {
    server.close()
    await rm(parent, { recursive: true })
  }
})

test.each([
  [{ host: '192.0.2.1' }, 'ADDRESS_NOT_AVAILABLE'],
  [{ port: 70_000 }, 'INVALID_OPTION'],
  [{ maxFrameBytes: -1 }, 'INVALID_OPTION'],
  [{ advertise: { host: '', port: 1 } }, 'INVALID_OPTION'],
])('options %j: %s', async (options, code) => {
  await expect(Broker.start({ port: 0, ...options })).rejects.toMatchObject({ code })
})

test.each([
  [{ prt: 9092 }, 'There is no option prt; the nearest one is port.'],
  [{ datadir: '/tmp/x' }, 'There is no option datadir; the nearest one is dataDir.'],
  [
    { groups: { maxMember: 3 } },
    'There is no option groups.maxMember; the nearest one is groups.maxMembers.',
  ],
  [
    { transactions: { maxTimeout: 3 } },
    'There is no option transactions.maxTimeout; the nearest one is transactions.maxTimeoutMs.',
  ],
  [
    { advertise: { host: 'a', prt: 1 } },
    'There is no option advertise.prt; the nearest one is advertise.port.',
  ],
  [{ groups: 5 }, 'Option groups must be an object, not 5.'],
  [9092, 'The options of a broker must be an object, not 9092.'],
  [null, 'The options of a broker must be an object, not null.'],
])('options %j: there are no such options', async (options, message) => {
  await expect(Broker.start(options as never)).rejects.toMatchObject({ code: 'INVALID_OPTION', message })
})

test('a folder that another broker has open is refused, and its port is free again', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'streambus-broker-'))
  try {
    await using broker = await Broker.start({ port: 0, dataDir })
    await expect(Broker.start({ port: 0, dataDir })).rejects.toMatchObject({ code: 'DATA_LOCKED' })
    expect(broker.connectionCount).toBe(0)
  } finally {
    await rm(dataDir, { recursive: true })
  }
})

test('close answers what is in flight: appends when they are durable, long polls at once', async () => {
  const stalling = new StallingStore(await MemoryLogStore.open())
  const broker = await Broker.start({ port: 0, store: stalling.store })
  const producer = await RawClient.connect(broker)
  const consumer = await RawClient.connect(broker)
  await createTopic(producer, 'words')
  const answers = Array.from({ length: 3 }, () => produceBatch(producer, 'words', batchOf(['x'])))
  const poll = consumer.request(
    fetch,
    12,
    fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { maxWaitMs: 60_000 }),
  )
  await until(() => stalling.waiting === 3 && broker.connectionCount === 2)
  // The poll has been received when a request sent after it on another connection has been answered.
  await (await RawClient.connect(broker)).request(metadata, 9, { topics: [] })
  const closing = broker.close()
  expect(broker.close()).toBe(closing)
  expect((await poll).responses[0]!.partitions[0]!.errorCode).toBe(0)
  stalling.letGo()
  expect((await Promise.all(answers)).map(({ baseOffset }) => baseOffset)).toEqual([0n, 1n, 2n])
  await closing
  await Promise.all([producer.closed, consumer.closed])
  await expect(RawClient.connect(broker)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('close cuts off what is not done in time', async () => {
  const stalling = new StallingStore(await MemoryLogStore.open())
  const broker = await Broker.start({ port: 0, store: stalling.store, shutdownTimeoutMs: 20 })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const answer = produceBatch(client, 'words', batchOf(['x']))
  answer.catch(() => undefined)
  await until(() => stalling.waiting === 1)
  await broker.close()
  await expect(answer).rejects.toThrow('closed')
  stalling.letGo()
})

test('an interceptor sees requests before their handlers, and may answer them or change their bodies', async () => {
  const seen: string[] = []
  await using broker = await Broker.start({
    port: 0,
    interceptor: ({ api, version, clientId, body }, handle) => {
      seen.push(`${api.name} ${version} of ${clientId}`)
      if (api.name !== 'Metadata') return handle(body)
      if (seen.length === 1) return { brokers: [], topics: [], clusterId: 'not a broker' }
      return handle({ ...(body as object), topics: [] })
    },
  })
  const client = await RawClient.connect(broker)
  expect((await client.request(metadata, 9, { topics: null })).clusterId).toBe('not a broker')
  await createTopic(client, 't')
  const { topics, clusterId } = await client.request(metadata, 9, { topics: null })
  expect({ topics, clusterId }).toEqual({ topics: [], clusterId: broker.clusterId })
  expect(seen).toEqual([
    'Metadata 9 of raw-client',
    'CreateTopics 7 of raw-client',
    'Metadata 9 of raw-client',
  ])
  client.close()
})

test('a store that is kept open is there for the next broker', async () => {
  const store = await MemoryLogStore.open()
  {
    await using broker = await Broker.start({ port: 0, store, keepStoreOpen: true })
    const client = await RawClient.connect(broker)
    await createTopic(client, 'words')
    await produceBatch(client, 'words', batchOf(['kept']))
    client.close()
  }
  {
    await using broker = await Broker.start({ port: 0, store })
    const client = await RawClient.connect(broker)
    expect(valuesOf((await fetchPartition(client, 'words', 0)).records)).toEqual([
      { offset: 0, value: 'kept' },
    ])
    client.close()
  }
  await expect(store.allocateProducerIds(1)).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(Broker.start({ port: 0, keepStoreOpen: true })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  })
})
