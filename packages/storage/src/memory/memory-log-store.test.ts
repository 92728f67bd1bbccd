import { describe, expect, it } from 'vitest'
import { appendOne, batchOfSize, valuesOf } from '../testing/batches.ts'
import { describeLogStore } from '../testing/contract.ts'
import { MemoryLogStore } from './memory-log-store.ts'

describeLogStore('memory', { open: () => MemoryLogStore.open(), async cleanUp() {} })

describe('MemoryLogStore', () => {
  it('is full at maxBytes, and has room again when records or topics are gone', async () => {
    const store = await MemoryLogStore.open({ maxBytes: 1000 })
    const { id, logs } = await store.createTopic({ name: 'words', partitions: 1 })
    const log = logs[0]!
    await appendOne(store, log, batchOfSize(600, 'a'))
    const [full] = await store.append([{ logId: log, bytes: batchOfSize(600, 'b') }])
    expect(full?.error).toMatchObject({ code: 'DISK_FULL', inDoubt: false })
    expect((await valuesOf(store, log))[0]).toMatch(/^a/)
    await store.advanceStart(log, 1)
    expect((await appendOne(store, log, batchOfSize(600, 'c'))).baseOffset).toBe(1)
    await store.deleteTopic(id)
    const again = await store.createTopic({ name: 'words', partitions: 1 })
    expect((await appendOne(store, again.logs[0]!, batchOfSize(600, 'd'))).baseOffset).toBe(0)
    await store.close()
  })
})
