import {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  batchCrc,
  batchHeader,
  compressionNames,
  loadCodec,
  ProtocolError,
  type RecordCursor,
} from '@streambus/protocol'
import { StorageError } from '../log-store.ts'

/**
 * What became of a batch that is compacted: `plain` belongs to no transaction, `committed` and `aborted` to one
 * that has ended so, `marker` is a control batch. One of a transaction that is open has no fate yet, and is not
 * compacted.
 */
export type BatchFate = 'plain' | 'committed' | 'aborted' | 'marker'

/**
 * Loads what is needed to read the batch, once: to be awaited before it is given to `fillKeyOffsets` or
 * `compactBatch`. Where there is no such codec these two say so.
 */
export async function loadCodecOf(batch: Uint8Array): Promise<void> {
  const codec = batchHeader.codec(batch, 0)
  if (codec !== 0 && codec < compressionNames.length) await loadCodec(codec)
}

/**
 * Checks that `batch` is one whole batch with the right checksum. What is written anew gets a new checksum,
 * which would vouch for damage for ever; and a damaged key would make a good record of another key go.
 */
export function checkBatch(batch: Uint8Array, fate: BatchFate): void {
  const { length } = batch
  if (length < BATCH_HEADER_BYTES) throw corrupt(batch, `${length} bytes are no record batch`)
  if (batchHeader.magic(batch, 0) !== BATCH_MAGIC) {
    throw corrupt(batch, `record format ${batchHeader.magic(batch, 0)}`)
  }
  if (batchHeader.byteLength(batch, 0) !== length) {
    throw corrupt(batch, `${length} bytes of a batch that says it has ${batchHeader.byteLength(batch, 0)}`)
  }
  if (batchCrc(batch, 0, length) !== batchHeader.crc(batch, 0)) throw corrupt(batch, 'the CRC does not match')
  if (batchHeader.recordCount(batch, 0) < 0 || batchHeader.lastOffsetDelta(batch, 0) < 0) {
    throw corrupt(batch, 'negative record count or last offset')
  }
  if (batchHeader.isControl(batch, 0) !== (fate === 'marker')) {
    throw new Error(`a batch of the fate '${fate}' that is ${fate === 'marker' ? 'no' : 'a'} control batch`)
  }
  if (batchHeader.isTransactional(batch, 0) && fate === 'plain') {
    throw new Error('a batch of a transaction has been committed or aborted before it is compacted')
  }
}

/** Checks the offset of the record the cursor has come to: they grow, and lie in the range of the batch. */
export function checkOffsetDelta(cursor: RecordCursor, previousDelta: number, lastOffsetDelta: number): void {
  const { offsetDelta } = cursor
  if (offsetDelta > previousDelta && offsetDelta <= lastOffsetDelta) return
  throw new ProtocolError('INVALID_VALUE', `a record has the offset ${offsetDelta} after ${previousDelta}`, {
    position: cursor.position,
  })
}

/** What could not be read is damaged; what was not loaded, or is no error of the bytes, is the caller's fault. */
export function corruptBatch(batch: Uint8Array, error: unknown): unknown {
  if (!(error instanceof ProtocolError) || error.code === 'CODEC_NOT_LOADED') return error
  return corrupt(batch, error.message, error)
}

function corrupt(batch: Uint8Array, reason: string, cause?: unknown): StorageError {
  const where = batch.length < 8 ? 'a batch' : `the batch at offset ${batchHeader.baseOffset(batch, 0)}`
  return new StorageError('CORRUPT_BATCH', `${where} cannot be compacted: ${reason}`, { cause })
}
