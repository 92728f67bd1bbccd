import {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  batchHeader,
  type Codec,
  changeBatchHeader,
  checkRecordSection,
  loadCodec,
  type RecordSection,
} from '@streambus/protocol'
import type { TopicSettings } from '../settings/topic-settings.ts'
import {
  type BatchRefusal,
  MAX_DECOMPRESSED_BYTES,
  malformed,
  refuseChecked,
  refuseSize,
} from './batch-check.ts'

/** From this size on a codec works in another thread, if it can: below, going there costs more than the work. */
const ASIDE_BYTES = 16 * 1024

/** The batch as the topic stores it, or why it is not taken. */
export type Recompressed =
  | { readonly bytes: Uint8Array; readonly refusal?: undefined }
  | { readonly bytes?: undefined; readonly refusal: BatchRefusal }

/**
 * Compresses a batch that passed `refuseBatch` as its topic wants it, after a look at every record of it, as Kafka's
 * LogValidator does. The records stay the same byte for byte, and so does the header, but for what says codec and
 * length, and a largest timestamp that was wrong, which is put right in `batch` too.
 *
 * The batch must not change before this resolves. Waits for other threads, and for codecs that are used for the first
 * time; otherwise the event loop is held up for as long as one batch takes.
 */
export async function recompressBatch(
  batch: Uint8Array,
  settings: TopicSettings,
  nowMs: number,
): Promise<Recompressed> {
  const { codec: target, level } = settings.compression!
  const source = await loadCodec(batchHeader.codec(batch, 0))
  let section: RecordSection
  let refusal: BatchRefusal | undefined
  try {
    section = await decompress(source, batch)
    refusal = refuseChecked(batch, checkRecordSection(batch, 0, section), settings, nowMs)
  } catch (error) {
    refusal = malformed(error)
    return { refusal }
  }
  if (refusal !== undefined) return { refusal }

  const records = section.bytes.subarray(section.start, section.end)
  const stored = await compress(await loadCodec(target), records, level)
  refusal = refuseSize(BATCH_HEADER_BYTES + stored.length, settings)
  if (refusal !== undefined) return { refusal }
  const bytes = Buffer.allocUnsafe(BATCH_HEADER_BYTES + stored.length)
  bytes.set(batch.subarray(0, BATCH_HEADER_BYTES))
  bytes.set(stored, BATCH_HEADER_BYTES)
  changeBatchHeader(bytes, 0, { codec: target, batchLength: bytes.length - BATCH_LENGTH_OVERHEAD })
  return { bytes }
}

async function decompress(codec: Codec, batch: Uint8Array): Promise<RecordSection> {
  const compressed = batch.subarray(BATCH_HEADER_BYTES)
  const isAside = codec.aside !== undefined && compressed.length >= ASIDE_BYTES
  const bytes = isAside
    ? await codec.aside.decompress(compressed, MAX_DECOMPRESSED_BYTES)
    : codec.decompress(compressed, MAX_DECOMPRESSED_BYTES)
  return { bytes, start: 0, end: bytes.length }
}

function compress(
  codec: Codec,
  records: Uint8Array,
  level: number | undefined,
): Uint8Array | Promise<Uint8Array> {
  const isAside = codec.aside !== undefined && records.length >= ASIDE_BYTES
  return isAside ? codec.aside.compress(records, level) : codec.compress(records, level)
}
