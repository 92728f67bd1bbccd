import type { Cluster, TopicInfo } from '../cluster.ts'
import { isStreamBusError, StreamBusError } from '../errors.ts'
import type { Coordinators } from '../groups/coordinators.ts'
import {
  deleteGroup,
  describeAllGroups,
  type GroupDescription,
  type GroupFilter,
  type GroupListing,
  listAllGroups,
} from '../groups/group-admin.ts'
import {
  type CommittedOffset,
  commitOffsets,
  deleteCommitted,
  fetchCommitted,
  type OffsetToCommit,
  outsider,
} from '../groups/group-offsets.ts'
import {
  changeNames,
  checkList,
  checkOptions,
  checkTopicName,
  checkTopicReference,
  createOneNames,
  newTopicNames,
} from '../known-options.ts'
import {
  type FindOffsetsOptions,
  type FoundOffset,
  findOffsets,
  type OffsetQuestion,
  type TopicPartition,
} from '../list-offsets.ts'
import { wholeNumber } from '../options.ts'
import {
  abortHanging,
  abortTransaction,
  describeProducersOf,
  describeTransaction,
  type FencedProducer,
  fenceProducerOf,
  listAllTransactions,
  type ProducerDescription,
  type TransactionDescription,
  type TransactionFilter,
  type TransactionListing,
} from '../transactions/transaction-admin.ts'
import {
  type Acl,
  type AclFilter,
  createEachAcl,
  deleteMatching,
  describeMatching,
  type NewAcl,
} from './acls.ts'
import { type AdminOptions, AdminRequests, allDone, allSucceeded, onlyOne } from './admin-requests.ts'
import { authorizedOperationsOn, type OperationsSubject } from './authorized-operations.ts'
import {
  alterEachQuota,
  type DescribeQuotasOptions,
  describeMatchingQuotas,
  type QuotaChange,
  type QuotaDescription,
  type QuotaFilter,
} from './client-quotas.ts'
import { type ClusterDescription, describeWholeCluster, forgetBroker } from './cluster-description.ts'
import {
  alterConfigsOf,
  type ConfigChange,
  type ConfigEntry,
  type ConfigResource,
  type ConfigResourceKind,
  type DescribeConfigsOptions,
  describeConfigsOf,
  listResources,
} from './configs.ts'
import {
  type CreateDelegationTokenOptions,
  createToken,
  type DelegationToken,
  describeTokens,
  expireToken,
  renewToken,
} from './delegation-tokens.ts'
import {
  changeFeatures,
  describeAllFeatures,
  type FeatureDescription,
  type FeatureLevel,
} from './features.ts'
import { type RemoveMembersOptions, removeFrom, unknownGroup } from './group-members.ts'
import {
  type DescribeLogDirsOptions,
  describeLogDirsOf,
  type LogDirDescription,
  moveReplicas,
  type ReplicaMove,
} from './log-dirs.ts'
import type { Operation } from './operations.ts'
import { describeStorageOf, type PartitionStorage } from './partition-storage.ts'
import { describeMetadataQuorum, type QuorumDescription } from './quorum.ts'
import {
  type DeletedRecords,
  deleteRecordsOf,
  type LeaderEpochEnd,
  type LeaderEpochQuestion,
  leaderEpochEnds,
  type RecordsToDelete,
} from './records.ts'
import {
  type ElectedLeader,
  type ElectLeadersOptions,
  elect,
  type OngoingReassignment,
  ongoingReassignments,
  type PartitionReassignment,
  reassign,
} from './replicas.ts'
import {
  alterEachCredential,
  describeUsers,
  type ScramCredentialChange,
  type ScramUser,
} from './scram-users.ts'
import {
  describePartitions,
  type ListTopicsOptions,
  listAllTopics,
  type TopicDescription,
} from './topic-description.ts'
import {
  type ChangeOptions,
  type CreatedTopic,
  type CreatePartitionsOptions,
  type CreateTopicOptions,
  createEach,
  deleteEach,
  extendTopic,
  type NewTopic,
  type TopicReference,
} from './topics.ts'

/**
 * Looks after everything brokers let one look after. Calls are repeated while no broker or leader answers, for
 * `timeoutMs` (default: the client's `retryTimeoutMs`) or until the `signal` of their options fires.
 *
 * A call about one thing rejects with its error. A call about several tries all of them; where some fail it rejects
 * with SOME_FAILED, a `SomeFailedError` that says which failed and why and has the results of the others. What a broker
 * does not offer is UNSUPPORTED_API, what it does not allow NOT_AUTHORIZED.
 */
export class Admin {
  readonly #requests: AdminRequests
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators

  constructor(cluster: Cluster, coordinators: Coordinators) {
    this.#requests = new AdminRequests(cluster, coordinators)
    this.#cluster = cluster
    this.#coordinators = coordinators
  }

  /** Rejects with TOPIC_EXISTS, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR or INVALID_CONFIG. */
  async createTopic(name: string, options: CreateTopicOptions & ChangeOptions = {}): Promise<CreatedTopic> {
    checkTopicName(name)
    checkOptions('createTopic', options, createOneNames)
    return onlyOne(await createEach(this.#requests, [{ ...options, name }], options))
  }

  /** In the order of the topics. Their errors are those of `createTopic`. */
  async createTopics(topics: readonly NewTopic[], options: ChangeOptions = {}): Promise<CreatedTopic[]> {
    checkOptions('createTopics', options, changeNames)
    checkList('The topics to create', topics)
    for (const topic of topics) {
      checkOptions('createTopics', topic, newTopicNames)
      checkTopicName(topic.name)
    }
    return allSucceeded(topics, await createEach(this.#requests, topics, options))
  }

  /** By name or id. Rejects with UNKNOWN_TOPIC where there is none. */
  async deleteTopic(topic: TopicReference, options: AdminOptions = {}): Promise<void> {
    checkTopicReference(topic)
    onlyOne(await deleteEach(this.#requests, [topic], options))
  }

  /** Resolves with the names. Their errors are those of `deleteTopic`. */
  async deleteTopics(topics: readonly TopicReference[], options: AdminOptions = {}): Promise<string[]> {
    checkList('The topics to delete', topics)
    for (const topic of topics) checkTopicReference(topic)
    return allSucceeded(topics, await deleteEach(this.#requests, topics, options))
  }

  /**
   * Raises the number of partitions to `count`. Keys are spread over all of them from then on. Rejects with
   * UNKNOWN_TOPIC or INVALID_PARTITIONS.
   */
  async createPartitions(name: string, count: number, options: CreatePartitionsOptions = {}): Promise<void> {
    checkTopicName(name)
    wholeNumber('The number of partitions', count)
    await extendTopic(this.#requests, name, count, options)
  }

  /** Every topic, sorted by name. */
  listTopics(options: ListTopicsOptions = {}): Promise<TopicInfo[]> {
    return listAllTopics(this.#requests, options)
  }

  /** How many partitions a topic has. Rejects with UNKNOWN_TOPIC. */
  async partitionsOf(name: string, options: AdminOptions = {}): Promise<number> {
    return (await this.#topic(name, options)).partitions.length
  }

  /** Rejects with UNKNOWN_TOPIC. */
  async describeTopic(name: string, options: AdminOptions = {}): Promise<TopicDescription> {
    const topic = await this.#topic(name, options)
    const [described] = await this.describeTopics([topic], options)
    return { ...described!, configs: await this.describeConfigs(name, options) }
  }

  /** Offsets and sizes of the partitions of several topics at once, without their settings. */
  async describeTopics(
    topics: readonly TopicInfo[],
    options: AdminOptions = {},
  ): Promise<Omit<TopicDescription, 'configs'>[]> {
    const partitions = await this.#requests.within(options, () =>
      describePartitions(this.#requests, topics, options),
    )
    return topics.map((topic, index) => ({ ...topic, partitions: partitions[index]! }))
  }

  /**
   * How the partitions of a topic are kept: the oldest record of each; and of a StreamBus broker what retention takes
   * next, in how many files they lie, and how far compaction has come. Rejects with UNKNOWN_TOPIC.
   */
  async describeStorage(name: string, options: AdminOptions = {}): Promise<PartitionStorage[]> {
    const topic = await this.#topic(name, options)
    return await this.#requests.within(options, () => describeStorageOf(this.#requests, topic, options))
  }

  /** The settings of a topic by its name, of a broker, a group and so on. Rejects with UNKNOWN_TOPIC. */
  describeConfigs(of: ConfigResource, options: DescribeConfigsOptions = {}): Promise<ConfigEntry[]> {
    return describeConfigsOf(this.#requests, of, options)
  }

  /**
   * Changes settings one by one; the others stay. All of them are changed or none.
   *
   *     await admin.alterConfigs('orders', { 'retention.ms': '60000', 'cleanup.policy': { append: 'compact' } })
   *     await admin.alterConfigs({ broker: 'default' }, { 'log.retention.ms': null })
   */
  alterConfigs(
    of: ConfigResource,
    changes: Readonly<Record<string, ConfigChange>>,
    options: ChangeOptions = {},
  ): Promise<void> {
    return alterConfigsOf(this.#requests, of, changes, options)
  }

  /** Names of what has settings of its own: groups and client metrics that somebody set, all topics and brokers. */
  listConfigResources(kind: ConfigResourceKind, options: AdminOptions = {}): Promise<string[]> {
    return listResources(this.#requests, kind, options)
  }

  /** One answer per question, in their order. Rejects with UNKNOWN_TOPIC or UNKNOWN_PARTITION. */
  listOffsets(
    questions: readonly OffsetQuestion[],
    options: FindOffsetsOptions = {},
  ): Promise<FoundOffset[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => findOffsets(this.#cluster, lane, questions, options))
  }

  /**
   * Deletes the records of partitions up to an offset, for good. Fails with OFFSET_OUT_OF_RANGE behind the end,
   * UNKNOWN_TOPIC or UNKNOWN_PARTITION.
   */
  async deleteRecords(
    partitions: readonly RecordsToDelete[],
    options: AdminOptions = {},
  ): Promise<DeletedRecords[]> {
    return allSucceeded(partitions, await deleteRecordsOf(this.#requests, partitions, options))
  }

  /** Where the epochs of leaders ended, which shows to a reader whether what it read still counts (KIP-320). */
  async offsetsForLeaderEpochs(
    questions: readonly LeaderEpochQuestion[],
    options: AdminOptions = {},
  ): Promise<LeaderEpochEnd[]> {
    return allSucceeded(questions, await leaderEpochEnds(this.#requests, questions, options))
  }

  /** The folders brokers keep partitions in, with sizes. */
  describeLogDirs(options: DescribeLogDirsOptions = {}): Promise<LogDirDescription[]> {
    return describeLogDirsOf(this.#requests, options)
  }

  /** Moves replicas to other folders of their brokers; resolves when the moves have begun. */
  async alterReplicaLogDirs(moves: readonly ReplicaMove[], options: AdminOptions = {}): Promise<void> {
    allDone(moves, await moveReplicas(this.#requests, moves, options))
  }

  /** Elects leaders of partitions. */
  electLeaders(options: ElectLeadersOptions = {}): Promise<ElectedLeader[]> {
    return elect(this.#requests, options)
  }

  /** Has other brokers hold partitions; resolves when the moves have begun. `replicas: null` calls a move off. */
  async alterPartitionReassignments(
    partitions: readonly PartitionReassignment[],
    options: AdminOptions = {},
  ): Promise<void> {
    allDone(partitions, await reassign(this.#requests, partitions, options))
  }

  /** Moves that are under way, of these partitions or of all. */
  listPartitionReassignments(
    options: AdminOptions & { partitions?: readonly TopicPartition[] } = {},
  ): Promise<OngoingReassignment[]> {
    return ongoingReassignments(this.#requests, options)
  }

  describeCluster(options: AdminOptions = {}): Promise<ClusterDescription> {
    return describeWholeCluster(this.#requests, options)
  }

  /** Levels of features that brokers can do, and that the cluster agreed on. */
  describeFeatures(options: AdminOptions = {}): Promise<FeatureDescription> {
    return describeAllFeatures(this.#requests, options)
  }

  /**
   * Raises features to levels, or lowers them; level 0 is without the feature.
   *
   *     await admin.updateFeatures({ 'transaction.version': 2 })
   *     await admin.updateFeatures({ 'transaction.version': { level: 1, downgrade: 'safe' } })
   */
  updateFeatures(levels: Readonly<Record<string, FeatureLevel>>, options: ChangeOptions = {}): Promise<void> {
    return changeFeatures(this.#requests, levels, options)
  }

  /** The quorum of the controllers (KRaft). */
  describeQuorum(options: AdminOptions = {}): Promise<QuorumDescription> {
    return describeMetadataQuorum(this.#requests, options)
  }

  /** Has the cluster forget a broker that will not come back. */
  unregisterBroker(brokerId: number, options: AdminOptions = {}): Promise<void> {
    return forgetBroker(this.#requests, brokerId, options)
  }

  /** What the cluster lets this client do; null where it does not tell. Rejects with UNKNOWN_TOPIC or UNKNOWN_GROUP. */
  authorizedOperations(on: OperationsSubject, options: AdminOptions = {}): Promise<Operation[] | null> {
    return authorizedOperationsOn(this.#requests, on, options)
  }

  /** Access control rules that match everything the filter names. */
  describeAcls(filter: AclFilter = {}, options: AdminOptions = {}): Promise<Acl[]> {
    return describeMatching(this.#requests, filter, options)
  }

  /** A rule that exists already is left as it is. */
  async createAcls(acls: readonly NewAcl[], options: AdminOptions = {}): Promise<void> {
    allDone(acls, await createEachAcl(this.#requests, acls, options))
  }

  /** Deletes all rules that match one of the filters, and resolves with them. */
  deleteAcls(filters: readonly AclFilter[], options: AdminOptions = {}): Promise<Acl[]> {
    return deleteMatching(this.#requests, filters, options)
  }

  /** Users that can log in with SCRAM: these, or all; those without a credential are left out. */
  describeUserScramCredentials(
    options: AdminOptions & { users?: readonly string[] } = {},
  ): Promise<ScramUser[]> {
    return describeUsers(this.#requests, options)
  }

  /**
   * Sets passwords of users, and takes them away.
   *
   *     await admin.alterUserScramCredentials([{ user: 'ann', mechanism: 'scram-sha-512', password: 'secret' }])
   */
  async alterUserScramCredentials(
    changes: readonly ScramCredentialChange[],
    options: AdminOptions = {},
  ): Promise<void> {
    allDone(changes, await alterEachCredential(this.#requests, changes, options))
  }

  /** Quotas of users, clients and addresses; with `{ user: true }` those of all users. */
  describeClientQuotas(
    filter: QuotaFilter = {},
    options: DescribeQuotasOptions = {},
  ): Promise<QuotaDescription[]> {
    return describeMatchingQuotas(this.#requests, filter, options)
  }

  /**
   * Sets quotas, and takes them away.
   *
   *     await admin.alterClientQuotas([{ entity: { user: 'ann' }, quotas: { producer_byte_rate: 1_000_000 } }])
   */
  async alterClientQuotas(changes: readonly QuotaChange[], options: ChangeOptions = {}): Promise<void> {
    allDone(changes, await alterEachQuota(this.#requests, changes, options))
  }

  /** Needs a client that has authenticated, and not with a token itself. */
  createDelegationToken(options: CreateDelegationTokenOptions = {}): Promise<DelegationToken> {
    return createToken(this.#requests, options)
  }

  /**
   * Resolves with when the token expires now, in milliseconds since the Unix epoch.
   *
   * @param options.forMs how long from now on. Default: as long as the cluster allows.
   */
  renewDelegationToken(hmac: Uint8Array, options: AdminOptions & { forMs?: number } = {}): Promise<number> {
    return renewToken(this.#requests, hmac, options)
  }

  /**
   * Resolves with when the token expires now, in milliseconds since the Unix epoch.
   *
   * @param options.afterMs how long from now on. Default: it ends at once.
   */
  expireDelegationToken(
    hmac: Uint8Array,
    options: AdminOptions & { afterMs?: number } = {},
  ): Promise<number> {
    return expireToken(this.#requests, hmac, options)
  }

  /** Tokens of these owners, or all that this client may see. */
  describeDelegationTokens(
    options: AdminOptions & { owners?: readonly string[] } = {},
  ): Promise<DelegationToken[]> {
    return describeTokens(this.#requests, options)
  }

  /** Every group, or those of some states and types, sorted by name. */
  listGroups(options: GroupFilter & AdminOptions = {}): Promise<GroupListing[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => listAllGroups(this.#cluster, lane, options))
  }

  /** In the order of the ids; groups that do not exist are left out. */
  describeGroups(groupIds: readonly string[], options: AdminOptions = {}): Promise<GroupDescription[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      describeAllGroups(this.#cluster, this.#coordinators, lane, groupIds, options),
    )
  }

  /** Rejects with UNKNOWN_GROUP. */
  async describeGroup(groupId: string, options: AdminOptions = {}): Promise<GroupDescription> {
    const [group] = await this.describeGroups([groupId], options)
    if (group === undefined) throw unknownGroup(groupId)
    return group
  }

  /** Deletes a group and its committed offsets. Rejects with UNKNOWN_GROUP, or GROUP_NOT_EMPTY while it has members. */
  deleteGroup(groupId: string, options: AdminOptions = {}): Promise<void> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => deleteGroup(this.#coordinators, lane, groupId, options))
  }

  /**
   * Sends members out of a group: these, or all. Those that run join again; of those that do not, the partitions go to
   * others at once. Rejects with UNKNOWN_GROUP where all are meant and there is none.
   */
  removeMembers(groupId: string, options: RemoveMembersOptions = {}): Promise<void> {
    return removeFrom(this.#requests, groupId, options)
  }

  /** What a group has committed, of these partitions or of all; partitions without an offset are left out. */
  fetchOffsets(
    groupId: string,
    partitions?: readonly TopicPartition[],
    options: AdminOptions = {},
  ): Promise<CommittedOffset[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      fetchCommitted(this.#coordinators, lane, groupId, partitions ?? null, options),
    )
  }

  /** Sets the offsets of a group that has no members, else it rejects with GROUP_NOT_EMPTY. Makes the group if need be. */
  async commitOffsets(
    groupId: string,
    offsets: readonly OffsetToCommit[],
    options: AdminOptions = {},
  ): Promise<void> {
    const { lane } = this.#requests
    try {
      await this.#requests.within(options, () =>
        commitOffsets(this.#coordinators, lane, groupId, offsets, outsider, options),
      )
    } catch (error) {
      // To a group with members, a commit by nobody in particular comes from a member it does not know.
      const members = ['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'REBALANCE_IN_PROGRESS']
      if (!isStreamBusError(error) || !members.includes(error.brokerError ?? '')) throw error
      throw new StreamBusError(
        'GROUP_NOT_EMPTY',
        `Group '${groupId}' has members, which commit themselves.`,
        {
          cause: error,
          ...(error.brokerError === undefined ? {} : { brokerError: error.brokerError }),
        },
      )
    }
  }

  /** Forgets committed offsets. Rejects with UNKNOWN_GROUP, or GROUP_IN_USE where members read the topic. */
  deleteOffsets(
    groupId: string,
    partitions: readonly TopicPartition[],
    options: AdminOptions = {},
  ): Promise<void> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      deleteCommitted(this.#coordinators, lane, groupId, partitions, options),
    )
  }

  /** Every transactional id the cluster knows, or those the options name, sorted. */
  listTransactions(options: TransactionFilter & AdminOptions = {}): Promise<TransactionListing[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => listAllTransactions(this.#cluster, lane, options))
  }

  /** Rejects with UNKNOWN_TRANSACTION where the cluster does not know the transactional id. */
  describeTransaction(transactionalId: string, options: AdminOptions = {}): Promise<TransactionDescription> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      describeTransaction(this.#cluster, this.#coordinators, lane, transactionalId, options),
    )
  }

  /**
   * Aborts the transaction that is open under a transactional id, and fences its producer: it cannot go on.
   * Resolves when the abort is complete. Rejects with UNKNOWN_TRANSACTION where none is open.
   */
  abortTransaction(transactionalId: string, options: AdminOptions = {}): Promise<void> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      abortTransaction(this.#cluster, this.#coordinators, lane, transactionalId, options),
    )
  }

  /**
   * Fences the producer of a transactional id: it cannot go on, and what it has open is aborted. Makes the id where
   * there is none, so that a producer that begins with it later is not held up.
   */
  fenceProducer(transactionalId: string, options: AdminOptions = {}): Promise<FencedProducer> {
    const { lane } = this.#requests
    return this.#requests.within(options, () =>
      fenceProducerOf(this.#coordinators, lane, transactionalId, options),
    )
  }

  /** The producers a partition remembers. Rejects with UNKNOWN_TOPIC or UNKNOWN_PARTITION. */
  describeProducers(partition: TopicPartition, options: AdminOptions = {}): Promise<ProducerDescription[]> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => describeProducersOf(this.#cluster, lane, partition, options))
  }

  /**
   * Ends a transaction that a coordinator no longer knows and that keeps readers of committed messages waiting: it
   * writes the abort marker into one partition. Rejects with UNKNOWN_TRANSACTION where no transaction began there.
   *
   * @param transaction.startOffset offset of its first message in the partition
   */
  abortHangingTransaction(
    transaction: TopicPartition & { readonly startOffset: number },
    options: AdminOptions = {},
  ): Promise<void> {
    const { lane } = this.#requests
    return this.#requests.within(options, () => abortHanging(this.#cluster, lane, transaction, options))
  }

  async #topic(name: string, options: AdminOptions): Promise<TopicInfo> {
    checkTopicName(name)
    return await this.#requests.within(options, () => this.#cluster.topic(name, { ...options, anew: true }))
  }
}
