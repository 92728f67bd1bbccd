import { batchHeader, RecordCursor, recordSection } from '@streambus/protocol'
import type { Offset } from '../log-store.ts'
import { type BatchFate, checkBatch, checkOffsetDelta, corruptBatch } from './checked-batch.ts'
import { KEY_HASH_WORDS } from './key-hash.ts'
import type { KeyOffsets } from './key-offsets.ts'
import { RecordGroup } from './record-group.ts'

/** Used again by every call: none of them waits for anything. */
const group = new RecordGroup()

/**
 * Puts the keys of one batch into the map, with their offsets. Gives the offset up to which the map knows every
 * key: behind the batch; or, where the map is full, the offset of the first record that has no room in it, which
 * may be in the middle of the batch, and there this pass of compaction has to end. The next one begins there: what
 * lies below `fromOffset` is not put again, or a batch of more keys than the map holds would never be passed.
 *
 * What was aborted, markers and records without a key have nothing to put. Tombstones are records like others:
 * they make the earlier ones of their key go. Batches come in the order of the log, their codecs loaded
 * (`loadCodecOf`). Throws StorageError CORRUPT_BATCH, and has put nothing then.
 */
export function fillKeyOffsets(
  map: KeyOffsets,
  batch: Uint8Array,
  fate: BatchFate,
  fromOffset: Offset = 0,
): Offset {
  checkBatch(batch, fate)
  const baseOffset = batchHeader.baseOffset(batch, 0)
  const lastOffsetDelta = batchHeader.lastOffsetDelta(batch, 0)
  const endOffset = baseOffset + lastOffsetDelta + 1
  if (fate === 'aborted' || fate === 'marker') return endOffset
  try {
    const count = batchHeader.recordCount(batch, 0)
    const { bytes, start, end } = recordSection(batch, 0, batch.length)
    const checked = new RecordCursor(bytes, start, end)
    for (let i = 0, previousDelta = -1; i < count; i++) {
      checked.next()
      checkOffsetDelta(checked, previousDelta, lastOffsetDelta)
      previousDelta = checked.offsetDelta
    }
    checked.expectEnd()
    const cursor = new RecordCursor(bytes, start, end)
    for (let done = 0; done < count; done += group.count) {
      group.read(cursor, count - done, -1, lastOffsetDelta, map)
      const full = putGroup(map, baseOffset, fromOffset)
      if (full !== null) return full
    }
    return endOffset
  } catch (error) {
    throw corruptBatch(batch, error)
  }
}

/** The offset of the first record that has no room; null where all have. */
function putGroup(map: KeyOffsets, baseOffset: Offset, fromOffset: Offset): Offset | null {
  const { count, offsetDeltas, hasKey, hashes } = group
  for (let i = 0; i < count; i++) {
    const offset = baseOffset + offsetDeltas[i]!
    if (hasKey[i] === 0 || offset < fromOffset) continue
    if (!map.putHash(hashes, i * KEY_HASH_WORDS, offset)) return offset
  }
  return null
}
