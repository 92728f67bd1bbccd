import { statfs } from 'node:fs/promises'
import {
  type DescribeLogDirsRequest,
  type DescribeLogDirsResponseInput,
  describeLogDirs,
  ErrorCode,
} from '@streambus/protocol'
import { type LogId, type LogStore, StorageError, type Topic } from '@streambus/storage'
import type { BrokerServices, Handler } from '../handler.ts'
import type { LogLife } from '../log-life/log-life.ts'

/**
 * DescribeLogDirs (key 35), versions 0–4: the data folder, the bytes of records that each partition has in it,
 * and the size and free space of its filesystem (-1 where records are in memory). Null asks for all topics.
 * What does not exist is left out, as Kafka does. There are no future replicas and nothing lags. Whoever asks by
 * StreamBus's own fields is told of background work, and of how each partition is kept; that is null for one whose
 * index cannot be read.
 */
type Directory = DescribeLogDirsResponseInput['results'][number]
type DirectoryTopic = Directory['topics'][number]
type Storage = DirectoryTopic['partitions'][number]['storage']

const UNKNOWN_BYTES = -1n

export function describeLogDirsHandler({
  store,
  logLife,
}: BrokerServices): Handler<DescribeLogDirsRequest, DescribeLogDirsResponseInput> {
  return {
    api: describeLogDirs,
    minVersion: 0,
    maxVersion: 4,
    async handle(request) {
      const topics: DirectoryTopic[] = []
      const storage = request.withStorage ? logLife : null
      if (request.topics === null) {
        for (const topic of store.topics.all()) topics.push(await sizesOf(store, topic, undefined, storage))
      } else {
        for (const [topic, partitions] of wantedPartitions(store, request.topics)) {
          topics.push(await sizesOf(store, topic, partitions, storage))
        }
      }
      const space = await filesystemSpace(store)
      const maintenance = request.withMaintenance ? maintenanceOf(logLife) : null
      return {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        results: [{ errorCode: ErrorCode.NONE, logDir: store.location, topics, ...space, maintenance }],
      }
    },
  }
}

/** Each topic and partition once, however often it is named. */
function wantedPartitions(
  store: LogStore,
  named: NonNullable<DescribeLogDirsRequest['topics']>,
): Map<Topic, Set<number>> {
  const wanted = new Map<Topic, Set<number>>()
  for (const { topic: name, partitions } of named) {
    const topic = store.topics.byName(name)
    if (topic === undefined) continue
    const before = wanted.get(topic)
    if (before === undefined) wanted.set(topic, new Set(partitions))
    else for (const partition of partitions) before.add(partition)
  }
  return wanted
}

/**
 * @param wanted undefined for all partitions
 * @param logLife who knows how they are kept; null where that is not asked for
 */
async function sizesOf(
  store: LogStore,
  topic: Topic,
  wanted: ReadonlySet<number> | undefined,
  logLife: LogLife | null,
): Promise<DirectoryTopic> {
  const { name, logs } = topic
  const partitionOf = new Map(
    logs
      .map((logId, partition) => [logId, partition] as const)
      .filter(([, partition]) => wanted === undefined || wanted.has(partition)),
  )
  const states = await store.state([...partitionOf.keys()])
  const partitions: DirectoryTopic['partitions'][number][] = []
  for (const { logId, sizeBytes } of states) {
    partitions.push({
      partitionIndex: partitionOf.get(logId)!,
      partitionSize: BigInt(sizeBytes),
      offsetLag: 0n,
      isFutureKey: false,
      storage: logLife === null ? null : await storageOf(logLife, topic, logId),
    })
  }
  return { name, partitions }
}

async function storageOf(logLife: LogLife, topic: Topic, logId: LogId): Promise<Storage> {
  try {
    const { files, segments, heldBytes, expiredTo, compaction } = await logLife.storageOf(topic, logId)
    return {
      files,
      segments,
      heldBytes: BigInt(heldBytes),
      expiredTo: BigInt(expiredTo ?? -1),
      compaction:
        compaction === null
          ? null
          : {
              dirtyBytes: BigInt(compaction.dirtyBytes),
              dirtyRatio: compaction.dirtyRatio,
              lastPassAtMs: wireTime(compaction.lastPassAtMs),
              waitsFor: compaction.waitsFor,
            },
    }
  } catch (error) {
    // Retention and reads fail with the same, and tell of it; or its topic was deleted meanwhile.
    if (error instanceof StorageError && ['READ_FAILED', 'UNKNOWN_LOG'].includes(error.code)) return null
    throw error
  }
}

function wireTime(timeMs: number | null): bigint {
  return timeMs === null ? -1n : BigInt(Math.trunc(timeMs))
}

async function filesystemSpace(store: LogStore): Promise<{ totalBytes: bigint; usableBytes: bigint }> {
  if (store.durability === 'memory') return { totalBytes: UNKNOWN_BYTES, usableBytes: UNKNOWN_BYTES }
  const { bsize, blocks, bavail } = await statfs(store.location, { bigint: true })
  return { totalBytes: bsize * blocks, usableBytes: bsize * bavail }
}

function maintenanceOf(logLife: LogLife): Directory['maintenance'] {
  const metrics = logLife.metrics()
  const { retention, compaction, merging, backlog, lastFailure } = metrics
  return {
    sinceMs: wireTime(metrics.sinceMs),
    logFiles: metrics.logFiles,
    segments: metrics.segments,
    fileBytes: BigInt(metrics.fileBytes),
    liveBytes: BigInt(metrics.liveBytes),
    retentionChecks: BigInt(retention.checks),
    retentionFreedBytes: BigInt(retention.freedBytes),
    compactionPasses: BigInt(compaction.passes),
    compactionWrittenBytes: BigInt(compaction.writtenBytes),
    mergingPasses: BigInt(merging.passes),
    mergingWrittenBytes: BigInt(merging.writtenBytes),
    logsToCompact: backlog.logsToCompact,
    bytesToCompact: BigInt(backlog.bytesToCompact),
    filesToMerge: backlog.filesToMerge,
    bytesToMerge: BigInt(backlog.bytesToMerge),
    failures: BigInt(metrics.failures),
    lastFailureAtMs: wireTime(lastFailure?.atMs ?? null),
    lastFailure: lastFailure?.message ?? '',
  }
}
