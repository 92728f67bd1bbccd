import {
  type BatchRecords,
  batchEndOffset,
  batchesIn,
  batchHeader,
  decodeRecords,
  encodeRecordBatch,
  readControlRecord,
} from '@streambus/protocol'
import { type LogId, type LogStore, type Offset, StorageError } from '@streambus/storage'
import { endMarker } from './end-marker.ts'

/**
 * One partition of an internal log, owned by a coordinator.
 *
 * Opening it takes the log over, so that no earlier owner can write to it any more, and replays it to its end.
 * From then on state changes in two steps: `append` makes records durable, and then the coordinator applies
 * them with the very function that a replay applies them with.
 */

/** A value of null is a tombstone: the key has no state any more. */
export interface CoordinatorRecord {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

/** A producer whose transaction a batch belongs to, or ends. */
export interface Transactional {
  readonly producerId: number
  readonly producerEpoch: number
}

/** Where a replay goes: whole batches, in order. Keys and values are valid during the call only: their memory is reused. */
export interface Replay {
  /** With `transactional` the records count only when the marker of that producer says so. */
  records(records: Iterable<ReplayedRecord>, transactional: Transactional | null): void
  marker(transactional: Transactional, committed: boolean): void
}

export interface ReplayedRecord extends CoordinatorRecord {
  readonly offset: Offset
}

export interface CoordinatorLogOptions {
  readonly store: LogStore
  readonly logId: LogId
  /** Milliseconds since the Unix epoch: the time of the records. */
  readonly nowMs: () => number
}

/** Read at once in a replay; a batch that is larger is read whole all the same. */
const REPLAY_READ_BYTES = 4 * 1024 * 1024

export class CoordinatorLog {
  readonly logId: LogId
  /** Grows with every owner. */
  readonly ownerEpoch: number
  readonly #store: LogStore
  readonly #nowMs: () => number

  private constructor({ store, logId, nowMs }: CoordinatorLogOptions, ownerEpoch: number) {
    this.logId = logId
    this.ownerEpoch = ownerEpoch
    this.#store = store
    this.#nowMs = nowMs
  }

  /** Throws StorageError; ProtocolError where the log holds what no coordinator wrote. */
  static async open(options: CoordinatorLogOptions, replay: Replay): Promise<CoordinatorLog> {
    const { epoch, endOffset } = await options.store.claim(options.logId)
    await replayTo(endOffset, options, replay)
    return new CoordinatorLog(options, epoch)
  }

  /** Resolves with the first record's offset when all are durable. Throws StorageError, and nothing changed. */
  append(records: readonly CoordinatorRecord[], transactional?: Transactional): Promise<Offset> {
    const timestamp = this.#nowMs()
    return this.#append(
      encodeRecordBatch(
        records.map(({ key, value }) => ({ key, value, timestamp })),
        transactional === undefined ? {} : { ...transactional, transactional: true },
      ),
    )
  }

  /** Ends the producer's transaction in this log. */
  appendMarker(
    { producerId, producerEpoch }: Transactional,
    committed: boolean,
    coordinatorEpoch: number,
  ): Promise<Offset> {
    const timestampMs = this.#nowMs()
    return this.#append(endMarker({ producerId, producerEpoch, committed, coordinatorEpoch, timestampMs }))
  }

  async #append(bytes: Uint8Array): Promise<Offset> {
    const [result] = await this.#store.append([{ logId: this.logId, bytes, ownerEpoch: this.ownerEpoch }])
    if (result!.error !== null) throw result!.error
    return result!.baseOffset
  }
}

async function replayTo(
  endOffset: Offset,
  { store, logId }: CoordinatorLogOptions,
  replay: Replay,
): Promise<void> {
  const [state] = await store.state([logId])
  if (state === undefined) throw new StorageError('UNKNOWN_LOG', `log ${logId} does not exist`)
  // No Buffer: keys and values are views of it, and those of a Buffer take several times as long to make.
  let buffer = new Uint8Array(64 * 1024)
  for (let offset = state.logStartOffset; offset < endOffset; ) {
    const [result] = await store.read([{ logId, offset, maxBytes: REPLAY_READ_BYTES }], {
      maxBytes: REPLAY_READ_BYTES,
    })
    if (result!.error !== null) throw result!.error
    const { records } = result!
    try {
      const { byteLength } = records
      if (byteLength === 0) {
        throw new StorageError('READ_FAILED', `log ${logId} gave nothing at ${offset}, before ${endOffset}`)
      }
      if (buffer.byteLength < byteLength) buffer = new Uint8Array(byteLength)
      for (let filled = 0; filled < byteLength; ) {
        const piece = await records.readInto(buffer.subarray(filled, byteLength))
        if (piece === 0) throw new StorageError('READ_FAILED', `log ${logId} ended early at ${offset}`)
        filled += piece
      }
      offset = replayBatches(buffer.subarray(0, byteLength), offset, replay)
    } finally {
      records.close()
    }
  }
}

/** Returns the offset after the last batch. */
function replayBatches(bytes: Uint8Array, startOffset: Offset, replay: Replay): Offset {
  let offset = startOffset
  for (const { position, byteLength } of batchesIn(bytes)) {
    const batch = bytes.subarray(position, position + byteLength)
    const records = decodeRecords(batch, { verifyCrc: true })
    const { producerId, baseOffset } = records
    const producer = { producerId, producerEpoch: batchHeader.producerEpoch(batch, 0) }
    if (records.isControl) {
      for (const record of records) {
        const marker = readControlRecord(record)
        if (marker !== null) replay.marker(producer, marker.type === 'commit')
      }
    } else {
      const from = Math.max(baseOffset, startOffset)
      replay.records(recordsFrom(records, from), records.isTransactional ? producer : null)
    }
    offset = batchEndOffset(batch, 0)
  }
  return offset
}

/** A batch may begin before the offset that was asked for: what was cut off stays cut off. */
function* recordsFrom(records: BatchRecords, startOffset: Offset): Generator<ReplayedRecord> {
  for (const { offset: position, key, value } of records) {
    const offset = Number(position)
    if (key !== null && offset >= startOffset) yield { offset, key, value }
  }
}
