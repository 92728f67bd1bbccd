import { dirname, join } from 'node:path'
import { crc32c } from '@streambus/protocol'
import type { LogHead } from '../log-head.ts'
import { type LogId, type Offset, StorageError, type TopicId } from '../log-store.ts'
import type { ProducerEntry } from '../producer-table.ts'
import { StoreState } from '../store-state.ts'
import type { FileSystem } from './file-system.ts'

/**
 * The checkpoint: everything a store knows at one place in the log, so that a start replays only what follows.
 *
 * One file, `checkpoint`, replaced atomically: a first line `streambus-checkpoint VERSION CRC LENGTH`, with
 * the CRC-32C in hexadecimal and the length in bytes of what follows, then JSON. It is written when a log
 * file is full, when a segment counts, before a process removes its first file, and when the store closes. A folder
 * without one has no log to read, or is damaged.
 *
 * Version 1, which knew no transactions, is read all the same: it has no aborted ones, and of a producer
 * neither coordinator epoch nor open transaction. Version 2, which knew no segments, has none. They are replaced
 * before anything is written to the log, which an older release must not open again.
 */
export const CHECKPOINT_VERSION = 3
const NAME = 'checkpoint'

/** Where replay begins: after the group with this sequence and chain, which ends at this position. */
export interface LogPosition {
  readonly fileNumber: number
  readonly position: number
  readonly sequence: number
  readonly chain: number
}

export interface Checkpoint {
  readonly clusterId: string
  readonly end: LogPosition
  readonly nextLogId: number
  readonly nextProducerId: number
  readonly topics: readonly {
    readonly name: string
    readonly id: TopicId
    readonly logs: readonly LogId[]
    readonly configs: Readonly<Record<string, string>>
    readonly createdAtMs: number
  }[]
  /** log id, start offset, end offset, bytes, owner epoch */
  readonly logs: readonly (readonly [LogId, number, number, number, number])[]
  /**
   * log id, producer id, epoch, last timestamp, per batch first and last sequence and first and last offset,
   * and, from version 2 on, coordinator epoch and first offset of the open transaction (-1: none)
   */
  readonly producers: readonly (readonly [
    LogId,
    number,
    number,
    number,
    readonly number[],
    coordinatorEpoch?: number,
    transactionFirstOffset?: number,
  ])[]
  /**
   * From version 2 on: log id, and per aborted transaction producer id, first and last offset, and the last
   * stable offset when it had ended
   */
  readonly aborted?: readonly (readonly [LogId, readonly number[]])[]
  /** From version 3 on: the numbers of the segments that count, and the next one. */
  readonly segments?: readonly number[]
  readonly nextSegmentNumber?: number
  /** From version 3 on: log id and up to where it is compacted, of logs that are. */
  readonly cleaned?: readonly (readonly [LogId, Offset])[]
}

export interface FoundCheckpoint {
  readonly version: number
  readonly checkpoint: Checkpoint
}

/** Of a new folder. */
export function isFirst({ end }: Checkpoint): boolean {
  return end.sequence === 0
}

export function emptyCheckpoint(clusterId: string): Checkpoint {
  return {
    clusterId,
    end: { fileNumber: 1, position: 0, sequence: 0, chain: 0 },
    nextLogId: 1,
    nextProducerId: 1,
    topics: [],
    logs: [],
    producers: [],
  }
}

/**
 * A checkpoint of what is durable. `durableProducers` holds, for the producers whose batches are not all on
 * disk yet, what their logs knew of them before these batches.
 */
export function takeCheckpoint(
  clusterId: string,
  end: LogPosition,
  state: StoreState,
  durableProducers: ReadonlyMap<LogHead, ReadonlyMap<number, ProducerEntry | undefined>>,
): Checkpoint {
  const producers: Checkpoint['producers'][number][] = []
  const aborted: [LogId, number[]][] = []
  for (const log of state.logs.values()) {
    const abortedFields = log.transactions?.abortedFields() ?? []
    if (abortedFields.length > 0) aborted.push([log.id, abortedFields])
    const durable = durableProducers.get(log)
    for (const [producerId, newest] of log.producers.entries()) {
      const entry = durable?.has(producerId) ? durable.get(producerId) : newest
      if (entry === undefined) continue
      const window = entry.window.flatMap((batch) => [
        batch.firstSequence,
        batch.lastSequence,
        batch.baseOffset,
        batch.lastOffset,
      ])
      producers.push([
        log.id,
        producerId,
        entry.epoch,
        entry.lastTimestampMs,
        window,
        entry.coordinatorEpoch,
        entry.transactionFirstOffset ?? -1,
      ])
    }
  }
  return {
    clusterId,
    end,
    nextLogId: state.nextLogId,
    nextProducerId: state.nextProducerId,
    topics: [...state.topics.all()],
    logs: [...state.logs.values()].map((log) => [
      log.id,
      log.startOffset,
      log.highWatermark,
      log.sizeBytes,
      log.ownerEpoch,
    ]),
    producers,
    aborted,
    segments: [...state.segments],
    nextSegmentNumber: state.nextSegmentNumber,
    cleaned: [...state.logs.values()]
      .filter(({ cleanedTo }) => cleanedTo > 0)
      .map(({ id, cleanedTo }) => [id, cleanedTo]),
  }
}

export function restoreState(checkpoint: Checkpoint): StoreState {
  const state = new StoreState()
  for (const topic of checkpoint.topics) state.apply({ type: 'topic-created', ...topic })
  const producers = new Map<LogId, [number, ProducerEntry][]>()
  for (const [logId, producerId, ...fields] of checkpoint.producers) {
    const [epoch, lastTimestampMs, numbers, coordinatorEpoch = -1, firstOffset = -1] = fields
    const window: ProducerEntry['window'][number][] = []
    for (let at = 0; at < numbers.length; at += 4) {
      window.push({
        firstSequence: numbers[at]!,
        lastSequence: numbers[at + 1]!,
        baseOffset: numbers[at + 2]!,
        lastOffset: numbers[at + 3]!,
      })
    }
    const transactionFirstOffset = firstOffset < 0 ? null : firstOffset
    const entry = { epoch, window, lastTimestampMs, coordinatorEpoch, transactionFirstOffset }
    const ofLog = producers.get(logId)
    if (ofLog === undefined) producers.set(logId, [[producerId, entry]])
    else ofLog.push([producerId, entry])
  }
  const aborted = new Map(checkpoint.aborted)
  const cleaned = new Map(checkpoint.cleaned)
  for (const [logId, startOffset, endOffset, sizeBytes, ownerEpoch] of checkpoint.logs) {
    const log = state.logs.get(logId)
    if (log === undefined) throw new Error(`invariant: the checkpoint has log ${logId} without a topic`)
    const range = { startOffset, endOffset, sizeBytes, ownerEpoch, cleanedTo: cleaned.get(logId) ?? 0 }
    log.restore(range, producers.get(logId) ?? [], aborted.get(logId) ?? [])
  }
  state.nextLogId = checkpoint.nextLogId
  state.nextProducerId = checkpoint.nextProducerId
  for (const number of checkpoint.segments ?? []) state.segments.add(number)
  state.nextSegmentNumber = checkpoint.nextSegmentNumber ?? 1
  return state
}

export async function writeCheckpoint(
  fileSystem: FileSystem,
  folder: string,
  checkpoint: Checkpoint,
): Promise<void> {
  const body = Buffer.from(JSON.stringify(checkpoint))
  const crc = crc32c(body).toString(16).padStart(8, '0')
  const firstLine = Buffer.from(`streambus-checkpoint ${CHECKPOINT_VERSION} ${crc} ${body.byteLength}\n`)
  await fileSystem.replaceFile(join(folder, NAME), Buffer.concat([firstLine, body]))
}

/** Null when the folder has none. */
export async function readCheckpoint(
  fileSystem: FileSystem,
  folder: string,
): Promise<FoundCheckpoint | null> {
  const path = join(folder, NAME)
  const content = await fileSystem.readFile(path)
  if (content === null) return null
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  const lineEnd = bytes.indexOf('\n')
  const fields = /^streambus-checkpoint (\d+) ([0-9a-f]{8}) (\d+)$/.exec(
    bytes.subarray(0, Math.max(0, lineEnd)).toString('latin1'),
  )
  if (fields === null) throw damaged(path, 'its first line is not that of a checkpoint')
  const version = Number(fields[1])
  if (version > CHECKPOINT_VERSION) {
    throw new StorageError(
      'DATA_NEWER_FORMAT',
      `${path} has format version ${version}, and this release reads up to ${CHECKPOINT_VERSION}: start it with the newer release that wrote it`,
    )
  }
  const body = bytes.subarray(lineEnd + 1)
  if (body.byteLength !== Number(fields[3]) || crc32c(body) !== Number.parseInt(fields[2]!, 16)) {
    throw damaged(path, 'its content does not match its checksum')
  }
  return { version, checkpoint: JSON.parse(body.toString('utf8')) as Checkpoint }
}

function damaged(path: string, fault: string): StorageError {
  return new StorageError(
    'DATA_DAMAGED',
    `${path} is damaged (${fault}): restore the data folder from a backup; \`streambus log check ${dirname(path)}\` says whether another way is left`,
  )
}
