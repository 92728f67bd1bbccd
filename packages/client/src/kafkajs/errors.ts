/** The errors a kafkajs program looks for: by class, `name`, `retriable`, and `type` and `code` of a broker's refusal. */
import { ErrorCode, errorByCode } from '@streambus/protocol'
import { isStreamBusError, type StreamBusError } from '../errors.ts'

export interface KafkaJSErrorMetadata {
  retriable?: boolean
  cause?: Error
}

export class KafkaJSError extends Error {
  readonly retriable: boolean
  readonly helpUrl?: string
  declare readonly cause?: Error

  constructor(e: Error | string, { retriable = true, cause }: KafkaJSErrorMetadata = {}) {
    super(typeof e === 'string' ? e : e.message, cause === undefined ? undefined : { cause })
    this.name = 'KafkaJSError'
    this.retriable = retriable
  }
}

export class KafkaJSNonRetriableError extends KafkaJSError {
  constructor(e: Error | string, { cause }: { cause?: Error } = {}) {
    super(e, cause === undefined ? { retriable: false } : { retriable: false, cause })
    this.name = 'KafkaJSNonRetriableError'
  }
}

/** What a broker refuses a request with, by the name kafkajs has for it. */
export interface ProtocolFailure {
  readonly type: string
  readonly code: number
  readonly message: string
  readonly retriable: boolean
}

export class KafkaJSProtocolError extends KafkaJSError {
  readonly type: string
  readonly code: number

  constructor(e: (Error & Partial<ProtocolFailure>) | ProtocolFailure | string, cause?: Error) {
    const failure = typeof e === 'string' ? { message: e } : e
    const retriable = (failure as Partial<ProtocolFailure>).retriable ?? true
    super(failure.message, cause === undefined ? { retriable } : { retriable, cause })
    this.name = 'KafkaJSProtocolError'
    this.type = (failure as Partial<ProtocolFailure>).type ?? 'UNKNOWN'
    this.code = (failure as Partial<ProtocolFailure>).code ?? -1
  }
}

export class KafkaJSCreateTopicError extends KafkaJSProtocolError {
  readonly topic: string

  constructor(e: ProtocolFailure | KafkaJSProtocolError, topic: string, cause?: Error) {
    super(e, cause)
    this.name = 'KafkaJSCreateTopicError'
    this.topic = topic
  }
}

export class KafkaJSAlterPartitionReassignmentsError extends KafkaJSProtocolError {
  readonly topic: string
  readonly partition: number

  constructor(e: ProtocolFailure | KafkaJSProtocolError, topic: string, partition: number, cause?: Error) {
    super(e, cause)
    this.name = 'KafkaJSAlterPartitionReassignmentsError'
    this.topic = topic
    this.partition = partition
  }
}

export class KafkaJSNumberOfRetriesExceeded extends KafkaJSNonRetriableError {
  override readonly stack: string
  readonly retryCount: number
  /** Milliseconds. */
  readonly retryTime: number

  constructor(e: Error | string, { retryCount, retryTime }: { retryCount: number; retryTime: number }) {
    super(e, typeof e === 'string' ? {} : { cause: e })
    this.name = 'KafkaJSNumberOfRetriesExceeded'
    this.stack = `${this.name}\n  Caused by: ${typeof e === 'string' ? e : e.stack}`
    this.retryCount = retryCount
    this.retryTime = retryTime
  }
}

export class KafkaJSConnectionError extends KafkaJSError {
  readonly broker: string | undefined
  /** Node's code of what the socket failed with, such as ECONNREFUSED. */
  readonly code: string | undefined

  constructor(
    e: Error | string,
    { broker, code, cause }: { broker?: string | undefined; code?: string | undefined; cause?: Error } = {},
  ) {
    super(e, cause === undefined ? {} : { cause })
    this.name = 'KafkaJSConnectionError'
    this.broker = broker
    this.code = code
  }
}

export class KafkaJSConnectionClosedError extends KafkaJSConnectionError {
  constructor(e: Error | string, metadata: { broker?: string | undefined; cause?: Error } = {}) {
    super(e, metadata)
    this.name = 'KafkaJSConnectionClosedError'
  }
}

export class KafkaJSRequestTimeoutError extends KafkaJSError {
  constructor(e: Error | string, metadata: KafkaJSErrorMetadata = {}) {
    super(e, metadata)
    this.name = 'KafkaJSRequestTimeoutError'
  }
}

export class KafkaJSServerDoesNotSupportApiKey extends KafkaJSNonRetriableError {
  constructor(e: Error | string, metadata: { cause?: Error } = {}) {
    super(e, metadata)
    this.name = 'KafkaJSServerDoesNotSupportApiKey'
  }
}

export class KafkaJSSASLAuthenticationError extends KafkaJSNonRetriableError {
  constructor(e: Error | string, metadata: { cause?: Error } = {}) {
    super(e, metadata)
    this.name = 'KafkaJSSASLAuthenticationError'
  }
}

export class KafkaJSNotImplemented extends KafkaJSNonRetriableError {
  constructor(e: Error | string) {
    super(e)
    this.name = 'KafkaJSNotImplemented'
  }
}

export class KafkaJSDeleteGroupsError extends KafkaJSError {
  readonly groups: readonly FailedGroup[]

  constructor(e: Error | string, groups: readonly FailedGroup[] = []) {
    super(e)
    this.name = 'KafkaJSDeleteGroupsError'
    this.groups = groups
  }
}

/** Records of some partitions were not deleted. */
export class KafkaJSDeleteTopicRecordsError extends KafkaJSError {
  readonly partitions: readonly { partition: number; offset: string; error: KafkaJSError }[]

  constructor({ partitions }: { partitions: { partition: number; offset: string; error: KafkaJSError }[] }) {
    super('Error while deleting records', { retriable: partitions.every(({ error }) => error.retriable) })
    this.name = 'KafkaJSDeleteTopicRecordsError'
    this.partitions = partitions
  }
}

export interface FailedGroup {
  groupId: string
  errorCode: number
  error: KafkaJSProtocolError
}

export class KafkaJSAggregateError extends Error {
  readonly errors: (Error | string)[]

  constructor(message: Error | string, errors: (Error | string)[]) {
    super(typeof message === 'string' ? message : message.message)
    this.name = 'KafkaJSAggregateError'
    this.errors = errors
  }
}

/** Errors that have another name in kafkajs than in Kafka today. */
const kafkajsNames: Readonly<Record<string, string>> = {
  UNKNOWN_SERVER_ERROR: 'UNKNOWN',
  NOT_LEADER_OR_FOLLOWER: 'NOT_LEADER_FOR_PARTITION',
  COORDINATOR_LOAD_IN_PROGRESS: 'GROUP_LOAD_IN_PROGRESS',
  COORDINATOR_NOT_AVAILABLE: 'GROUP_COORDINATOR_NOT_AVAILABLE',
  NOT_COORDINATOR: 'NOT_COORDINATOR_FOR_GROUP',
}

/** What the SDK finds out by itself, where a broker would refuse it under this name. */
const brokerNames: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC: 'UNKNOWN_TOPIC_OR_PARTITION',
  UNKNOWN_PARTITION: 'UNKNOWN_TOPIC_OR_PARTITION',
  TOPIC_EXISTS: 'TOPIC_ALREADY_EXISTS',
  INVALID_TOPIC: 'INVALID_TOPIC_EXCEPTION',
  LEADER_UNAVAILABLE: 'LEADER_NOT_AVAILABLE',
  OFFSET_OUT_OF_RANGE: 'OFFSET_OUT_OF_RANGE',
  MESSAGE_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  COORDINATOR_UNAVAILABLE: 'COORDINATOR_NOT_AVAILABLE',
  UNKNOWN_GROUP: 'GROUP_ID_NOT_FOUND',
  GROUP_NOT_EMPTY: 'NON_EMPTY_GROUP',
  GROUP_MISMATCH: 'INCONSISTENT_GROUP_PROTOCOL',
  GROUP_FULL: 'GROUP_MAX_SIZE_REACHED',
  MEMBER_FENCED: 'FENCED_INSTANCE_ID',
  PRODUCER_FENCED: 'INVALID_PRODUCER_EPOCH',
}

/** The failure of that name, as kafkajs knows it. */
export function protocolFailure(name: string): ProtocolFailure | undefined {
  const code = (ErrorCode as Readonly<Record<string, number>>)[name]
  if (code === undefined) return undefined
  const { message, retriable } = errorByCode(code)
  return { type: kafkajsNames[name] ?? name, code, message, retriable }
}

/** The error a kafkajs program expects in the place of one of the SDK's, which becomes its cause. */
export function kafkajsError(error: unknown): Error {
  if (!isStreamBusError(error)) return error instanceof Error ? error : new KafkaJSError(String(error))
  const cause: Error = error
  const failure = protocolFailure(error.brokerError ?? brokerNames[error.code] ?? '')
  if (failure !== undefined) {
    return new KafkaJSProtocolError({ ...failure, message: error.message }, cause)
  }
  switch (error.code) {
    case 'BROKER_UNREACHABLE':
    case 'TLS_FAILED':
      return new KafkaJSConnectionError(error.message, { code: socketCode(error), cause })
    case 'CONNECTION_LOST':
      return new KafkaJSConnectionClosedError(error.message, { cause })
    case 'REQUEST_TIMEOUT':
      return new KafkaJSRequestTimeoutError(error.message, { cause })
    case 'AUTHENTICATION_FAILED':
      return new KafkaJSSASLAuthenticationError(error.message, { cause })
    case 'UNSUPPORTED_API':
      return new KafkaJSServerDoesNotSupportApiKey(error.message, { cause })
    default:
      return error.retriable
        ? new KafkaJSError(error.message, { cause })
        : new KafkaJSNonRetriableError(error.message, { cause })
  }
}

function socketCode({ cause }: StreamBusError): string | undefined {
  const { code, cause: inner } = (cause ?? {}) as { code?: unknown; cause?: unknown }
  if (isStreamBusError(cause)) return socketCode(cause)
  if (typeof code === 'string') return code
  return typeof inner === 'object' && inner !== null ? (inner as { code?: string }).code : undefined
}
