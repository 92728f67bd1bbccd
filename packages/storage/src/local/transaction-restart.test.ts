import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c } from '@streambus/protocol'
import { describe, expect, it } from 'vitest'
import type { LogId, LogStore } from '../log-store.ts'
import { appendOne, batchOf, batchOfSize, markerOf } from '../testing/batches.ts'
import { localStores } from '../testing/local-stores.ts'
import { committedValuesOf, readCommitted } from '../testing/read-committed.ts'
import { CHECKPOINT_VERSION } from './checkpoint.ts'
import type { LocalLogStoreOptions } from './local-log-store.ts'

const SMALL: Partial<LocalLogStoreOptions> = {
  cacheBytes: 256 * 1024,
  fileBytes: 256 * 1024,
  indexCacheBytes: 1024,
}

describe('LocalLogStore and transactions after a restart', () => {
  const stores = localStores(SMALL)
  const { open, copyOf } = stores

  function batch(
    producerId: number,
    baseSequence: number,
    value: string,
    { producerEpoch = 0, byteLength = 0 } = {},
  ): Uint8Array {
    const options = { producerId, producerEpoch, baseSequence, transactional: true }
    return byteLength === 0 ? batchOf([value], options) : batchOfSize(byteLength, value, options)
  }

  /** Everything a client or coordinator can see of transactions in a log. */
  async function viewOf(store: LogStore, log: LogId) {
    const [state] = await store.state([log])
    const [result] = await store.read(
      [{ logId: log, offset: state!.logStartOffset, maxBytes: 1e9, readCommitted: true }],
      { maxBytes: 1e9 },
    )
    if (result?.error !== null) throw result?.error ?? new Error('no result')
    result.records.close()
    const producers = (await store.producers(log)).map((producer) => ({ ...producer, lastTimestampMs: 0 }))
    return {
      state,
      producers: producers.sort((a, b) => a.producerId - b.producerId),
      abortedTransactions: result.abortedTransactions,
      committed: (await readCommitted(store, log, state!.logStartOffset)).records,
    }
  }

  it('has the same view after every step, killed or closed', async () => {
    let store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    const steps: (() => Promise<unknown>)[] = [
      () => appendOne(store, log, batch(1, 0, 'one a')),
      () => appendOne(store, log, batch(2, 0, 'two a')),
      () => appendOne(store, log, batchOf(['plain'])),
      () => appendOne(store, log, markerOf('abort', { producerId: 1, producerEpoch: 0 })),
      () => appendOne(store, log, batch(1, 1, 'one b')),
      () =>
        appendOne(
          store,
          log,
          markerOf('commit', { producerId: 1, producerEpoch: 1 }, { coordinatorEpoch: 4 }),
        ),
      () =>
        appendOne(
          store,
          log,
          markerOf('abort', { producerId: 1, producerEpoch: 1 }, { coordinatorEpoch: 4 }),
        ),
      () =>
        appendOne(store, log, batchOf(['commit'], { producerId: 3, producerEpoch: 2, transactional: true })),
      () => store.advanceStart(log, 2),
      () => appendOne(store, log, markerOf('abort', { producerId: 2, producerEpoch: 0 })),
      () => store.advanceStart(log, 5),
      () => appendOne(store, log, markerOf('commit', { producerId: 3, producerEpoch: 2 })),
      () => appendOne(store, log, batch(1, 0, 'one c', { producerEpoch: 1 })),
    ]
    for (const [at, step] of steps.entries()) {
      await step()
      const before = await viewOf(store, log)
      const killed = await open(await copyOf(store))
      expect(await viewOf(killed, log)).toEqual(before)
      if (at % 3 !== 2) continue
      await store.close()
      store = await open(stores.folder)
      expect(await viewOf(store, log)).toEqual(before)
    }
    expect((await viewOf(store, log)).state).toMatchObject({ highWatermark: 11, lastStableOffset: 10 })
    expect(await committedValuesOf(store, log, 5)).toEqual(['commit'])
  })

  it('has it from every checkpoint there was, over many files', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 'words', partitions: 2 })
    const [log, otherLog] = logs as [LogId, LogId]
    const checkpoints: Buffer[] = []
    const sequences = [0, 0, 0, 0]
    for (let round = 0; round < 40; round++) {
      const calls: Promise<unknown>[] = []
      for (const [producerId, sequence] of sequences.entries()) {
        const bytes = batch(producerId, sequence, `v${round}`, { byteLength: 12_000 })
        sequences[producerId] = sequence + 1
        calls.push(appendOne(store, log, bytes), appendOne(store, otherLog, bytes))
        // Producer 3 leaves its transaction open.
        if ((round + producerId) % 4 !== 0 || producerId === 3) continue
        const marker = markerOf((round + producerId) % 8 === 0 ? 'abort' : 'commit', {
          producerId,
          producerEpoch: 0,
        })
        calls.push(appendOne(store, log, marker), appendOne(store, otherLog, marker))
      }
      await Promise.all(calls)
      if (round % 5 !== 0) continue
      await store.maintain({ maxBytes: 0 })
      const checkpoint = await readFile(join(stores.folder, 'checkpoint'))
      if (checkpoints.at(-1)?.equals(checkpoint) !== true) checkpoints.push(checkpoint)
    }
    const endOpen = markerOf('abort', { producerId: 3, producerEpoch: 0 })
    await appendOne(store, otherLog, endOpen)
    expect(checkpoints.length).toBeGreaterThan(4)
    const before = [await viewOf(store, log), await viewOf(store, otherLog)]
    expect(before[0]!.state!.lastStableOffset).toBe(4)
    expect(before[1]!.abortedTransactions!.length).toBeGreaterThan(5)
    for (const checkpoint of checkpoints) {
      const copy = await copyOf(store)
      await writeFile(join(copy, 'checkpoint'), checkpoint)
      const again = await open(copy)
      expect([await viewOf(again, log), await viewOf(again, otherLog)]).toEqual(before)
      await appendOne(again, log, endOpen)
      const { abortedTransactions } = before[1]!
      expect((await viewOf(again, log)).abortedTransactions).toEqual(abortedTransactions)
    }
  })

  it('reads a checkpoint of version 1 and replaces it before it writes', async () => {
    const store = await open(stores.folder)
    const { logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    await appendOne(store, log, batchOf(['a'], { producerId: 1, producerEpoch: 0, baseSequence: 0 }))
    const before = await viewOf(store, log)
    await store.close()
    const path = join(stores.folder, 'checkpoint')
    const text = await readFile(path, 'utf8')
    const content = JSON.parse(text.slice(text.indexOf('\n') + 1)) as Record<string, unknown[][]>
    const { aborted, ...rest } = content
    expect(aborted).toEqual([])
    const body = JSON.stringify({
      ...rest,
      producers: content.producers!.map((fields) => fields.slice(0, 5)),
    })
    const crc = crc32c(Buffer.from(body)).toString(16).padStart(8, '0')
    await writeFile(path, `streambus-checkpoint 1 ${crc} ${Buffer.byteLength(body)}\n${body}`)

    const again = await open(stores.folder)
    expect(await viewOf(again, log)).toEqual(before)
    expect(await readFile(path, 'utf8')).toMatch(new RegExp(`^streambus-checkpoint ${CHECKPOINT_VERSION} `))
    await appendOne(again, log, batch(1, 1, 'b'))
    expect((await again.state([log]))[0]).toMatchObject({ lastStableOffset: 1 })
  })
})
