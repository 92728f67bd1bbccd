import { batchHeader, ErrorCode, encodeRecordBatch } from '@streambus/protocol'
import type { AppendBatch } from '@streambus/storage'
import { expect, test } from 'vitest'
import { TopicSettingsTable } from '../settings/topic-settings.ts'
import { Recompression } from './recompression.ts'

const table = new TopicSettingsTable(16 * 1024 ** 2)
const toGzip = table.of({ id: 't', name: 't', logs: [], configs: { 'compression.type': 'gzip' } } as never)

const LOG = 7 as AppendBatch['logId']
const OTHER_LOG = 8 as AppendBatch['logId']

function queue(maxWaitingBytes = 2 ** 30) {
  const recompression = new Recompression(maxWaitingBytes)
  const appended: AppendBatch[] = []
  const append = (batch: AppendBatch) => {
    appended.push(batch)
    const baseOffset = appended.length - 1
    return Promise.resolve([{ error: null, baseOffset, logStartOffset: 0, duplicate: false }])
  }
  const add = (logId: AppendBatch['logId'], value: string, recompressedBy: typeof toGzip | null = toGzip) =>
    recompression.add({
      batch: { logId, bytes: encodeRecordBatch([{ value, timestamp: 1 }]) },
      recompressedBy,
      arrivedAtMs: Date.now(),
      append,
    })
  return { recompression, appended, add }
}

test('batches are appended in the order in which they came, also those that only wait', async () => {
  const { recompression, appended, add } = queue()
  const large = 'x'.repeat(300_000)
  const results = [add(LOG, large), add(LOG, 'small', null), add(OTHER_LOG, 'b'), add(LOG, large)]
  // Nothing is appended in the turn of the caller, who may have batches of the same log to append before.
  expect(appended).toEqual([])
  expect(recompression.holds(LOG)).toBe(true)
  expect(recompression.holds(OTHER_LOG)).toBe(true)
  expect(await Promise.all(results)).toMatchObject([0, 1, 2, 3].map((baseOffset) => ({ baseOffset })))
  expect(appended.map(({ logId }) => logId)).toEqual([LOG, LOG, OTHER_LOG, LOG])
  expect(appended.map(({ bytes }) => batchHeader.codec(bytes, 0))).toEqual([1, 0, 1, 1])
  await expect.poll(() => recompression.holds(LOG) || recompression.holds(OTHER_LOG)).toBe(false)
})

test('the next batch does not wait until the one before is durable', async () => {
  const recompression = new Recompression(2 ** 20)
  let calls = 0
  const never = new Promise<never>(() => undefined)
  const append = () => {
    calls++
    return never
  }
  const bytes = encodeRecordBatch([{ value: 'a', timestamp: 1 }])
  for (let at = 0; at < 3; at++) {
    void recompression.add({ batch: { logId: LOG, bytes }, recompressedBy: toGzip, arrivedAtMs: 1, append })
  }
  await expect.poll(() => calls).toBe(3)
})

test('so many bytes may wait; what is above is refused, and those that wait are not', async () => {
  const { appended, add } = queue(150)
  const [first, second, third] = [add(LOG, 'a'), add(LOG, 'b'), add(LOG, 'c')]
  expect(await third).toMatchObject({
    error: {
      errorCode: ErrorCode.KAFKA_STORAGE_ERROR,
      errorMessage: expect.stringMatching(/^\d+ bytes of batches wait for being compressed already\.$/),
    },
  })
  expect([await first, await second]).toMatchObject([{ error: null }, { error: null }])
  expect(await add(LOG, 'd')).toMatchObject({ error: null, baseOffset: 2 })
  expect(appended).toHaveLength(3)
})

test('a batch that fails holds nobody up', async () => {
  const { appended, add } = queue()
  const recompressedBy = { ...toGzip, compression: { codec: 9, level: undefined } }
  const broken = add(LOG, 'a', recompressedBy)
  const next = add(LOG, 'b')
  await expect(broken).rejects.toMatchObject({ code: 'UNKNOWN_CODEC' })
  expect(await next).toMatchObject({ error: null })
  expect(appended).toHaveLength(1)
})

test('closing refuses what waits and what comes', async () => {
  const { recompression, appended, add } = queue()
  const waiting = [add(LOG, 'x'.repeat(300_000)), add(LOG, 'b'), add(LOG, 'c', null)]
  await recompression.close()
  for (const result of [...waiting, add(LOG, 'd')]) {
    expect(await result).toMatchObject({ error: { code: 'CLOSED' } })
  }
  expect(appended).toEqual([])
  expect(recompression.holds(LOG)).toBe(false)
})
