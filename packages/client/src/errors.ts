/**
 * Every error the SDK raises is a `StreamBusError` with a code from the table below, and an instance of the class
 * the table names for it: classes to catch by, codes to tell apart what a class has in common. Codes and classes are
 * stable: they are part of the public API. What a broker refuses arrives under one of these codes too, with Kafka's
 * own name for it in `brokerError`.
 */
import { errorByCode } from '@streambus/protocol'

interface ErrorRow {
  /** The class errors of this code are instances of. */
  readonly class: ErrorClassName
  /** True when the same call may succeed later without a change by the caller. */
  readonly retriable: boolean
  /** What happened. */
  readonly meaning: string
  /** What the caller can do about it. */
  readonly remedy: string
}

export const errorTable = {
  BROKER_UNREACHABLE: {
    class: 'ConnectionError',
    retriable: true,
    meaning: 'No connection to a broker could be made.',
    remedy: 'Check the address, and that the broker runs and is not behind a firewall.',
  },
  TLS_FAILED: {
    class: 'ConnectionError',
    retriable: false,
    meaning: 'There is somebody at the address, but no TLS connection could be made.',
    remedy:
      'Check that the broker speaks TLS at this port, and that its certificate is trusted (tls.ca) and names the host.',
  },
  AUTHENTICATION_FAILED: {
    class: 'AuthenticationError',
    retriable: false,
    meaning: 'The broker does not accept who the client says it is.',
    remedy: 'Check sasl: mechanism, user name, password or token.',
  },
  CONNECTION_LOST: {
    class: 'ConnectionError',
    retriable: true,
    meaning: 'The connection ended before the answer came; whether the request took effect is unknown.',
    remedy: 'Try again; idempotent producers do so by themselves.',
  },
  REQUEST_TIMEOUT: {
    class: 'TimeoutError',
    retriable: true,
    meaning: 'The broker did not answer within requestTimeoutMs.',
    remedy: 'Check the load of the broker, or raise requestTimeoutMs.',
  },
  DELIVERY_TIMEOUT: {
    class: 'TimeoutError',
    retriable: false,
    meaning: 'A message could not be delivered within deliveryTimeoutMs; it may or may not be in the log.',
    remedy: 'Look at the cause; check that the brokers are reachable and have a leader for the partition.',
  },
  PROTOCOL_ERROR: {
    class: 'ProtocolError',
    retriable: false,
    meaning: 'The peer answered with bytes that are not the Kafka protocol.',
    remedy: 'Check that the address and port are those of a broker and that TLS matches.',
  },
  UNSUPPORTED_API: {
    class: 'RefusedError',
    retriable: false,
    meaning: 'The broker does not offer this request in a version the SDK knows.',
    remedy: 'Use a newer broker (Apache Kafka 2.8 or later), or do without the feature.',
  },
  SOME_FAILED: {
    class: 'SomeFailedError',
    retriable: false,
    meaning: 'Of several things that were asked for some failed; the others took effect.',
    remedy: 'See failures for what failed and why, and succeeded for the results of the others.',
  },
  UNKNOWN_TOPIC: {
    class: 'TopicError',
    retriable: true,
    meaning: 'The topic does not exist on this cluster.',
    remedy: 'Create it, or check its name.',
  },
  UNKNOWN_PARTITION: {
    class: 'TopicError',
    retriable: false,
    meaning: 'The topic has no partition with this number.',
    remedy: 'Partitions are numbered from 0; describe the topic to see how many there are.',
  },
  TOPIC_EXISTS: {
    class: 'TopicError',
    retriable: false,
    meaning: 'A topic with this name exists already.',
    remedy: 'Use it, or choose another name.',
  },
  INVALID_TOPIC: {
    class: 'TopicError',
    retriable: false,
    meaning: 'The topic name is not allowed.',
    remedy: 'Use 1 to 249 letters, digits, dots, underscores and hyphens, but neither "." nor "..".',
  },
  INVALID_PARTITIONS: {
    class: 'TopicError',
    retriable: false,
    meaning: 'The number of partitions is not allowed.',
    remedy: 'Ask for at least one partition, and never for fewer than there are.',
  },
  INVALID_REPLICATION_FACTOR: {
    class: 'TopicError',
    retriable: false,
    meaning: 'The cluster cannot keep this many copies.',
    remedy: 'Ask for no more copies than there are brokers, or leave the factor out.',
  },
  INVALID_CONFIG: {
    class: 'ArgumentError',
    retriable: false,
    meaning: 'A setting is unknown or its value is not allowed.',
    remedy: 'Check the name and the value of the setting.',
  },
  LEADER_UNAVAILABLE: {
    class: 'UnavailableError',
    retriable: true,
    meaning: 'The partition has no leader at the moment.',
    remedy: 'Check that the brokers that hold the partition run.',
  },
  OFFSET_OUT_OF_RANGE: {
    class: 'LogError',
    retriable: false,
    meaning: 'The log does not hold this offset: it was deleted already, or is not written yet.',
    remedy: "Start from 'earliest', 'latest' or an offset in the range named.",
  },
  TOPIC_RECREATED: {
    class: 'LogError',
    retriable: false,
    meaning: 'The topic was deleted and made anew while it was read: its offsets begin again.',
    remedy:
      'Read it from its beginning; consumers of a group do so by themselves, where they read without an end.',
  },
  OFFSET_NOT_EXACT: {
    class: 'LogError',
    retriable: false,
    meaning: 'An offset is above 2^53 - 1 and cannot be a JavaScript number without loss.',
    remedy: 'Read this log with a client that has 64-bit offsets.',
  },
  MESSAGE_TOO_LARGE: {
    class: 'MessageError',
    retriable: false,
    meaning: 'A message is larger than the topic, the broker or the buffer of the client takes.',
    remedy: 'Send smaller messages, or raise max.message.bytes of the topic.',
  },
  NO_PROGRESS: {
    class: 'LogError',
    retriable: false,
    meaning: 'The broker reports records but does not send them.',
    remedy: 'Check the log of the broker for damaged segments.',
  },
  CORRUPT_DATA: {
    class: 'LogError',
    retriable: false,
    meaning: 'A record batch does not match its checksum or its own description.',
    remedy: 'Check the network and the disk of the broker; skip the batch by its offset if it stays damaged.',
  },
  COORDINATOR_UNAVAILABLE: {
    class: 'UnavailableError',
    retriable: true,
    meaning: 'The broker that looks after the group or transactional id is not known or not ready.',
    remedy: 'Try again in a moment; check that all brokers run.',
  },
  INVALID_GROUP: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The group id is empty or not allowed.',
    remedy: 'Name the group.',
  },
  UNKNOWN_GROUP: {
    class: 'GroupError',
    retriable: false,
    meaning: 'There is no group with this id on the cluster.',
    remedy: 'Check the id; list the groups to see which there are.',
  },
  GROUP_NOT_EMPTY: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The group has members that run, which would undo or contradict the change.',
    remedy: 'Stop its consumers, wait until their sessions are over, and try again.',
  },
  GROUP_IN_USE: {
    class: 'GroupError',
    retriable: false,
    meaning: 'Members of the group still read the topic whose offsets were to be deleted.',
    remedy: 'Stop the consumers of that topic first.',
  },
  GROUP_MISMATCH: {
    class: 'GroupError',
    retriable: false,
    meaning:
      'The other members of the group have no assignor in common with this one, or it is no group of consumers.',
    remedy: 'Use an assignor they use, or another group id.',
  },
  GROUP_FULL: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The group has as many members as the broker allows.',
    remedy: 'Stop some of them, or raise group.max.size of the broker.',
  },
  INVALID_SESSION_TIMEOUT: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The session timeout is outside of what the broker allows.',
    remedy: 'Choose one between group.min.session.timeout.ms and group.max.session.timeout.ms of the broker.',
  },
  MEMBER_FENCED: {
    class: 'GroupError',
    retriable: false,
    meaning: 'Another consumer joined the group with the same instanceId and took the place of this one.',
    remedy: 'Give each consumer an instanceId of its own, and run it once.',
  },
  INSTANCE_ID_IN_USE: {
    class: 'GroupError',
    retriable: true,
    meaning: 'Another member of the group has this instanceId: it runs, or was killed a moment ago.',
    remedy:
      'Give each consumer an instanceId of its own; one that was killed is waited for until its session is over.',
  },
  UNSUPPORTED_ASSIGNOR: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The broker has no assignor of the name that remoteAssignor gives.',
    remedy: 'Use one of those in group.consumer.assignors of the broker, or leave remoteAssignor out.',
  },
  REBALANCE_DELAYED: {
    class: 'GroupError',
    retriable: true,
    meaning: 'Members of the group have not joined a rebalance that others wait for.',
    remedy: 'Look for a member whose handler takes long, or lower its rebalanceTimeoutMs.',
  },
  PARTITIONS_LOST: {
    class: 'GroupError',
    retriable: false,
    meaning: 'The group gave partitions to another member before their offsets were committed.',
    remedy: 'Go on: their messages come again, to the new owner. Process faster, or raise sessionTimeoutMs.',
  },
  HANDLER_FAILED: {
    class: 'HandlerError',
    retriable: false,
    meaning: 'The handler of a consumer failed with a message, after all attempts.',
    remedy: 'See the cause. Correct the handler, or have such messages set aside with deadLetter.',
  },
  HANDLER_TIMEOUT: {
    class: 'TimeoutError',
    retriable: false,
    meaning: 'The handler of a consumer took longer than handlerTimeoutMs for a message.',
    remedy: 'Have the handler give up by its signal; raise handlerTimeoutMs where it needs the time.',
  },
  RETRY_FAILED: {
    class: 'HandlerError',
    retriable: false,
    meaning: 'A message that is to be tried again could not be published to its delay topic.',
    remedy:
      'See the cause; check that the topic exists and takes messages a little larger than the original.',
  },
  DEAD_LETTER_FAILED: {
    class: 'HandlerError',
    retriable: false,
    meaning: 'A message that could not be handled could not be published to the dead letter topic either.',
    remedy:
      'See the cause; check that the topic exists and takes messages a little larger than the original.',
  },
  UNKNOWN_TRANSACTION: {
    class: 'TransactionError',
    retriable: false,
    meaning: 'There is no transaction of this transactional id, or none that can be aborted.',
    remedy: 'List the transactions to see which there are and in what state.',
  },
  TRANSACTION_BUSY: {
    class: 'TransactionError',
    retriable: true,
    meaning: 'The transaction is being completed or aborted at this moment.',
    remedy: 'Try again in a moment.',
  },
  TRANSACTION_OPEN: {
    class: 'TransactionError',
    retriable: true,
    meaning: 'A transaction has been open for long, and holds back what was written behind it.',
    remedy:
      'See whose it is (admin.describeProducers), have it end or abort it; or read with read_uncommitted.',
  },
  TRANSACTION_ABORTED: {
    class: 'TransactionError',
    retriable: false,
    meaning: 'A part of the transaction failed, so all of it was aborted: nothing of it counts.',
    remedy: 'Look at the cause, and run the transaction again.',
  },
  TRANSACTION_IN_DOUBT: {
    class: 'TransactionError',
    retriable: false,
    meaning:
      'The commit was sent, and no answer told how it ended: the transaction is committed, or aborted.',
    remedy: 'Read with read_committed what became of it before it is run again.',
  },
  PRODUCER_FENCED: {
    class: 'TransactionError',
    retriable: false,
    meaning:
      'Another producer took the transactional id over, or a transaction took longer than transactionTimeoutMs.',
    remedy:
      'Give each producer that runs an id of its own, and keep transactions short; make a new producer.',
  },
  NOT_AUTHORIZED: {
    class: 'AuthorizationError',
    retriable: false,
    meaning: 'The broker does not allow this.',
    remedy: 'Ask an administrator of the cluster for the right.',
  },
  STORAGE_FAILED: {
    class: 'UnavailableError',
    retriable: true,
    meaning: 'The broker could not write to its disk.',
    remedy: 'Check the disk of the broker: it may be full.',
  },
  BROKER_ERROR: {
    class: 'RefusedError',
    retriable: false,
    meaning: 'The broker refused the request for a reason without a code of its own here.',
    remedy: 'See brokerError for its name in the Kafka protocol.',
  },
  INVALID_ARGUMENT: {
    class: 'ArgumentError',
    retriable: false,
    meaning: 'An argument of the call is wrong; nothing was sent.',
    remedy: 'Correct the argument the message names.',
  },
  INVALID_VALUE: {
    class: 'MessageError',
    retriable: false,
    meaning: "A key or value is not of the topic's type; nothing was sent.",
    remedy: 'Correct what the message names, or the schema of the topic.',
  },
  INVALID_MESSAGE: {
    class: 'MessageError',
    retriable: false,
    meaning: "A message in the log is not of the topic's type.",
    remedy: 'Have messages like it passed over with onInvalid, or let the schema accept them.',
  },
  CLOSED: {
    class: 'ClosedError',
    retriable: false,
    meaning: 'The client, producer or consumer was closed.',
    remedy: 'Make a new one.',
  },
  ABORTED: {
    class: 'AbortError',
    retriable: false,
    meaning: 'The AbortSignal of the call fired.',
    remedy: 'Nothing: this is what was asked for.',
  },
} as const satisfies Record<string, ErrorRow>

export type StreamBusErrorCode = keyof typeof errorTable

/** The codes whose errors are of a class. */
export type CodeOf<Class extends ErrorClassName> = {
  [Code in StreamBusErrorCode]: (typeof errorTable)[Code]['class'] extends Class ? Code : never
}[StreamBusErrorCode]

const brand = Symbol.for('streambus.error')

export interface StreamBusErrorOptions {
  cause?: unknown
  /** Kafka's name of the error, where a broker reported it. */
  brokerError?: string
  /** Where it differs from what the table says of the code. */
  retriable?: boolean
}

/**
 * What all errors of the SDK are. Each is also an instance of the class that the table has for its code: what
 * `new StreamBusError('REQUEST_TIMEOUT', …)` makes is a `TimeoutError`.
 */
export class StreamBusError<Code extends StreamBusErrorCode = StreamBusErrorCode> extends Error {
  /** The name of its class. */
  override readonly name: string
  readonly code: Code
  /** True when the same call may succeed later without a change by the caller. */
  readonly retriable: boolean
  /** Kafka's name of the error (`NOT_LEADER_OR_FOLLOWER`), where a broker reported it. */
  readonly brokerError: string | undefined

  constructor(code: Code, message: string, options: StreamBusErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    const row: ErrorRow = errorTable[code]
    if (new.target === StreamBusError) Object.setPrototypeOf(this, errorClasses[row.class].prototype)
    this.name = row.class
    this.code = code
    this.retriable = options.retriable ?? row.retriable
    this.brokerError = options.brokerError
    Object.defineProperty(this, brand, { value: true })
    // The stack begins with the name, which `super` could not know yet.
    Error.captureStackTrace(this, new.target)
  }
}

// `instanceof` also holds where two copies of the SDK are installed side by side, as `isStreamBusError` does.
Object.defineProperty(StreamBusError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true
    if (!isStreamBusError(value)) return false
    return this === StreamBusError || this === errorClasses[value.name as ErrorClassName]
  },
})

/** No connection to a broker could be made, or one was lost. */
export class ConnectionError extends StreamBusError<CodeOf<'ConnectionError'>> {}
/** Something took longer than the bound the message names. */
export class TimeoutError extends StreamBusError<CodeOf<'TimeoutError'>> {}
/** The peer does not speak the Kafka protocol. */
export class ProtocolError extends StreamBusError<CodeOf<'ProtocolError'>> {}
/** The broker does not accept who the client says it is. */
export class AuthenticationError extends StreamBusError<CodeOf<'AuthenticationError'>> {}
/** The broker does not allow this to whoever the client is. */
export class AuthorizationError extends StreamBusError<CodeOf<'AuthorizationError'>> {}
/** What is asked for is there, but cannot serve at the moment: a leader, a coordinator, a disk. */
export class UnavailableError extends StreamBusError<CodeOf<'UnavailableError'>> {}
/** The broker does not do what it was asked for. */
export class RefusedError extends StreamBusError<CodeOf<'RefusedError'>> {}
/**
 * Several things were asked for, and some of them failed: what failed with why, and the results of the others, which
 * took effect. `retriable` where all that failed may succeed later.
 */
export class SomeFailedError<Item = unknown, Result = unknown> extends StreamBusError<'SOME_FAILED'> {
  /** As they were given to the call, in their order. */
  readonly failures: readonly { readonly item: Item; readonly error: StreamBusError }[]
  /** In the order of what they were asked for. */
  readonly succeeded: readonly Result[]

  constructor(items: readonly Item[], outcomes: readonly (Result | StreamBusError)[]) {
    const failures = outcomes.flatMap((error, index) =>
      isStreamBusError(error) ? [{ item: items[index] as Item, error }] : [],
    )
    const first = failures[0]?.error
    const several = failures.length === 1 ? 'One' : `${failures.length}`
    super('SOME_FAILED', `${several} of ${items.length} failed, the first for this: ${first?.message}`, {
      cause: first,
      retriable: failures.every(({ error }) => error.retriable),
    })
    this.failures = failures
    this.succeeded = outcomes.filter((outcome): outcome is Result => !isStreamBusError(outcome))
  }
}
/** A topic or partition is missing, or cannot be made or changed in this way. */
export class TopicError extends StreamBusError<CodeOf<'TopicError'>> {}
/** The log of a partition cannot be read at this place. */
export class LogError extends StreamBusError<CodeOf<'LogError'>> {}
/** A message cannot be sent or read as it is. */
export class MessageError extends StreamBusError<CodeOf<'MessageError'>> {}
/** A consumer group is missing, or refuses a member or a change. */
export class GroupError extends StreamBusError<CodeOf<'GroupError'>> {}
/** A handler failed with a message. */
export class HandlerError extends StreamBusError<CodeOf<'HandlerError'>> {}
/** A transaction is missing, failed, or is in doubt. */
export class TransactionError extends StreamBusError<CodeOf<'TransactionError'>> {}
/** An argument or a setting is wrong. */
export class ArgumentError extends StreamBusError<CodeOf<'ArgumentError'>> {}
/** The client, producer or consumer was closed. */
export class ClosedError extends StreamBusError<CodeOf<'ClosedError'>> {}
/** The AbortSignal of the call fired. */
export class AbortError extends StreamBusError<CodeOf<'AbortError'>> {}

const errorClasses = {
  ConnectionError,
  TimeoutError,
  ProtocolError,
  AuthenticationError,
  AuthorizationError,
  UnavailableError,
  RefusedError,
  SomeFailedError,
  TopicError,
  LogError,
  MessageError,
  GroupError,
  HandlerError,
  TransactionError,
  ArgumentError,
  ClosedError,
  AbortError,
}

export type ErrorClassName = keyof typeof errorClasses

/** Recognises the error also where two copies of the SDK are installed side by side. */
export function isStreamBusError(error: unknown): error is StreamBusError {
  return typeof error === 'object' && error !== null && brand in error
}

const codeByBrokerError: Readonly<Record<string, StreamBusErrorCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'UNKNOWN_TOPIC',
  UNKNOWN_TOPIC_ID: 'UNKNOWN_TOPIC',
  TOPIC_ALREADY_EXISTS: 'TOPIC_EXISTS',
  INVALID_TOPIC_EXCEPTION: 'INVALID_TOPIC',
  INVALID_PARTITIONS: 'INVALID_PARTITIONS',
  INVALID_REPLICATION_FACTOR: 'INVALID_REPLICATION_FACTOR',
  INVALID_CONFIG: 'INVALID_CONFIG',
  LEADER_NOT_AVAILABLE: 'LEADER_UNAVAILABLE',
  NOT_LEADER_OR_FOLLOWER: 'LEADER_UNAVAILABLE',
  OFFSET_OUT_OF_RANGE: 'OFFSET_OUT_OF_RANGE',
  MESSAGE_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'MESSAGE_TOO_LARGE',
  CORRUPT_MESSAGE: 'CORRUPT_DATA',
  REQUEST_TIMED_OUT: 'REQUEST_TIMEOUT',
  UNSUPPORTED_VERSION: 'UNSUPPORTED_API',
  COORDINATOR_LOAD_IN_PROGRESS: 'COORDINATOR_UNAVAILABLE',
  COORDINATOR_NOT_AVAILABLE: 'COORDINATOR_UNAVAILABLE',
  NOT_COORDINATOR: 'COORDINATOR_UNAVAILABLE',
  INVALID_GROUP_ID: 'INVALID_GROUP',
  GROUP_ID_NOT_FOUND: 'UNKNOWN_GROUP',
  NON_EMPTY_GROUP: 'GROUP_NOT_EMPTY',
  GROUP_SUBSCRIBED_TO_TOPIC: 'GROUP_IN_USE',
  INCONSISTENT_GROUP_PROTOCOL: 'GROUP_MISMATCH',
  GROUP_MAX_SIZE_REACHED: 'GROUP_FULL',
  INVALID_SESSION_TIMEOUT: 'INVALID_SESSION_TIMEOUT',
  FENCED_INSTANCE_ID: 'MEMBER_FENCED',
  UNRELEASED_INSTANCE_ID: 'INSTANCE_ID_IN_USE',
  UNSUPPORTED_ASSIGNOR: 'UNSUPPORTED_ASSIGNOR',
  TRANSACTIONAL_ID_NOT_FOUND: 'UNKNOWN_TRANSACTION',
  CONCURRENT_TRANSACTIONS: 'TRANSACTION_BUSY',
  SASL_AUTHENTICATION_FAILED: 'AUTHENTICATION_FAILED',
  UNSUPPORTED_SASL_MECHANISM: 'AUTHENTICATION_FAILED',
  TRANSACTION_ABORTABLE: 'TRANSACTION_ABORTED',
  INVALID_TXN_STATE: 'TRANSACTION_ABORTED',
  PRODUCER_FENCED: 'PRODUCER_FENCED',
  INVALID_PRODUCER_EPOCH: 'PRODUCER_FENCED',
  TOPIC_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  CLUSTER_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  GROUP_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  KAFKA_STORAGE_ERROR: 'STORAGE_FAILED',
}

/**
 * Turns an error code of a response into a typed error. Where the broker sent no sentence of its own, which says what
 * it allows, the message ends with what the table has to say to that.
 *
 * @param doing what was attempted, as the beginning of a sentence: "Cannot create topic 'a'"
 * @param detail the broker's own sentence, where it sent one
 */
export function brokerError(code: number, doing: string, detail?: string | null): StreamBusError {
  const row = errorByCode(code)
  const { name, retriable } = row
  const reason = (detail || row.message).replace(/\.$/, '')
  const known = codeByBrokerError[name]
  const remedy = detail || known === undefined || retriable ? '' : ` ${errorTable[known].remedy}`
  return new StreamBusError(known ?? 'BROKER_ERROR', `${doing}: ${reason} (${name}).${remedy}`, {
    brokerError: name,
    retriable,
  })
}

/** The error a call ends with when its signal fired; our own where the signal is, when a client is closed. */
export function abortedError(signal: AbortSignal): StreamBusError {
  if (isStreamBusError(signal.reason)) return signal.reason
  return new StreamBusError('ABORTED', 'The operation was aborted.', { cause: signal.reason })
}

/** One sentence for people, out of whatever was thrown. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
