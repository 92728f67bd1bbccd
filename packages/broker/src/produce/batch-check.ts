import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  batchCrc,
  batchHeader,
  checkRecords,
  ErrorCode,
  ProtocolError,
} from '@streambus/protocol'
import type { TopicSettings } from '../settings/topic-settings.ts'
import { setMaxTimestamp } from './max-timestamp.ts'

/** Why a batch is not taken. */
export interface BatchRefusal {
  readonly errorCode: number
  readonly errorMessage: string
  /** The record that is at fault, where it is one. */
  readonly recordIndex?: number
}

const MAX_CODEC = 4
const ZSTD = 4
/** First version of Produce whose senders expect a broker to know zstd (KIP-110). */
const ZSTD_SINCE_PRODUCE_VERSION = 7
const NO_PRODUCER_ID = -1
const NO_TIMESTAMP = -1

/**
 * Judges what a producer sent for one partition: exactly one batch of format 2, undamaged and consistent,
 * within the topic's limits. Undefined when it may be appended.
 *
 * Uncompressed records are walked. Compressed ones are not decompressed: their CRC shows that they are what
 * the producer sent, the counts in the header must be consistent, and the timestamps in the header are taken
 * as they are. Only for a compacted topic they are, because each record needs a key.
 */
export function refuseBatch(
  bytes: Uint8Array | null,
  produceVersion: number,
  settings: TopicSettings,
  nowMs: number,
): BatchRefusal | undefined {
  if (bytes === null || bytes.byteLength < BATCH_HEADER_BYTES) {
    return refusal(ErrorCode.INVALID_RECORD, 'There is no record batch for this partition.')
  }
  const magic = batchHeader.magic(bytes, 0)
  if (magic !== BATCH_MAGIC) {
    return refusal(ErrorCode.INVALID_RECORD, `Record format ${magic} is not served, only format 2.`)
  }
  const batchBytes = batchHeader.byteLength(bytes, 0)
  if (batchBytes !== bytes.byteLength) {
    return refusal(
      ErrorCode.INVALID_RECORD,
      `Each partition takes one whole batch per request: the batch has ${batchBytes} bytes, ${bytes.byteLength} were sent.`,
    )
  }
  if (batchHeader.baseOffset(bytes, 0) !== 0) {
    return refusal(ErrorCode.INVALID_RECORD, 'The base offset of a batch that is produced must be 0.')
  }
  if (batchBytes > settings.maxMessageBytes) {
    return refusal(
      ErrorCode.MESSAGE_TOO_LARGE,
      `The batch has ${batchBytes} bytes, the topic's max.message.bytes allows ${settings.maxMessageBytes}.`,
    )
  }
  if (batchBytes > settings.segmentBytes) {
    return refusal(
      ErrorCode.RECORD_LIST_TOO_LARGE,
      `The batch has ${batchBytes} bytes, the topic's segment.bytes allows ${settings.segmentBytes}.`,
    )
  }
  if (batchCrc(bytes, 0, batchBytes) !== batchHeader.crc(bytes, 0)) {
    return refusal(ErrorCode.CORRUPT_MESSAGE, 'The CRC of the batch does not match its content.')
  }
  return refuseHeader(bytes, produceVersion) ?? refuseRecords(bytes, settings, nowMs)
}

function refuseHeader(bytes: Uint8Array, produceVersion: number): BatchRefusal | undefined {
  const count = batchHeader.recordCount(bytes, 0)
  const lastOffsetDelta = batchHeader.lastOffsetDelta(bytes, 0)
  if (count <= 0 || count !== lastOffsetDelta + 1) {
    return refusal(
      ErrorCode.INVALID_RECORD,
      `The batch claims ${count} records and a last offset delta of ${lastOffsetDelta}: it must be the count less 1.`,
    )
  }
  const codec = batchHeader.codec(bytes, 0)
  if (codec > MAX_CODEC || (codec === ZSTD && produceVersion < ZSTD_SINCE_PRODUCE_VERSION)) {
    return refusal(
      ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
      codec === ZSTD
        ? `zstd needs Produce version ${ZSTD_SINCE_PRODUCE_VERSION} or later.`
        : `There is no compression type ${codec}.`,
    )
  }
  if (batchHeader.isControl(bytes, 0)) {
    return refusal(ErrorCode.INVALID_RECORD, 'Producers cannot write control batches.')
  }
  if (batchHeader.isLogAppendTime(bytes, 0)) {
    return refusal(ErrorCode.INVALID_TIMESTAMP, 'Only the broker may set the timestamp type LogAppendTime.')
  }
  const producerId = batchHeader.producerId(bytes, 0)
  if (producerId === NO_PRODUCER_ID) {
    if (batchHeader.isTransactional(bytes, 0)) {
      return refusal(ErrorCode.INVALID_RECORD, 'A transactional batch needs a producer id.')
    }
  } else {
    if (producerId < 0 || batchHeader.producerEpoch(bytes, 0) < 0 || batchHeader.baseSequence(bytes, 0) < 0) {
      return refusal(
        ErrorCode.INVALID_RECORD,
        'A batch with a producer id needs an epoch and a sequence number that are not negative.',
      )
    }
  }
  return undefined
}

function refuseRecords(bytes: Uint8Array, settings: TopicSettings, nowMs: number): BatchRefusal | undefined {
  if (batchHeader.codec(bytes, 0) === 0 || settings.isCompacted) {
    let maxTimestampMs: number
    let firstNullKeyIndex: number
    try {
      const found = checkRecords(bytes, 0, bytes.byteLength)
      maxTimestampMs = found.maxTimestamp
      firstNullKeyIndex = found.firstNullKeyIndex
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return refusal(ErrorCode.INVALID_RECORD, `The records of the batch are malformed: ${error.message}.`)
    }
    if (settings.isCompacted && firstNullKeyIndex >= 0) {
      const errorMessage = `Record ${firstNullKeyIndex} of the batch has no key, which a compacted topic needs.`
      return { errorCode: ErrorCode.INVALID_RECORD, errorMessage, recordIndex: firstNullKeyIndex }
    }
    // Searches by time rely on the header. A producer that left it wrong is put right, as Kafka does.
    if (maxTimestampMs !== batchHeader.maxTimestamp(bytes, 0)) setMaxTimestamp(bytes, maxTimestampMs)
  }
  if (settings.logAppendTime) return undefined
  return (
    refuseTimestamp(batchHeader.maxTimestamp(bytes, 0), settings, nowMs) ??
    refuseTimestamp(batchHeader.baseTimestamp(bytes, 0), settings, nowMs)
  )
}

function refuseTimestamp(
  timestampMs: number,
  settings: TopicSettings,
  nowMs: number,
): BatchRefusal | undefined {
  if (timestampMs === NO_TIMESTAMP) return undefined
  const aheadMs = timestampMs - nowMs
  if (aheadMs > settings.timestampAfterMaxMs) {
    return refusal(
      ErrorCode.INVALID_TIMESTAMP,
      `A record is ${aheadMs} ms ahead of the broker's clock, message.timestamp.after.max.ms allows ${settings.timestampAfterMaxMs}.`,
    )
  }
  if (-aheadMs > settings.timestampBeforeMaxMs) {
    return refusal(
      ErrorCode.INVALID_TIMESTAMP,
      `A record is ${-aheadMs} ms behind the broker's clock, message.timestamp.before.max.ms allows ${settings.timestampBeforeMaxMs}.`,
    )
  }
  return undefined
}

function refusal(errorCode: number, errorMessage: string): BatchRefusal {
  return { errorCode, errorMessage }
}
