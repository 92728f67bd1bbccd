/** The folders that brokers keep partitions in (KIP-113): what is in them, and moving it. */
import { alterReplicaLogDirs, type DescribeLogDirsResponse, describeLogDirs } from '@streambus/protocol'
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
  /** Null where the broker does not tell: only StreamBus does. */
  readonly maintenance: LogDirMaintenance | null
}

/** The background work on a folder. Counters grow from 0 since `sinceMs`; gauges are what holds at this moment. */
export interface LogDirMaintenance {
  /** When the broker was started; times are in milliseconds since the Unix epoch. */
  readonly sinceMs: number
  /** Gauges: log files, segments, and the bytes written to them. */
  readonly logFiles: number
  readonly segments: number
  readonly fileBytes: number
  /** A gauge: bytes of record batches that are not deleted. */
  readonly liveBytes: number
  /** Checks of all partitions; bytes that went for their age, or for the size of their partition. */
  readonly retention: { readonly checks: number; readonly freedBytes: number }
  readonly compaction: { readonly passes: number; readonly writtenBytes: number }
  readonly merging: { readonly passes: number; readonly writtenBytes: number }
  /** A gauge: what there was to do when the broker last looked for work; of merges, the next one. */
  readonly backlog: {
    readonly logsToCompact: number
    readonly bytesToCompact: number
    readonly filesToMerge: number
    readonly bytesToMerge: number
  }
  readonly failures: number
  readonly lastFailure: { readonly atMs: number; readonly message: string } | null
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
      const { errorCode, results } = await connection.request(describeLogDirs, {
        topics: null,
        withMaintenance: true,
      })
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
          maintenance: result.maintenance && maintenanceOf(result.maintenance),
        }),
      )
    }),
  )
  return (await Promise.all(described)).flat()
}

type WireMaintenance = NonNullable<DescribeLogDirsResponse['results'][number]['maintenance']>

function maintenanceOf(told: WireMaintenance): LogDirMaintenance {
  return {
    sinceMs: Number(told.sinceMs),
    logFiles: told.logFiles,
    segments: told.segments,
    fileBytes: Number(told.fileBytes),
    liveBytes: Number(told.liveBytes),
    retention: { checks: Number(told.retentionChecks), freedBytes: Number(told.retentionFreedBytes) },
    compaction: { passes: Number(told.compactionPasses), writtenBytes: Number(told.compactionWrittenBytes) },
    merging: { passes: Number(told.mergingPasses), writtenBytes: Number(told.mergingWrittenBytes) },
    backlog: {
      logsToCompact: told.logsToCompact,
      bytesToCompact: Number(told.bytesToCompact),
      filesToMerge: told.filesToMerge,
      bytesToMerge: Number(told.bytesToMerge),
    },
    failures: Number(told.failures),
    lastFailure:
      told.lastFailureAtMs < 0n ? null : { atMs: Number(told.lastFailureAtMs), message: told.lastFailure },
  }
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
