import {
  batchHeader,
  type CompressionName,
  type ControlMarker,
  compressionNames,
  decodeRecords,
  ProtocolError,
  type Record,
  readControlRecord,
} from '@streambus/protocol'
import { deleteHorizonMsOf } from '../compaction/delete-horizon.ts'
import type { LogId, Offset } from '../log-store.ts'
import { sequenceAfter } from '../producer-batch.ts'
import { loadCodecOf } from './batch-check.ts'

/** A record batch as it lies in a file. Times in milliseconds since the Unix epoch. */
export interface DumpedBatch {
  readonly type: 'batch'
  readonly file: string
  /** In bytes from the start of the file. */
  readonly position: number
  readonly sizeBytes: number
  readonly logId: LogId
  /** Null where the topic was deleted and nothing says its name any more. */
  readonly topic: string | null
  readonly partition: number | null
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly count: number
  readonly leaderEpoch: number
  /** -1 where there is none; so are epoch and sequences. */
  readonly producerId: number
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly lastSequence: number
  readonly isTransactional: boolean
  /** Of a control batch, what it marks; null for records. */
  readonly control: ControlMarker['type'] | 'unknown' | null
  /** From when on its tombstones may go; null where compaction has seen none. */
  readonly deleteHorizonMs: number | null
  /** Null for a codec there is not. */
  readonly compression: CompressionName | null
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly maxTimestampMs: number
  readonly crc: number
  readonly crcIsValid: boolean
  /** What else is wrong with it, or why its records cannot be read. */
  readonly fault: string | null
  /** Where they were asked for, and can be read. */
  readonly records: readonly DumpedRecord[] | null
}

export interface DumpedRecord {
  readonly offset: Offset
  readonly timestampMs: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[]
}

export interface BatchPlace {
  readonly file: string
  readonly position: number
  readonly logId: LogId
  readonly topic: string | null
  readonly partition: number | null
}

/** Describes the batch that `bytes` are. Key, value and headers of its records are views of them, or of a copy. */
export async function describeBatch(
  bytes: Uint8Array,
  place: BatchPlace,
  crcIsValid: boolean,
  givenFault: string | null,
  withRecords: boolean,
): Promise<DumpedBatch> {
  const baseOffset = batchHeader.baseOffset(bytes, 0)
  const lastDelta = batchHeader.lastOffsetDelta(bytes, 0)
  const baseSequence = batchHeader.baseSequence(bytes, 0)
  const isControl = batchHeader.isControl(bytes, 0)
  let fault = givenFault
  let found: Record[] = []
  if (crcIsValid && (withRecords || isControl)) {
    try {
      await loadCodecOf(bytes, 0)
      found = [...decodeRecords(bytes)]
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      fault ??= `its records cannot be read: ${error.message}`
    }
  }
  return {
    type: 'batch',
    ...place,
    sizeBytes: bytes.byteLength,
    baseOffset,
    lastOffset: baseOffset + lastDelta,
    count: batchHeader.recordCount(bytes, 0),
    leaderEpoch: batchHeader.partitionLeaderEpoch(bytes, 0),
    producerId: batchHeader.producerId(bytes, 0),
    producerEpoch: batchHeader.producerEpoch(bytes, 0),
    baseSequence,
    lastSequence: baseSequence < 0 ? baseSequence : sequenceAfter(baseSequence, lastDelta),
    isTransactional: batchHeader.isTransactional(bytes, 0),
    control: isControl ? markerIn(found) : null,
    deleteHorizonMs: deleteHorizonMsOf(bytes),
    compression: compressionNames[batchHeader.codec(bytes, 0)] ?? null,
    timestampType: batchHeader.isLogAppendTime(bytes, 0) ? 'LogAppendTime' : 'CreateTime',
    maxTimestampMs: batchHeader.maxTimestamp(bytes, 0),
    crc: batchHeader.crc(bytes, 0),
    crcIsValid,
    fault,
    records: withRecords && crcIsValid ? found.map(describeRecord) : null,
  }
}

function describeRecord({ offset, timestamp, key, value, headers }: Record): DumpedRecord {
  return { offset: Number(offset), timestampMs: Number(timestamp), key, value, headers }
}

function markerIn(records: readonly Record[]): ControlMarker['type'] | 'unknown' {
  const [record] = records
  if (record === undefined) return 'unknown'
  try {
    return readControlRecord(record)?.type ?? 'unknown'
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return 'unknown'
  }
}
