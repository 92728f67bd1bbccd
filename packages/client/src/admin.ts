import {
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  describeLogDirs,
  incrementalAlterConfigs,
} from '@streambus/protocol'
import type { BrokerInfo, Cluster, TopicInfo } from './cluster.ts'
import type { Connection, VersionRange } from './connection.ts'
import { brokerError, isStreamBusError, StreamBusError } from './errors.ts'
import type { Coordinators } from './groups/coordinators.ts'
import {
  deleteGroup,
  describeAllGroups,
  type GroupDescription,
  type GroupListing,
  listAllGroups,
} from './groups/group-admin.ts'
import {
  type CommittedOffset,
  commitOffsets,
  deleteCommitted,
  fetchCommitted,
  type OffsetToCommit,
} from './groups/group-offsets.ts'
import { type FoundOffset, findOffsets, type OffsetQuery, type TopicPartition } from './list-offsets.ts'
import {
  abortHanging,
  abortTransaction,
  describeProducersOf,
  describeTransaction,
  listAllTransactions,
  type ProducerDescription,
  type TransactionDescription,
  type TransactionListing,
} from './transactions/transaction-admin.ts'

export interface CreateTopicOptions {
  /** Default: what the broker is set up with. */
  partitions?: number
  /** Default: what the broker is set up with. */
  replicationFactor?: number
  /** Settings by Kafka's names: `{ 'retention.ms': '86400000' }`. */
  configs?: Readonly<Record<string, string>>
}

export interface PartitionDescription {
  readonly partition: number
  readonly leader: number
  readonly replicas: readonly number[]
  readonly inSyncReplicas: readonly number[]
  /** First offset still held, and the offset the next record gets. */
  readonly earliest: number
  readonly latest: number
  /** Bytes on the disk of the leader, or null where the broker does not tell. */
  readonly sizeBytes: number | null
}

export interface TopicDescription {
  readonly name: string
  readonly id: string
  readonly isInternal: boolean
  readonly partitions: readonly PartitionDescription[]
  readonly configs: readonly ConfigEntry[]
}

export interface ConfigEntry {
  readonly name: string
  /** Null where it is secret or not set. */
  readonly value: string | null
  /** False where somebody set it for this very resource. */
  readonly isDefault: boolean
  readonly isReadOnly: boolean
  readonly isSensitive: boolean
}

export interface ClusterDescription {
  readonly clusterId: string | null
  readonly controllerId: number
  readonly brokers: readonly BrokerInfo[]
  /** What the broker asked offers, by API key. */
  readonly apiVersions: ReadonlyMap<number, VersionRange>
}

const TOPIC_RESOURCE = 2
/** DescribeConfigs: the source of a value set for the topic itself (DYNAMIC_TOPIC_CONFIG). */
const SET_FOR_TOPIC = 1
const SET = 0
const DELETE = 1
const lane = 'control'

/** Looks after topics, groups and transactions, and tells about the cluster. Calls are retried while no leader or broker answers. */
export class Admin {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators

  constructor(cluster: Cluster, coordinators: Coordinators) {
    this.#cluster = cluster
    this.#coordinators = coordinators
  }

  /** Rejects with TOPIC_EXISTS, INVALID_TOPIC, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR or INVALID_CONFIG. */
  async createTopic(name: string, options: CreateTopicOptions = {}): Promise<void> {
    const answer = await this.#onController((connection) =>
      connection.request(createTopics, {
        topics: [
          {
            name,
            numPartitions: options.partitions ?? -1,
            replicationFactor: options.replicationFactor ?? -1,
            assignments: [],
            configs: Object.entries(options.configs ?? {}).map(([key, value]) => ({ name: key, value })),
          },
        ],
        timeoutMs: this.#cluster.settings.requestTimeoutMs,
      }),
    )
    for (const { errorCode, errorMessage } of answer.topics) {
      if (errorCode !== 0) throw brokerError(errorCode, `Cannot create topic '${name}'`, errorMessage)
    }
    this.#cluster.forget(name)
  }

  /** Rejects with UNKNOWN_TOPIC where there is none of that name. */
  async deleteTopic(name: string): Promise<void> {
    const answer = await this.#onController((connection) => {
      const byId = (connection.versionOf(deleteTopics) ?? 0) >= 6
      return connection.request(deleteTopics, {
        ...(byId ? { topics: [{ name }] } : { topicNames: [name] }),
        timeoutMs: this.#cluster.settings.requestTimeoutMs,
      })
    })
    for (const { errorCode, errorMessage } of answer.responses) {
      if (errorCode !== 0) throw topicError(errorCode, name, 'delete', errorMessage)
    }
    this.#cluster.forget(name)
  }

  /** Raises the number of partitions. Keys are spread over all of them from then on. */
  async createPartitions(name: string, count: number): Promise<void> {
    const answer = await this.#onController((connection) =>
      connection.request(createPartitions, {
        topics: [{ name, count, assignments: null }],
        timeoutMs: this.#cluster.settings.requestTimeoutMs,
        validateOnly: false,
      }),
    )
    for (const { errorCode, errorMessage } of answer.results) {
      if (errorCode !== 0) throw topicError(errorCode, name, 'extend', errorMessage)
    }
    this.#cluster.forget(name)
  }

  /** Every topic, sorted by name. */
  async listTopics(options: { internal?: boolean } = {}): Promise<TopicInfo[]> {
    const topics = await this.#cluster.retrying(() => this.#cluster.describe(null))
    return [...topics.values()]
      .filter((topic): topic is TopicInfo => !isStreamBusError(topic))
      .filter((topic) => options.internal === true || !topic.isInternal)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** How many partitions a topic has. Rejects with UNKNOWN_TOPIC. */
  async partitionsOf(name: string): Promise<number> {
    this.#cluster.forget(name)
    return (await this.#cluster.topic(name)).partitions.length
  }

  /** Rejects with UNKNOWN_TOPIC. */
  async describeTopic(name: string): Promise<TopicDescription> {
    this.#cluster.forget(name)
    const topic = await this.#cluster.topic(name)
    const [described] = await this.#describePartitions([topic])
    return { ...topic, partitions: described!, configs: await this.describeConfigs(name) }
  }

  /** Offsets and sizes of the partitions of several topics at once, without their settings. */
  async describeTopics(topics: readonly TopicInfo[]): Promise<Omit<TopicDescription, 'configs'>[]> {
    const partitions = await this.#describePartitions(topics)
    return topics.map((topic, index) => ({ ...topic, partitions: partitions[index]! }))
  }

  async describeCluster(): Promise<ClusterDescription> {
    return await this.#cluster.retrying(async () => {
      await this.#cluster.describe([])
      const { versions } = await this.#cluster.controlConnection()
      return { ...this.#cluster.info, apiVersions: versions }
    })
  }

  /** The settings of a topic. */
  async describeConfigs(topic: string): Promise<ConfigEntry[]> {
    const answer = await this.#onController((connection) =>
      connection.request(describeConfigs, {
        resources: [{ resourceType: TOPIC_RESOURCE, resourceName: topic, configurationKeys: null }],
      }),
    )
    return answer.results.flatMap(({ errorCode, errorMessage, configs }) => {
      if (errorCode !== 0) throw topicError(errorCode, topic, 'read the settings of', errorMessage)
      return configs.map((config) => ({
        name: config.name,
        value: config.value,
        isDefault: config.isDefault || (config.configSource >= 0 && config.configSource !== SET_FOR_TOPIC),
        isReadOnly: config.readOnly,
        isSensitive: config.isSensitive,
      }))
    })
  }

  /** Sets settings of a topic; null takes one back to its default. The others stay. */
  async alterConfigs(topic: string, configs: Readonly<Record<string, string | null>>): Promise<void> {
    const answer = await this.#onController((connection) =>
      connection.request(incrementalAlterConfigs, {
        resources: [
          {
            resourceType: TOPIC_RESOURCE,
            resourceName: topic,
            configs: Object.entries(configs).map(([name, value]) => ({
              name,
              configOperation: value === null ? DELETE : SET,
              value,
            })),
          },
        ],
        validateOnly: false,
      }),
    )
    for (const { errorCode, errorMessage } of answer.responses) {
      if (errorCode !== 0) throw topicError(errorCode, topic, 'change the settings of', errorMessage)
    }
  }

  /** One answer per question, in their order. */
  listOffsets(questions: readonly (TopicPartition & { at: OffsetQuery })[]): Promise<FoundOffset[]> {
    return findOffsets(this.#cluster, lane, questions)
  }

  /** Every group, sorted by name. */
  listGroups(): Promise<GroupListing[]> {
    return listAllGroups(this.#cluster, lane)
  }

  /** In the order of the ids; groups that do not exist are left out. */
  describeGroups(groupIds: readonly string[]): Promise<GroupDescription[]> {
    return describeAllGroups(this.#cluster, this.#coordinators, lane, groupIds)
  }

  /** Rejects with UNKNOWN_GROUP. */
  async describeGroup(groupId: string): Promise<GroupDescription> {
    const [group] = await this.describeGroups([groupId])
    if (group !== undefined) return group
    throw new StreamBusError('UNKNOWN_GROUP', `There is no group '${groupId}' on this cluster.`)
  }

  /** Deletes a group and its committed offsets. Rejects with UNKNOWN_GROUP, or GROUP_NOT_EMPTY while it has members. */
  deleteGroup(groupId: string): Promise<void> {
    return deleteGroup(this.#coordinators, lane, groupId)
  }

  /** What a group has committed, of these partitions or of all; partitions without an offset are left out. */
  fetchOffsets(groupId: string, partitions?: readonly TopicPartition[]): Promise<CommittedOffset[]> {
    return fetchCommitted(this.#coordinators, lane, groupId, partitions ?? null)
  }

  /** Sets the offsets of a group that has no members, else it rejects with GROUP_NOT_EMPTY. Makes the group if need be. */
  async commitOffsets(groupId: string, offsets: readonly OffsetToCommit[]): Promise<void> {
    try {
      await commitOffsets(this.#coordinators, lane, groupId, offsets)
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
  deleteOffsets(groupId: string, partitions: readonly TopicPartition[]): Promise<void> {
    return deleteCommitted(this.#coordinators, lane, groupId, partitions)
  }

  /** Every transactional id the cluster knows, sorted by name. */
  listTransactions(): Promise<TransactionListing[]> {
    return listAllTransactions(this.#cluster, lane)
  }

  /** Rejects with UNKNOWN_TRANSACTION where the cluster does not know the transactional id. */
  describeTransaction(transactionalId: string): Promise<TransactionDescription> {
    return describeTransaction(this.#cluster, this.#coordinators, lane, transactionalId)
  }

  /**
   * Aborts the transaction that is open under a transactional id, and fences its producer: it cannot go on.
   * Resolves when the abort is complete. Rejects with UNKNOWN_TRANSACTION where none is open.
   */
  abortTransaction(transactionalId: string): Promise<void> {
    return abortTransaction(this.#cluster, this.#coordinators, lane, transactionalId)
  }

  /** The producers a partition remembers. Rejects with UNKNOWN_TOPIC or UNKNOWN_PARTITION. */
  describeProducers(partition: TopicPartition): Promise<ProducerDescription[]> {
    return describeProducersOf(this.#cluster, lane, partition)
  }

  /**
   * Ends a transaction that a coordinator no longer knows and that keeps readers of committed messages waiting: it
   * writes the abort marker into one partition. Rejects with UNKNOWN_TRANSACTION where no transaction began there.
   *
   * @param transaction.startOffset offset of its first message in the partition
   */
  abortHangingTransaction(transaction: TopicPartition & { readonly startOffset: number }): Promise<void> {
    return abortHanging(this.#cluster, lane, transaction)
  }

  /** Changes go to the controller: brokers of some versions do not pass them on. */
  async #onController<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    return await this.#cluster.retrying(async () => {
      await this.#cluster.describe([])
      const { controllerId, brokers } = this.#cluster.info
      const known = brokers.some(({ id }) => id === controllerId)
      return await ask(
        known
          ? await this.#cluster.connectionTo(controllerId, lane)
          : await this.#cluster.controlConnection(),
      )
    })
  }

  async #describePartitions(topics: readonly TopicInfo[]): Promise<PartitionDescription[][]> {
    const flat = topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partition }) => ({ topic: name, partition })),
    )
    const [earliest, latest, sizes] = await Promise.all([
      this.listOffsets(flat.map((one) => ({ ...one, at: 'earliest' }))),
      this.listOffsets(flat.map((one) => ({ ...one, at: 'latest' }))),
      this.#sizes(topics),
    ])
    let index = 0
    return topics.map(({ name, partitions }) =>
      partitions.map((partition) => {
        const described = {
          ...partition,
          earliest: earliest[index]!.offset ?? 0,
          latest: latest[index]!.offset ?? 0,
          sizeBytes: sizes.get(`${name}/${partition.partition}`) ?? null,
        }
        index++
        return described
      }),
    )
  }

  /** Sizes as the leaders have them; empty where the brokers do not offer or allow DescribeLogDirs. */
  async #sizes(topics: readonly TopicInfo[]): Promise<Map<string, number>> {
    const sizes = new Map<string, number>()
    const leaders = new Set(topics.flatMap(({ partitions }) => partitions.map(({ leader }) => leader)))
    leaders.delete(-1)
    for (const leader of leaders) {
      const connection = await this.#cluster.connectionTo(leader, lane)
      if (connection.versionOf(describeLogDirs) === undefined) continue
      const answer = await connection.request(describeLogDirs, {
        topics: topics.map(({ name, partitions }) => ({
          topic: name,
          partitions: partitions.filter((one) => one.leader === leader).map((one) => one.partition),
        })),
      })
      for (const { topics: held } of answer.results) {
        for (const { name, partitions } of held) {
          for (const { partitionIndex, partitionSize, isFutureKey } of partitions) {
            if (!isFutureKey) sizes.set(`${name}/${partitionIndex}`, Number(partitionSize))
          }
        }
      }
    }
    return sizes
  }
}

const UNKNOWN_TOPIC_OR_PARTITION = 3

function topicError(code: number, topic: string, verb: string, detail: string | null): StreamBusError {
  if (code !== UNKNOWN_TOPIC_OR_PARTITION) return brokerError(code, `Cannot ${verb} topic '${topic}'`, detail)
  return new StreamBusError('UNKNOWN_TOPIC', `There is no topic '${topic}' on this cluster.`, {
    brokerError: 'UNKNOWN_TOPIC_OR_PARTITION',
    retriable: false,
  })
}
