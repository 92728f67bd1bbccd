import { ErrorCode } from '@streambus/protocol'
import type { CoordinatorRecord, Transactional } from '../../coordinator/coordinator-log.ts'
import type { Committer, Group } from '../group.ts'
import { offsetRecord } from '../group-records.ts'
import { GroupRefusal } from '../group-refusal.ts'
import type { GroupShard } from '../group-shard.ts'
import { CommittedOffset } from './committed-offset.ts'

/** What OffsetCommit and TxnOffsetCommit say of one partition. */
export interface PartitionCommit {
  readonly partitionIndex: number
  readonly committedOffset: bigint
  readonly committedLeaderEpoch: number
  readonly committedMetadata: string | null
  /** OffsetCommit v1; -1n for now. */
  readonly commitTimestamp?: bigint
}

export interface TopicCommit {
  /** A topic that exists. */
  readonly name: string
  /** Partitions that exist. */
  readonly partitions: readonly PartitionCommit[]
}

export interface OffsetsCommit {
  readonly groupId: string
  readonly committer: Committer
  readonly topics: readonly TopicCommit[]
  /** OffsetCommit v2–v4: how long the offsets are to be kept; -1n for the broker's retention. */
  readonly retentionTimeMs: bigint
  /** The offsets count when this producer's transaction commits. */
  readonly transactional: Transactional | null
}

/** From this version on the error for a group that does not exist says so. */
const GROUP_ID_NOT_FOUND_SINCE = 9
const NOT_GIVEN = -1n
/** Error codes of the partitions, in the order of the request. */
export type CommitErrorCodes = readonly (readonly number[])[]

/**
 * Commits offsets, in the group's turn: one batch, durable when this resolves. Throws GroupRefusal where nothing
 * is committed, and StorageError.
 */
export async function commitOffsets(shard: GroupShard, commit: OffsetsCommit): Promise<CommitErrorCodes> {
  const { groupId, committer, topics, transactional } = commit
  const refusal = refuseCommit(shard, commit)
  if (refusal !== ErrorCode.NONE) throw new GroupRefusal(refusal, 'the commit does not come from a member')
  shard.group(groupId)?.committed(committer.memberId)

  const nowMs = shard.scheduler.nowMs()
  const expireTimestampMs =
    commit.retentionTimeMs < 0n ? -1 : storable(nowMs + Number(commit.retentionTimeMs))
  const accepted: { topic: string; partition: number; offset: CommittedOffset }[] = []
  const records: CoordinatorRecord[] = []
  const errorCodes = topics.map(({ name, partitions }) => {
    const topic = shard.topics.byName(name)
    return partitions.map((partition) => {
      // It may have been deleted while the commit waited for its turn.
      if (topic === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      const errorCode = refusePartition(partition, shard.options.maxOffsetMetadataBytes)
      if (errorCode !== ErrorCode.NONE) return errorCode
      const { commitTimestamp = NOT_GIVEN } = partition
      const offset = new CommittedOffset(
        Number(partition.committedOffset),
        partition.committedLeaderEpoch,
        partition.committedMetadata ?? '',
        commitTimestamp === NOT_GIVEN ? nowMs : storable(Number(commitTimestamp)),
        expireTimestampMs,
      )
      accepted.push({ topic: name, partition: partition.partitionIndex, offset })
      records.push(offsetRecord(groupId, topic, partition.partitionIndex, offset))
      return ErrorCode.NONE
    })
  })
  if (records.length === 0) return errorCodes
  const noRoom = shard.refuseOffsets(growth(shard.group(groupId), accepted, transactional))
  if (noRoom !== ErrorCode.NONE) throw new GroupRefusal(noRoom, 'there is no memory left for offsets')
  const baseOffset = await shard.append(records, transactional ?? undefined)
  for (const [at, { topic, partition, offset }] of accepted.entries()) {
    offset.recordOffset = baseOffset + at
    shard.commitOffset(groupId, topic, partition, offset, transactional)
  }
  return errorCodes
}

/** By how much the offsets need more memory than those they replace. */
function growth(
  group: Group | undefined,
  accepted: readonly { topic: string; partition: number; offset: CommittedOffset }[],
  transactional: Transactional | null,
): number {
  let bytes = 0
  for (const { topic, partition, offset } of accepted) {
    const replaced =
      transactional === null
        ? group?.offsets.get(topic, partition)
        : group?.offsets.getPending(transactional.producerId, topic, partition)
    bytes += offset.byteLength - (replaced?.byteLength ?? 0)
  }
  return bytes
}

function refuseCommit(shard: GroupShard, { groupId, committer, topics }: OffsetsCommit): number {
  const group = shard.group(groupId)
  if (group !== undefined) return group.refuseCommit(committer, topics)
  // Without a generation it comes from a tool, or from a consumer that assigns partitions to itself: the
  // commit makes the group.
  if (committer.generationIdOrMemberEpoch < 0) return shard.refuseGroup(groupId)
  if (!committer.transactional && committer.apiVersion >= GROUP_ID_NOT_FOUND_SINCE) {
    return ErrorCode.GROUP_ID_NOT_FOUND
  }
  return ErrorCode.ILLEGAL_GENERATION
}

/** A client may name any time; one that is too far away to be written exactly is as good as the last that is not. */
function storable(timeMs: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(timeMs, Number.MAX_SAFE_INTEGER))
}

function refusePartition(
  { committedOffset, committedMetadata }: PartitionCommit,
  maxMetadataBytes: number,
): number {
  if (committedMetadata !== null && Buffer.byteLength(committedMetadata) > maxMetadataBytes) {
    return ErrorCode.OFFSET_METADATA_TOO_LARGE
  }
  // No log gets as far, and it could not be given back as it was.
  if (committedOffset > Number.MAX_SAFE_INTEGER || committedOffset < Number.MIN_SAFE_INTEGER) {
    return ErrorCode.OFFSET_OUT_OF_RANGE
  }
  return ErrorCode.NONE
}
