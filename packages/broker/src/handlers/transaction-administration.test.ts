import {
  describeProducers,
  describeTransactions,
  ErrorCode,
  listTransactions,
  writeTxnMarkers,
} from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { partitionOf } from '../coordinator/internal-topics.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'
import { type ClientKind, TransactionalProducer } from '../testing/transactional-producer.ts'
import { readPartition } from '../testing/transactional-reader.ts'

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

async function stateOf(transactionalId: string) {
  const { transactionStates } = await client.request(describeTransactions, 0, {
    transactionalIds: [transactionalId],
  })
  return transactionStates[0]!
}

describe('administration', () => {
  test('ListTransactions filters by state, producer, age and expression', async () => {
    const open = await started('orders', 'v2')
    await open.write('words', [0], ['a'])
    const idle = await started('payments', 'v1')
    const list = async (version: number, filters: object = {}) => {
      const request = { stateFilters: [], producerIdFilters: [], ...filters }
      const answer = await client.request(listTransactions, version, request)
      expect(answer.errorCode).toBe(NONE)
      return answer.transactionStates.map(({ transactionalId }) => transactionalId).sort()
    }
    for (let version = 0; version <= 2; version++) {
      expect(await list(version)).toEqual(['orders', 'payments'])
      expect(await list(version, { stateFilters: ['Ongoing', 'CompleteAbort'] })).toEqual(['orders'])
      expect(await list(version, { producerIdFilters: [BigInt(idle.producer.producerId)] })).toEqual([
        'payments',
      ])
    }
    expect(await list(1, { durationFilter: 3_600_000n })).toEqual([])
    expect(await list(2, { transactionalIdPattern: 'pay.*' })).toEqual(['payments'])
    expect(await list(2, { transactionalIdPattern: 'ay' })).toEqual([])
    const unknown = await client.request(listTransactions, 0, {
      stateFilters: ['Nonsense', 'Empty'],
      producerIdFilters: [],
    })
    expect(unknown).toMatchObject({
      unknownStateFilters: ['Nonsense'],
      transactionStates: [{ transactionalId: 'payments', transactionState: 'Empty' }],
    })
    for (const pattern of ['(', '(?=a)', 'a'.repeat(1001), `(?:${'a?'.repeat(400)}){1000}`]) {
      const request = { stateFilters: [], producerIdFilters: [], transactionalIdPattern: pattern }
      const { errorCode } = await client.request(listTransactions, 2, request)
      expect(errorCode).toBe(ErrorCode.INVALID_REGULAR_EXPRESSION)
    }
  })

  test('DescribeTransactions tells everything of an id, and the error of ids that do not exist', async () => {
    const producer = await started('orders', 'v2')
    await producer.write('words', [2, 0], ['a'])
    await producer.commitOffset('readers', 'words', 0, 1)
    expect(await stateOf('orders')).toMatchObject({
      errorCode: NONE,
      transactionalId: 'orders',
      transactionState: 'Ongoing',
      transactionTimeoutMs: 60_000,
      producerId: BigInt(producer.producer.producerId),
      producerEpoch: 0,
      topics: [
        { topic: 'words', partitions: [2, 0] },
        { topic: '__consumer_offsets', partitions: [expect.any(Number)] },
      ],
    })
    expect(await stateOf('missing')).toMatchObject({ errorCode: ErrorCode.TRANSACTIONAL_ID_NOT_FOUND })
    expect(await stateOf('')).toMatchObject({ errorCode: ErrorCode.INVALID_REQUEST })
  })

  test('DescribeProducers shows where transactions are open; WriteTxnMarkers ends them there', async () => {
    const producer = await started('orders', 'v1')
    await producer.write('words', [0], ['a', 'b'])
    const describe = async () => {
      const { topics } = await client.request(describeProducers, 0, {
        topics: [{ name: 'words', partitionIndexes: [0, 9] }],
      })
      return topics[0]!.partitions
    }
    const { producerId, producerEpoch } = producer.producer
    expect(await describe()).toMatchObject([
      {
        errorCode: NONE,
        activeProducers: [
          {
            producerId: BigInt(producerId),
            producerEpoch,
            lastSequence: 1,
            coordinatorEpoch: -1,
            currentTxnStartOffset: 0n,
          },
        ],
      },
      { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, activeProducers: [] },
    ])
    const { topics: once } = await client.request(describeProducers, 0, {
      topics: [0, 9, 0].map((partition) => ({ name: 'words', partitionIndexes: [partition, partition] })),
    })
    expect(once).toMatchObject([{ partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] }])
    const abort = async (version: number, change: object = {}) => {
      const { markers } = await client.request(writeTxnMarkers, version, {
        markers: [
          {
            producerId: BigInt(producerId),
            producerEpoch,
            transactionResult: false,
            coordinatorEpoch: 1,
            topics: [
              { name: 'words', partitionIndexes: [0, 9] },
              { name: '__transaction_state', partitionIndexes: [0] },
            ],
            ...change,
          },
        ],
      })
      return markers[0]!.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
    }
    expect(await abort(1, { producerId: -1n })).toMatchObject([
      [ErrorCode.INVALID_REQUEST, 3],
      [ErrorCode.INVALID_REQUEST],
    ])
    // A producer and a coordinator that there cannot be.
    expect((await abort(1, { producerId: 2n ** 63n - 1n }))[0]![0]).toBe(ErrorCode.INVALID_REQUEST)
    expect((await abort(1, { coordinatorEpoch: 2 }))[0]![0]).toBe(ErrorCode.INVALID_REQUEST)
    expect(await abort(1)).toEqual([
      [NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      [ErrorCode.INVALID_TOPIC_EXCEPTION],
    ])
    expect((await describe())[0]!.activeProducers[0]).toMatchObject({
      coordinatorEpoch: 1,
      currentTxnStartOffset: -1n,
    })
    expect((await abort(2, { coordinatorEpoch: 0 }))[0]![0]).toBe(ErrorCode.TRANSACTION_COORDINATOR_FENCED)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: [], lastStableOffset: 3 })
    expect(await producer.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: [] })
  })

  test('a transaction that an administrator has ended for good in the offsets of a group ends all the same', async () => {
    const producer = await started('orders', 'v1')
    expect(await producer.addOffsets('readers')).toBe(NONE)
    expect(await producer.commitOffset('readers', 'words', 0, 5)).toBe(NONE)
    const abort = async (producerEpoch: number) => {
      const { markers } = await client.request(writeTxnMarkers, 1, {
        markers: [
          {
            producerId: BigInt(producer.producer.producerId),
            producerEpoch,
            transactionResult: false,
            coordinatorEpoch: 1,
            topics: [{ name: '__consumer_offsets', partitionIndexes: [partitionOf('readers', 50)] }],
          },
        ],
      })
      return markers[0]!.topics[0]!.partitions[0]!.errorCode
    }
    expect(await abort(7)).toBe(NONE)
    expect(await abort(6)).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
    expect(await producer.commitOffset('readers', 'words', 0, 6)).toBe(ErrorCode.INVALID_PRODUCER_EPOCH)
    expect(await producer.end(true)).toBe(NONE)
  })
})
