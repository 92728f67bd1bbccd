/** The API of kafkajs 2 over this client: a program is moved by changing what it imports. See docs/sdk/kafkajs.md. */
export {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  ConfigResourceTypes,
  ConfigSource,
  ResourcePatternTypes,
} from './admin-resources.ts'
export type * from './admin-types.ts'
export {
  type Assigner,
  AssignerProtocol,
  type Assignment,
  type GroupMember,
  type GroupMemberAssignment,
  type GroupState,
  type MemberAssignment,
  type MemberMetadata,
  type PartitionAssigner,
  PartitionAssigners,
} from './assigners.ts'
export { CompressionCodecs, CompressionTypes } from './compression.ts'
export type {
  BrokersFunction,
  KafkaConfig,
  OauthbearerProviderResponse,
  SASLMechanism,
  SASLOptions,
} from './configuration.ts'
export type * from './consumer-types.ts'
export {
  KafkaJSAggregateError,
  KafkaJSAlterPartitionReassignmentsError,
  KafkaJSConnectionClosedError,
  KafkaJSConnectionError,
  KafkaJSCreateTopicError,
  KafkaJSDeleteGroupsError,
  KafkaJSDeleteTopicRecordsError,
  KafkaJSError,
  type KafkaJSErrorMetadata,
  KafkaJSNonRetriableError,
  KafkaJSNotImplemented,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSProtocolError,
  KafkaJSRequestTimeoutError,
  KafkaJSSASLAuthenticationError,
  KafkaJSServerDoesNotSupportApiKey,
} from './errors.ts'
export type {
  ConnectEvent,
  DisconnectEvent,
  InstrumentationEvent,
  RemoveInstrumentationEventListener,
} from './instrumentation.ts'
export { Kafka } from './kafka.ts'
export { type LogEntry, type Logger, type LoggerEntryContent, type logCreator, logLevel } from './logger.ts'
export { type DefaultPartitioner, type LegacyPartitioner, Partitioners } from './partitioners.ts'
export type * from './producer-types.ts'
export type { RetryOptions } from './retry.ts'
export type * from './types.ts'
