/**
 * The header of a record batch, format 2 (KIP-98), all integers big-endian:
 *
 *      0 int64  baseOffset             offset of the first record
 *      8 int32  batchLength            bytes after this field
 *     12 int32  partitionLeaderEpoch
 *     16 int8   magic                  2
 *     17 uint32 crc                    CRC-32C of everything from attributes to the end
 *     21 int16  attributes             bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control,
 *                                      6 delete horizon (KAFKA-8522): baseTimestamp is the time from which on
 *                                      the tombstones of the batch may go
 *     23 int32  lastOffsetDelta        offset of the last record, from baseOffset
 *     27 int64  baseTimestamp          what the records' timestamps are relative to
 *     35 int64  maxTimestamp
 *     43 int64  producerId             -1 if not idempotent
 *     51 int16  producerEpoch
 *     53 int32  baseSequence           sequence number of the first record
 *     57 int32  recordCount
 *     61        records, compressed as one if there is a codec
 *
 * Base offset and leader epoch lie outside the CRC: a broker sets them in place. 64-bit integers are given as
 * numbers here; offsets, timestamps and producer ids stay below 2^53.
 */
import { crc32c } from './crc32c.ts'
import { ProtocolError } from './protocol-error.ts'

export const BATCH_HEADER_BYTES = 61
/** Bytes before what `batchLength` counts. */
export const BATCH_LENGTH_OVERHEAD = 12
export const BATCH_MAGIC = 2

const crcOffset = 17
const attributesOffset = 21
const maxTimestampOffset = 35

const codecMask = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
const deleteHorizonBit = 0x40

/** Reads the fields of the batch that begins at `position`. The 61 bytes must be there. */
export const batchHeader = {
  baseOffset: (bytes: Uint8Array, position: number): number => readInt64(bytes, position),
  batchLength: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + 8),
  /** Whole size of the batch in bytes, its first two fields included. */
  byteLength: (bytes: Uint8Array, position: number): number =>
    readInt32(bytes, position + 8) + BATCH_LENGTH_OVERHEAD,
  partitionLeaderEpoch: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + 12),
  magic: (bytes: Uint8Array, position: number): number => (bytes[position + 16]! << 24) >> 24,
  crc: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + crcOffset) >>> 0,
  attributes: (bytes: Uint8Array, position: number): number => readInt16(bytes, position + attributesOffset),
  /** Codec id: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  codec: (bytes: Uint8Array, position: number): number => bytes[position + attributesOffset + 1]! & codecMask,
  isLogAppendTime: (bytes: Uint8Array, position: number): boolean =>
    (bytes[position + attributesOffset + 1]! & logAppendTimeBit) !== 0,
  isTransactional: (bytes: Uint8Array, position: number): boolean =>
    (bytes[position + attributesOffset + 1]! & transactionalBit) !== 0,
  isControl: (bytes: Uint8Array, position: number): boolean =>
    (bytes[position + attributesOffset + 1]! & controlBit) !== 0,
  hasDeleteHorizon: (bytes: Uint8Array, position: number): boolean =>
    (bytes[position + attributesOffset + 1]! & deleteHorizonBit) !== 0,
  lastOffsetDelta: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + 23),
  baseTimestamp: (bytes: Uint8Array, position: number): number => readInt64(bytes, position + 27),
  maxTimestamp: (bytes: Uint8Array, position: number): number =>
    readInt64(bytes, position + maxTimestampOffset),
  producerId: (bytes: Uint8Array, position: number): number => readInt64(bytes, position + 43),
  producerEpoch: (bytes: Uint8Array, position: number): number => readInt16(bytes, position + 51),
  baseSequence: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + 53),
  recordCount: (bytes: Uint8Array, position: number): number => readInt32(bytes, position + 57),
} as const

/** Behind the last offset that the batch at `position` covers, whether there is a record at it or not. */
export function batchEndOffset(bytes: Uint8Array, position: number): number {
  return batchHeader.baseOffset(bytes, position) + batchHeader.lastOffsetDelta(bytes, position) + 1
}

export interface BatchHeaderFields {
  baseOffset: number
  batchLength: number
  partitionLeaderEpoch: number
  codec: number
  logAppendTime: boolean
  transactional: boolean
  control: boolean
  deleteHorizon: boolean
  lastOffsetDelta: number
  baseTimestamp: number
  maxTimestamp: number
  producerId: number
  producerEpoch: number
  baseSequence: number
  recordCount: number
}

/** Writes a whole header, and the CRC over it and the records that follow it already. */
export function writeBatchHeader(bytes: Uint8Array, position: number, fields: BatchHeaderFields): void {
  writeInt64(bytes, position, fields.baseOffset)
  writeInt32(bytes, position + 8, fields.batchLength)
  writeInt32(bytes, position + 12, fields.partitionLeaderEpoch)
  bytes[position + 16] = BATCH_MAGIC
  const attributes =
    fields.codec |
    (fields.logAppendTime ? logAppendTimeBit : 0) |
    (fields.transactional ? transactionalBit : 0) |
    (fields.control ? controlBit : 0) |
    (fields.deleteHorizon ? deleteHorizonBit : 0)
  writeInt16(bytes, position + attributesOffset, attributes)
  writeInt32(bytes, position + 23, fields.lastOffsetDelta)
  writeInt64(bytes, position + 27, fields.baseTimestamp)
  writeInt64(bytes, position + maxTimestampOffset, fields.maxTimestamp)
  writeInt64(bytes, position + 43, fields.producerId)
  writeInt16(bytes, position + 51, fields.producerEpoch)
  writeInt32(bytes, position + 53, fields.baseSequence)
  writeInt32(bytes, position + 57, fields.recordCount)
  writeCrc(bytes, position, fields.batchLength + BATCH_LENGTH_OVERHEAD)
}

export function setBaseOffset(bytes: Uint8Array, position: number, offset: number): void {
  writeInt64(bytes, position, offset)
}

export function setPartitionLeaderEpoch(bytes: Uint8Array, position: number, epoch: number): void {
  writeInt32(bytes, position + 12, epoch)
}

/** Makes `timestampMs` the timestamp of every record in the batch, and renews the CRC. */
export function setLogAppendTime(bytes: Uint8Array, position: number, timestampMs: number): void {
  bytes[position + attributesOffset + 1]! |= logAppendTimeBit
  writeInt64(bytes, position + maxTimestampOffset, timestampMs)
  writeCrc(bytes, position, batchHeader.byteLength(bytes, position))
}

/**
 * Sets what is given of a batch's header and leaves the rest as it is, byte for byte; then renews the CRC over
 * the header and the records that follow it already.
 */
export function changeBatchHeader(
  bytes: Uint8Array,
  position: number,
  fields: Readonly<Partial<Omit<BatchHeaderFields, 'baseOffset' | 'partitionLeaderEpoch'>>>,
): void {
  const { batchLength, lastOffsetDelta, baseTimestamp, maxTimestamp, recordCount } = fields
  const { producerId, producerEpoch, baseSequence, codec } = fields
  if (codec !== undefined) {
    const flags = bytes[position + attributesOffset + 1]! & ~codecMask
    bytes[position + attributesOffset + 1] = flags | codec
  }
  if (batchLength !== undefined) writeInt32(bytes, position + 8, batchLength)
  setAttribute(bytes, position, logAppendTimeBit, fields.logAppendTime)
  setAttribute(bytes, position, transactionalBit, fields.transactional)
  setAttribute(bytes, position, controlBit, fields.control)
  setAttribute(bytes, position, deleteHorizonBit, fields.deleteHorizon)
  if (lastOffsetDelta !== undefined) writeInt32(bytes, position + 23, lastOffsetDelta)
  if (baseTimestamp !== undefined) writeInt64(bytes, position + 27, baseTimestamp)
  if (maxTimestamp !== undefined) writeInt64(bytes, position + maxTimestampOffset, maxTimestamp)
  if (producerId !== undefined) writeInt64(bytes, position + 43, producerId)
  if (producerEpoch !== undefined) writeInt16(bytes, position + 51, producerEpoch)
  if (baseSequence !== undefined) writeInt32(bytes, position + 53, baseSequence)
  if (recordCount !== undefined) writeInt32(bytes, position + 57, recordCount)
  writeCrc(bytes, position, batchHeader.byteLength(bytes, position))
}

function setAttribute(bytes: Uint8Array, position: number, bit: number, isSet: boolean | undefined): void {
  if (isSet === true) bytes[position + attributesOffset + 1]! |= bit
  else if (isSet === false) bytes[position + attributesOffset + 1]! &= ~bit
}

/** CRC-32C of the batch of `totalLength` bytes at `position`, to be compared with the one in its header. */
export function batchCrc(bytes: Uint8Array, position: number, totalLength: number): number {
  return crc32c(bytes.subarray(position + attributesOffset, position + totalLength))
}

function writeCrc(bytes: Uint8Array, position: number, totalLength: number): void {
  writeInt32(bytes, position + crcOffset, batchCrc(bytes, position, totalLength))
}

export interface BatchPosition {
  readonly position: number
  /** Whole size of the batch, header included. */
  readonly byteLength: number
}

/**
 * Walks the whole batches in `bytes`. A batch that is cut off at the end is left out: a fetch may end inside
 * one (KIP-74). Throws ProtocolError on a length no batch can have, or another format than 2.
 */
export function* batchesIn(bytes: Uint8Array): Generator<BatchPosition, void, undefined> {
  let position = 0
  while (bytes.length - position >= BATCH_HEADER_BYTES) {
    const byteLength = batchHeader.byteLength(bytes, position)
    const magic = batchHeader.magic(bytes, position)
    if (magic !== BATCH_MAGIC) {
      throw new ProtocolError('UNSUPPORTED_MAGIC', `record format ${magic}`, { position })
    }
    if (byteLength < BATCH_HEADER_BYTES) {
      throw new ProtocolError('INVALID_LENGTH', `record batch of ${byteLength} bytes`, { position })
    }
    if (byteLength > bytes.length - position) return
    yield { position, byteLength }
    position += byteLength
  }
}

function readInt16(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) >> 16) | bytes[at + 1]!
}

function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function readInt64(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at) * 0x1_0000_0000 + (readInt32(bytes, at + 4) >>> 0)
}

function writeInt16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value
}

function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24
  bytes[at + 1] = value >> 16
  bytes[at + 2] = value >> 8
  bytes[at + 3] = value
}

function writeInt64(bytes: Uint8Array, at: number, value: number): void {
  writeInt32(bytes, at, Math.floor(value / 0x1_0000_0000))
  writeInt32(bytes, at + 4, value | 0)
}
