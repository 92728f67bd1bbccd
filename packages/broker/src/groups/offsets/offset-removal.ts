import { ErrorCode } from '@streambus/protocol'
import type { CoordinatorRecord } from '../../coordinator/coordinator-log.ts'
import type { Group } from '../group.ts'
import { offsetTombstone } from '../group-records.ts'
import { GroupRefusal } from '../group-refusal.ts'
import type { GroupShard } from '../group-shard.ts'
import type { CommittedOffset } from './committed-offset.ts'

interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** Everything that removes offsets, or groups with their offsets. All of it in the group's turn. */

/** Keys of the longest names allowed stay below the smallest batch any store takes. */
const OFFSETS_PER_BATCH = 500

export interface OffsetsDelete {
  readonly groupId: string
  readonly topics: readonly {
    readonly name: string
    readonly partitions: readonly { readonly partitionIndex: number }[]
  }[]
}

/**
 * OffsetDelete (KIP-496). Returns the error codes of the partitions, in the order of the request. Throws
 * GroupRefusal where nothing is deleted, and StorageError.
 */
export async function deleteOffsets(shard: GroupShard, request: OffsetsDelete): Promise<number[][]> {
  const group = shard.group(request.groupId)
  if (group === undefined) throw new GroupRefusal(ErrorCode.GROUP_ID_NOT_FOUND, 'there is no such group')
  const refusal = group.refuseOffsetDelete()
  if (refusal !== ErrorCode.NONE) throw new GroupRefusal(refusal, 'the group has members')
  const removed: TopicPartition[] = []
  const errorCodes = request.topics.map(({ name, partitions }) => {
    const isSubscribed = group.isSubscribedTo(name)
    return partitions.map(({ partitionIndex }) => {
      if (isSubscribed) return ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
      if (hasOffset(group, name, partitionIndex)) removed.push({ topic: name, partition: partitionIndex })
      return ErrorCode.NONE
    })
  })
  await remove(shard, group, removed, [])
  return errorCodes
}

/** DeleteGroups, for one group. Returns the error code. Throws StorageError. */
export async function deleteGroup(shard: GroupShard, groupId: string): Promise<number> {
  const group = shard.group(groupId)
  if (group === undefined) return ErrorCode.GROUP_ID_NOT_FOUND
  const refusal = group.refuseDelete()
  if (refusal !== ErrorCode.NONE) return refusal
  await remove(shard, group, allOffsets(group), group.tombstones())
  shard.removeMembership(group)
  return ErrorCode.NONE
}

/**
 * The topic is gone: so are the group's offsets for it. Throws StorageError.
 *
 * @param known the offsets there were when it went. Others are for a topic that has its name by now.
 */
export async function removeTopic(
  shard: GroupShard,
  groupId: string,
  name: string,
  known: ReadonlySet<CommittedOffset>,
): Promise<void> {
  const group = shard.group(groupId)
  if (group === undefined) return
  const isBack = shard.topics.byName(name) !== undefined
  const offsets = allOffsets(group).filter(
    ({ topic, offset }) => topic === name && (!isBack || known.has(offset)),
  )
  await remove(shard, group, offsets, [])
}

/** Everything the group has for the topic. */
export function offsetsOfTopic(group: Group, name: string): Set<CommittedOffset> {
  const offsets = new Set(group.offsets.ofTopic(name)?.values())
  for (const { topic, offset } of group.offsets.pending()) if (topic === name) offsets.add(offset)
  return offsets
}

/** Removes offsets that have been unused for the retention time, then the group if nothing is left of it. */
export async function expireOffsets(shard: GroupShard, groupId: string): Promise<void> {
  const group = shard.group(groupId)
  if (group === undefined) return
  const unusedSince = group.unusedSince()
  if (unusedSince === null) return
  const nowMs = shard.scheduler.nowMs()
  const { offsetsRetentionMs } = shard.options
  const expired: TopicPartition[] = []
  let someStay = group.offsets.hasPending
  for (const [topic, partitions] of group.offsets.topics()) {
    const isSubscribed = group.isSubscribedTo(topic)
    for (const [partition, offset] of partitions) {
      const stays =
        isSubscribed ||
        !offset.isExpired(nowMs, unusedSince(offset), offsetsRetentionMs) ||
        group.offsets.isPending(topic, partition)
      if (stays) someStay = true
      else expired.push({ topic, partition })
    }
  }
  const groupIsOver = !someStay && group.isEmpty
  const tombstones = groupIsOver ? group.tombstones() : []
  if (expired.length === 0 && tombstones.length === 0) return
  shard.log.info({ group: groupId, offsets: expired.length, groupIsOver }, 'offsets expired')
  await remove(shard, group, expired, tombstones)
  if (groupIsOver) shard.removeMembership(group)
}

function hasOffset(group: Group, topic: string, partition: number): boolean {
  return group.offsets.get(topic, partition) !== undefined || group.offsets.isPending(topic, partition)
}

/** Those of open transactions, too: what is deleted does not come back with a marker. */
function allOffsets(group: Group): (TopicPartition & { offset: CommittedOffset })[] {
  const all: (TopicPartition & { offset: CommittedOffset })[] = []
  for (const [topic, partitions] of group.offsets.topics()) {
    for (const [partition, offset] of partitions) all.push({ topic, partition, offset })
  }
  for (const { topic, partition, offset } of group.offsets.pending()) {
    if (group.offsets.get(topic, partition) === undefined) all.push({ topic, partition, offset })
  }
  return all
}

/** In batches: a group may have more offsets than one batch takes. What is durable is gone, whatever comes after. */
async function remove(
  shard: GroupShard,
  group: Group,
  offsets: readonly TopicPartition[],
  groupTombstones: readonly CoordinatorRecord[],
): Promise<void> {
  for (let from = 0; from < offsets.length; from += OFFSETS_PER_BATCH) {
    const batch = offsets.slice(from, from + OFFSETS_PER_BATCH)
    await shard.append(batch.map(({ topic, partition }) => offsetTombstone(group.id, topic, partition)))
    for (const { topic, partition } of batch) shard.removeOffset(group.id, topic, partition)
  }
  if (groupTombstones.length > 0) await shard.append(groupTombstones)
}
