import {
  describeTransactions,
  ErrorCode,
  endTxn,
  initProducerId,
  produce,
  txnOffsetCommit,
} from '@streambus/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { RawClient } from '../testing/raw-client.ts'
import { batchOf, createTopic, produceRequest } from '../testing/requests.ts'
import { type ClientKind, TransactionalProducer } from '../testing/transactional-producer.ts'
import { readOffset, readPartition } from '../testing/transactional-reader.ts'

const {
  NONE,
  PRODUCER_FENCED,
  INVALID_PRODUCER_EPOCH,
  CONCURRENT_TRANSACTIONS,
  INVALID_TXN_STATE,
  INVALID_PRODUCER_ID_MAPPING,
} = ErrorCode

let broker: Broker
let client: RawClient
let topicId: string

beforeEach(async () => {
  broker = await Broker.start({ port: 0 })
  client = await RawClient.connect(broker)
  topicId = (await createTopic(client, 'words', { partitions: 3 })).topicId
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

describe.each<ClientKind>(['v1', 'v2'])('a %s producer', (kind) => {
  test('what it commits is seen at once and everywhere, what it aborts never', async () => {
    const producer = await started('orders', kind)
    await producer.write('words', [0, 1], ['a', 'b'])
    expect(await readPartition(client, 'words', 0)).toMatchObject({
      lastStableOffset: 0,
      highWatermark: 2,
      all: ['a', 'b'],
      committed: [],
    })
    expect(await producer.end(true)).toBe(NONE)
    await producer.write('words', [1, 2], ['c'])
    expect(await producer.end(false)).toBe(NONE)
    await producer.write('words', [1], ['d'])
    expect(await producer.end(true)).toBe(NONE)

    const [zero, one, two] = await Promise.all([0, 1, 2].map((p) => readPartition(client, 'words', p)))
    expect(zero).toMatchObject({ committed: ['a', 'b'], aborted: [], highWatermark: 3, lastStableOffset: 3 })
    expect(one).toMatchObject({
      all: ['a', 'b', 'c', 'd'],
      committed: ['a', 'b', 'd'],
      aborted: [{ firstOffset: 3 }],
      highWatermark: 7,
      lastStableOffset: 7,
    })
    expect(two).toMatchObject({ all: ['c'], committed: [], lastStableOffset: 2 })
  })

  test('its next transaction begins without being told to wait, a hundred times', async () => {
    const producer = await started('orders', kind)
    for (let i = 0; i < 100; i++) {
      await producer.write('words', [0, 1, 2], [`${i}`])
      expect(await producer.end(i % 2 === 0)).toBe(NONE)
    }
    const { committed } = await readPartition(client, 'words', 2)
    expect(committed).toEqual(Array.from({ length: 50 }, (_, i) => `${2 * i}`))
  })

  test('its offsets count when it commits, and not when it aborts', async () => {
    const producer = await started('orders', kind)
    const commit = async (offset: number): Promise<void> => {
      if (kind === 'v1') expect(await producer.addOffsets('readers')).toBe(NONE)
      expect(await producer.commitOffset('readers', 'words', 0, offset)).toBe(NONE)
    }
    await commit(5)
    expect(await readOffset(client, 'readers', 'words')).toEqual({ offset: -1, errorCode: NONE })
    expect(await readOffset(client, 'readers', 'words', true)).toEqual({
      offset: -1,
      errorCode: ErrorCode.UNSTABLE_OFFSET_COMMIT,
    })
    expect(await producer.end(true)).toBe(NONE)
    expect(await readOffset(client, 'readers', 'words', true)).toEqual({ offset: 5, errorCode: NONE })
    await commit(9)
    expect(await producer.end(false)).toBe(NONE)
    expect(await readOffset(client, 'readers', 'words', true)).toEqual({ offset: 5, errorCode: NONE })
  })

  test('a new producer with its id aborts what it left open, and fences it', async () => {
    const old = await started('orders', kind)
    await old.write('words', [0], ['lost'])
    const young = new TransactionalProducer(client, 'orders', kind)
    expect(await young.init()).toBe(CONCURRENT_TRANSACTIONS)
    expect(await young.init()).toBe(NONE)
    expect(young.producer.producerId).toBe(old.producer.producerId)
    expect(young.producer.producerEpoch).toBeGreaterThan(old.producer.producerEpoch)

    expect(await old.send('words', [0], ['zombie'])).toEqual([INVALID_PRODUCER_EPOCH])
    expect(await old.end(true)).toBe(PRODUCER_FENCED)
    expect(await old.end(true, 1)).toBe(INVALID_PRODUCER_EPOCH)
    expect(await old.add('words', [0])).toEqual([PRODUCER_FENCED])
    expect(await old.add('words', [0], 1)).toEqual([INVALID_PRODUCER_EPOCH])
    expect(await old.addOffsets('readers')).toBe(PRODUCER_FENCED)
    expect(await old.addOffsets('readers', 1)).toBe(INVALID_PRODUCER_EPOCH)
    expect(await old.commitOffset('readers', 'words', 0, 1)).toBe(INVALID_PRODUCER_EPOCH)
    expect(await old.init(60_000, old.producer)).toBe(PRODUCER_FENCED)

    await young.write('words', [0], ['kept'])
    expect(await young.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: ['kept'] })
  })

  test('with a foreign or unknown id it may do nothing', async () => {
    const producer = await started('orders', kind)
    const other = new TransactionalProducer(client, 'payments', kind)
    other.producer = producer.producer
    expect(await other.send('words', [0], ['x'])).toEqual([INVALID_PRODUCER_ID_MAPPING])
    expect(await other.add('words', [0])).toEqual([INVALID_PRODUCER_ID_MAPPING])
    expect(await other.addOffsets('readers')).toBe(INVALID_PRODUCER_ID_MAPPING)
    expect(await other.commitOffset('readers', 'words', 0, 1)).toBe(INVALID_PRODUCER_ID_MAPPING)
    expect(await other.end(true)).toBe(INVALID_PRODUCER_ID_MAPPING)
    await started('payments', kind)
    expect(await other.end(true)).toBe(INVALID_PRODUCER_ID_MAPPING)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ highWatermark: 0 })
    expect(await stateOf('orders')).toMatchObject({ transactionState: 'Empty' })
  })
})

describe('InitProducerId', () => {
  test('every version gives the same id with growing epochs', async () => {
    let producerId: bigint | undefined
    for (let version = 0; version <= 5; version++) {
      const answer = await client.request(initProducerId, version, {
        transactionalId: 'orders',
        transactionTimeoutMs: 1000,
      })
      producerId ??= answer.producerId
      expect(answer).toMatchObject({ errorCode: NONE, producerId, producerEpoch: version })
    }
    expect(await stateOf('orders')).toMatchObject({ transactionState: 'Empty', transactionTimeoutMs: 1000 })
  })

  test.each([
    ['an empty id', { transactionalId: '' }, ErrorCode.INVALID_REQUEST],
    ['no timeout', { transactionTimeoutMs: 0 }, ErrorCode.INVALID_TRANSACTION_TIMEOUT],
    ['a timeout too long', { transactionTimeoutMs: 900_001 }, ErrorCode.INVALID_TRANSACTION_TIMEOUT],
    ['an id and no epoch', { producerId: 4n }, ErrorCode.INVALID_REQUEST],
    ['an epoch and no id', { producerEpoch: 4 }, ErrorCode.INVALID_REQUEST],
  ])('%s is refused, and nothing is kept', async (_, change, errorCode) => {
    const request = { transactionalId: 'orders', transactionTimeoutMs: 900_000, ...change }
    expect(await client.request(initProducerId, 5, request)).toMatchObject({
      errorCode,
      producerId: -1n,
      producerEpoch: -1,
    })
    expect(await stateOf('orders')).toMatchObject({ errorCode: ErrorCode.TRANSACTIONAL_ID_NOT_FOUND })
  })

  test('a fenced producer is told so in the way of its version', async () => {
    const old = await started('orders', 'v1')
    await started('orders', 'v1')
    const ask = (version: number) =>
      client.request(initProducerId, version, {
        transactionalId: 'orders',
        transactionTimeoutMs: 1000,
        producerId: BigInt(old.producer.producerId),
        producerEpoch: old.producer.producerEpoch,
      })
    expect(await ask(3)).toMatchObject({ errorCode: INVALID_PRODUCER_EPOCH })
    expect(await ask(4)).toMatchObject({ errorCode: PRODUCER_FENCED })
  })

  test('ids beyond the limit are refused, those that are known go on', async () => {
    await using small = await Broker.start({ port: 0, transactions: { maxIds: 2 } })
    const asking = await RawClient.connect(small)
    const ask = (transactionalId: string) =>
      asking.request(initProducerId, 5, { transactionalId, transactionTimeoutMs: 1000 })
    expect(await ask('a')).toMatchObject({ errorCode: NONE })
    expect(await ask('b')).toMatchObject({ errorCode: NONE })
    expect(await ask('c')).toMatchObject({ errorCode: ErrorCode.POLICY_VIOLATION })
    expect(await ask('a')).toMatchObject({ errorCode: NONE, producerEpoch: 1 })
    asking.close()
  })

  test.each(['v1', 'v2'] as const)(
    'ids and partitions of %s clients take no more memory than they may',
    async (kind) => {
      await using small = await Broker.start({ port: 0, transactions: { maxStateBytes: 35_000 } })
      const asking = await RawClient.connect(small)
      await createTopic(asking, 'words', { partitions: 100 })
      const producer = new TransactionalProducer(asking, 'orders', kind)
      expect(await producer.init()).toBe(NONE)
      const long = new TransactionalProducer(asking, 'x'.repeat(32_000), kind)
      expect(await long.init()).toBe(NONE)
      const longer = new TransactionalProducer(asking, 'y'.repeat(1000), kind)
      expect(await longer.init()).toBe(ErrorCode.POLICY_VIOLATION)
      await producer.write('words', [0, 1], ['a'])
      const many = Array.from({ length: 100 }, (_, partition) => partition)
      const refused =
        kind === 'v1' ? await producer.add('words', many) : await producer.send('words', many, ['b'])
      expect(new Set(refused)).toEqual(new Set([ErrorCode.POLICY_VIOLATION]))
      expect(await producer.end(true)).toBe(NONE)
      expect(await readPartition(asking, 'words', 1)).toMatchObject({ committed: ['a'] })
      asking.close()
    },
  )
})

describe('AddPartitionsToTxn', () => {
  test('one partition that does not exist keeps all the others out', async () => {
    const producer = await started('orders', 'v1')
    for (let version = 0; version <= 3; version++) {
      expect(await producer.add('words', [0, 7], version)).toEqual([
        ErrorCode.OPERATION_NOT_ATTEMPTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
      ])
    }
    expect(await stateOf('orders')).toMatchObject({ transactionState: 'Empty', topics: [] })
    expect(await producer.add('__transaction_state', [0])).toEqual([ErrorCode.TOPIC_AUTHORIZATION_FAILED])
    expect(await producer.send('words', [0], ['x'])).toEqual([INVALID_TXN_STATE])
    expect(await readPartition(client, 'words', 0)).toMatchObject({ highWatermark: 0 })
  })

  test('an empty transactional id is an invalid request', async () => {
    const nameless = new TransactionalProducer(client, '', 'v1')
    expect(await nameless.add('words', [0])).toEqual([ErrorCode.INVALID_REQUEST])
    expect(await nameless.addOffsets('readers')).toBe(ErrorCode.INVALID_REQUEST)
    expect(await nameless.commitOffset('readers', 'words', 0, 1)).toBe(ErrorCode.INVALID_REQUEST)
    expect(await nameless.end(true)).toBe(ErrorCode.INVALID_REQUEST)
  })

  test('more partitions than a transaction may have are refused', async () => {
    await using small = await Broker.start({ port: 0, transactions: { maxPartitions: 2 } })
    const asking = await RawClient.connect(small)
    await createTopic(asking, 'words', { partitions: 3 })
    const producer = new TransactionalProducer(asking, 'orders', 'v1')
    await producer.init()
    expect(await producer.add('words', [0, 1])).toEqual([NONE, NONE])
    expect(await producer.add('words', [2])).toEqual([ErrorCode.POLICY_VIOLATION])
    asking.close()
  })
})

describe('Produce in a transaction', () => {
  const batch = (producerId: number, producerEpoch: number) =>
    batchOf(['x'], { producerId, producerEpoch, baseSequence: 0, transactional: true })

  async function errorOf(version: number, transactionalId: string | null, records: Uint8Array[]) {
    const request = produceRequest(
      'words',
      records.map((bytes, index) => ({ index, records: bytes })),
    )
    const { responses } = await client.request(produce, version, { ...request, transactionalId })
    return responses[0]!.partitionResponses.map(({ errorCode }) => errorCode)
  }

  test('needs the transactional id in the request, and one producer', async () => {
    const { producer } = await started('orders', 'v2')
    const { producerId, producerEpoch } = producer
    for (const version of [9, 12]) {
      expect(await errorOf(version, null, [batch(producerId, producerEpoch)])).toEqual([
        ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      ])
      expect(
        await errorOf(version, 'orders', [batch(producerId, producerEpoch), batch(producerId + 1, 0)]),
      ).toEqual([INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING])
    }
    expect(await readPartition(client, 'words', 0)).toMatchObject({ highWatermark: 0 })
  })

  test('a partition that was not added: as each version knows it, and from 12 on it is added', async () => {
    const { producer } = await started('orders', 'v2')
    const records = [batch(producer.producerId, producer.producerEpoch)]
    expect(await errorOf(10, 'orders', records)).toEqual([INVALID_TXN_STATE])
    expect(await errorOf(11, 'orders', records)).toEqual([ErrorCode.TRANSACTION_ABORTABLE])
    expect(await stateOf('orders')).toMatchObject({ transactionState: 'Empty' })
    expect(await errorOf(12, 'orders', records)).toEqual([NONE])
    expect(await stateOf('orders')).toMatchObject({
      transactionState: 'Ongoing',
      topics: [{ topic: 'words', partitions: [0] }],
    })
  })

  test('topics by id in version 13, with the error for ids that do not exist', async () => {
    const { producer } = await started('orders', 'v2')
    const data = { index: 0, records: batch(producer.producerId, producer.producerEpoch) }
    const { responses } = await client.request(produce, 13, {
      transactionalId: 'orders',
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        { topicId, partitionData: [data] },
        { topicId: 'aaaaaaaaaaaaaaaaaaaaaA', partitionData: [data] },
      ],
    })
    expect(responses.map((topic) => [topic.topicId, topic.partitionResponses[0]!.errorCode])).toEqual([
      [topicId, NONE],
      ['aaaaaaaaaaaaaaaaaaaaaA', ErrorCode.UNKNOWN_TOPIC_ID],
    ])
    expect(await stateOf('orders')).toMatchObject({ topics: [{ topic: 'words', partitions: [0] }] })
  })

  test('requests that wait for their partitions keep their order, and share their records', async () => {
    const producer = await started('orders', 'v2')
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => producer.sendRaw('words', [i % 3], [`${i}`])),
    )
    for (const { responses } of answers) expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(NONE)
    expect(await producer.end(true)).toBe(NONE)
    const { committed } = await readPartition(client, 'words', 0)
    expect(committed).toEqual(Array.from({ length: 10 }, (_, i) => `${3 * i}`))
  })

  test('a plain batch of a producer with an open transaction is refused', async () => {
    const producer = await started('orders', 'v2')
    await producer.write('words', [0], ['a'])
    const { producerId, producerEpoch } = producer.producer
    const plain = batchOf(['x'], { producerId, producerEpoch, baseSequence: 1 })
    expect(await errorOf(9, null, [plain])).toEqual([INVALID_TXN_STATE])
    expect(await producer.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ all: ['a'] })
  })

  test('internal topics are not for clients', async () => {
    await started('orders', 'v2')
    const { responses } = await client.request(
      produce,
      9,
      produceRequest('__transaction_state', [{ index: 0, records: batchOf(['x']) }]),
    )
    expect(responses[0]!.partitionResponses[0]).toMatchObject({
      errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
    })
  })
})

describe('batches of one producer that are on their way together', () => {
  test('v2: the second does not begin a partition whose first was not taken', async () => {
    const { producer } = await started('orders', 'v2')
    const send = async (baseSequence: number) => {
      const records = batchOf(['a', 'b'], { ...producer, baseSequence, transactional: true })
      const request = { ...produceRequest('words', [{ index: 0, records }]), transactionalId: 'orders' }
      const { responses } = await client.request(produce, 12, request)
      return responses[0]!.partitionResponses[0]
    }
    expect(await send(2)).toMatchObject({ errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER })
    expect(await send(0)).toMatchObject({ errorCode: NONE, baseOffset: 0n })
    expect(await send(2)).toMatchObject({ errorCode: NONE, baseOffset: 2n })
  })
})

describe('EndTxn', () => {
  test('version 5 gives the next epoch, and recognises a request that is repeated', async () => {
    const producer = await started('orders', 'v2')
    await producer.write('words', [0], ['a'])
    const before = producer.producer
    const repeat = (committed: boolean) =>
      client.request(endTxn, 5, {
        transactionalId: 'orders',
        producerId: BigInt(before.producerId),
        producerEpoch: before.producerEpoch,
        committed,
      })
    expect(await producer.end(true)).toBe(NONE)
    expect(producer.producer).toEqual({ ...before, producerEpoch: before.producerEpoch + 1 })
    expect(await repeat(true)).toMatchObject({
      errorCode: NONE,
      producerId: BigInt(before.producerId),
      producerEpoch: before.producerEpoch + 1,
    })
    expect(await repeat(false)).toMatchObject({ errorCode: INVALID_TXN_STATE })
    await producer.write('words', [0], ['b'])
    expect(await repeat(true)).toMatchObject({
      errorCode: PRODUCER_FENCED,
      producerId: -1n,
      producerEpoch: -1,
    })
    expect(await producer.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: ['a', 'b'] })
  })

  test('without a transaction: an abort succeeds for v2, everything else is a wrong state', async () => {
    const v2 = await started('orders', 'v2')
    expect(await v2.end(true)).toBe(INVALID_TXN_STATE)
    expect(await v2.end(false)).toBe(NONE)
    expect(v2.producer.producerEpoch).toBe(1)
    expect(await v2.end(false)).toBe(NONE)
    const v1 = await started('payments', 'v1')
    expect(await v1.end(true)).toBe(INVALID_TXN_STATE)
    expect(await v1.end(false)).toBe(INVALID_TXN_STATE)
    await v1.write('words', [0], ['a'])
    expect(await v1.end(true)).toBe(NONE)
    expect(await v1.end(true)).toBe(NONE)
    expect(await v1.end(false)).toBe(INVALID_TXN_STATE)
  })

  test('a topic that was deleted meanwhile does not keep the rest from being committed', async () => {
    const producer = await started('orders', 'v2')
    await createTopic(client, 'doomed')
    await producer.write('doomed', [0], ['x'])
    await producer.write('words', [0], ['a'])
    await broker.store.deleteTopic(broker.store.topics.byName('doomed')!.id)
    expect(await producer.end(true)).toBe(NONE)
    expect(await readPartition(client, 'words', 0)).toMatchObject({ committed: ['a'], lastStableOffset: 2 })
  })
})

describe('offsets in a transaction', () => {
  test('have to be added before version 5, and the group and partition have to exist', async () => {
    const producer = await started('orders', 'v1')
    expect(await producer.commitOffset('readers', 'words', 0, 1)).toBe(INVALID_TXN_STATE)
    expect(await producer.addOffsets('readers')).toBe(NONE)
    expect(await producer.commitOffset('readers', 'words', 9, 1)).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    expect(await producer.commitOffset('', 'words', 0, 1)).toBe(ErrorCode.INVALID_GROUP_ID)
    const { producerId, producerEpoch } = producer.producer
    const { topics } = await client.request(txnOffsetCommit, 3, {
      transactionalId: 'orders',
      groupId: 'readers',
      producerId: BigInt(producerId),
      producerEpoch,
      generationIdOrMemberEpoch: 4,
      memberId: 'nobody',
      topics: [
        { name: 'words', partitions: [{ partitionIndex: 0, committedOffset: 1n, committedMetadata: null }] },
      ],
    })
    expect(topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.ILLEGAL_GENERATION)
    expect(await producer.end(true)).toBe(NONE)
    expect(await readOffset(client, 'readers', 'words')).toEqual({ offset: -1, errorCode: NONE })
  })
})
