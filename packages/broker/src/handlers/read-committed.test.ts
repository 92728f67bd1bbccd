import { ErrorCode, fetch, listOffsets } from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic, fetchRequest } from '../testing/requests.ts'
import { type ClientKind, TransactionalProducer } from '../testing/transactional-producer.ts'

const { NONE } = ErrorCode

let broker: Broker
let client: RawClient

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  await createTopic(client, 'words', { partitions: 3 })
})

afterEach(async () => {
  client.close()
  await broker.close()
})

async function started(id: string, kind: ClientKind): Promise<TransactionalProducer> {
  const producer = new TransactionalProducer(client, id, kind)
  expect(await producer.init()).toBe(NONE)
  return producer
}

describe('reading committed records', () => {
  test('a long poll waits for the last stable offset, and other readers do not', async () => {
    const producer = await started('orders', 'v2')
    await producer.write('words', [0], ['a'])
    const readers = await Promise.all([RawClient.connect(broker), RawClient.connect(broker)])
    let isAnswered = false
    const poll = (isolationLevel: number) => ({
      ...fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { isolationLevel }),
      maxWaitMs: 60_000,
    })
    const waiting = readers[0]!.request(fetch, 12, poll(1)).finally(() => {
      isAnswered = true
    })
    const { responses } = await readers[1]!.request(fetch, 12, poll(0))
    expect(responses[0]!.partitions[0]!.abortedTransactions).toBeNull()
    await producer.write('words', [0], ['b'])
    expect(isAnswered).toBe(false)
    await producer.end(true)
    expect((await waiting).responses[0]!.partitions[0]).toMatchObject({
      lastStableOffset: 3n,
      abortedTransactions: [],
    })
    for (const reader of readers) reader.close()
  })

  test('a session tells when there is more that is committed, and not before', async () => {
    const producer = await started('orders', 'v1')
    await producer.write('words', [0], ['a'])
    const wanted = fetchRequest('words', [{ partition: 0, fetchOffset: 0 }], { isolationLevel: 1 })
    const { sessionId, responses } = await client.request(fetch, 12, { ...wanted, sessionEpoch: 0 })
    expect(responses[0]!.partitions[0]).toMatchObject({ lastStableOffset: 0n, highWatermark: 1n })
    const next = async (sessionEpoch: number) => {
      const request = { ...wanted, topics: [], sessionId, sessionEpoch }
      return (await client.request(fetch, 12, request)).responses
    }
    expect(await next(1)).toEqual([])
    await producer.end(false)
    expect((await next(2))[0]!.partitions[0]).toMatchObject({
      lastStableOffset: 2n,
      abortedTransactions: [{ firstOffset: 0n }],
    })
  })

  test('ListOffsets ends at the last stable offset', async () => {
    const producer = await started('orders', 'v2')
    await producer.write('words', [0], ['a'])
    await producer.end(true)
    await producer.write('words', [0], ['b'])
    const latest = async (isolationLevel: number, timestamp: bigint) => {
      const { topics } = await client.request(listOffsets, 7, {
        replicaId: -1,
        isolationLevel,
        topics: [{ name: 'words', partitions: [{ partitionIndex: 0, timestamp }] }],
      })
      return Number(topics[0]!.partitions[0]!.offset)
    }
    expect(await latest(0, -1n)).toBe(3)
    expect(await latest(1, -1n)).toBe(2)
    expect(await latest(1, 1n)).toBe(0)
  })
})
