import { ErrorCode } from '@streambus/protocol'
import {
  type ClientTransactionVersion,
  holdsEpoch,
  isHeldBy,
  isPrepared,
  isPromisedTo,
  LAST_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  NO_TIME,
  PartitionSet,
  type Producer,
  type TopicPartition,
  type Transaction,
  wasHeldBy,
} from './transaction.ts'

/**
 * What may happen to a transactional id, as pure functions: from what is known of it and a request to the next
 * state, or to an error code and no change. The rules and codes are those of KIP-98, KIP-360 and KIP-890.
 */
export type Decision =
  /** To be made durable, then to be taken. */
  | { readonly kind: 'change'; readonly next: Transaction }
  /** Nothing changes. NONE where the request had been carried out before, or had nothing to do. */
  | { readonly kind: 'answer'; readonly errorCode: number }
  /** To be decided again with a producer id that nobody had. */
  | NeedsProducerId

export interface NeedsProducerId {
  readonly kind: 'needs-producer-id'
}

const NEEDS_PRODUCER_ID = { kind: 'needs-producer-id' } as const
const DONE = { kind: 'answer', errorCode: ErrorCode.NONE } as const
const FENCED = { kind: 'answer', errorCode: ErrorCode.PRODUCER_FENCED } as const
const CONCURRENT = { kind: 'answer', errorCode: ErrorCode.CONCURRENT_TRANSACTIONS } as const
const UNKNOWN_MAPPING = { kind: 'answer', errorCode: ErrorCode.INVALID_PRODUCER_ID_MAPPING } as const
const WRONG_STATE = { kind: 'answer', errorCode: ErrorCode.INVALID_TXN_STATE } as const
const TOO_LARGE = { kind: 'answer', errorCode: ErrorCode.POLICY_VIOLATION } as const

export interface InitProducer {
  readonly transactionalId: string
  readonly timeoutMs: number
  /** What the producer has, where it goes on with it (KIP-360). */
  readonly expected: Producer | null
  readonly nowMs: number
  /** An id that nobody had, once the decision asked for one. */
  readonly freshProducerId: number | null
}

/** InitProducerId: a new epoch for the id, with which every earlier holder is fenced. */
export function initProducer(current: Transaction | undefined, request: InitProducer): Decision {
  const { expected, freshProducerId } = request
  if (current === undefined) {
    return freshProducerId === null ? NEEDS_PRODUCER_ID : emptied(undefined, request, freshProducerId, 0)
  }
  const isRetry = expected !== null && wasHeldBy(current, expected)
  if (expected !== null && isPromisedTo(current, expected)) return CONCURRENT
  if (expected !== null && expected.producerId !== current.producerId && !isRetry) return FENCED
  switch (current.state) {
    case 'PrepareCommit':
    case 'PrepareAbort':
      return CONCURRENT
    case 'Ongoing':
      // A producer that was fenced long ago must not end the transaction of the one that works.
      if (expected !== null && !holdsEpoch(current, expected.producerEpoch)) return FENCED
      return { kind: 'change', next: fenced(current, request.nowMs) }
    default:
      if (isRetry) return emptied(current, request, current.producerId, current.producerEpoch)
      if (expected !== null && !holdsEpoch(current, expected.producerEpoch)) return FENCED
      if (current.producerEpoch < LAST_PRODUCER_EPOCH) {
        return emptied(current, request, current.producerId, current.producerEpoch + 1)
      }
      return freshProducerId === null ? NEEDS_PRODUCER_ID : emptied(current, request, freshProducerId, 0)
  }
}

function emptied(
  current: Transaction | undefined,
  { transactionalId, timeoutMs, expected, nowMs }: InitProducer,
  producerId: number,
  producerEpoch: number,
): Decision {
  const isRetry = producerId === current?.producerId && producerEpoch === current.producerEpoch
  let previousProducerId = NO_PRODUCER_ID
  // A producer that named what it had may ask again. One that did not is new: whoever was before is fenced.
  if (current !== undefined && expected !== null) {
    previousProducerId = isRetry ? current.previousProducerId : current.producerId
  }
  return {
    kind: 'change',
    next: {
      transactionalId,
      state: 'Empty',
      producerId,
      producerEpoch,
      previousProducerId,
      nextProducerId: NO_PRODUCER_ID,
      timeoutMs,
      partitions: PartitionSet.EMPTY,
      startMs: NO_TIME,
      updatedMs: nowMs,
      clientVersion: current?.clientVersion ?? 0,
    },
  }
}

export interface AddPartitions extends Producer {
  readonly partitions: readonly TopicPartition[]
  readonly clientVersion: ClientTransactionVersion
  readonly nowMs: number
  readonly maxPartitions: number
}

/** Partitions join the transaction; the first ones begin it. */
export function addPartitions(
  current: Transaction | undefined,
  request: AddPartitions,
): Exclude<Decision, NeedsProducerId> {
  if (current === undefined) return UNKNOWN_MAPPING
  if (isPromisedTo(current, request)) return CONCURRENT
  if (current.producerId !== request.producerId) return UNKNOWN_MAPPING
  if (!holdsEpoch(current, request.producerEpoch)) return FENCED
  if (isPrepared(current)) return CONCURRENT
  const isOngoing = current.state === 'Ongoing'
  const partitions = current.partitions.with(request.partitions)
  if (partitions === current.partitions) return DONE
  if (partitions.size > request.maxPartitions) return TOO_LARGE
  return {
    kind: 'change',
    next: {
      ...current,
      state: 'Ongoing',
      // It got the epoch it works with, so there is nothing it could ask for again.
      previousProducerId: NO_PRODUCER_ID,
      partitions,
      startMs: isOngoing ? current.startMs : request.nowMs,
      updatedMs: request.nowMs,
      clientVersion: request.clientVersion,
    },
  }
}

/** Why the producer may not write to the partition now, as a code; NONE where it may. */
export function verifyPartition(
  current: Transaction | undefined,
  producerId: number,
  producerEpoch: number,
  topic: string,
  partition: number,
): number {
  if (current === undefined) return ErrorCode.INVALID_PRODUCER_ID_MAPPING
  if (isPromisedTo(current, { producerId, producerEpoch })) return ErrorCode.CONCURRENT_TRANSACTIONS
  if (current.producerId !== producerId) return ErrorCode.INVALID_PRODUCER_ID_MAPPING
  if (!holdsEpoch(current, producerEpoch)) return ErrorCode.INVALID_PRODUCER_EPOCH
  if (isPrepared(current)) return ErrorCode.CONCURRENT_TRANSACTIONS
  return current.partitions.has(topic, partition) ? ErrorCode.NONE : ErrorCode.TRANSACTION_ABORTABLE
}

export interface EndTransaction extends Producer {
  readonly committed: boolean
  readonly clientVersion: ClientTransactionVersion
  readonly nowMs: number
  readonly freshProducerId: number | null
}

/** EndTxn: commit or abort. */
export function endTransaction(current: Transaction | undefined, request: EndTransaction): Decision {
  if (current === undefined) return UNKNOWN_MAPPING
  return request.clientVersion < 2 ? endKeepingEpoch(current, request) : endWithNewEpoch(current, request)
}

/** A client before KIP-890: the epoch does not tell a repeated request from the next one, the state does. */
function endKeepingEpoch(current: Transaction, request: EndTransaction): Decision {
  if (current.producerId !== request.producerId) return UNKNOWN_MAPPING
  if (!isHeldBy(current, request)) return FENCED
  switch (current.state) {
    case 'Ongoing':
      return { kind: 'change', next: prepared(current, request) }
    case 'PrepareCommit':
      return request.committed ? CONCURRENT : WRONG_STATE
    case 'PrepareAbort':
      return request.committed ? WRONG_STATE : CONCURRENT
    case 'CompleteCommit':
      return request.committed ? DONE : WRONG_STATE
    case 'CompleteAbort':
      return request.committed ? WRONG_STATE : DONE
    case 'Empty':
      return WRONG_STATE
  }
}

/** KIP-890: every end raises the epoch, so a request with the epoch before is a repeated one. */
function endWithNewEpoch(current: Transaction, request: EndTransaction): Decision {
  const hasEnded = current.state !== 'Empty' && current.state !== 'Ongoing'
  const isRetry = hasEnded && wasHeldBy(current, request)
  if (isPromisedTo(current, request)) return CONCURRENT
  if (current.producerId !== request.producerId && !isRetry) return UNKNOWN_MAPPING
  if (isRetry) {
    const wasCommitted = current.state === 'PrepareCommit' || current.state === 'CompleteCommit'
    if (request.committed !== wasCommitted) return WRONG_STATE
    return isPrepared(current) ? CONCURRENT : DONE
  }
  if (!isHeldBy(current, request)) return FENCED
  if (current.state !== 'Ongoing' && request.committed) return WRONG_STATE
  if (current.producerEpoch >= LAST_PRODUCER_EPOCH && request.freshProducerId === null) {
    return NEEDS_PRODUCER_ID
  }
  const next = prepared(current, request)
  if (current.state === 'Ongoing') return { kind: 'change', next }
  // Nothing was added, so there is nothing to mark: the abort only takes the epoch on.
  return { kind: 'change', next: completed({ ...next, startMs: request.nowMs }, request.nowMs) }
}

function prepared(current: Transaction, request: EndTransaction): Transaction {
  const state = request.committed ? 'PrepareCommit' : 'PrepareAbort'
  const { clientVersion, nowMs: updatedMs } = request
  if (clientVersion < 2) return { ...current, state, clientVersion, updatedMs }
  const isLastEpoch = current.producerEpoch >= LAST_PRODUCER_EPOCH
  return {
    ...current,
    state,
    producerEpoch: current.producerEpoch + 1,
    previousProducerId: current.producerId,
    nextProducerId: isLastEpoch ? request.freshProducerId! : NO_PRODUCER_ID,
    clientVersion,
    updatedMs,
  }
}

/** Aborts an ongoing transaction and takes its epoch away from its producer, which nobody is given. */
export function fenced(current: Transaction, nowMs: number): Transaction {
  return {
    ...current,
    state: 'PrepareAbort',
    producerEpoch: current.producerEpoch + 1,
    previousProducerId: NO_PRODUCER_ID,
    nextProducerId: NO_PRODUCER_ID,
    clientVersion: 2,
    updatedMs: nowMs,
  }
}

/** After every partition has its marker. */
export function completed(prepared: Transaction, nowMs: number): Transaction {
  const { producerId, producerEpoch, nextProducerId } = prepared
  const changesId = nextProducerId !== NO_PRODUCER_ID
  return {
    ...prepared,
    state: prepared.state === 'PrepareCommit' ? 'CompleteCommit' : 'CompleteAbort',
    producerId: changesId ? nextProducerId : producerId,
    producerEpoch: changesId ? 0 : producerEpoch,
    nextProducerId: NO_PRODUCER_ID,
    partitions: PartitionSet.EMPTY,
    updatedMs: nowMs,
  }
}

export function isTimedOut({ state, startMs, timeoutMs }: Transaction, nowMs: number): boolean {
  return state === 'Ongoing' && startMs + timeoutMs < nowMs
}

/** Whether the id may be forgotten: no transaction, and none for long. */
export function isExpired(transaction: Transaction, nowMs: number, idExpirationMs: number): boolean {
  if (transaction.state === 'Ongoing' || isPrepared(transaction)) return false
  return transaction.updatedMs + idExpirationMs <= nowMs
}
