export {
  Admin,
  type ClusterDescription,
  type ConfigEntry,
  type CreateTopicOptions,
  type PartitionDescription,
  type TopicDescription,
} from './admin.ts'
export { connect, StreamBus } from './client.ts'
export type { BrokerInfo, ClusterInfo, PartitionInfo, TopicInfo } from './cluster.ts'
export type { VersionRange } from './connection.ts'
export { Consumer, type ConsumerOptions } from './consumer/consumer.ts'
export type { ConsumerEvents, ConsumerListener, Stall } from './consumer/consumer-events.ts'
export type { SeekTarget } from './consumer/seek.ts'
export type { StartPosition } from './consumer/start-position.ts'
export {
  AbortError,
  ArgumentError,
  AuthenticationError,
  AuthorizationError,
  ClosedError,
  type CodeOf,
  ConnectionError,
  type ErrorClassName,
  errorTable,
  GroupError,
  HandlerError,
  isStreamBusError,
  LogError,
  MessageError,
  ProtocolError,
  RefusedError,
  StreamBusError,
  type StreamBusErrorCode,
  TimeoutError,
  TopicError,
  TransactionError,
  UnavailableError,
} from './errors.ts'
export type { GroupDescription, GroupListing, GroupMember } from './groups/group-admin.ts'
export { GroupConsumer } from './groups/group-consumer.ts'
export type { AssignorName, GroupConsumerOptions } from './groups/group-consumer-options.ts'
export type { CommittedOffset, CommittingMember, OffsetToCommit } from './groups/group-offsets.ts'
export type { PartitionLag } from './groups/lag.ts'
export {
  type DeadLetter,
  deadLetterHeaders,
  originalHeaders,
  readDeadLetter,
} from './handling/dead-letters.ts'
export { retryHeaders } from './handling/delay-topics.ts'
export type {
  DeadLetterOptions,
  DelayTopicOptions,
  HandleOptions,
  Handler,
  HandlerContext,
  RetryOptions,
} from './handling/handle-options.ts'
export type { FoundOffset, Isolation, OffsetQuery, TopicPartition } from './list-offsets.ts'
export {
  type HeaderInput,
  Message,
  type MessageBatch,
  type MessageHeader,
  type OutgoingMessage,
  type Sendable,
  type SendOptions,
  type SentMessage,
} from './message.ts'
export type {
  ClientIdentity,
  ConnectionEvent,
  ConsumerChannelEvent,
  HandleTrace,
  MessageToSend,
  ReceiveEvent,
  RequestTrace,
  RetryEvent,
  SendTrace,
} from './observability/channels.ts'
export type { DurationHistogram, Metrics, RequestMetrics, TopicMetrics } from './observability/metrics.ts'
export { type BrokerAddress, type ConnectOptions, type Logger, parseBrokers } from './options.ts'
export { murmur2, partitionOfKey } from './producer/murmur2.ts'
export { Producer, type ProducerOptions } from './producer/producer.ts'
export type { BearerToken, PasswordCredentials, SaslOptions, TokenCredentials } from './security/sasl.ts'
export type { TlsOptions } from './socket.ts'
export { type Serializer, serializers } from './topics/serializer.ts'
export type { StandardSchema } from './topics/standard-schema.ts'
export { Topic, type TopicOptions } from './topics/topic.ts'
export { type InvalidMessageOptions, TypedConsumer } from './topics/typed-consumer.ts'
export { TypedMessage } from './topics/typed-message.ts'
export { type TypedOutgoingMessage, TypedProducer, type TypedSendOptions } from './topics/typed-producer.ts'
export type {
  ProcessedMessage,
  ProcessHandler,
  ProcessOptions,
  ProcessResult,
} from './transactions/process-options.ts'
export { Processor } from './transactions/processor.ts'
export type { OffsetOwner, Transaction } from './transactions/transaction.ts'
export type {
  ProducerDescription,
  TransactionDescription,
  TransactionListing,
} from './transactions/transaction-admin.ts'
export {
  TransactionalProducer,
  type TransactionalProducerOptions,
  type TransactionOptions,
} from './transactions/transactional-producer.ts'
