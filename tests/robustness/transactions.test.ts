/** What clients can do to the transaction coordinator, and what other producers notice of it: nothing. */
import { beforeAll, expect, test } from 'vitest'
import { createTopic } from '../../packages/broker/src/testing/requests.ts'
import { TransactionalProducer } from '../../packages/broker/src/testing/transactional-producer.ts'
import { readPartition } from '../../packages/broker/src/testing/transactional-reader.ts'
import {
  addOffsetsToTxn,
  addPartitionsToTxn,
  describeProducers,
  describeTransactions,
  ErrorCode,
  endTxn,
  initProducerId,
  listTransactions,
  txnOffsetCommit,
  writeTxnMarkers,
} from '../../packages/protocol/src/index.ts'
import { ensureBuilt } from '../cli/built-cli.ts'
import { startAttacked } from './attacked-broker.ts'
import { askStrangely } from './strange-questions.ts'

const MEBIBYTE = 1024 * 1024
const MAX_RSS_BYTES = 400 * MEBIBYTE
const { NONE } = ErrorCode

beforeAll(ensureBuilt, 120_000)

test('4,000 strange requests about transactions are answered, and a producer beside them goes on', async () => {
  await using broker = await startAttacked(['--durability', 'os'])
  const client = await broker.connect()
  const { topicId } = await createTopic(client, 'strange', { partitions: 3 })
  await createTopic(client, 'orders', { partitions: 2 })
  const producer = new TransactionalProducer(client, 'orders', 'v2')
  expect(await producer.init()).toBe(NONE)
  const known = {
    groupIds: ['strange'],
    topics: [{ name: 'strange', topicId }],
    transactionalIds: ['one', 'two'],
    memberIds: [],
    producerIds: [],
  }
  for (const round of [1, 2]) {
    await producer.write('orders', [0, 1], [`kept ${round}`])
    await askStrangely(broker, {
      seed: round,
      requests: 2000,
      apis: [
        [initProducerId, 0, 5],
        [addPartitionsToTxn, 0, 3],
        [addOffsetsToTxn, 0, 4],
        [endTxn, 0, 5],
        [writeTxnMarkers, 1, 2],
        [txnOffsetCommit, 0, 5],
        [describeProducers, 0, 0],
        [describeTransactions, 0, 0],
        [listTransactions, 0, 2],
      ],
      known: { ...known, memberIds: [], producerIds: [] },
    })
    expect(await producer.commitOffset('readers', 'orders', 0, round)).toBe(NONE)
    expect(await producer.end(true)).toBe(NONE)
    await producer.write('orders', [1], ['lost'])
    expect(await producer.end(false)).toBe(NONE)
  }
  for (const partition of [0, 1]) {
    const { committed, lastStableOffset, highWatermark } = await readPartition(client, 'orders', partition)
    expect(committed).toEqual(['kept 1', 'kept 2'])
    expect(lastStableOffset).toBe(highWatermark)
  }
  client.close()
})

test('a transaction over 10,000 partitions ends, and one more partition is refused', async () => {
  await using broker = await startAttacked(['--durability', 'os'])
  const client = await broker.connect()
  await createTopic(client, 'wide', { partitions: 10_001 })
  await createTopic(client, 'orders')
  const producer = new TransactionalProducer(client, 'wide', 'v1')
  expect(await producer.init()).toBe(NONE)
  const all = Array.from({ length: 10_000 }, (_, partition) => partition)
  expect(new Set(await producer.add('wide', all))).toEqual(new Set([NONE]))
  expect(await producer.add('wide', [10_000])).toEqual([ErrorCode.POLICY_VIOLATION])
  expect(await producer.send('wide', [0, 9999], ['far'])).toEqual([NONE, NONE])
  const other = await broker.connect()
  const meanwhile = new TransactionalProducer(other, 'orders', 'v2')
  expect(await meanwhile.init()).toBe(NONE)
  const ending = producer.end(true)
  await meanwhile.write('orders', [0], ['near'])
  expect(await meanwhile.end(true)).toBe(NONE)
  expect(await ending).toBe(NONE)
  expect(await readPartition(client, 'wide', 9999)).toMatchObject({ committed: ['far'], lastStableOffset: 2 })
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  client.close()
  other.close()
})

test('5,000 producers that are gone with a transaction each leave everyone else in peace', async () => {
  await using broker = await startAttacked(['--durability', 'os'])
  const client = await broker.connect()
  await createTopic(client, 'words', { partitions: 2 })
  for (let index = 0; index < 5000; index++) {
    const gone = new TransactionalProducer(client, `gone-${index}`, 'v2')
    expect(await gone.init(600_000)).toBe(NONE)
    await gone.write('words', [0], ['x'])
  }
  const producer = new TransactionalProducer(client, 'orders', 'v2')
  expect(await producer.init()).toBe(NONE)
  await producer.write('words', [1], ['y'])
  expect(await producer.end(true)).toBe(NONE)
  expect(await readPartition(client, 'words', 1)).toMatchObject({ committed: ['y'] })
  expect(await broker.rssBytes()).toBeLessThan(MAX_RSS_BYTES)
  client.close()
  expect(broker.log.filter(({ level }) => level === 'error')).toEqual([])
})
