import { ErrorCode } from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import { TurnsFull } from '../coordinator/turns.ts'
import { wireCodeOf } from '../storage-errors.ts'

/** Why the coordinator does not do what it was asked: thrown inside, a code in the answer. */
export class GroupRefusal extends Error {
  override readonly name = 'GroupRefusal'
  /** Kafka's error code. */
  readonly errorCode: number

  constructor(errorCode: number, message: string) {
    super(message)
    this.errorCode = errorCode
  }
}

/**
 * The code that tells a client of an error here. Clients look the coordinator up again and retry after each
 * of them but UNKNOWN_SERVER_ERROR. Anything else that was thrown is a bug: thrown on.
 */
export function errorCodeOf(error: unknown): number {
  if (error instanceof GroupRefusal) return error.errorCode
  if (error instanceof TurnsFull) return ErrorCode.COORDINATOR_NOT_AVAILABLE
  if (!(error instanceof StorageError)) throw error
  switch (error.code) {
    case 'FENCED_OWNER':
    case 'CLOSED':
      return ErrorCode.NOT_COORDINATOR
    case 'BATCH_TOO_LARGE':
      return ErrorCode.UNKNOWN_SERVER_ERROR
    // Of commits and markers of transactions: no retry succeeds.
    case 'INVALID_PRODUCER_EPOCH':
    case 'TRANSACTION_COORDINATOR_FENCED':
      return wireCodeOf(error)
    default:
      return ErrorCode.COORDINATOR_NOT_AVAILABLE
  }
}
