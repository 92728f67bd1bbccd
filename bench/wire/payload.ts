/** Record batches of an exact size with random content, so that nothing can compress or guess them. */
import { randomFillSync } from 'node:crypto'
import { BATCH_HEADER_BYTES, encodeRecordBatch } from '@streambus/protocol'

/** What a record of this size costs in a batch beside its value: length, attributes, deltas, key, header count. */
const RECORD_OVERHEAD_BYTES = 12

/**
 * One uncompressed batch of exactly `batchBytes` bytes, made of records whose values have about `recordBytes`
 * bytes; the last one takes up what is left over.
 */
export function randomBatch(batchBytes: number, recordBytes: number): { bytes: Uint8Array; records: number } {
  const room = batchBytes - BATCH_HEADER_BYTES
  const records = Math.max(1, Math.floor(room / (recordBytes + RECORD_OVERHEAD_BYTES)))
  const values = Array.from({ length: records }, () => randomFillSync(new Uint8Array(recordBytes)))
  const timestamp = BigInt(Date.now())
  const encode = () =>
    encodeRecordBatch(values.map((value) => ({ timestamp, key: null, value, headers: [] })))
  let bytes = encode()
  // A longer value may need a longer length prefix, so the size is reached in a few steps.
  for (let attempt = 0; attempt < 4 && bytes.byteLength !== batchBytes; attempt++) {
    const last = values[records - 1]!
    values[records - 1] = randomFillSync(new Uint8Array(last.byteLength + batchBytes - bytes.byteLength))
    bytes = encode()
  }
  if (bytes.byteLength !== batchBytes) {
    throw new Error(`no batch of ${batchBytes} bytes can be made of records of ${recordBytes} bytes`)
  }
  return { bytes, records }
}
