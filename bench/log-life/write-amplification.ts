/**
 * Days of so many partitions whose records stay for seven, on a simulated clock: bytes written for each byte of a batch,
 * bytes on the disk for each live one, and bytes read for each byte wanted by who reads one partition from its start. The
 * day is small, and the files with it: what counts is how many files a day fills.
 */

import { batchesIn, encodeRecordBatch } from '@streambus/protocol'
import type { KeepingPolicy, LogId } from '@streambus/storage'
import { countingFileSystem } from './counting-file-system.ts'
import { lasting, MeasuredStore, maintainAll } from './store.ts'

const DAYS = 10
const DAY_MS = 86_400_000
const RETENTION_DAYS = 7
/** A day fills 16 log files, as 4 GB a day would with files of the usual size. */
const FILE_BYTES = 8 * 1024 ** 2
const DAY_BYTES = 16 * FILE_BYTES
const READ_BYTES = 1024 ** 2

export interface Load {
  readonly partitions: number
  readonly batchBytes: number
}

export interface AmplificationFigures {
  readonly writeAmplification: number
  readonly spaceAmplification: number
  readonly readAmplification: number
}

export async function measureAmplification(load: Load): Promise<AmplificationFigures> {
  const stepsPerDay = Math.min(48, Math.floor(DAY_BYTES / load.partitions / load.batchBytes))
  let nowMs = 1_700_000_000_000
  const counted = countingFileSystem()
  await using measured = new MeasuredStore('amplification', {
    fileBytes: FILE_BYTES,
    clock: () => nowMs,
    fileSystem: counted.fileSystem,
  })
  const store = await measured.open()
  const { logs } = await store.createTopic({ name: 't', partitions: load.partitions })
  const policyOf = (): KeepingPolicy => ({ ...lasting(), retentionMs: RETENTION_DAYS * DAY_MS })
  const value = Buffer.alloc(load.batchBytes - 80, 'v')
  /** Per step: where the logs ended. */
  const ends: { readonly atMs: number; readonly offset: number }[] = []
  let batchBytes = 0
  let records = 0
  for (let step = 0; step < DAYS * stepsPerDay; step++) {
    nowMs += DAY_MS / stepsPerDay
    const perLog = Math.round(DAY_BYTES / stepsPerDay / load.partitions / load.batchBytes)
    for (let batch = 0; batch < perLog; batch++) {
      const bytes = encodeRecordBatch([{ value, timestamp: nowMs }], {})
      batchBytes += bytes.byteLength * load.partitions
      await store.append(logs.map((logId) => ({ logId, bytes })))
      records++
    }
    ends.push({ atMs: nowMs, offset: records })
    await cut(store, logs, ends, nowMs)
    await maintainAll(store, policyOf)
  }
  const live = (await store.state(logs)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  await store.maintain({ maxBytes: 0 })
  const again = await measured.reopen()
  const readBefore = counted.readBytes()
  const wanted = await scan(again, logs[Math.floor(logs.length / 2)]!)
  return {
    readAmplification: (counted.readBytes() - readBefore) / wanted,
    writeAmplification: counted.writtenBytes() / batchBytes,
    spaceAmplification: (await counted.bytesIn(`${measured.dataDir}/log`)) / live,
  }
}

async function cut(
  store: MeasuredStore['store'],
  logs: readonly LogId[],
  ends: { readonly atMs: number; readonly offset: number }[],
  nowMs: number,
): Promise<void> {
  const expired = ends.findLast(({ atMs }) => atMs < nowMs - RETENTION_DAYS * DAY_MS)
  if (expired === undefined) return
  await Promise.all(logs.map((logId) => store.advanceStart(logId, expired.offset)))
}

/** Reads a partition from its start, without its last eighth, which may be in the file being written. */
async function scan(store: MeasuredStore['store'], logId: LogId): Promise<number> {
  const [state] = await store.state([logId])
  const { logStartOffset, highWatermark } = state!
  const end = highWatermark - (highWatermark - logStartOffset) / 8
  let bytes = 0
  for (let offset = logStartOffset; offset < end; ) {
    const [result] = await store.read([{ logId, offset, maxBytes: READ_BYTES }], { maxBytes: READ_BYTES })
    if (result!.error !== null) throw result!.error
    const { records } = result!
    const target = new Uint8Array(records.byteLength)
    for (let filled = 0; filled < target.byteLength; )
      filled += await records.readInto(target.subarray(filled))
    // A batch has one record.
    for (const _ of batchesIn(target)) offset++
    bytes += target.byteLength
    records.close()
  }
  return bytes
}
