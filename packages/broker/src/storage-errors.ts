import { ErrorCode } from '@streambus/protocol'
import { StorageError, type StorageErrorCode } from '@streambus/storage'

/**
 * Storage errors as Kafka error codes: the one place where they meet.
 *
 * A failed write is answered KAFKA_STORAGE_ERROR, which clients retry. Where the outcome is in doubt a retry
 * of an idempotent producer is recognised by its sequence numbers; other producers may write twice, as the
 * protocol lets them.
 */
const WIRE_CODES: Readonly<Record<StorageErrorCode, number>> = {
  UNKNOWN_LOG: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  UNKNOWN_TOPIC: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  TOPIC_EXISTS: ErrorCode.TOPIC_ALREADY_EXISTS,
  OFFSET_OUT_OF_RANGE: ErrorCode.OFFSET_OUT_OF_RANGE,
  OUT_OF_ORDER_SEQUENCE: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  INVALID_PRODUCER_EPOCH: ErrorCode.INVALID_PRODUCER_EPOCH,
  INVALID_TXN_STATE: ErrorCode.INVALID_TXN_STATE,
  TRANSACTION_COORDINATOR_FENCED: ErrorCode.TRANSACTION_COORDINATOR_FENCED,
  FENCED_OWNER: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  BATCH_TOO_LARGE: ErrorCode.MESSAGE_TOO_LARGE,
  DISK_FULL: ErrorCode.KAFKA_STORAGE_ERROR,
  WRITER_FAILED: ErrorCode.KAFKA_STORAGE_ERROR,
  READ_FAILED: ErrorCode.KAFKA_STORAGE_ERROR,
  CORRUPT_BATCH: ErrorCode.CORRUPT_MESSAGE,
  CLOSED: ErrorCode.KAFKA_STORAGE_ERROR,
  MAINTENANCE_FAILED: ErrorCode.KAFKA_STORAGE_ERROR,
  DATA_NOT_FOUND: ErrorCode.KAFKA_STORAGE_ERROR,
  DATA_LOCKED: ErrorCode.KAFKA_STORAGE_ERROR,
  DATA_NOT_WRITABLE: ErrorCode.KAFKA_STORAGE_ERROR,
  DATA_NEWER_FORMAT: ErrorCode.KAFKA_STORAGE_ERROR,
  DATA_DAMAGED: ErrorCode.KAFKA_STORAGE_ERROR,
  REPAIR_REFUSED: ErrorCode.KAFKA_STORAGE_ERROR,
}

export function wireCodeOf(error: StorageError): number {
  return WIRE_CODES[error.code]
}

/** The error as a code and a sentence for the response. Anything but a StorageError is a bug: thrown on. */
export function refusalOf(error: unknown): { errorCode: number; errorMessage: string } {
  if (!(error instanceof StorageError)) throw error
  return { errorCode: wireCodeOf(error), errorMessage: error.message }
}
