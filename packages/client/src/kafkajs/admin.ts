import { Admin as SdkAdmin } from '../admin/admin.ts'
import type { NewTopic } from '../admin/topics.ts'
import { isStreamBusError, SomeFailedError } from '../errors.ts'
import type { FoundOffset, TopicPartition } from '../list-offsets.ts'
import { createAcls, deleteAcls, describeAcls } from './admin-acls.ts'
import { alterConfigs, checkResources, describeConfigs } from './admin-configs.ts'
import type { Admin, AdminEvents, ITopicConfig, OngoingTopicReassignment } from './admin-types.ts'
import type { Connected, KafkaConnection } from './connection.ts'
import {
  type FailedGroup,
  KafkaJSAggregateError,
  KafkaJSAlterPartitionReassignmentsError,
  KafkaJSCreateTopicError,
  KafkaJSDeleteGroupsError,
  KafkaJSDeleteTopicRecordsError,
  type KafkaJSError,
  KafkaJSNonRetriableError,
  KafkaJSProtocolError,
  kafkajsError,
} from './errors.ts'
import { describeGroup } from './group-description.ts'
import { Instrumentation } from './instrumentation.ts'
import type { Logger } from './logger.ts'
import { translated } from './retry.ts'
import { partitionMetadataOf } from './sending.ts'

const events: AdminEvents = { CONNECT: 'admin.connect', DISCONNECT: 'admin.disconnect' }

interface Working extends Connected {
  readonly admin: SdkAdmin
}

export class KafkaAdmin implements Admin {
  readonly events = events
  readonly #connection: KafkaConnection
  readonly #logger: Logger
  readonly #instrumentation: Instrumentation

  constructor(connection: KafkaConnection, logger: Logger) {
    this.#connection = connection
    this.#logger = logger.namespace('Admin')
    this.#instrumentation = new Instrumentation('admin', events, this.#logger)
  }

  readonly connect = async (): Promise<void> => {
    await this.#connection.connect()
    this.#instrumentation.emit(events.CONNECT, null)
  }

  readonly disconnect = async (): Promise<void> => {
    await this.#connection.disconnect()
    this.#instrumentation.emit(events.DISCONNECT, null)
  }

  readonly logger = (): Logger => this.#logger

  readonly on: Admin['on'] = (eventName: string, listener: Parameters<Instrumentation['on']>[1]) =>
    this.#instrumentation.on(eventName, listener)

  /** With the internal ones. */
  readonly listTopics: Admin['listTopics'] = () =>
    this.#do(async ({ cluster }) => [...(await cluster.retrying(() => cluster.describe(null))).keys()])

  /** False where all of them exist already. Rejects with a KafkaJSAggregateError where some cannot be created. */
  readonly createTopics: Admin['createTopics'] = async (options) => {
    const { topics, validateOnly = false, waitForLeaders = true } = options
    checkNames('topics', topics)
    for (const { topic, configEntries } of topics) checkEntries(topic, configEntries)
    return await this.#do(async ({ admin, cluster }) => {
      const newTopics = topics.map(newTopic)
      const failures = await failuresOf(admin.createTopics(newTopics, { validateOnly }))
      if (failures.length === 0) {
        if (waitForLeaders && !validateOnly)
          await Promise.all(topics.map(({ topic }) => cluster.topic(topic)))
        return true
      }
      const causes = failures.map(({ item, error }) => {
        const reason = kafkajsError(error)
        return reason instanceof KafkaJSProtocolError
          ? new KafkaJSCreateTopicError(reason, (item as NewTopic).name, error)
          : reason
      })
      const exists = causes.every((one) => (one as { type?: string }).type === 'TOPIC_ALREADY_EXISTS')
      if (exists) return false
      throw new KafkaJSAggregateError('Topic creation errors', causes)
    })
  }

  readonly deleteTopics: Admin['deleteTopics'] = async ({ topics }) => {
    if (!Array.isArray(topics)) throw new KafkaJSNonRetriableError(`Invalid topics array ${String(topics)}`)
    if (topics.some((topic) => typeof topic !== 'string')) {
      throw new KafkaJSNonRetriableError('Invalid topics array, the names must be a valid string')
    }
    await this.#do(async ({ admin }) => {
      const [failure] = await failuresOf(admin.deleteTopics(topics))
      if (failure !== undefined) throw failure.error
    })
  }

  readonly createPartitions: Admin['createPartitions'] = async (options) => {
    const { topicPartitions, validateOnly = false } = options
    checkNames('topic partitions', topicPartitions)
    if (topicPartitions.length === 0) throw new KafkaJSNonRetriableError('Empty topic partitions array')
    return await this.#do(async ({ admin }) => {
      for (const { topic, count, assignments } of topicPartitions) {
        const replicas = assignments === undefined ? {} : { replicas: assignments }
        await admin.createPartitions(topic, count, { validateOnly, ...replicas })
      }
      return true
    })
  }

  readonly fetchTopicMetadata: Admin['fetchTopicMetadata'] = async ({ topics } = { topics: [] }) => {
    for (const topic of topics ?? []) checkTopic(topic)
    return await this.#do(async ({ cluster }) => {
      const names = (topics ?? []).length === 0 ? null : topics
      const answers = await cluster.retrying(() => cluster.describe(names))
      return {
        topics: [...answers].map(([name, answer]) => {
          // That it is not there is the answer, and not tried again.
          if (isStreamBusError(answer)) throw kafkajsError(answer)
          return { name, partitions: partitionMetadataOf(answer) }
        }),
      }
    })
  }

  readonly fetchTopicOffsets: Admin['fetchTopicOffsets'] = async (topic) => {
    checkTopic(topic)
    return await this.#do(async (working) => {
      const [high, low] = await Promise.all([
        offsetsOf(working, topic, 'latest'),
        offsetsOf(working, topic, 'earliest'),
      ])
      return high.map(({ partition, offset }, index) => ({
        partition,
        offset: String(offset),
        high: String(offset),
        low: String(low[index]!.offset),
      }))
    })
  }

  /** Where nothing is as late, the end. */
  readonly fetchTopicOffsetsByTimestamp: Admin['fetchTopicOffsetsByTimestamp'] = async (topic, timestamp) => {
    checkTopic(topic)
    return await this.#do(async (working) => {
      const ends = await offsetsOf(working, topic, 'latest')
      const found =
        timestamp === undefined ? ends : await offsetsOf(working, topic, { timestampMs: timestamp })
      return ends.map((end, index) => ({
        partition: end.partition,
        offset: String(found[index]?.offset ?? end.offset),
      }))
    })
  }

  /** Of partitions the group has committed nothing of the offset is -1, or their end with `resolveOffsets`. */
  readonly fetchOffsets: Admin['fetchOffsets'] = async ({ groupId, topics = [], resolveOffsets = false }) => {
    checkGroup(groupId)
    if (!Array.isArray(topics)) throw new KafkaJSNonRetriableError('Expected topics array to be set')
    const fetched = await this.#do(async ({ admin, cluster }) => {
      const committed = await admin.fetchOffsets(groupId)
      const names = topics.length > 0 ? topics : [...new Set(committed.map(({ topic }) => topic))]
      return await Promise.all(
        names.map(async (topic) => {
          const { partitions } = await cluster.topic(topic)
          return {
            topic,
            partitions: partitions.map(({ partition }) => {
              const found = committed.find((one) => one.topic === topic && one.partition === partition)
              return {
                partition,
                offset: String(found?.offset ?? -1),
                metadata: found?.metadata || null,
              }
            }),
          }
        }),
      )
    })
    if (!resolveOffsets) return fetched
    return await Promise.all(
      fetched.map(async ({ topic, partitions }) => {
        const ends = await this.fetchTopicOffsets(topic)
        const resolved = partitions.map((one) =>
          one.offset === '-1' ? { ...one, offset: ends[one.partition]!.high } : one,
        )
        await this.setOffsets({ groupId, topic, partitions: resolved })
        return { topic, partitions: resolved }
      }),
    )
  }

  /** An offset of -1 is the end, -2 the beginning. */
  readonly setOffsets: Admin['setOffsets'] = async ({ groupId, topic, partitions }) => {
    checkGroup(groupId)
    checkTopic(topic)
    if (!partitions || partitions.length === 0) throw new KafkaJSNonRetriableError('Invalid partitions')
    const known = await this.fetchTopicOffsets(topic)
    const offsets = partitions.map(({ partition, offset }) => {
      const bounds = known[partition]
      if (bounds === undefined)
        throw new KafkaJSNonRetriableError(`Topic "${topic}" has no partition ${partition}`)
      const named: Readonly<Record<string, string>> = { '-1': bounds.high, '-2': bounds.low }
      return { topic, partition, offset: Number(named[offset] ?? offset) }
    })
    await this.#do(async ({ admin }) => {
      try {
        await admin.commitOffsets(groupId, offsets)
      } catch (error) {
        if (!isStreamBusError(error) || error.code !== 'GROUP_NOT_EMPTY') throw error
        const sentence = `The consumer group must have no running instances: ${error.message}`
        throw new KafkaJSNonRetriableError(sentence, { cause: error })
      }
    })
  }

  readonly resetOffsets: Admin['resetOffsets'] = async ({ groupId, topic, earliest = false }) => {
    checkGroup(groupId)
    checkTopic(topic)
    const offset = earliest ? '-2' : '-1'
    const known = await this.fetchTopicOffsets(topic)
    const partitions = known.map(({ partition }) => ({ partition, offset }))
    await this.setOffsets({ groupId, topic, partitions })
  }

  readonly describeCluster: Admin['describeCluster'] = () =>
    this.#do(async ({ admin }) => {
      const { brokers, controllerId, clusterId } = await admin.describeCluster()
      return {
        brokers: brokers.map(({ id, host, port }) => ({ nodeId: id, host, port })),
        controller: controllerId < 0 ? null : controllerId,
        clusterId: clusterId ?? '',
      }
    })

  readonly listGroups: Admin['listGroups'] = () =>
    this.#do(async ({ admin }) => ({
      groups: (await admin.listGroups()).map(({ groupId, protocolType }) => ({ groupId, protocolType })),
    }))

  /** A group that does not exist is one in state Dead. */
  readonly describeGroups: Admin['describeGroups'] = (groupIds) =>
    this.#do(async (connected) => ({
      groups: await Promise.all(groupIds.map((groupId) => describeGroup(connected, groupId))),
    }))

  /** Rejects with a KafkaJSDeleteGroupsError that says which could not be deleted. */
  readonly deleteGroups: Admin['deleteGroups'] = async (groupIds) => {
    if (!Array.isArray(groupIds)) {
      throw new KafkaJSNonRetriableError(`Invalid groupIds array ${String(groupIds)}`)
    }
    if (groupIds.some((groupId) => typeof groupId !== 'string')) {
      throw new KafkaJSNonRetriableError(`Invalid groupId name: ${JSON.stringify(groupIds)}`)
    }
    return await this.#do(async ({ admin }) => {
      const groups: FailedGroup[] = []
      for (const groupId of groupIds) {
        try {
          await admin.deleteGroup(groupId)
        } catch (error) {
          const reason = kafkajsError(error)
          if (!(reason instanceof KafkaJSProtocolError)) throw error
          groups.push({ groupId, errorCode: reason.code, error: reason })
        }
      }
      if (groups.length > 0) throw new KafkaJSDeleteGroupsError('Error in DeleteGroups', groups)
      return groupIds.map((groupId) => ({ groupId, errorCode: 0 }))
    })
  }

  readonly describeConfigs: Admin['describeConfigs'] = async (configs) => {
    checkResources(configs.resources)
    return await this.#do(({ admin }) => describeConfigs(admin, configs))
  }

  readonly alterConfigs: Admin['alterConfigs'] = async (configs) => {
    checkResources(configs.resources)
    await this.#do(({ admin }) => alterConfigs(admin, configs))
  }

  readonly createAcls: Admin['createAcls'] = async ({ acl }) => {
    if (!Array.isArray(acl)) throw new KafkaJSNonRetriableError(`Invalid ACL array ${String(acl)}`)
    if (acl.length === 0) throw new KafkaJSNonRetriableError('Empty ACL array')
    await this.#do(({ admin }) => createAcls(admin, acl))
    return true
  }

  readonly describeAcls: Admin['describeAcls'] = (filter) =>
    this.#do(({ admin }) => describeAcls(admin, filter))

  readonly deleteAcls: Admin['deleteAcls'] = async ({ filters }) => {
    if (!Array.isArray(filters)) {
      throw new KafkaJSNonRetriableError(`Invalid ACL Filter array ${String(filters)}`)
    }
    if (filters.length === 0) throw new KafkaJSNonRetriableError('Empty ACL Filter array')
    return await this.#do(({ admin }) => deleteAcls(admin, filters))
  }

  /** Deletes what lies before the offset; -1 is the end. */
  readonly deleteTopicRecords: Admin['deleteTopicRecords'] = async ({ topic, partitions }) => {
    checkTopic(topic)
    if (!partitions || partitions.length === 0) throw new KafkaJSNonRetriableError('Invalid partitions')
    await this.#do(async ({ admin }) => {
      const records = partitions.map(({ partition, offset }) => ({
        topic,
        partition,
        before: offset === '-1' ? ('latest' as const) : Number(offset),
      }))
      const failures = await failuresOf(admin.deleteRecords(records))
      if (failures.length === 0) return
      throw new KafkaJSDeleteTopicRecordsError({
        partitions: failures.map(({ item, error }) => {
          const { partition, before } = item as (typeof records)[number]
          const offset = before === 'latest' ? '-1' : String(before)
          return { partition, offset, error: kafkajsError(error) as KafkaJSError }
        }),
      })
    })
  }

  readonly alterPartitionReassignments: Admin['alterPartitionReassignments'] = ({ topics }) =>
    this.#do(async ({ admin }) => {
      const moves = topics.flatMap(({ topic, partitionAssignment }) =>
        partitionAssignment.map(({ partition, replicas }) => ({ topic, partition, replicas })),
      )
      const failures = await failuresOf(admin.alterPartitionReassignments(moves))
      if (failures.length === 0) return
      const causes = failures.map(({ item, error }) => {
        const { topic, partition } = item as TopicPartition
        const reason = kafkajsError(error)
        return reason instanceof KafkaJSProtocolError
          ? new KafkaJSAlterPartitionReassignmentsError(reason, topic, partition, error)
          : reason
      })
      throw new KafkaJSAggregateError('Errors altering partition reassignments', causes)
    })

  readonly listPartitionReassignments: Admin['listPartitionReassignments'] = ({ topics } = {}) =>
    this.#do(async ({ admin }) => {
      const partitions = topics?.flatMap(({ topic, partitions: numbers }) =>
        numbers.map((partition) => ({ topic, partition })),
      )
      const moves = await admin.listPartitionReassignments(partitions === undefined ? {} : { partitions })
      const byTopic = new Map<string, OngoingTopicReassignment>()
      for (const { topic, partition, replicas, adding, removing } of moves) {
        const known = byTopic.get(topic) ?? { topic, partitions: [] }
        known.partitions.push({
          partitionIndex: partition,
          replicas: [...replicas],
          addingReplicas: [...adding],
          removingReplicas: [...removing],
        })
        byTopic.set(topic, known)
      }
      return { topics: [...byTopic.values()] }
    })

  async #do<T>(operation: (working: Working) => Promise<T>): Promise<T> {
    const { cluster, coordinators } = await this.#connection.connected
    const admin = new SdkAdmin(cluster, coordinators)
    return await translated(operation({ cluster, coordinators, admin }), this.#connection.overrides.retry)
  }
}

/** What failed of several things that were tried; what concerns all of them is thrown. */
async function failuresOf(trying: Promise<unknown>): Promise<SomeFailedError['failures']> {
  try {
    await trying
    return []
  } catch (error) {
    if (error instanceof SomeFailedError) return error.failures
    throw error
  }
}

async function offsetsOf(
  { admin }: Working,
  topic: string,
  at: Parameters<SdkAdmin['listOffsets']>[0][number]['at'],
): Promise<FoundOffset[]> {
  const count = await admin.partitionsOf(topic)
  return await admin.listOffsets(Array.from({ length: count }, (_, partition) => ({ topic, partition, at })))
}

function newTopic(options: ITopicConfig): NewTopic {
  const { topic, numPartitions, replicationFactor, replicaAssignment, configEntries = [] } = options
  const configs = Object.fromEntries(configEntries.map(({ name, value }) => [name, value]))
  if (replicaAssignment !== undefined && replicaAssignment.length > 0) {
    const inOrder = [...replicaAssignment].sort((a, b) => a.partition - b.partition)
    return { name: topic, configs, replicas: inOrder.map(({ replicas }) => replicas) }
  }
  return {
    name: topic,
    configs,
    ...(numPartitions === undefined ? {} : { partitions: numPartitions }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
  }
}

function checkTopic(topic: unknown): void {
  if (!topic || typeof topic !== 'string')
    throw new KafkaJSNonRetriableError(`Invalid topic ${String(topic)}`)
}

function checkGroup(groupId: unknown): void {
  if (!groupId || typeof groupId !== 'string') {
    throw new KafkaJSNonRetriableError(`Invalid groupId ${String(groupId)}`)
  }
}

function checkNames(what: string, topics: readonly { topic: string }[]): void {
  if (!Array.isArray(topics)) throw new KafkaJSNonRetriableError(`Invalid ${what} array ${String(topics)}`)
  if (topics.some(({ topic }) => typeof topic !== 'string')) {
    throw new KafkaJSNonRetriableError(`Invalid ${what} array, the topic names have to be a valid string`)
  }
  if (new Set(topics.map(({ topic }) => topic)).size < topics.length) {
    throw new KafkaJSNonRetriableError(
      `Invalid ${what} array, it cannot have multiple entries for the same topic`,
    )
  }
}

function checkEntries(topic: string, entries: unknown): void {
  if (entries === undefined || entries === null) return
  if (!Array.isArray(entries)) {
    throw new KafkaJSNonRetriableError(`Invalid configEntries for topic "${topic}", must be an array`)
  }
  entries.forEach((entry: unknown, index) => {
    for (const property of ['name', 'value']) {
      if (typeof (entry as Record<string, unknown> | null)?.[property] === 'string') continue
      throw new KafkaJSNonRetriableError(
        `Invalid configEntries for topic "${topic}". Entry ${index} must have a valid "${property}" property`,
      )
    }
  })
}
