import { isUtf8 } from 'node:buffer'
import {
  decodeCoordinatorRecord,
  groupRecords,
  ProtocolError,
  type RecordFormats,
  transactionRecords,
} from '@streambus/protocol'
import { type DumpedBatch, type DumpedRecord, type DumpItem, dumpDataFolder } from '@streambus/storage'
import { UsageError } from './failure.ts'
import { jsonBytes } from './message-format.ts'
import { write } from './output.ts'
import type { GivenOptions } from './settings.ts'

/** What a key, a value or a header takes of a line; the rest is counted. */
const MAX_SHOWN_BYTES = 200

export async function dumpLog(dataDir: string, given: GivenOptions): Promise<void> {
  const { topic, file } = given as { topic?: string; file?: string }
  const partition = wholeNumber(given.partition, '--partition')
  if (topic !== undefined && file !== undefined)
    throw new UsageError('--topic and --file exclude each other.')
  if (topic === undefined && partition !== undefined) throw new UsageError('--partition needs --topic.')
  const offset = wholeNumber(given.offset, '--offset')
  const limit = wholeNumber(given.limit, '--limit')
  const show = given.json === true ? jsonLine : readable(file === undefined && topic === undefined)
  await dumpDataFolder(
    dataDir,
    {
      ...(topic === undefined ? {} : { log: { topic, partition: partition ?? 0 } }),
      ...(file === undefined ? {} : { file }),
      ...(offset === undefined ? {} : { offset }),
      ...(limit === undefined ? {} : { limit }),
      records: given.records === true,
    },
    (item) => write(Buffer.from(show(item))),
  )
}

function wholeNumber(given: unknown, name: string): number | undefined {
  if (given === undefined) return undefined
  const number = Number(given)
  if (/^\d+$/.test(String(given)) && Number.isSafeInteger(number)) return number
  throw new UsageError(`${name} must be a whole number from 0 on, not '${given}'.`)
}

function jsonLine(item: DumpItem): string {
  if (item.type !== 'batch' || item.records === null) return `${JSON.stringify(item)}\n`
  const records = item.records.map((record) => ({
    ...record,
    key: jsonBytes(record.key),
    value: jsonBytes(record.value),
    headers: record.headers.map(({ key, value }) => ({ key, value: jsonBytes(value) })),
    ...(decoded(item, record) ?? {}),
  }))
  return `${JSON.stringify({ ...item, records })}\n`
}

/** @param isMixed several files come one after the other: a line says where each begins */
function readable(isMixed: boolean): (item: DumpItem) => string {
  let file: string | null = null
  return (item) => {
    const head = item.file === file ? '' : `${isMixed && file !== null ? '\n' : ''}${item.file}\n`
    file = item.file
    return head + readableItem(item)
  }
}

function readableItem(item: DumpItem): string {
  switch (item.type) {
    case 'batch':
      return readableBatch(item)
    case 'event':
      return `event position: ${item.position} ${item.event === null ? 'DAMAGED: it does not match its checksum' : JSON.stringify(item.event)}\n`
    case 'damage': {
      const end = item.end === null ? '' : ` to ${item.end - 1}`
      return `DAMAGED: bytes ${item.position}${end}: ${item.problem}\n`
    }
    case 'end':
      return `end position: ${item.position}${item.note === null ? '' : ` (${item.note})`}\n`
  }
}

function readableBatch(batch: DumpedBatch): string {
  const log = batch.topic === null ? `log ${batch.logId}` : `${batch.topic}-${batch.partition}`
  const fields = {
    baseOffset: batch.baseOffset,
    lastOffset: batch.lastOffset,
    count: batch.count,
    baseSequence: batch.baseSequence,
    lastSequence: batch.lastSequence,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    partitionLeaderEpoch: batch.leaderEpoch,
    isTransactional: batch.isTransactional,
    isControl: batch.control ?? false,
    deleteHorizonMs: batch.deleteHorizonMs ?? 'none',
    position: batch.position,
    [batch.timestampType]: batch.maxTimestampMs,
    size: batch.sizeBytes,
    compresscodec: batch.compression ?? 'unknown',
    crc: batch.crc,
    isvalid: batch.crcIsValid,
  }
  const line = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  const fault = batch.fault === null ? '' : `  DAMAGED: ${batch.fault}\n`
  const records = (batch.records ?? []).map((record) => readableRecord(batch, record))
  return `${log} ${line.join(' ')}\n${fault}${records.join('')}`
}

function readableRecord(batch: DumpedBatch, record: DumpedRecord): string {
  const coordinator = decoded(batch, record)
  const content =
    coordinator === null
      ? `key: ${shown(record.key)} value: ${shown(record.value)}`
      : `${coordinator.decoded.kind} key: ${JSON.stringify(coordinator.decoded.key)} value: ${JSON.stringify(coordinator.decoded.value)}`
  const headers = record.headers.map(({ key, value }) => `${shown(Buffer.from(key))}: ${shown(value)}`)
  const listed = headers.length === 0 ? '' : ` headers: {${headers.join(', ')}}`
  return `| offset: ${record.offset} ${batch.timestampType}: ${record.timestampMs} ${content}${listed}\n`
}

/** As a string in quotes, or base64 where it is no text. */
function shown(bytes: Uint8Array | null): string {
  if (bytes === null) return 'null'
  const part = bytes.subarray(0, MAX_SHOWN_BYTES)
  const rest = bytes.byteLength > part.byteLength ? `… (${bytes.byteLength} bytes)` : ''
  // A cut may go through a character: whether it is text is asked of the whole.
  const text = isUtf8(bytes) ? JSON.stringify(Buffer.from(part).toString('utf8')) : null
  return `${text ?? `base64 ${Buffer.from(part).toString('base64')}`}${rest}`
}

const coordinators: Readonly<Record<string, RecordFormats>> = {
  __consumer_offsets: groupRecords,
  __transaction_state: transactionRecords,
}

/** A record of an internal topic, read; null for others, and for kinds that are not known. */
function decoded(
  { topic, control }: DumpedBatch,
  { key, value }: DumpedRecord,
): { decoded: { kind: string; key: unknown; value: unknown } } | null {
  const formats = topic === null ? undefined : coordinators[topic]
  if (formats === undefined || control !== null || key === null) return null
  try {
    const record = decodeCoordinatorRecord(formats, key, value)
    if (record === null) return null
    return { decoded: { kind: record.kind, key: plain(record.key), value: plain(record.value) } }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return null
  }
}

/** What JSON can hold: large integers as numbers, bytes as in `--json` of messages. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Uint8Array) return jsonBytes(Buffer.from(value))
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}
