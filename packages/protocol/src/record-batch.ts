import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  BATCH_MAGIC,
  batchCrc,
  batchHeader,
  writeBatchHeader,
} from './batch-header.ts'
import { type CompressionName, compressionIds, loadedCodec } from './compression/codec.ts'
import { ProtocolError } from './protocol-error.ts'
import { RecordCursor } from './record-cursor.ts'
import { varintBytes, varlongBytes, writeVarint, writeVarlong } from './varint.ts'

export interface RecordHeader {
  key: string
  value: Uint8Array | null
}

/**
 * One record of a batch. Its properties are computed from the batch's bytes when they are read, so what is
 * not looked at costs nothing; keys, values and header values are views of those bytes.
 */
export interface Record {
  readonly offset: bigint
  /** Milliseconds since the Unix epoch; -1 if there is none. */
  readonly timestamp: bigint
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: RecordHeader[]
}

/** A record to be written. Strings are written as UTF-8; what is left out is null. */
export interface RecordInput {
  readonly key?: Uint8Array | string | null | undefined
  readonly value?: Uint8Array | string | null | undefined
  readonly headers?:
    | readonly { readonly key: string; readonly value: Uint8Array | string | null }[]
    | undefined
  /** Milliseconds since the Unix epoch; -1, none, if left out. */
  readonly timestamp?: bigint | number | undefined
}

/** The records of one batch, read from its bytes at every iteration. */
export interface BatchRecords extends Iterable<Record> {
  readonly baseOffset: number
  readonly recordCount: number
  readonly producerId: number
  readonly isTransactional: boolean
  /** True if the one record is an abort or commit marker; see `readControlRecord`. */
  readonly isControl: boolean
}

/** What decompressed records may take unless the caller says otherwise. */
const defaultMaxDecompressedBytes = 128 * 1024 * 1024

/**
 * Reads the batch that `bytes` begins with. Header, CRC and compression are checked at once, each record when
 * the iteration comes to it. A compressed batch needs `await loadCodec(batchHeader.codec(bytes, 0))` before.
 * Throws ProtocolError.
 */
export function decodeRecords(
  bytes: Uint8Array,
  options: { readonly maxDecompressedBytes?: number; readonly verifyCrc?: boolean } = {},
): BatchRecords {
  const byteLength = wholeBatchLength(bytes, 0, bytes.length)
  if (options.verifyCrc === true && batchCrc(bytes, 0, byteLength) !== batchHeader.crc(bytes, 0)) {
    throw new ProtocolError('CORRUPT_BATCH', 'the CRC-32C of the record batch does not match')
  }
  const section = recordSection(
    bytes,
    0,
    byteLength,
    options.maxDecompressedBytes ?? defaultMaxDecompressedBytes,
  )
  return new RecordsOfBatch(bytes, section)
}

/** What a walk over a batch's records has found. */
export interface CheckedRecords {
  readonly maxTimestamp: number
  /** Index of the first record without a key, -1 if all have one. */
  readonly firstNullKeyIndex: number
}

/**
 * Checks a batch a producer sent: its records fill it exactly and their offsets are 0, 1, 2, … from the base. A
 * compressed batch is decompressed for it, so its codec must be loaded. Throws ProtocolError.
 */
export function checkRecords(
  bytes: Uint8Array,
  position: number,
  byteLength: number,
  options: { readonly maxDecompressedBytes?: number } = {},
): CheckedRecords {
  if (wholeBatchLength(bytes, position, byteLength) !== byteLength) {
    throw new ProtocolError('TRAILING_BYTES', 'bytes after the record batch', { position })
  }
  const section = recordSection(
    bytes,
    position,
    byteLength,
    options.maxDecompressedBytes ?? defaultMaxDecompressedBytes,
  )
  return checkRecordSection(bytes, position, section)
}

/** The same where the caller knows that the batch is whole, and has decompressed its records. */
export function checkRecordSection(
  bytes: Uint8Array,
  position: number,
  section: RecordSection,
): CheckedRecords {
  const count = batchHeader.recordCount(bytes, position)
  const cursor = new RecordCursor(section.bytes, section.start, section.end)
  let maxDelta = Number.NEGATIVE_INFINITY
  let firstNullKeyIndex = -1
  for (let i = 0; i < count; i++) {
    cursor.next()
    if (cursor.offsetDelta !== i) {
      throw new ProtocolError('INVALID_VALUE', `record ${i} has the offset ${cursor.offsetDelta}`, {
        position: cursor.position,
      })
    }
    if (cursor.timestampDelta > maxDelta) maxDelta = cursor.timestampDelta
    if (cursor.keyLength < 0 && firstNullKeyIndex < 0) firstNullKeyIndex = i
  }
  cursor.expectEnd()
  return { maxTimestamp: batchHeader.baseTimestamp(bytes, position) + maxDelta, firstNullKeyIndex }
}

export interface RecordSection {
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
}

/**
 * Where the records of a batch are: in the batch itself, or decompressed. The codec must be loaded. Throws
 * ProtocolError.
 */
export function recordSection(
  bytes: Uint8Array,
  position: number,
  byteLength: number,
  maxDecompressedBytes: number = defaultMaxDecompressedBytes,
): RecordSection {
  const start = position + BATCH_HEADER_BYTES
  const end = position + byteLength
  const codec = batchHeader.codec(bytes, position)
  if (codec === 0) return { bytes, start, end }
  const decompressed = loadedCodec(codec).decompress(bytes.subarray(start, end), maxDecompressedBytes)
  return { bytes: decompressed, start: 0, end: decompressed.length }
}

/** Length of the batch at `position`, of which `available` bytes are there. */
function wholeBatchLength(bytes: Uint8Array, position: number, available: number): number {
  if (available < BATCH_HEADER_BYTES || available > bytes.length - position) {
    throw new ProtocolError('TRUNCATED', `record batch of ${available} bytes`, { position })
  }
  const magic = batchHeader.magic(bytes, position)
  if (magic !== BATCH_MAGIC) {
    throw new ProtocolError('UNSUPPORTED_MAGIC', `record format ${magic}`, { position })
  }
  const byteLength = batchHeader.byteLength(bytes, position)
  if (byteLength < BATCH_HEADER_BYTES) {
    throw new ProtocolError('INVALID_LENGTH', `record batch of ${byteLength} bytes`, { position })
  }
  if (byteLength > available) {
    throw new ProtocolError('TRUNCATED', `record batch of ${byteLength} bytes, ${available} there`, {
      position,
    })
  }
  const count = batchHeader.recordCount(bytes, position)
  if (count < 0) throw new ProtocolError('INVALID_LENGTH', `${count} records`, { position })
  return byteLength
}

class RecordsOfBatch implements BatchRecords {
  readonly baseOffset: number
  readonly recordCount: number
  readonly producerId: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly #section: RecordSection
  readonly #baseTimestamp: number
  /** The timestamp of all records of a LogAppendTime batch. */
  readonly #appendTime: number | null

  constructor(bytes: Uint8Array, section: RecordSection) {
    this.baseOffset = batchHeader.baseOffset(bytes, 0)
    this.recordCount = batchHeader.recordCount(bytes, 0)
    this.producerId = batchHeader.producerId(bytes, 0)
    this.isTransactional = batchHeader.isTransactional(bytes, 0)
    this.isControl = batchHeader.isControl(bytes, 0)
    this.#section = section
    this.#baseTimestamp = batchHeader.baseTimestamp(bytes, 0)
    this.#appendTime = batchHeader.isLogAppendTime(bytes, 0) ? batchHeader.maxTimestamp(bytes, 0) : null
  }

  *[Symbol.iterator](): Generator<Record, void, undefined> {
    const { bytes, start, end } = this.#section
    const cursor = new RecordCursor(bytes, start, end)
    for (let i = 0; i < this.recordCount; i++) {
      cursor.next()
      const timestamp = this.#appendTime ?? this.#baseTimestamp + cursor.timestampDelta
      yield new RecordView(cursor, this.baseOffset + cursor.offsetDelta, timestamp)
    }
    cursor.expectEnd()
  }
}

class RecordView implements Record {
  readonly #bytes: Uint8Array
  readonly #offset: number
  readonly #timestamp: number
  readonly #keyStart: number
  readonly #keyLength: number
  readonly #valueStart: number
  readonly #valueLength: number
  readonly #headersStart: number
  readonly #headerCount: number

  constructor(cursor: RecordCursor, offset: number, timestamp: number) {
    this.#bytes = cursor.bytes
    this.#offset = offset
    this.#timestamp = timestamp
    this.#keyStart = cursor.keyStart
    this.#keyLength = cursor.keyLength
    this.#valueStart = cursor.valueStart
    this.#valueLength = cursor.valueLength
    this.#headersStart = cursor.headersStart
    this.#headerCount = cursor.headerCount
  }

  get offset(): bigint {
    return BigInt(this.#offset)
  }

  get timestamp(): bigint {
    return BigInt(this.#timestamp)
  }

  get key(): Uint8Array | null {
    return view(this.#bytes, this.#keyStart, this.#keyLength)
  }

  get value(): Uint8Array | null {
    return view(this.#bytes, this.#valueStart, this.#valueLength)
  }

  get headers(): RecordHeader[] {
    const headers: RecordHeader[] = []
    const cursor = new RecordCursor(this.#bytes, this.#headersStart, this.#bytes.length)
    for (let i = 0; i < this.#headerCount; i++) {
      const keyLength = cursor.varint()
      const key = Buffer.from(view(this.#bytes, cursor.position, keyLength)!).toString('utf8')
      cursor.position += keyLength
      const valueLength = cursor.varint()
      headers.push({ key, value: view(this.#bytes, cursor.position, valueLength) })
      if (valueLength > 0) cursor.position += valueLength
    }
    return headers
  }
}

function view(bytes: Uint8Array, start: number, length: number): Uint8Array | null {
  return length < 0 ? null : bytes.subarray(start, start + length)
}

export interface RecordBatchOptions {
  /** The codec must be loaded: `await loadCodec(name)`. */
  readonly compression?: CompressionName
  /** 0 unless given: a broker accepts no other from a producer. */
  readonly baseOffset?: number
  /** -1 unless given. */
  readonly partitionLeaderEpoch?: number
  /** -1, not idempotent, unless given; likewise the epoch and the sequence. */
  readonly producerId?: bigint | number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly transactional?: boolean
  readonly control?: boolean
}

/**
 * Writes one batch with the records at the offsets 0, 1, 2, … from its base. Throws ProtocolError
 * INVALID_VALUE if there are none, CODEC_NOT_LOADED if the codec is not loaded.
 */
export function encodeRecordBatch(
  records: readonly RecordInput[],
  options: RecordBatchOptions = {},
): Uint8Array {
  const first = records[0]
  if (first === undefined) throw new ProtocolError('INVALID_VALUE', 'a record batch needs a record')
  const baseTimestamp = timestampOf(first)
  const sizes: number[] = []
  let sectionBytes = 0
  for (let i = 0; i < records.length; i++) {
    sectionBytes += measureRecord(records[i]!, i, baseTimestamp, sizes)
  }

  const codec = compressionIds[options.compression ?? 'none']
  let batch: Buffer
  if (codec === 0) {
    batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + sectionBytes)
    writeRecords(batch, BATCH_HEADER_BYTES, records, sizes, baseTimestamp)
  } else {
    const section = Buffer.allocUnsafe(sectionBytes)
    writeRecords(section, 0, records, sizes, baseTimestamp)
    const compressed = loadedCodec(codec).compress(section)
    batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + compressed.length)
    batch.set(compressed, BATCH_HEADER_BYTES)
  }

  let maxTimestamp = baseTimestamp
  for (const record of records) maxTimestamp = Math.max(maxTimestamp, timestampOf(record))
  writeBatchHeader(batch, 0, {
    baseOffset: options.baseOffset ?? 0,
    batchLength: batch.length - BATCH_LENGTH_OVERHEAD,
    partitionLeaderEpoch: options.partitionLeaderEpoch ?? -1,
    codec,
    logAppendTime: false,
    transactional: options.transactional ?? false,
    control: options.control ?? false,
    deleteHorizon: false,
    lastOffsetDelta: records.length - 1,
    baseTimestamp,
    maxTimestamp,
    producerId: Number(options.producerId ?? -1),
    producerEpoch: options.producerEpoch ?? -1,
    baseSequence: options.baseSequence ?? -1,
    recordCount: records.length,
  })
  return batch
}

function timestampOf(record: RecordInput): number {
  return Number(record.timestamp ?? -1)
}

type Content = Uint8Array | string | null | undefined

/** Up to this length a loop over the text or the bytes costs less than a native call. */
const maxLoopLength = 24

/**
 * Bytes of a record with its length. The sizes needed again to write it are added to `sizes`: of the record
 * after its length, of key and value, of each header's key and value; -1 for null.
 */
function measureRecord(record: RecordInput, index: number, baseTimestamp: number, sizes: number[]): number {
  const first = sizes.length
  const headers = record.headers ?? []
  sizes.push(0, contentBytes(record.key), contentBytes(record.value))
  for (const { key, value } of headers) sizes.push(contentBytes(key), contentBytes(value))
  let sum = 1 + varlongBytes(timestampOf(record) - baseTimestamp)
  sum += varintBytes(index) + varintBytes(headers.length)
  for (let i = first + 1; i < sizes.length; i++) {
    const size = sizes[i]!
    sum += varintBytes(size) + Math.max(size, 0)
  }
  sizes[first] = sum
  return varintBytes(sum) + sum
}

function contentBytes(content: Content): number {
  if (content === null || content === undefined) return -1
  if (typeof content !== 'string') return content.length
  if (content.length > maxLoopLength) return Buffer.byteLength(content)
  for (let i = 0; i < content.length; i++) {
    if (content.charCodeAt(i) > 0x7f) return Buffer.byteLength(content)
  }
  return content.length
}

function writeRecords(
  target: Buffer,
  start: number,
  records: readonly RecordInput[],
  sizes: readonly number[],
  baseTimestamp: number,
): void {
  let at = start
  let size = 0
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeVarint(target, at, sizes[size++]!)
    target[at++] = 0
    at = writeVarlong(target, at, timestampOf(record) - baseTimestamp)
    at = writeVarint(target, at, i)
    at = writeContent(target, at, record.key, sizes[size++]!)
    at = writeContent(target, at, record.value, sizes[size++]!)
    const headers = record.headers ?? []
    at = writeVarint(target, at, headers.length)
    for (const { key, value } of headers) {
      at = writeContent(target, at, key, sizes[size++]!)
      at = writeContent(target, at, value, sizes[size++]!)
    }
  }
}

function writeContent(target: Buffer, start: number, content: Content, size: number): number {
  const at = writeVarint(target, start, size)
  if (content === null || content === undefined) return at
  if (typeof content !== 'string') {
    if (size > maxLoopLength) target.set(content, at)
    else for (let i = 0; i < size; i++) target[at + i] = content[i]!
  } else if (size > maxLoopLength || size !== content.length) {
    target.write(content, at, size, 'utf8')
  } else {
    for (let i = 0; i < size; i++) target[at + i] = content.charCodeAt(i)
  }
  return at + size
}
