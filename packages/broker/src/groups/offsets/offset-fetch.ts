import { ErrorCode } from '@streambus/protocol'
import type { Group } from '../group.ts'
import type { CommittedOffset } from './committed-offset.ts'

/** One group's part of an OffsetFetch. */
export interface OffsetsFetch {
  readonly groupId: string
  /** Null before v9, and from clients that are not members. */
  readonly memberId: string | null
  /** -1 where there is none. */
  readonly memberEpoch: number
  /** Null for all topics that have offsets. */
  readonly topics: readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[] | null
  /** Offsets that an open transaction may change are an error of their own (KIP-447). */
  readonly requireStable: boolean
}

export interface FetchedTopic {
  readonly name: string
  readonly partitions: FetchedPartition[]
}

export interface FetchedPartition {
  readonly partitionIndex: number
  /** -1n where there is none. */
  readonly committedOffset: bigint
  readonly committedLeaderEpoch: number
  readonly metadata: string
  readonly errorCode: number
}

/** Reads what is committed; nothing is no error. What is in memory is durable, so this needs no turn. */
export function fetchOffsets(group: Group | undefined, fetch: OffsetsFetch): FetchedTopic[] {
  const { topics, requireStable } = fetch
  const read = (topic: string, partition: number, offset: CommittedOffset | undefined): FetchedPartition =>
    requireStable && group?.offsets.isPending(topic, partition) === true
      ? absent(partition, ErrorCode.UNSTABLE_OFFSET_COMMIT)
      : fetched(partition, offset)
  if (topics !== null) {
    return topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((partition) =>
        read(name, partition, group?.offsets.get(name, partition)),
      ),
    }))
  }
  if (group === undefined) return []
  const all: FetchedTopic[] = []
  for (const [name, offsets] of group.offsets.topics()) {
    const partitions: FetchedPartition[] = []
    for (const [partition, offset] of offsets) partitions.push(read(name, partition, offset))
    all.push({ name, partitions })
  }
  return all
}

function fetched(partitionIndex: number, offset: CommittedOffset | undefined): FetchedPartition {
  if (offset === undefined) return absent(partitionIndex, ErrorCode.NONE)
  return {
    partitionIndex,
    committedOffset: BigInt(offset.offset),
    committedLeaderEpoch: offset.leaderEpoch,
    metadata: offset.metadata,
    errorCode: ErrorCode.NONE,
  }
}

/** A partition without an offset, or one whose offset cannot be told. */
export function absent(partitionIndex: number, errorCode: number): FetchedPartition {
  return { partitionIndex, committedOffset: -1n, committedLeaderEpoch: -1, metadata: '', errorCode }
}
