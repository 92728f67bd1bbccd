import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeTransactions, ErrorCode } from '@streambus/protocol'
import { type AppendBatch, LocalLogStore, type LogStore, MemoryLogStore } from '@streambus/storage'
import { afterEach, describe, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { withOverrides } from '../testing/controlled-store.ts'
import { RawClient } from '../testing/raw-client.ts'
import { createTopic } from '../testing/requests.ts'
import { type ClientKind, TransactionalProducer } from '../testing/transactional-producer.ts'
import { readOffset, readPartition } from '../testing/transactional-reader.ts'

const { NONE, CONCURRENT_TRANSACTIONS } = ErrorCode
const PARTITIONS = [0, 1, 2]

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/**
 * A store of which only the first `durable` batches survive: from then on appends never end, as in a process that
 * was killed. Counts batches, not calls, so that it also stops in the middle of what is appended together.
 */
function freezing(store: LogStore, limit: { batches: number }): LogStore {
  return withOverrides(store, {
    append: async (batches) => {
      const allowed = Math.min(limit.batches, batches.length)
      limit.batches -= allowed
      const copies = batches.map((batch): AppendBatch => ({ ...batch, bytes: Uint8Array.from(batch.bytes) }))
      if (allowed > 0) {
        const results = await store.append(copies.slice(0, allowed))
        if (allowed === batches.length) return results
      }
      return new Promise(() => undefined)
    },
  })
}

/** The broker's view of a store that outlives it. */
function keptOpen(store: LogStore): LogStore {
  return withOverrides(store, { close: async () => undefined })
}

async function brokerOn(store: LogStore): Promise<{ broker: Broker; client: RawClient }> {
  const broker = await Broker.start({ port: 0, store, shutdownTimeoutMs: 0 })
  const client = await RawClient.connect(broker)
  cleanUps.push(async () => {
    client.close()
    await broker.close()
  })
  return { broker, client }
}

/** Waits until the coordinator knows the transaction, and it is not being ended. */
async function settledState(client: RawClient, transactionalId: string): Promise<string> {
  for (;;) {
    const { transactionStates } = await client.request(describeTransactions, 0, {
      transactionalIds: [transactionalId],
    })
    const { errorCode, transactionState } = transactionStates[0]!
    if (errorCode === ErrorCode.TRANSACTIONAL_ID_NOT_FOUND) return 'Unknown'
    if (errorCode === NONE && !transactionState.startsWith('Prepare')) return transactionState
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

describe.each<ClientKind>(['v1', 'v2'])('a broker that is killed, with a %s producer', (kind) => {
  /** Three partitions and an offset, first committed, then once more and aborted. */
  async function script(producer: TransactionalProducer): Promise<void> {
    for (const committed of [true, false]) {
      const value = committed ? 'kept' : 'dropped'
      await producer.write('words', PARTITIONS, [value])
      if (kind === 'v1') await producer.addOffsets('readers')
      await producer.commitOffset('readers', 'words', 0, committed ? 1 : 2)
      await producer.end(committed)
    }
  }

  test('at any batch it appended leaves each transaction committed or aborted everywhere', async () => {
    const seen = new Set<string>()
    for (let batches = 0; ; batches++) {
      const store = await MemoryLogStore.open()
      cleanUps.push(() => store.close())
      const first = await brokerOn(keptOpen(store))
      await createTopic(first.client, 'words', { partitions: PARTITIONS.length })
      const limit = { batches: Number.POSITIVE_INFINITY }
      const killed = await brokerOn(keptOpen(freezing(store, limit)))
      const producer = new TransactionalProducer(killed.client, 'orders', kind)
      while ((await producer.init()) !== NONE) expect(batches).toBeGreaterThanOrEqual(0)
      // The group's first offset makes its topic, which is no append.
      limit.batches = batches
      const ended = await Promise.race([
        script(producer).then(() => 'whole' as const),
        new Promise<'frozen'>((resolve) => {
          const check = setInterval(() => {
            if (limit.batches > 0) return
            clearInterval(check)
            // What is under way gets to where it can get.
            setTimeout(() => resolve('frozen'), 15)
          }, 1)
          cleanUps.push(() => clearInterval(check))
        }),
      ])

      const { client } = await brokerOn(keptOpen(store))
      const state = await settledState(client, 'orders')
      seen.add(state)
      const young = new TransactionalProducer(client, 'orders', kind)
      let code = await young.init()
      while (code === CONCURRENT_TRANSACTIONS) code = await young.init()
      expect(code).toBe(NONE)

      const views = await Promise.all(
        PARTITIONS.map((partition) => readPartition(client, 'words', partition)),
      )
      for (const { committed, lastStableOffset, highWatermark } of views) {
        expect(committed, `after ${batches} batches`).toEqual(views[0]!.committed)
        expect(lastStableOffset).toBe(highWatermark)
      }
      const isCommitted = views[0]!.committed.length > 0
      expect(views[0]!.committed).toEqual(isCommitted ? ['kept'] : [])
      expect(await readOffset(client, 'readers', 'words', true)).toEqual({
        offset: isCommitted ? 1 : -1,
        errorCode: NONE,
      })
      // The id goes on working.
      await young.write('words', PARTITIONS, ['next'])
      expect(await young.end(true)).toBe(NONE)
      expect((await readPartition(client, 'words', 1)).committed.at(-1)).toBe('next')
      await Promise.all(
        cleanUps
          .splice(0)
          .reverse()
          .map((cleanUp) => cleanUp()),
      )
      if (ended === 'whole') break
    }
    expect(seen).toContain('Ongoing')
    expect(seen).toContain('CompleteCommit')
    expect(seen).toContain('CompleteAbort')
  })

  test('comes back from its folder with every id, epoch and open transaction', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'streambus-transactions-'))
    cleanUps.push(() => rm(dataDir, { recursive: true }))
    const open = async () => {
      const broker = await Broker.start({ port: 0, dataDir })
      const client = await RawClient.connect(broker)
      const close = (): Promise<void> => {
        client.close()
        return broker.close()
      }
      return { client, close }
    }
    let broker = await open()
    await createTopic(broker.client, 'words', { partitions: PARTITIONS.length })
    let producer = new TransactionalProducer(broker.client, 'orders', kind)
    expect(await producer.init()).toBe(NONE)
    await producer.write('words', PARTITIONS, ['first'])
    await broker.close()

    broker = await open()
    producer = producer.on(broker.client)
    expect(await settledState(broker.client, 'orders')).toBe('Ongoing')
    expect(await producer.send('words', [0], ['second'])).toEqual([NONE])
    const before = producer.producer
    expect(await producer.end(true)).toBe(NONE)
    await broker.close()

    broker = await open()
    expect(await settledState(broker.client, 'orders')).toBe('CompleteCommit')
    const repeated = producer.on(broker.client)
    repeated.producer = before
    expect(await repeated.end(true)).toBe(NONE)
    expect(repeated.producer).toEqual(producer.producer)
    expect(await readPartition(broker.client, 'words', 0)).toMatchObject({ committed: ['first', 'second'] })
    await broker.close()
  })
})

test('a folder opened by storage alone shows what the coordinator wrote, in the formats of Kafka', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'streambus-transactions-'))
  cleanUps.push(() => rm(dataDir, { recursive: true }))
  const broker = await Broker.start({ port: 0, dataDir })
  const client = await RawClient.connect(broker)
  await createTopic(client, 'words')
  const producer = new TransactionalProducer(client, 'orders', 'v2')
  await producer.init()
  await producer.write('words', [0], ['a'])
  await producer.end(true)
  client.close()
  await broker.close()
  const store = await LocalLogStore.open({ dataDir })
  const topic = store.topics.byName('__transaction_state')!
  expect(topic.logs).toHaveLength(50)
  expect(topic.configs).toMatchObject({ 'cleanup.policy': 'compact' })
  const states = await store.state(topic.logs)
  // Empty, Ongoing, PrepareCommit, CompleteCommit.
  expect(states.filter(({ highWatermark }) => highWatermark > 0)).toMatchObject([{ highWatermark: 4 }])
  await store.close()
})
