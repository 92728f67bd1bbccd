import { ErrorCode } from '@streambus/protocol'

/**
 * What the coordinator says, in codes that the client of an API and version understands (KIP-588, KIP-890).
 * Retriable conditions become codes on which every client sends the same request again.
 */

/** Versions from before PRODUCER_FENCED. */
export function fencedCode(errorCode: number): number {
  return errorCode === ErrorCode.PRODUCER_FENCED ? ErrorCode.INVALID_PRODUCER_EPOCH : errorCode
}

const ABORTABLE_SINCE_PRODUCE = 11
const ABORTABLE_SINCE_OFFSET_COMMIT = 4
/** Earlier transactional clients crash on COORDINATOR_LOAD_IN_PROGRESS. */
const LOADING_SINCE_OFFSET_COMMIT = 2

/** For Produce. NOT_ENOUGH_REPLICAS is retried without a look for another leader. */
export function produceCode(errorCode: number, version: number): number {
  if (isTransient(errorCode)) return ErrorCode.NOT_ENOUGH_REPLICAS
  return memberCode(errorCode, version >= ABORTABLE_SINCE_PRODUCE)
}

/** For TxnOffsetCommit. */
export function offsetCommitCode(errorCode: number, version: number): number {
  if (isTransient(errorCode)) {
    return version >= LOADING_SINCE_OFFSET_COMMIT
      ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
      : ErrorCode.COORDINATOR_NOT_AVAILABLE
  }
  return memberCode(errorCode, version >= ABORTABLE_SINCE_OFFSET_COMMIT)
}

/** Why a producer may not write: as in Kafka, never PRODUCER_FENCED, which only the coordinator's own APIs say. */
function memberCode(errorCode: number, knowsAbortable: boolean): number {
  if (errorCode === ErrorCode.TRANSACTION_ABORTABLE && !knowsAbortable) return ErrorCode.INVALID_TXN_STATE
  return fencedCode(errorCode)
}

function isTransient(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.CONCURRENT_TRANSACTIONS ||
    errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ||
    errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE ||
    errorCode === ErrorCode.NOT_COORDINATOR
  )
}
