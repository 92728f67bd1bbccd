import { describe, expect, it } from 'vitest'
import { DiskAccess } from './disk-access.ts'
import { FileIndex } from './file-index.ts'
import { BATCH_FIELDS, directoryLength, encodeIndex, type IndexedLog } from './index-file.ts'
import { IndexParts } from './index-parts.ts'
import type { LogFile } from './log-files.ts'

/** Every third id, with 1 to 5 batches each, and in between one with more batches than a part has. */
const LOGS: readonly IndexedLog[] = Array.from({ length: 1500 }, (_, at) => {
  const count = at % 400 === 399 ? 700 : 1 + (at % 5)
  const batches = Array.from({ length: count * BATCH_FIELDS }, (_, field) => at * 10_000 + field)
  const sizeBytes = at + 1
  return {
    logId: 3 * at,
    firstOffset: batches[0]!,
    endOffset: at * 10_000 + 9_999,
    maxTimestampMs: 5,
    sizeBytes,
    batches,
  }
})
const FILE_NUMBER = 7

function indexOf(bytes: Uint8Array, isOnDisk: boolean, maxBytes = 40_000) {
  const file = {
    indexPath: '1.index',
    readIndex: async (target: Uint8Array, position: number) => {
      const part = bytes.subarray(position, position + target.byteLength)
      target.set(part)
      return part.byteLength
    },
  } as Partial<LogFile> as LogFile
  const parts = new IndexParts(maxBytes, new DiskAccess())
  const directory = bytes.slice(0, directoryLength(bytes)!)
  return new FileIndex(file, directory, isOnDisk ? null : bytes, parts)
}

describe('the index of a file', () => {
  for (const isOnDisk of [true, false]) {
    it(`has the batches of every log, ${isOnDisk ? 'on disk' : 'while it is in memory'}`, async () => {
      const index = indexOf(encodeIndex(FILE_NUMBER, LOGS), isOnDisk)
      expect(index.logCount).toBe(LOGS.length)
      for (const { batches, ...log } of LOGS) {
        const entry = await index.entryOf(log.logId)
        expect(entry).toMatchObject(log)
        expect([...(await index.batchesOf(entry))]).toEqual(batches)
      }
      const logIds: number[] = []
      for await (const entries of index.entries()) logIds.push(...entries.map(({ logId }) => logId))
      expect(logIds).toEqual(LOGS.map(({ logId }) => logId))
    })
  }

  it('does not take what is damaged for what it had', async () => {
    const bytes = encodeIndex(FILE_NUMBER, LOGS)
    const index = indexOf(bytes, true)
    const entries = await Promise.all([2, 399, 1400].map((at) => index.entryOf(3 * at)))
    for (const { position } of entries) {
      bytes[position + 3]! ^= 1
    }
    const fresh = indexOf(bytes, true)
    for (const entry of entries) {
      await expect(fresh.batchesOf(entry)).rejects.toMatchObject({
        code: 'READ_FAILED',
        message: expect.stringContaining(`1.index is damaged at byte ${entry.position}: `),
      })
    }
    bytes[directoryLength(bytes)! - 1]! ^= 1
    await expect(fresh.entryOf(3 * 1499)).rejects.toMatchObject({ code: 'READ_FAILED' })
    expect((await fresh.entryOf(0)).logId).toBe(0)
  })
})
