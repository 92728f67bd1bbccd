/** Reading one of 100 partitions from the disk, before its files are merged and after. */
import type { LocalLogStore, LogId } from '@streambus/storage'
import { fill, keyedBatches, lasting, MB, MeasuredStore, maintainAll } from './store.ts'

const PARTITIONS = 100
const TOTAL_BYTES = 4_400 * MB
const READ_BYTES = 1024 ** 2
const SCANNED = 10

export interface ScanFigures {
  readonly beforeMbPerSecond: number
  readonly afterMbPerSecond: number
  readonly mergeMbPerSecond: number
}

export async function measureColdScan(): Promise<ScanFigures> {
  await using measured = new MeasuredStore('cold-scan')
  let store = await measured.open()
  const { logs } = await store.createTopic({ name: 't', partitions: PARTITIONS })
  const batchAt = keyedBatches({ keys: 1_000, valueBytes: 1_000, recordsPerBatch: 16, batches: 100 })
  const bytes = await fill(store, logs, batchAt, TOTAL_BYTES)
  store = await measured.reopen()
  const beforeMbPerSecond = await scan(store, logs)
  const startedMs = performance.now()
  await maintainAll(store, lasting)
  const mergeMbPerSecond = bytes / MB / ((performance.now() - startedMs) / 1_000)
  store = await measured.reopen()
  return { beforeMbPerSecond, afterMbPerSecond: await scan(store, logs), mergeMbPerSecond }
}

/** Of some partitions one after the other, without the part that is in the file being written. */
async function scan(store: LocalLogStore, logs: readonly LogId[]): Promise<number> {
  const target = new Uint8Array(READ_BYTES)
  let bytes = 0
  const startedMs = performance.now()
  for (let index = 0; index < SCANNED; index++) {
    const logId = logs[Math.floor((index * PARTITIONS) / SCANNED)]!
    const [state] = await store.state([logId])
    // Batches have 16 records each.
    for (let offset = 0; offset < state!.highWatermark * 0.9; ) {
      const [result] = await store.read([{ logId, offset, maxBytes: READ_BYTES }], { maxBytes: READ_BYTES })
      if (result!.error !== null) throw result!.error
      const { records } = result!
      offset += Math.round(records.byteLength / (state!.sizeBytes / state!.highWatermark))
      for (let filled = 0; filled < records.byteLength; ) {
        const count = await records.readInto(target)
        filled += count
        bytes += count
      }
      records.close()
    }
  }
  return bytes / MB / ((performance.now() - startedMs) / 1_000)
}
