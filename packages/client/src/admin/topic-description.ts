/** What topics are: their partitions, with offsets and sizes. */
import { describeLogDirs } from '@streambus/protocol'
import type { PartitionInfo, TopicInfo } from '../cluster.ts'
import { isStreamBusError } from '../errors.ts'
import { findOffsets } from '../list-offsets.ts'
import { type AdminOptions, type AdminRequests, placeOf } from './admin-requests.ts'
import type { ConfigEntry } from './configs.ts'

export interface PartitionDescription extends PartitionInfo {
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

export interface ListTopicsOptions extends AdminOptions {
  /** With those the cluster keeps for itself. Default false. */
  internal?: boolean
}

/** Sorted by name. */
export async function listAllTopics(
  requests: AdminRequests,
  options: ListTopicsOptions,
): Promise<TopicInfo[]> {
  const topics = await requests.retrying(options, () => requests.cluster.describe(null, options))
  return [...topics.values()]
    .filter((topic): topic is TopicInfo => !isStreamBusError(topic))
    .filter((topic) => options.internal === true || !topic.isInternal)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** In the order of the topics, each with its partitions by number. */
export async function describePartitions(
  requests: AdminRequests,
  topics: readonly TopicInfo[],
  options: AdminOptions,
): Promise<PartitionDescription[][]> {
  const { cluster, lane } = requests
  const flat = topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partition }) => ({ topic: name, partition })),
  )
  const [earliest, latest, sizes] = await Promise.all([
    findOffsets(
      cluster,
      lane,
      flat.map((one) => ({ ...one, at: 'earliest' })),
      options,
    ),
    findOffsets(
      cluster,
      lane,
      flat.map((one) => ({ ...one, at: 'latest' })),
      options,
    ),
    sizesOf(requests, topics),
  ])
  let index = 0
  return topics.map(({ name, partitions }) =>
    partitions.map((partition) => {
      const described = {
        ...partition,
        earliest: earliest[index]!.offset ?? 0,
        latest: latest[index]!.offset ?? 0,
        sizeBytes: sizes.get(placeOf({ topic: name, partition: partition.partition })) ?? null,
      }
      index++
      return described
    }),
  )
}

/** Sizes as the leaders have them; empty where the brokers do not offer or allow DescribeLogDirs. */
async function sizesOf(
  { cluster, lane }: AdminRequests,
  topics: readonly TopicInfo[],
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  const leaders = new Set(topics.flatMap(({ partitions }) => partitions.map(({ leader }) => leader)))
  leaders.delete(-1)
  for (const leader of leaders) {
    const connection = await cluster.connectionTo(leader, lane)
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
          if (isFutureKey) continue
          sizes.set(placeOf({ topic: name, partition: partitionIndex }), Number(partitionSize))
        }
      }
    }
  }
  return sizes
}
