/** Clients that make the broker hold things: claimed, unread, repeated. Each test has a broker of its own. */
import { once } from 'node:events'
import { beforeAll, expect, test } from 'vitest'
import type { RawClient } from '../../packages/broker/src/testing/raw-client.ts'
import {
  batchOf,
  createTopic,
  fetchRequest,
  produceRequest,
} from '../../packages/broker/src/testing/requests.ts'
import {
  type Api,
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  describeLogDirs,
  encodeRequest,
  fetch,
  metadata,
  produce,
} from '../../packages/protocol/src/index.ts'
import { wireBytes } from '../../packages/protocol/src/testing/frame-of.ts'
import { ensureBuilt } from '../cli/built-cli.ts'
import { type AttackedBroker, closed, HealthyClient, startAttacked } from './attacked-broker.ts'

const MEBIBYTE = 1024 * 1024
const CACHE_BYTES = 16 * MEBIBYTE

/**
 * What a broker may take whatever clients do: 90 MiB for an idle process, 16 MiB tail cache, 32 MiB requests
 * in flight and as much for those that wait, 64 MiB of responses, 16 MiB of request memory kept for reuse, and
 * as much again for what the garbage collector has not got round to.
 */
const MAX_RSS_BYTES = 400 * MEBIBYTE

beforeAll(ensureBuilt, 120_000)

function startSmall(): Promise<AttackedBroker> {
  return startAttacked(['--durability', 'os', '--cache-bytes', String(CACHE_BYTES)])
}

/** Runs an attack while somebody else works; returns the most memory that the broker had meanwhile. */
async function peakDuring(broker: AttackedBroker, attack: () => Promise<void>): Promise<number> {
  const healthy = await HealthyClient.start(broker)
  let peakBytes = 0
  const watch = setInterval(async () => {
    peakBytes = Math.max(peakBytes, await broker.rssBytes())
  }, 25)
  try {
    await attack()
  } finally {
    clearInterval(watch)
  }
  await healthy.stop()
  expect(broker.log.filter(({ level }) => level === 'error')).toEqual([])
  return Math.max(peakBytes, await broker.rssBytes())
}

function bytesOf<Input>(api: Api<unknown, unknown, Input, unknown>, version: number, body: Input): Buffer {
  return wireBytes(encodeRequest(api, version, { correlationId: 1, clientId: null }, body))
}

async function fill(client: RawClient, topic: string, megabytes: number): Promise<void> {
  await createTopic(client, topic)
  const records = batchOf(['x'.repeat(1_000_000)])
  for (let sent = 0; sent < megabytes; sent++) {
    await client.request(produce, 9, produceRequest(topic, [{ index: 0, records }]))
  }
}

test('200 connections that claim 100 MiB and send 1 KB cost what they sent', async () => {
  await using broker = await startSmall()
  const peakBytes = await peakDuring(broker, async () => {
    const claim = Buffer.alloc(1024)
    claim.writeInt32BE(100 * MEBIBYTE)
    const sockets = await Promise.all(Array.from({ length: 200 }, () => broker.socket()))
    for (const socket of sockets) socket.write(claim)
    const other = await broker.connect()
    for (let i = 0; i < 20; i++) await other.request(metadata, 9, { topics: [] })
    for (const socket of sockets) socket.destroy()
    other.close()
  })
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
})

test('100 consumers that ask for 50 MB and never read hold one piece each', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  await fill(client, 'large', 60)
  const peakBytes = await peakDuring(broker, async () => {
    const wanted = bytesOf(fetch, 12, {
      ...fetchRequest('large', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }]),
      sessionEpoch: -1,
    })
    const sockets = await Promise.all(Array.from({ length: 100 }, () => broker.socket()))
    for (const socket of sockets) {
      socket.pause()
      socket.write(wanted)
    }
    // Somebody who reads gets an answer of the same size meanwhile.
    const { responses } = await client.request(
      fetch,
      12,
      fetchRequest('large', [{ partition: 0, fetchOffset: 0, maxBytes: 50_000_000 }]),
    )
    expect(responses[0]!.partitions[0]!.records!.byteLength).toBeGreaterThan(40_000_000)
    for (const socket of sockets) socket.destroy()
  })
  client.close()
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
}, 30_000)

test('a client that sends 10,000 produce requests and reads no response stops itself only', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  await createTopic(client, 'flood')
  const peakBytes = await peakDuring(broker, async () => {
    const one = bytesOf(
      produce,
      9,
      produceRequest('flood', [{ index: 0, records: batchOf(['x'.repeat(900)]) }]),
    )
    const socket = await broker.socket()
    socket.pause()
    for (let sent = 0; sent < 10_000; sent += 100) {
      if (!socket.write(Buffer.concat(Array.from({ length: 100 }, () => one)))) {
        await Promise.race([once(socket, 'drain'), new Promise((resolve) => setTimeout(resolve, 200))])
      }
    }
    expect(broker.running.process.exitCode).toBeNull()
    socket.destroy()
  })
  client.close()
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
})

test('a fetch of everything is bounded by the broker, whatever the client allows', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  await fill(client, 'all', 70)
  const peakBytes = await peakDuring(broker, async () => {
    const { responses } = await client.request(
      fetch,
      12,
      fetchRequest('all', [{ partition: 0, fetchOffset: 0, maxBytes: 0x7fff_ffff }], {
        maxBytes: 0x7fff_ffff,
      }),
    )
    const { byteLength } = responses[0]!.partitions[0]!.records!
    expect(byteLength).toBeGreaterThan(50 * MEBIBYTE)
    expect(byteLength).toBeLessThanOrEqual(55 * MEBIBYTE)
  })
  client.close()
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
})

test('a short question that names one thing a hundred thousand times gets a short answer', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  await createTopic(client, 'wide', { partitions: 1000 })
  const times = <T>(value: T): T[] => Array.from({ length: 100_000 }, () => value)
  const peakBytes = await peakDuring(broker, async () => {
    expect((await client.request(metadata, 9, { topics: times({ name: 'wide' }) })).topics).toHaveLength(1)
    const described = await client.request(describeConfigs, 4, {
      resources: times({ resourceType: 2, resourceName: 'wide', configurationKeys: null }),
      includeSynonyms: true,
      includeDocumentation: true,
    })
    expect(described.results).toHaveLength(1)
    const dirs = await client.request(describeLogDirs, 4, {
      topics: times({ topic: 'wide', partitions: [7] }),
    })
    expect(dirs.results[0]!.topics).toMatchObject([{ partitions: [{ partitionIndex: 7 }] }])
    const fetched = await client.request(fetch, 12, {
      ...fetchRequest('wide', times({ partition: 7, fetchOffset: 0 })),
      sessionEpoch: -1,
    })
    expect(fetched.responses).toMatchObject([{ partitions: [{ partitionIndex: 7 }] }])
    const raised = await client.request(createPartitions, 3, {
      topics: times({ name: 'wide', count: 1001, assignments: null }),
      timeoutMs: 1000,
      validateOnly: false,
    })
    expect(raised.results.every(({ errorCode }) => errorCode === 42)).toBe(true)
  })
  client.close()
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
}, 30_000)

test('a request with more elements than any client has a use for is refused', async () => {
  await using broker = await startSmall()
  const peakBytes = await peakDuring(broker, async () => {
    const socket = await broker.socket()
    const partitionData = Array.from({ length: 300_000 }, (_, index) => ({ index, records: null }))
    socket.write(bytesOf(produce, 9, produceRequest('none', partitionData)))
    await closed(socket)
    await broker.logged(/more than \d+ array elements/)
  })
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
})

test('the partitions of a broker are bounded: a few kilobytes cannot ask for millions', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  const peakBytes = await peakDuring(broker, async () => {
    const { topics } = await client.request(createTopics, 7, {
      topics: Array.from({ length: 50 }, (_, index) => ({
        name: `wide-${index}`,
        numPartitions: 99_999,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      })),
    })
    expect(topics.filter(({ errorCode }) => errorCode === 0)).toHaveLength(2)
    expect(topics.at(-1)).toMatchObject({
      errorCode: 44,
      errorMessage: expect.stringContaining('--max-partitions'),
    })
    const once = async (name: string) =>
      (await client.request(metadata, 9, { topics: [{ name }], allowAutoTopicCreation: true })).topics[0]!
    // The last one that fits, and one too many.
    expect(await once('new-1')).toMatchObject({ errorCode: 0 })
    expect(await once('new-2')).toMatchObject({ errorCode: 44 })
    // Room comes back with deleted topics.
    const deleted = await client.request(deleteTopics, 5, { topicNames: ['new-1'], timeoutMs: 1000 })
    expect(deleted.responses[0]).toMatchObject({ errorCode: 0 })
    expect(await once('new-2')).toMatchObject({ errorCode: 0 })
  })
  client.close()
  expect(peakBytes).toBeLessThan(MAX_RSS_BYTES)
}, 30_000)

test('large answers that nobody reads are bounded over all connections', async () => {
  await using broker = await startSmall()
  const client = await broker.connect()
  await createTopic(client, 'wide', { partitions: 50_000 })
  const peakBytes = await peakDuring(broker, async () => {
    const everything = bytesOf(metadata, 9, { topics: null })
    const sockets = await Promise.all(Array.from({ length: 300 }, () => broker.socket()))
    for (const socket of sockets) {
      socket.pause()
      socket.write(everything)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { topics } = await client.request(metadata, 9, { topics: [{ name: 'wide' }] })
    expect(topics[0]!.partitions).toHaveLength(50_000)
    for (const socket of sockets) socket.destroy()
  })
  client.close()
  // 300 answers of 2.5 MB would be 750 MB if they were kept. Beside the 64 MiB that may be, there is what each of
  // them leaves behind while it is built, 50,000 objects, which Node 24 collects later than Node 20 (600 and
  // 350 MB in all).
  expect(peakBytes).toBeLessThan(900 * 1024 ** 2)
}, 30_000)
