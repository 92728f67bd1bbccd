import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { appendOne, batchOf } from '../testing/batches.ts'
import { makeDataFolder, removeDataFolder } from '../testing/data-folder.ts'
import { LocalLogStore } from './local-log-store.ts'

describe('group commit', () => {
  let folder: string
  let store: LocalLogStore

  beforeEach(async () => {
    folder = await makeDataFolder()
    store = await LocalLogStore.open({ dataDir: folder })
  })

  afterEach(async () => {
    await store.close()
    await removeDataFolder(folder)
  })

  /** Waits until a flush that was due has come and gone. */
  async function flushed(): Promise<void> {
    await nextTurn()
    await nextTurn()
  }

  it('goes on after a turn that brought only a batch to refuse', async () => {
    const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
    await appendOne(store, log, batchOf(['a'], { producerId: 7, producerEpoch: 0, baseSequence: 0 }))
    const gap = batchOf(['c'], { producerId: 7, producerEpoch: 0, baseSequence: 2 })
    const [refused] = await store.append([{ logId: log, bytes: gap }])
    await flushed()
    const next = await appendOne(store, log, batchOf(['b']))

    expect(refused?.error?.code).toBe('OUT_OF_ORDER_SEQUENCE')
    expect(next.baseOffset).toBe(1)
  })

  it('goes on after a restart and a turn that brought only a batch to answer again', async () => {
    const log = (await store.createTopic({ name: 'words', partitions: 1 })).logs[0]!
    const first = batchOf(['a'], { producerId: 7, producerEpoch: 0, baseSequence: 0 })
    await appendOne(store, log, first)
    await store.close()
    store = await LocalLogStore.open({ dataDir: folder })
    const again = await appendOne(store, log, first)
    await flushed()
    const next = await appendOne(store, log, batchOf(['b']))

    expect(again).toMatchObject({ baseOffset: 0, duplicate: true })
    expect(next.baseOffset).toBe(1)
  })

  it('writes what is claimed at once in one go', async () => {
    await store.close()
    store = await LocalLogStore.open({ dataDir: folder, prepareFiles: 'never' })
    const { logs } = await store.createTopic({ name: 'words', partitions: 100 })
    const path = join(folder, 'log', '00000000000000000001.log')
    const { size: before } = await stat(path)
    const owners = await Promise.all(logs.map((log) => store.claim(log)))
    const { size: after } = await stat(path)

    expect(owners).toHaveLength(100)
    // A hundred groups would be 400 KiB.
    expect(after - before).toBeLessThan(32 * 1024)
  })
})
