export type {
  Acl,
  AclFilter,
  AclPatternType,
  AclPermission,
  AclResourceType,
  NewAcl,
} from './admin/acls.ts'
export { Admin } from './admin/admin.ts'
export type { AdminOptions } from './admin/admin-requests.ts'
export type { OperationsSubject } from './admin/authorized-operations.ts'
export type {
  DescribeQuotasOptions,
  QuotaChange,
  QuotaDescription,
  QuotaEntity,
  QuotaFilter,
  Quotas,
} from './admin/client-quotas.ts'
export type { ClusterDescription } from './admin/cluster-description.ts'
export type {
  ConfigChange,
  ConfigEntry,
  ConfigResource,
  ConfigResourceKind,
  ConfigSource,
  ConfigSynonym,
  ConfigType,
  DescribeConfigsOptions,
} from './admin/configs.ts'
export type { CreateDelegationTokenOptions, DelegationToken } from './admin/delegation-tokens.ts'
export type { FeatureDescription, FeatureLevel } from './admin/features.ts'
export type { MemberReference, RemoveMembersOptions } from './admin/group-members.ts'
export type {
  DescribeLogDirsOptions,
  LogDirDescription,
  LogDirMaintenance,
  LogDirReplica,
  ReplicaMove,
} from './admin/log-dirs.ts'
export type { Operation } from './admin/operations.ts'
export type { LogCompaction, LogStorage, PartitionStorage } from './admin/partition-storage.ts'
export type { QuorumDescription, QuorumReplica } from './admin/quorum.ts'
export type {
  DeletedRecords,
  LeaderEpochEnd,
  LeaderEpochQuestion,
  RecordsToDelete,
} from './admin/records.ts'
export type {
  ElectedLeader,
  ElectLeadersOptions,
  OngoingReassignment,
  PartitionReassignment,
} from './admin/replicas.ts'
export type { ScramCredentialChange, ScramMechanism, ScramUser } from './admin/scram-users.ts'
export type { ListTopicsOptions, PartitionDescription, TopicDescription } from './admin/topic-description.ts'
export type {
  ChangeOptions,
  CreatedTopic,
  CreatePartitionsOptions,
  CreateTopicOptions,
  NewTopic,
  TopicReference,
} from './admin/topics.ts'
export { connect, StreamBus } from './client.ts'
export type { BrokerInfo, ClusterInfo, PartitionInfo, TopicInfo } from './cluster.ts'
export type { VersionRange } from './connection.ts'
export { Consumer, type ConsumerOptions } from './consumer/consumer.ts'
export type { ConsumerEvents, ConsumerListener, Stall } from './consumer/consumer-events.ts'
export type { PartitionLag } from './consumer/lag.ts'
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
  SomeFailedError,
  StreamBusError,
  type StreamBusErrorCode,
  TimeoutError,
  TopicError,
  TransactionError,
  UnavailableError,
} from './errors.ts'
export type { GroupDescription, GroupFilter, GroupListing, GroupMember } from './groups/group-admin.ts'
export { GroupConsumer } from './groups/group-consumer.ts'
export type {
  AnyConsumerOptions,
  AssignorName,
  ClassicProtocolOptions,
  ConsumerProtocolOptions,
  GroupConsumerOptions,
  RemoteAssignorName,
} from './groups/group-consumer-options.ts'
export type { CommittedOffset, CommittingMember, OffsetToCommit } from './groups/group-offsets.ts'
export {
  type DeadLetter,
  deadLetterHeaders,
  originalHeaders,
  readDeadLetter,
  type WithHeaders,
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
export type {
  FindOffsetsOptions,
  FoundOffset,
  Isolation,
  OffsetQuery,
  OffsetQuestion,
  SpecialOffsetQuery,
  TopicPartition,
} from './list-offsets.ts'
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
  FencedProducer,
  ProducerDescription,
  TransactionDescription,
  TransactionFilter,
  TransactionListing,
} from './transactions/transaction-admin.ts'
export {
  type AnyProducerOptions,
  TransactionalProducer,
  type TransactionalProducerOptions,
  type TransactionOptions,
} from './transactions/transactional-producer.ts'
