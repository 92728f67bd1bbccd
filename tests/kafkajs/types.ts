/** What has to hold of the types of kafkajs and of ours; `npm run types` is the test. */
import type * as theirs from 'kafkajs'
import type * as ours from 'streambus/kafkajs'

type Fits<From extends To, To> = From

/** What programs pass fits ours, by the types of kafkajs. */
export type Passed = [
  Fits<theirs.Message, ours.Message>,
  Fits<theirs.TopicMessages, ours.TopicMessages>,
  Fits<theirs.ProducerRecord, ours.ProducerRecord>,
  Fits<theirs.ProducerBatch, ours.ProducerBatch>,
  Fits<Omit<theirs.ProducerConfig, never>, ours.ProducerConfig>,
  Fits<theirs.ICustomPartitioner, ours.ICustomPartitioner>,
  Fits<theirs.ConsumerSubscribeTopics, ours.ConsumerSubscribeTopics>,
  Fits<theirs.ConsumerSubscribeTopic, ours.ConsumerSubscribeTopic>,
  Fits<Omit<theirs.ConsumerConfig, 'partitionAssigners' | 'rackId'>, ours.ConsumerConfig>,
  Fits<theirs.Assigner, ours.Assigner>,
  Fits<theirs.RetryOptions, ours.RetryOptions>,
  Fits<theirs.Offsets, ours.Offsets>,
  Fits<theirs.TopicPartitionOffsetAndMetadata, ours.TopicPartitionOffsetAndMetadata>,
  Fits<theirs.ITopicConfig, ours.ITopicConfig>,
  Fits<theirs.ITopicPartitionConfig, ours.ITopicPartitionConfig>,
  Fits<theirs.IResourceConfig, ours.IResourceConfig>,
  Fits<theirs.ResourceConfigQuery, ours.ResourceConfigQuery>,
  Fits<theirs.AclEntry, ours.AclEntry>,
  Fits<theirs.AclFilter, ours.AclFilter>,
  Fits<theirs.SeekEntry, ours.SeekEntry>,
  Fits<theirs.PartitionReassignment, ours.PartitionReassignment>,
  Fits<theirs.SASLOptions, ours.SASLOptions | { mechanism: 'aws' }>,
  Fits<
    Omit<theirs.KafkaConfig, 'sasl' | 'socketFactory' | 'logCreator'>,
    Omit<ours.KafkaConfig, 'sasl' | 'logCreator'>
  >,
]

/** What programs get from ours fits what they expect of kafkajs. */
export type Returned = [
  Fits<ours.RecordMetadata, theirs.RecordMetadata>,
  Fits<ours.KafkaMessage, theirs.KafkaMessage>,
  Fits<ours.EachMessagePayload, theirs.EachMessagePayload>,
  Fits<ours.EachBatchPayload, theirs.EachBatchPayload>,
  Fits<ours.Batch, theirs.Batch>,
  Fits<ours.Transaction, theirs.Transaction>,
  Fits<ours.GroupDescription, theirs.GroupDescription>,
  Fits<ours.ConsumerGroupJoinEvent, theirs.ConsumerGroupJoinEvent>,
  Fits<ours.ConsumerCrashEvent, theirs.ConsumerCrashEvent>,
  Fits<ours.ConsumerCommitOffsetsEvent, theirs.ConsumerCommitOffsetsEvent>,
  Fits<ours.ITopicMetadata, theirs.ITopicMetadata>,
  Fits<ours.Logger, theirs.Logger>,
  Fits<ours.KafkaJSError, theirs.KafkaJSError>,
  Fits<ours.KafkaJSProtocolError, theirs.KafkaJSProtocolError>,
  Fits<ours.KafkaJSNumberOfRetriesExceeded, theirs.KafkaJSNumberOfRetriesExceeded>,
]

/** Every method of kafkajs, with what it takes and resolves with. */
type Methods<T> = Omit<T, 'events' | 'on' | 'logger'>
export type Clients = [
  Fits<Methods<ours.Producer>, Methods<theirs.Producer>>,
  Fits<Methods<ours.Consumer>, Methods<theirs.Consumer>>,
  Fits<Omit<Methods<ours.Admin>, NoThrottle>, Omit<Methods<theirs.Admin>, NoThrottle>>,
]
/** Their answers have no `throttleTime`: kafkajs has it in its types and, for settings, not in what it returns. */
type NoThrottle = 'describeConfigs' | 'describeAcls' | 'deleteAcls'

/** Handlers written for kafkajs can be given to ours. */
export type Handlers = [
  Fits<theirs.EachMessageHandler, ours.EachMessageHandler>,
  Fits<theirs.EachBatchHandler, ours.EachBatchHandler>,
  Fits<theirs.ConsumerRunConfig, ours.ConsumerRunConfig>,
]
