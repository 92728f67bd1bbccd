import {
  ErrorCode,
  type WriteTxnMarkersRequest,
  type WriteTxnMarkersResponseInput,
  writeTxnMarkers,
} from '@streambus/protocol'
import type { AppendBatch } from '@streambus/storage'
import { endMarker } from '../coordinator/end-marker.ts'
import { CONSUMER_OFFSETS, isInternalTopic } from '../coordinator/internal-topics.ts'
import { errorCodeOf } from '../groups/group-refusal.ts'
import type { BrokerServices, Handler } from '../handler.ts'
import { wireCodeOf } from '../storage-errors.ts'

/**
 * WriteTxnMarkers (key 27), versions 1–2: ends producers' transactions in single partitions, whatever their
 * coordinator knows of them. Administrators use it to abort a transaction whose coordinator has lost it; the
 * broker's own coordinator writes its markers without it. Each partition gets one marker, however often it is
 * named, and one request has at most 100,000. A coordinator epoch that no coordinator has reached is refused.
 */
const MAX_MARKERS = 100_000

interface Target {
  readonly partitionIndex: number
  errorCode: number
}

export function writeTxnMarkersHandler({
  store,
  groups,
  transactions,
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
      const highestEpoch = await transactions.highestEpoch()
      let count = 0
      for (const { topics } of markers) {
        for (const { partitionIndexes } of topics) count += partitionIndexes.length
      }
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
        const isPossible =
          count <= MAX_MARKERS &&
          Number.isSafeInteger(producerId) &&
          producerId >= 0 &&
          producerEpoch >= 0 &&
          coordinatorEpoch >= 0 &&
          coordinatorEpoch <= highestEpoch
        const topics = marker.topics.map(({ name, partitionIndexes }) => {
          const topic = store.topics.byName(name)
          const partitions = Array.from(new Set(partitionIndexes), (partitionIndex): Target => {
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
                    target.errorCode = markerCodeOf(errorCodeOf(error))
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

/** Who writes markers looks for the leader of a partition, and knows nothing of the group coordinator behind it. */
function markerCodeOf(errorCode: number): number {
  switch (errorCode) {
    case ErrorCode.COORDINATOR_NOT_AVAILABLE:
    case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
    case ErrorCode.NOT_COORDINATOR:
      return ErrorCode.NOT_LEADER_OR_FOLLOWER
    default:
      return errorCode
  }
}
