import {
  batchCrc,
  batchHeader,
  compressionNames,
  loadCodec,
  ProtocolError,
  RecordCursor,
  recordSection,
} from '@streambus/protocol'

/** Loads what is needed to read the records of the batch, where there is such a codec. */
export function loadCodecOf(bytes: Uint8Array, position: number): Promise<unknown> | undefined {
  const codec = batchHeader.codec(bytes, position)
  return codec !== 0 && codec < compressionNames.length ? loadCodec(codec) : undefined
}

export function crcIsValid(bytes: Uint8Array, position: number, byteLength: number): boolean {
  return batchCrc(bytes, position, byteLength) === batchHeader.crc(bytes, position)
}

/**
 * What is wrong with the records of a batch whose checksum is right, or null: they fill it exactly, their offsets grow
 * within its range, and they are as many as it says. Its codec must be loaded. Where `isWhole`, no record is missing
 * between its first and its last offset: compaction has not touched it.
 */
export function recordsFault(
  bytes: Uint8Array,
  position: number,
  byteLength: number,
  isWhole: boolean,
): string | null {
  const count = batchHeader.recordCount(bytes, position)
  const lastDelta = batchHeader.lastOffsetDelta(bytes, position)
  if (count < 0 || lastDelta < 0 || (isWhole ? count !== lastDelta + 1 : count > lastDelta + 1)) {
    return `it says it has ${count} records with offsets up to ${lastDelta} behind its first`
  }
  try {
    const section = recordSection(bytes, position, byteLength)
    const cursor = new RecordCursor(section.bytes, section.start, section.end)
    let previous = -1
    for (let index = 0; index < count; index++) {
      cursor.next()
      const { offsetDelta } = cursor
      if (offsetDelta <= previous || offsetDelta > lastDelta) {
        return `record ${index} is ${offsetDelta} behind the base offset, after one that is ${previous} behind it`
      }
      previous = offsetDelta
    }
    cursor.expectEnd()
    return null
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.code === 'CODEC_NOT_LOADED') throw error
    return `its records cannot be read: ${error.message}`
  }
}
