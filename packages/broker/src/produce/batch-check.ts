import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  batchCrc,
  batchHeader,
  type CheckedRecords,
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

/**
 * What the records of one batch may take when they are decompressed: a batch of Kafka's default size may so have
 * been compressed to a 64th.
 */
export const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024

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
 * as they are. Only for a compacted topic they are, because each record needs a key. The records of a batch that
 * is stored in another codec are judged when that is done: see `isRecompressed`.
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
  const tooLarge = refuseSize(batchBytes, settings)
  if (tooLarge !== undefined) return tooLarge
  if (batchCrc(bytes, 0, batchBytes) !== batchHeader.crc(bytes, 0)) {
    return refusal(ErrorCode.CORRUPT_MESSAGE, 'The CRC of the batch does not match its content.')
  }
  const refused = refuseHeader(bytes, produceVersion)
  if (refused !== undefined || isRecompressed(bytes, settings)) return refused
  return refuseRecords(bytes, settings, nowMs)
}

/** Whether the topic stores the batch in another codec than it was sent in. */
export function isRecompressed(bytes: Uint8Array, { compression }: TopicSettings): boolean {
  return compression !== null && compression.codec !== batchHeader.codec(bytes, 0)
}

/** Judges the size of a batch: of the one that was sent, and of the one that is stored. */
export function refuseSize(batchBytes: number, settings: TopicSettings): BatchRefusal | undefined {
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
  return undefined
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
  if (batchHeader.codec(bytes, 0) !== 0 && !settings.isCompacted) {
    return refuseTimestamps(bytes, settings, nowMs)
  }
  let checked: CheckedRecords
  try {
    checked = checkRecords(bytes, 0, bytes.byteLength, { maxDecompressedBytes: MAX_DECOMPRESSED_BYTES })
  } catch (error) {
    return malformed(error)
  }
  return refuseChecked(bytes, checked, settings, nowMs)
}

/** Judges a batch whose records have been walked, and puts its largest timestamp right. */
export function refuseChecked(
  bytes: Uint8Array,
  { maxTimestamp, firstNullKeyIndex }: CheckedRecords,
  settings: TopicSettings,
  nowMs: number,
): BatchRefusal | undefined {
  if (settings.isCompacted && firstNullKeyIndex >= 0) {
    const errorMessage = `Record ${firstNullKeyIndex} of the batch has no key, which a compacted topic needs.`
    return { errorCode: ErrorCode.INVALID_RECORD, errorMessage, recordIndex: firstNullKeyIndex }
  }
  // Searches by time rely on the header. A producer that left it wrong is put right, as Kafka does.
  if (maxTimestamp !== batchHeader.maxTimestamp(bytes, 0)) setMaxTimestamp(bytes, maxTimestamp)
  return refuseTimestamps(bytes, settings, nowMs)
}

/** What the error says of the records of a batch. Throws what says nothing of them. */
export function malformed(error: unknown): BatchRefusal {
  if (!(error instanceof ProtocolError) || error.code === 'CODEC_NOT_LOADED') throw error
  // Java's producer splits a batch that is too large, and sends its halves.
  return error.code === 'COMPRESSED_TOO_LARGE'
    ? refusal(
        ErrorCode.MESSAGE_TOO_LARGE,
        `The records of the batch take more than ${MAX_DECOMPRESSED_BYTES} bytes when they are decompressed.`,
      )
    : refusal(ErrorCode.INVALID_RECORD, `The records of the batch are malformed: ${error.message}.`)
}

function refuseTimestamps(
  bytes: Uint8Array,
  settings: TopicSettings,
  nowMs: number,
): BatchRefusal | undefined {
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
