import { batchCrc, batchHeader } from '@streambus/protocol'

const CRC_OFFSET = 17
const MAX_TIMESTAMP_OFFSET = 35

/** Writes another maxTimestamp into the header of the batch that is all of `bytes`, and renews its CRC. */
export function setMaxTimestamp(bytes: Uint8Array, timestampMs: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  view.setBigInt64(MAX_TIMESTAMP_OFFSET, BigInt(timestampMs))
  view.setUint32(CRC_OFFSET, batchCrc(bytes, 0, batchHeader.byteLength(bytes, 0)))
}
