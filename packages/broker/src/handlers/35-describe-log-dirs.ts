import { statfs } from 'node:fs/promises'
import {
  type DescribeLogDirsRequest,
  type DescribeLogDirsResponseInput,
  describeLogDirs,
  ErrorCode,
} from '@streambus/protocol'
import type { LogStore, Topic } from '@streambus/storage'
import type { BrokerServices, Handler } from '../handler.ts'

/**
 * DescribeLogDirs (key 35), versions 0–4: the data folder, the bytes of records that each partition has in it,
 * and the size and free space of its filesystem (-1 where records are in memory). Null asks for all topics.
 * What does not exist is left out, as Kafka does. There are no future replicas and nothing lags.
 */
type Directory = DescribeLogDirsResponseInput['results'][number]
type DirectoryTopic = Directory['topics'][number]

const UNKNOWN_BYTES = -1n

export function describeLogDirsHandler({
  store,
}: BrokerServices): Handler<DescribeLogDirsRequest, DescribeLogDirsResponseInput> {
  return {
    api: describeLogDirs,
    minVersion: 0,
    maxVersion: 4,
    async handle(request) {
      const topics: DirectoryTopic[] = []
      if (request.topics === null) {
        for (const topic of store.topics.all()) topics.push(await sizesOf(store, topic, undefined))
      } else {
        for (const [topic, partitions] of wantedPartitions(store, request.topics)) {
          topics.push(await sizesOf(store, topic, partitions))
        }
      }
      const space = await filesystemSpace(store)
      return {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        results: [{ errorCode: ErrorCode.NONE, logDir: store.location, topics, ...space }],
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

/** @param wanted undefined for all partitions */
async function sizesOf(
  store: LogStore,
  { name, logs }: Topic,
  wanted: ReadonlySet<number> | undefined,
): Promise<DirectoryTopic> {
  const partitionOf = new Map(
    logs
      .map((logId, partition) => [logId, partition] as const)
      .filter(([, partition]) => wanted === undefined || wanted.has(partition)),
  )
  const states = await store.state([...partitionOf.keys()])
  return {
    name,
    partitions: states.map(({ logId, sizeBytes }) => ({
      partitionIndex: partitionOf.get(logId)!,
      partitionSize: BigInt(sizeBytes),
      offsetLag: 0n,
      isFutureKey: false,
    })),
  }
}

async function filesystemSpace(store: LogStore): Promise<{ totalBytes: bigint; usableBytes: bigint }> {
  if (store.durability === 'memory') return { totalBytes: UNKNOWN_BYTES, usableBytes: UNKNOWN_BYTES }
  const { bsize, blocks, bavail } = await statfs(store.location, { bigint: true })
  return { totalBytes: bsize * blocks, usableBytes: bsize * bavail }
}
