import { controlRecord, encodeRecordBatch } from '@streambus/protocol'

/** Who ends a transaction, and how. */
export interface EndMarker {
  readonly producerId: number
  readonly producerEpoch: number
  readonly committed: boolean
  /** Grows with every owner of the transaction's coordinator partition, so that a former owner is refused. */
  readonly coordinatorEpoch: number
  readonly timestampMs: number
}

/** The control batch that ends a producer's transaction in one partition (KIP-98). */
export function endMarker(marker: EndMarker): Uint8Array {
  const { producerId, producerEpoch, committed, coordinatorEpoch, timestampMs } = marker
  const type = committed ? 'commit' : 'abort'
  return encodeRecordBatch([controlRecord({ type, coordinatorEpoch, timestamp: timestampMs })], {
    producerId,
    producerEpoch,
    transactional: true,
    control: true,
  })
}
