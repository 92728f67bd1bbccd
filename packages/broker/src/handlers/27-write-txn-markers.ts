import {
  ErrorCode,
  type WriteTxnMarkersRequest,
  type WriteTxnMarkersResponseInput,
  writeTxnMarkers,
} from '@streambus/protocol'
import { type AppendBatch, StorageError } from '@streambus/storage'
import { endMarker } from '../coordinator/end-marker.ts'
import { CONSUMER_OFFSETS, isInternalTopic } from '../coordinator/internal-topics.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { wireCodeOf } from '../storage-errors.ts'

/**
 * WriteTxnMarkers (key 27), versions 1–2: ends producers' transactions in single partitions, whatever their
 * coordinator knows of them. Administrators use it to abort a transaction whose coordinator has lost it; the
 * broker's own coordinator writes its markers without it.
 */
interface Target {
  readonly partitionIndex: number
  errorCode: number
}

export function writeTxnMarkersHandler({
  store,
  groups,
  clock,
}: BrokerServices): Handler<WriteTxnMarkersRequest, WriteTxnMarkersResponseInput> {
  return {
    api: writeTxnMarkers,
    minVersion: 1,
    maxVersion: 2,
    async handle({ markers }) {
      const batches: AppendBatch[] = []
      const appended: Target[] = []
      const completions: Promise<void>[] = []
      const answers = markers.map((marker) => {
        const producerId = Number(marker.producerId)
        const { producerEpoch, coordinatorEpoch, transactionVersion, transactionResult: committed } = marker
        const bytes = endMarker({
          producerId,
          producerEpoch,
          committed,
          coordinatorEpoch,
          timestampMs: clock(),
        })
        const isPossible = producerId >= 0 && producerEpoch >= 0 && coordinatorEpoch >= 0
        const topics = marker.topics.map(({ name, partitionIndexes }) => {
          const topic = store.topics.byName(name)
          const partitions = partitionIndexes.map((partitionIndex): Target => {
            const target: Target = { partitionIndex, errorCode: ErrorCode.NONE }
            const logId = topic?.logs[partitionIndex]
            if (logId === undefined) {
              target.errorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            } else if (!isPossible) {
              target.errorCode = ErrorCode.INVALID_REQUEST
            } else if (name === CONSUMER_OFFSETS) {
              completions.push(
                groups
                  .completeTransaction(
                    partitionIndex,
                    { producerId, producerEpoch },
                    committed,
                    coordinatorEpoch,
                  )
                  .catch((error: unknown) => {
                    if (!(error instanceof StorageError)) throw error
                    target.errorCode = wireCodeOf(error)
                  }),
              )
            } else if (isInternalTopic(name)) {
              target.errorCode = ErrorCode.INVALID_TOPIC_EXCEPTION
            } else {
              batches.push({ logId, bytes, transactionVersion })
              appended.push(target)
            }
            return target
          })
          return { name, partitions }
        })
        return { producerId: marker.producerId, topics }
      })
      const [results] = await Promise.all([batches.length === 0 ? [] : store.append(batches), ...completions])
      for (const [at, { error }] of results.entries()) {
        if (error !== null) appended[at]!.errorCode = wireCodeOf(error)
      }
      return { markers: answers }
    },
  }
}
