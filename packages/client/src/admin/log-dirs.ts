/** The folders that brokers keep partitions in (KIP-113): what is in them, and moving it. */
import { alterReplicaLogDirs, describeLogDirs } from '@streambus/protocol'
import { brokerError, type StreamBusError } from '../errors.ts'
import { byTopic } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import { type AdminOptions, type AdminRequests, type Outcome, placeOf } from './admin-requests.ts'

export interface LogDirReplica extends TopicPartition {
  readonly sizeBytes: number
  /** How many records it is behind: those of the partition, or of the replica that it will take the place of. */
  readonly offsetLag: number
  /** True while it is being moved here from another folder of the broker. */
  readonly isFuture: boolean
}

export interface LogDirDescription {
  readonly broker: number
  readonly path: string
  /** Why the broker cannot use the folder; null where it can. */
  readonly error: StreamBusError | null
  /** Of the filesystem; null where the broker does not tell (before Apache Kafka 3.3). */
  readonly totalBytes: number | null
  readonly usableBytes: number | null
  readonly replicas: readonly LogDirReplica[]
}

export interface DescribeLogDirsOptions extends AdminOptions {
  /** Ids. Default: all. */
  brokers?: readonly number[]
}

export interface ReplicaMove extends TopicPartition {
  readonly broker: number
  /** Path of one of the broker's log folders. */
  readonly logDir: string
}

/** Broker by broker, in the order of their ids or as they were asked for. */
export async function describeLogDirsOf(
  requests: AdminRequests,
  options: DescribeLogDirsOptions,
): Promise<LogDirDescription[]> {
  const brokers = options.brokers ?? (await brokerIds(requests, options))
  const described = brokers.map((broker) =>
    requests.onBroker(broker, options, async (connection) => {
      const { errorCode, results } = await connection.request(describeLogDirs, { topics: null })
      const doing = `Broker ${broker} cannot describe its log folders`
      if (errorCode !== 0) throw brokerError(errorCode, doing)
      return results.map(
        (result): LogDirDescription => ({
          broker,
          path: result.logDir,
          error:
            result.errorCode === 0
              ? null
              : brokerError(result.errorCode, `Broker ${broker} cannot use its log folder ${result.logDir}`),
          totalBytes: result.totalBytes < 0n ? null : Number(result.totalBytes),
          usableBytes: result.usableBytes < 0n ? null : Number(result.usableBytes),
          replicas: result.topics.flatMap(({ name, partitions }) =>
            partitions.map(({ partitionIndex, partitionSize, offsetLag, isFutureKey }) => ({
              topic: name,
              partition: partitionIndex,
              sizeBytes: Number(partitionSize),
              offsetLag: Number(offsetLag),
              isFuture: isFutureKey,
            })),
          ),
        }),
      )
    }),
  )
  return (await Promise.all(described)).flat()
}

async function brokerIds(requests: AdminRequests, options: AdminOptions): Promise<number[]> {
  await requests.retrying(options, () => requests.cluster.describe([], options))
  return requests.cluster.info.brokers.map(({ id }) => id)
}

export async function moveReplicas(
  requests: AdminRequests,
  moves: readonly ReplicaMove[],
  options: AdminOptions,
): Promise<Outcome<undefined>[]> {
  return await requests.each<ReplicaMove, undefined>(moves, replicaKey, options, async (open) => {
    const outcomes = new Map<string, Outcome<undefined>>()
    for (const broker of new Set(open.map((move) => move.broker))) {
      const here = open.filter((move) => move.broker === broker)
      const paths = [...new Set(here.map(({ logDir }) => logDir))]
      const answer = await requests.onBroker(broker, options, (connection) =>
        connection.request(alterReplicaLogDirs, {
          dirs: paths.map((path) => ({
            path,
            topics: byTopic(
              here.filter(({ logDir }) => logDir === path),
              ({ partition }) => partition,
            ).map(({ name, items }) => ({ name, partitions: items })),
          })),
        }),
      )
      for (const { topicName: topic, partitions } of answer.results) {
        for (const { partitionIndex: partition, errorCode } of partitions) {
          const key = replicaKey({ topic, partition, broker })
          outcomes.set(key, errorCode === 0 ? undefined : brokerError(errorCode, `Cannot move ${key}`))
        }
      }
    }
    return outcomes
  })
}

function replicaKey(replica: TopicPartition & { broker: number }): string {
  return `${placeOf(replica)} on broker ${replica.broker}`
}
