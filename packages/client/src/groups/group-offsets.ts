/** Committed offsets of a group: read, written and deleted, in the versions brokers offer. */
import { offsetCommit, offsetDelete, offsetFetch } from '@streambus/protocol'
import type { RetryOptions } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError } from '../errors.ts'
import { exactOffset, type TopicPartition } from '../list-offsets.ts'
import type { Coordinators } from './coordinators.ts'

export interface CommittedOffset extends TopicPartition {
  /** The offset to go on with: that of the last processed message plus one. */
  readonly offset: number
  /** What the consumer noted with the commit; empty where it noted nothing. */
  readonly metadata: string
}

export type OffsetToCommit = TopicPartition & { readonly offset: number; readonly metadata?: string }

/** Who commits: a member in its generation, or nobody in particular for a group without members. */
export interface CommittingMember {
  readonly generation: number
  readonly memberId: string
  readonly instanceId: string | null
}

export const outsider: CommittingMember = { generation: -1, memberId: '', instanceId: null }

/** From version 10 on topics are named by id. */
const lastVersionWithNames = 9
const severalGroupsVersion = 8
const stableVersion = 7
const instanceIdVersion = 7
/** What a partition without a committed offset is answered with. */
const NO_OFFSET = -1n

/**
 * The offsets a group has committed, of these partitions or of all. Partitions without one are left out. Waits
 * for offsets that belong to a transaction which is being completed.
 */
export async function fetchCommitted(
  coordinators: Coordinators,
  lane: string,
  groupId: string,
  partitions: readonly TopicPartition[] | null,
  options: RetryOptions = {},
): Promise<CommittedOffset[]> {
  if (partitions?.length === 0) return []
  const doing = `Cannot read the committed offsets of group '${groupId}'`
  const topics = partitions === null ? null : byTopic(partitions, ({ partition }) => partition)
  return await coordinators.retrying(
    'group',
    groupId,
    lane,
    async (connection) => {
      const answered = await askCommitted(connection, groupId, topics, doing)
      const committed: CommittedOffset[] = []
      for (const { name, partitions: ofTopic } of answered) {
        for (const { partitionIndex, committedOffset, metadata, errorCode } of ofTopic) {
          if (errorCode !== 0) throw brokerError(errorCode, `${doing} for ${name}/${partitionIndex}`)
          if (committedOffset === NO_OFFSET) continue
          const offset = exactOffset(committedOffset, name, partitionIndex)
          committed.push({ topic: name, partition: partitionIndex, offset, metadata: metadata ?? '' })
        }
      }
      return committed
    },
    options,
  )
}

async function askCommitted(
  connection: Connection,
  groupId: string,
  topics: readonly { name: string; items: number[] }[] | null,
  doing: string,
) {
  const version = connection.versionOf(offsetFetch, lastVersionWithNames) ?? 0
  const asked = topics === null ? null : topics.map(({ name, items }) => ({ name, partitionIndexes: items }))
  const answer = await connection.request(
    offsetFetch,
    {
      ...(version >= severalGroupsVersion
        ? { groups: [{ groupId, topics: asked }] }
        : { groupId, topics: asked }),
      ...(version >= stableVersion ? { requireStable: true } : {}),
    },
    { maxVersion: lastVersionWithNames },
  )
  const group = version >= severalGroupsVersion ? answer.groups[0] : answer
  if (group === undefined || group.errorCode !== 0) throw brokerError(group?.errorCode ?? -1, doing)
  return group.topics
}

/**
 * Commits offsets. Rejects with the first error of a partition; other partitions may have been committed. What
 * the group's state refuses (an old generation, a rebalance) has the broker's name for it in `brokerError`.
 */
export async function commitOffsets(
  coordinators: Coordinators,
  lane: string,
  groupId: string,
  offsets: readonly OffsetToCommit[],
  member: CommittingMember = outsider,
  options: RetryOptions = {},
): Promise<void> {
  if (offsets.length === 0) return
  const topics = byTopic(offsets, ({ partition, offset, metadata }) => ({
    partitionIndex: partition,
    committedOffset: BigInt(offset),
    committedMetadata: metadata ?? '',
  }))
  await coordinators.retrying(
    'group',
    groupId,
    lane,
    async (connection) => {
      const version = connection.versionOf(offsetCommit, lastVersionWithNames) ?? 0
      const answer = await connection.request(
        offsetCommit,
        {
          groupId,
          generationIdOrMemberEpoch: member.generation,
          memberId: member.memberId,
          ...(version >= instanceIdVersion ? { groupInstanceId: member.instanceId } : {}),
          topics: topics.map(({ name, items }) => ({ name, partitions: items })),
        },
        { maxVersion: lastVersionWithNames },
      )
      for (const { name, partitions } of answer.topics) {
        for (const { partitionIndex, errorCode } of partitions) {
          if (errorCode === 0) continue
          throw brokerError(
            errorCode,
            `Group '${groupId}' cannot commit an offset of ${name}/${partitionIndex}`,
          )
        }
      }
    },
    options,
  )
}

/** Forgets committed offsets. Rejects with GROUP_IN_USE where members still read the topic. */
export async function deleteCommitted(
  coordinators: Coordinators,
  lane: string,
  groupId: string,
  partitions: readonly TopicPartition[],
  options: RetryOptions = {},
): Promise<void> {
  if (partitions.length === 0) return
  const topics = byTopic(partitions, ({ partition }) => ({ partitionIndex: partition }))
  const ask = async (connection: Connection) => {
    const answer = await connection.request(offsetDelete, {
      groupId,
      topics: topics.map(({ name, items }) => ({ name, partitions: items })),
    })
    const doing = `Cannot delete committed offsets of group '${groupId}'`
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, doing)
    for (const { name, partitions: ofTopic } of answer.topics) {
      for (const { partitionIndex, errorCode } of ofTopic) {
        if (errorCode !== 0) throw brokerError(errorCode, `${doing} for ${name}/${partitionIndex}`)
      }
    }
  }
  await coordinators.retrying('group', groupId, lane, ask, options)
}

/** Requests name each topic once. */
export function byTopic<P extends TopicPartition, T>(
  partitions: readonly P[],
  item: (partition: P) => T,
): { name: string; items: T[] }[] {
  const topics = new Map<string, T[]>()
  for (const partition of partitions) {
    const items = topics.get(partition.topic)
    if (items === undefined) topics.set(partition.topic, [item(partition)])
    else items.push(item(partition))
  }
  return [...topics].map(([name, items]) => ({ name, items }))
}
