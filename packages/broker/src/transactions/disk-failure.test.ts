import { batchHeader, ErrorCode, writeTxnMarkers } from '@streambus/protocol'
import { MemoryLogStore, StorageError } from '@streambus/storage'
import { describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { GroupCoordinator } from '../groups/group-coordinator.ts'
import { resolveGroupOptions } from '../groups/group-options.ts'
import { VirtualScheduler } from '../groups/testing/virtual-scheduler.ts'
import { silentLogger } from '../logger.ts'
import { ProducerIds } from '../producer-ids.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'
import { TransactionalProducer } from '../testing/transactional-producer.ts'
import { readPartition } from '../testing/transactional-reader.ts'
import { TransactionCoordinator } from './transaction-coordinator.ts'
import { resolveTransactionOptions } from './transaction-options.ts'

const { NONE, CONCURRENT_TRANSACTIONS } = ErrorCode

describe('when the disk does not take it', () => {
  async function onFailingStore() {
    const memory = await MemoryLogStore.open()
    const failing = { isFull: false, appends: 0 }
    const store = withOverrides(memory, {
      append: (batches) => {
        failing.appends++
        return failing.isFull
          ? Promise.resolve(batches.map(() => ({ error: new StorageError('DISK_FULL', 'no room') })))
          : memory.append(batches)
      },
    })
    const full = await Broker.start({ port: 0, store })
    const asking = await RawClient.connect(full)
    await createTopic(asking, 'words', { partitions: 3 })
    const producer = new TransactionalProducer(asking, 'orders', 'v2')
    expect(await producer.init()).toBe(NONE)
    return { failing, full, asking, producer }
  }

  test('nothing changes, and the same requests succeed later', async () => {
    const { failing, full, asking, producer } = await onFailingStore()
    failing.isFull = true
    expect(await producer.init()).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    expect(await producer.add('words', [0])).toEqual([ErrorCode.COORDINATOR_NOT_AVAILABLE])
    expect(await producer.send('words', [0], ['x'])).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS])
    failing.isFull = false
    const young = new TransactionalProducer(asking, 'orders', 'v2')
    expect(await young.init()).toBe(NONE)
    expect(young.producer.producerEpoch).toBe(1)
    await young.write('words', [0], ['a'])
    failing.isFull = true
    expect(await young.end(true)).toBe(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    failing.isFull = false
    expect(await young.end(true)).toBe(NONE)
    expect(await readPartition(asking, 'words', 0)).toMatchObject({ committed: ['a'] })
    asking.close()
    await full.close()
  })

  test('who brings a marker for the offsets of groups is told to come again', async () => {
    const { failing, full, asking, producer } = await onFailingStore()
    expect(await producer.commitOffset('readers', 'words', 0, 1)).toBe(NONE)
    failing.isFull = true
    const { markers } = await asking.request(writeTxnMarkers, 1, {
      markers: [
        {
          producerId: BigInt(producer.producer.producerId),
          producerEpoch: 0,
          transactionResult: false,
          coordinatorEpoch: 1,
          topics: [{ name: '__consumer_offsets', partitionIndexes: [0] }],
        },
      ],
    })
    expect(markers[0]!.topics[0]!.partitions[0]!.errorCode).toBe(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    asking.close()
    await full.close()
  })

  test('markers are written again until they are there, and the producer is told to wait for them', async () => {
    const memory = await MemoryLogStore.open()
    let markersFail = true
    const store = withOverrides(memory, {
      append: (batches) =>
        markersFail && batches.some(({ bytes }) => batchHeader.isControl(bytes, 0))
          ? Promise.resolve(batches.map(() => ({ error: new StorageError('DISK_FULL', 'no room') })))
          : memory.append(batches),
    })
    await using half = await Broker.start({ port: 0, store })
    const asking = await RawClient.connect(half)
    await createTopic(asking, 'words')
    const producer = new TransactionalProducer(asking, 'orders', 'v2')
    await producer.init()
    await producer.write('words', [0], ['a'])
    expect(await producer.end(true)).toBe(CONCURRENT_TRANSACTIONS)
    expect(await producer.end(true)).toBe(CONCURRENT_TRANSACTIONS)
    expect(await producer.init()).toBe(CONCURRENT_TRANSACTIONS)
    expect(await readPartition(asking, 'words', 0)).toMatchObject({ committed: [] })
    markersFail = false
    while ((await producer.end(true)) !== NONE) expect(markersFail).toBe(false)
    expect(await readPartition(asking, 'words', 0)).toMatchObject({ committed: ['a'] })
    await producer.write('words', [0], ['b'])
    expect(await producer.end(true)).toBe(NONE)
    asking.close()
  })

  test('who was given the next epoch with the end waits while the completion cannot be written', async () => {
    const memory = await MemoryLogStore.open()
    let failsAfterMarkers = true
    let isMarked = false
    const store = withOverrides(memory, {
      append: (batches) => {
        if (isMarked && failsAfterMarkers) {
          return Promise.resolve(batches.map(() => ({ error: new StorageError('DISK_FULL', 'no room') })))
        }
        isMarked ||= batches.some(({ bytes }) => batchHeader.isControl(bytes, 0))
        return memory.append(batches)
      },
    })
    await using half = await Broker.start({ port: 0, store })
    const asking = await RawClient.connect(half)
    await createTopic(asking, 'words')
    const producer = new TransactionalProducer(asking, 'orders', 'v2')
    await producer.init()
    await producer.write('words', [0], ['a'])
    expect(await producer.end(true)).toBe(NONE)
    expect(producer.producer.producerEpoch).toBe(1)
    expect(await producer.add('words', [0])).toEqual([CONCURRENT_TRANSACTIONS])
    expect(await producer.send('words', [0], ['b'])).toEqual([ErrorCode.NOT_ENOUGH_REPLICAS])
    expect(await producer.end(false)).toBe(CONCURRENT_TRANSACTIONS)
    const young = new TransactionalProducer(asking, 'orders', 'v2')
    expect(await young.init(60_000, producer.producer)).toBe(CONCURRENT_TRANSACTIONS)
    failsAfterMarkers = false
    while ((await producer.end(false)) !== NONE) expect(isMarked).toBe(true)
    await producer.write('words', [0], ['c'])
    expect(await producer.end(true)).toBe(NONE)
    expect(await readPartition(asking, 'words', 0)).toMatchObject({ committed: ['a', 'c'] })
    asking.close()
  })

  test('markers that find no room for hours are there when there is some', async () => {
    const memory = await MemoryLogStore.open()
    let markersFail = true
    const store = withOverrides(memory, {
      append: (batches) =>
        markersFail && batches.some(({ bytes }) => batchHeader.isControl(bytes, 0))
          ? Promise.resolve(batches.map(() => ({ error: new StorageError('DISK_FULL', 'no room') })))
          : memory.append(batches),
    })
    await store.createTopic({ name: 'words', partitions: 1 })
    const time = new VirtualScheduler()
    const services = { store, scheduler: time, log: silentLogger }
    const offsets = new GroupCoordinator({
      ...services,
      options: resolveGroupOptions({}, true),
      newId: () => 'm',
    })
    const coordinator = new TransactionCoordinator({
      ...services,
      options: resolveTransactionOptions({}),
      producerIds: new ProducerIds(store),
      offsets,
    })
    const producer = await coordinator.initProducer('orders', 60_000, null)
    await coordinator.addPartitions('orders', producer, [{ topic: 'words', partition: 0 }], 2)
    const ended = await coordinator.endTransaction('orders', producer, true, 2)
    expect(ended).toMatchObject({ errorCode: CONCURRENT_TRANSACTIONS })
    await time.pass(4 * 3_600_000)
    markersFail = false
    await time.pass(60_000)
    expect(coordinator.describe('orders')).toMatchObject({ state: 'CompleteCommit' })
    coordinator.close()
    await store.close()
  })
})
