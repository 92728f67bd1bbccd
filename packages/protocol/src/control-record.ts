/**
 * The record of a control batch, which ends a transaction in a partition (KIP-98):
 *
 *     key:   int16 version 0, int16 type (0 abort, 1 commit)
 *     value: int16 version 0, int32 epoch of the transaction coordinator
 */
import { ProtocolError } from './protocol-error.ts'
import type { Record, RecordInput } from './record-batch.ts'

export type ControlType = 'abort' | 'commit'

export interface ControlMarker {
  readonly type: ControlType
  readonly coordinatorEpoch: number
}

const types: readonly ControlType[] = ['abort', 'commit']

/** The record to put into a batch of `encodeRecordBatch` with `control: true` and `transactional: true`. */
export function controlRecord(marker: ControlMarker & { readonly timestamp?: bigint | number }): RecordInput {
  const key = Buffer.alloc(4)
  key.writeInt16BE(types.indexOf(marker.type), 2)
  const value = Buffer.alloc(6)
  value.writeInt32BE(marker.coordinatorEpoch, 2)
  return { key, value, timestamp: marker.timestamp }
}

/**
 * Reads the record of a control batch. Null for a type that is no transaction marker: readers skip those.
 * Throws ProtocolError if the record is too short.
 */
export function readControlRecord(record: Record): ControlMarker | null {
  const { key, value } = record
  if (key === null || key.length < 4) throw new ProtocolError('TRUNCATED', 'control record without a type')
  const type = types[(key[2]! << 8) | key[3]!]
  if (type === undefined) return null
  if (value === null || value.length < 6) {
    throw new ProtocolError('TRUNCATED', 'control record without a coordinator epoch')
  }
  const coordinatorEpoch = (value[2]! << 24) | (value[3]! << 16) | (value[4]! << 8) | value[5]!
  return { type, coordinatorEpoch }
}
