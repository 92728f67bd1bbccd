import {
  batchHeader,
  RecordCursor,
  type RecordSection,
  varlongBytes,
  writeVarint,
  writeVarlong,
} from '@streambus/protocol'

/**
 * The delete horizon of a batch: the time from which on its tombstones may go. It stands in the place of the
 * base timestamp, and bit 6 of the attributes says so (KAFKA-8522). Null where there is none: no pass of
 * compaction has seen tombstones in it.
 */
export function deleteHorizonMsOf(batch: Uint8Array): number | null {
  return batchHeader.hasDeleteHorizon(batch, 0) ? batchHeader.baseTimestamp(batch, 0) : null
}

/** A varint of a length, of at most five bytes and at least one; a varlong, of at most ten. */
const MAX_GROWTH_BYTES = 4 + 9
const MAX_EXACT = 2 ** 52

/**
 * The same records, their timestamps relative to `newBaseMs` instead of the batch's base. Null where
 * one cannot be written exactly: a producer took another unit than milliseconds.
 */
export function rebasedTimestamps(
  section: RecordSection & { readonly count: number },
  oldBaseMs: number,
  newBaseMs: number,
): RecordSection | null {
  const { bytes, start, end, count } = section
  const shiftMs = oldBaseMs - newBaseMs
  const cursor = new RecordCursor(bytes, start, end)
  const output = Buffer.allocUnsafe(end - start + count * MAX_GROWTH_BYTES)
  let at = 0
  for (let i = 0; i < count; i++) {
    const lengthStart = cursor.position
    cursor.next()
    const delta = cursor.timestampDelta + shiftMs
    if (!isExact(oldBaseMs) || !isExact(cursor.timestampDelta) || !isExact(delta)) return null
    const attributesStart = behindVarint(bytes, lengthStart)
    const restStart = behindVarint(bytes, attributesStart + 1)
    const restBytes = cursor.position - restStart
    at = writeVarint(output, at, 1 + varlongBytes(delta) + restBytes)
    output[at++] = bytes[attributesStart]!
    at = writeVarlong(output, at, delta)
    output.set(bytes.subarray(restStart, cursor.position), at)
    at += restBytes
  }
  return { bytes: output, start: 0, end: at }
}

function isExact(value: number): boolean {
  return value >= -MAX_EXACT && value <= MAX_EXACT
}

/** Where the variable-length integer ends that begins at `start`: the cursor has read it already. */
function behindVarint(bytes: Uint8Array, start: number): number {
  let at = start
  while (bytes[at]! >= 0x80) at++
  return at + 1
}
