/** How the partitions of a topic are kept: their oldest record from any broker, files and compaction from StreamBus. */
import { type DescribeLogDirsResponse, describeLogDirs } from '@streambus/protocol'
import type { TopicInfo } from '../cluster.ts'
import { findOffsets } from '../list-offsets.ts'
import type { AdminOptions, AdminRequests } from './admin-requests.ts'

export interface PartitionStorage {
  readonly partition: number
  /** Of the first record that has one, in milliseconds since the Unix epoch; null where there is none. */
  readonly oldestTimestampMs: number | null
  /** Null where the broker does not tell: only StreamBus does. */
  readonly log: LogStorage | null
}

export interface LogStorage {
  /** Files that have something of the partition, which others may share; none in memory. */
  readonly files: number
  /** Of these, segments. */
  readonly segments: number
  /** Bytes of its record batches in them, those included that are deleted already. */
  readonly heldBytes: number
  /** Where it will begin after the next check of retention; null where none applies. */
  readonly expiredTo: number | null
  /** Null where it is not compacted. */
  readonly compaction: LogCompaction | null
}

export interface LogCompaction {
  /** Bytes of batches that no pass has seen. */
  readonly dirtyBytes: number
  /** Share, 0 to 1, of what a pass would go over now that none has seen: `min.cleanable.dirty.ratio` is for it. */
  readonly dirtyRatio: number
  /** In milliseconds since the Unix epoch; null where no pass has ended since the broker was started. */
  readonly lastPassAtMs: number | null
  /**
   * What the next pass waits for: `turn`, that its turn comes; `ratio`, a larger share that no pass has seen; `lag`,
   * that records are old enough; `transaction`, the end of one that is open; `file`, that the file being written is
   * full; `repair`, for something cannot be read; `records`, for all is compacted but the newest batch.
   */
  readonly waitsFor: string
}

/** In the order of the partitions. */
export async function describeStorageOf(
  requests: AdminRequests,
  { name: topic, partitions }: TopicInfo,
  options: AdminOptions,
): Promise<PartitionStorage[]> {
  // A time before every record: the answer is the first one that has a time.
  const questions = partitions.map(({ partition }) => ({ topic, partition, at: { timestampMs: 0 } }))
  const [oldest, logs] = await Promise.all([
    findOffsets(requests.cluster, requests.lane, questions, options),
    logsOf(requests, topic, partitions),
  ])
  return partitions.map(({ partition }, index) => ({
    partition,
    oldestTimestampMs: oldest[index]!.timestampMs,
    log: logs.get(partition) ?? null,
  }))
}

async function logsOf(
  { cluster, lane }: AdminRequests,
  topic: string,
  partitions: TopicInfo['partitions'],
): Promise<Map<number, LogStorage>> {
  const logs = new Map<number, LogStorage>()
  const leaders = new Set(partitions.map(({ leader }) => leader))
  leaders.delete(-1)
  for (const leader of leaders) {
    const connection = await cluster.connectionTo(leader, lane)
    if (connection.versionOf(describeLogDirs) === undefined) continue
    const led = partitions.filter((one) => one.leader === leader).map(({ partition }) => partition)
    const { results } = await connection.request(describeLogDirs, {
      topics: [{ topic, partitions: led }],
      withStorage: true,
    })
    for (const one of results.flatMap(({ topics }) => topics).flatMap((held) => held.partitions)) {
      if (one.storage !== null) logs.set(one.partitionIndex, logStorage(one.storage))
    }
  }
  return logs
}

type WirePartition = DescribeLogDirsResponse['results'][number]['topics'][number]['partitions'][number]

function logStorage({
  files,
  segments,
  heldBytes,
  expiredTo,
  compaction,
}: NonNullable<WirePartition['storage']>): LogStorage {
  return {
    files,
    segments,
    heldBytes: Number(heldBytes),
    expiredTo: expiredTo < 0n ? null : Number(expiredTo),
    compaction: compaction && {
      dirtyBytes: Number(compaction.dirtyBytes),
      dirtyRatio: compaction.dirtyRatio,
      lastPassAtMs: compaction.lastPassAtMs < 0n ? null : Number(compaction.lastPassAtMs),
      waitsFor: compaction.waitsFor,
    },
  }
}
