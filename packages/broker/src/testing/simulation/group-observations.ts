import {
  type ConsumerGroupHeartbeatResponse,
  type JoinGroupResponse,
  type OffsetCommitRequestInput,
  type OffsetCommitResponse,
  offsetCommit,
  type SyncGroupResponse,
} from '@streambus/protocol'
import { commitWords, offsetKey } from './group-replica.ts'
import type { Client } from './network.ts'
import { check } from './simulation-failure.ts'
import type { World } from './world.ts'

/** What the broker answers on groups, held against what its log says at that moment. */

/** An answer with an assignment is given only when the assignment is durable. */
export function observeSync(
  world: World,
  groupId: string,
  generation: number,
  memberId: string,
): () => (response: SyncGroupResponse | null) => void {
  return () => (response) => {
    if (response === null || response.errorCode !== 0) return
    const group = world.groups.classic.get(groupId)
    // A classic member of a consumer group.
    if (group === undefined && world.groups.consumer.has(groupId)) return
    check(
      group?.generation === generation,
      () =>
        `${memberId} of ${groupId} got an assignment for generation ${generation}, and generation ${group?.generation} is durable`,
    )
    const member = group.members.find((each) => each.memberId === memberId)
    check(
      member !== undefined && Buffer.compare(member.assignment, response.assignment) === 0,
      () =>
        `${memberId} of ${groupId} got an assignment that is not the durable one of generation ${generation}`,
    )
  }
}

export function observeJoin(
  world: World,
  groupId: string,
): () => (response: JoinGroupResponse | null) => void {
  return () => {
    const durable = world.groups.classic.get(groupId)?.generation ?? -1
    const lives = world.groups.livesOf(groupId)
    return (response) => {
      if (response === null || response.errorCode !== 0 || world.groups.livesOf(groupId) !== lives) return
      if (!world.groups.classic.has(groupId)) return
      check(
        response.generationId >= durable,
        () => `a member of ${groupId} joined generation ${response.generationId} after ${durable}`,
      )
    }
  }
}

/** The epoch and the assignment a member is told are durable. */
export function observeConsumerHeartbeat(
  world: World,
  groupId: string,
): () => (response: ConsumerGroupHeartbeatResponse | null) => void {
  return () => (response) => {
    if (response === null || response.errorCode !== 0 || response.memberEpoch <= 0) return
    const member = world.groups.consumer.get(groupId)?.members.get(response.memberId!)
    const current = member?.current ?? null
    check(
      current !== null && current.memberEpoch === response.memberEpoch,
      () =>
        `${response.memberId} of ${groupId} was told epoch ${response.memberEpoch}, and ${current?.memberEpoch} is durable`,
    )
    if (response.assignment === null) return
    const told = namesOf(response.assignment.topicPartitions)
    const durable = namesOf(current.assignedPartitions)
    check(
      told === durable,
      () => `${response.memberId} of ${groupId} was told ${told}, and ${durable} is durable`,
    )
  }
}

function namesOf(topics: readonly { topicId: string; partitions: readonly number[] }[]): string {
  return topics
    .flatMap(({ topicId, partitions }) => partitions.map((partition) => `${topicId}-${partition}`))
    .sort()
    .join(' ')
}

export interface CommitTo {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
}

/** Commits offsets. An acknowledged one must be durable, and one of an old generation must be refused. */
export async function commitOffsets(
  world: World,
  client: Client,
  version: number,
  member: { groupId: string; generation: number; memberId: string; instanceId: string | null },
  commits: readonly CommitTo[],
): Promise<OffsetCommitResponse | null> {
  const { groupId, generation, memberId, instanceId } = member
  const topicNames = [...new Set(commits.map(({ topic }) => topic))]
  const body: OffsetCommitRequestInput = {
    groupId,
    generationIdOrMemberEpoch: generation,
    memberId,
    groupInstanceId: version >= 7 ? instanceId : null,
    topics: topicNames.map((name) => ({
      name,
      topicId: world.topic(name)?.id ?? 'AAAAAAAAAAAAAAAAAAAAAA',
      partitions: commits
        .filter(({ topic }) => topic === name)
        .map(({ partition, offset, metadata }) => ({
          partitionIndex: partition,
          committedOffset: BigInt(offset),
          committedMetadata: metadata,
        })),
    })),
  }
  return client.call(offsetCommit, version, body, {
    timeoutMs: 10_000,
    observe: () => {
      const { step } = world.groups
      const current = world.groups.classic.get(groupId)?.generation
      const wasConsumer = world.groups.consumer.has(groupId)
      const lives = world.groups.livesOf(groupId)
      const ends = commits.map(({ topic, partition, offset, metadata }) =>
        world.asked.begin(commitWords(offsetKey(groupId, topic, partition), offset, metadata)),
      )
      return (response) => {
        for (const end of ends) end()
        for (const [at, { partitions }] of (response?.topics ?? []).entries()) {
          for (const { partitionIndex, errorCode } of partitions) {
            if (errorCode !== 0) continue
            const { metadata } = commits.find(
              ({ topic, partition }) => topic === topicNames[at] && partition === partitionIndex,
            )!
            const name = offsetKey(groupId, topicNames[at]!, partitionIndex)
            check(
              world.groups.offsetsSince(name, step).some((value) => value?.metadata === metadata),
              () => `commit ${metadata} of ${name} was acknowledged, and is not durable`,
            )
            check(
              wasConsumer ||
                generation < 0 ||
                current === undefined ||
                generation >= current ||
                world.groups.livesOf(groupId) !== lives,
              () => `a commit of generation ${generation} of ${groupId} was taken in generation ${current}`,
            )
          }
        }
      }
    },
  })
}
