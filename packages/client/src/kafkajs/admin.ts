import { Admin as SdkAdmin } from '../admin/admin.ts'
import { isStreamBusError } from '../errors.ts'
import type { FoundOffset } from '../list-offsets.ts'
import type { Admin, AdminEvents, ITopicConfig } from './admin-types.ts'
import type { Connected, KafkaConnection } from './connection.ts'
import {
  KafkaJSAggregateError,
  KafkaJSCreateTopicError,
  KafkaJSDeleteGroupsError,
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
  readonly createTopics: Admin['createTopics'] = async ({ topics, waitForLeaders = true }) => {
    checkNames('topics', topics)
    for (const { topic, configEntries } of topics) checkEntries(topic, configEntries)
    return await this.#do(async ({ admin, cluster }) => {
      const errors = await failuresOf(topics, async ({ topic, ...options }) => {
        await admin.createTopic(topic, creationOptions(options))
        if (waitForLeaders) await cluster.topic(topic)
      })
      if (errors.length === 0) return true
      const causes = errors.map(([{ topic }, error]) => {
        const reason = kafkajsError(error)
        return reason instanceof KafkaJSProtocolError
          ? new KafkaJSCreateTopicError(reason, topic, error as Error)
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
      const [failure] = await failuresOf(topics, (topic) => admin.deleteTopic(topic))
      if (failure !== undefined) throw failure[1]
    })
  }

  readonly createPartitions: Admin['createPartitions'] = async ({ topicPartitions }) => {
    checkNames('topic partitions', topicPartitions)
    if (topicPartitions.length === 0) throw new KafkaJSNonRetriableError('Empty topic partitions array')
    return await this.#do(async ({ admin }) => {
      const [failure] = await failuresOf(topicPartitions, ({ topic, count }) =>
        admin.createPartitions(topic, count),
      )
      if (failure !== undefined) throw failure[1]
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
          if (isStreamBusError(answer)) throw answer
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
      const failures = await failuresOf(groupIds, (groupId) => admin.deleteGroup(groupId))
      const groups = failures.map(([groupId, error]) => {
        const reason = kafkajsError(error)
        if (!(reason instanceof KafkaJSProtocolError)) throw error
        return { groupId, errorCode: reason.code, error: reason }
      })
      if (groups.length > 0) throw new KafkaJSDeleteGroupsError('Error in DeleteGroups', groups)
      return groupIds.map((groupId) => ({ groupId, errorCode: 0 }))
    })
  }

  async #do<T>(operation: (working: Working) => Promise<T>): Promise<T> {
    const { cluster, coordinators } = await this.#connection.connected
    const admin = new SdkAdmin(cluster, coordinators)
    return await translated(operation({ cluster, coordinators, admin }), this.#connection.overrides.retry)
  }
}

/** Tries all of them, one after the other, and returns those that failed. */
async function failuresOf<T>(
  items: readonly T[],
  attempt: (item: T) => Promise<unknown>,
): Promise<[T, unknown][]> {
  const failures: [T, unknown][] = []
  for (const item of items) {
    try {
      await attempt(item)
    } catch (error) {
      failures.push([item, error])
    }
  }
  return failures
}

async function offsetsOf(
  { admin }: Working,
  topic: string,
  at: Parameters<SdkAdmin['listOffsets']>[0][number]['at'],
): Promise<FoundOffset[]> {
  const count = await admin.partitionsOf(topic)
  return await admin.listOffsets(Array.from({ length: count }, (_, partition) => ({ topic, partition, at })))
}

function creationOptions({
  numPartitions,
  replicationFactor,
  configEntries = [],
}: Omit<ITopicConfig, 'topic'>) {
  return {
    ...(numPartitions === undefined ? {} : { partitions: numPartitions }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    configs: Object.fromEntries(configEntries.map(({ name, value }) => [name, value])),
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
