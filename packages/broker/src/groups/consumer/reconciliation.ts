import type { TopicId } from '@streambus/storage'
import { type Member, MemberState } from './member.ts'
import {
  type AssignedPartitions,
  NO_PARTITIONS,
  sameAssignedPartitions,
  type TopicPartitions,
} from './partitions.ts'

/** Partitions as a heartbeat lists them. */
export type ListedPartitions = readonly {
  readonly topicId: TopicId
  readonly partitions: readonly number[]
}[]

/** What a member is compared with. */
export interface Goal {
  readonly targetEpoch: number
  readonly target: TopicPartitions
  /** Topics the member is subscribed to now: others are taken from it at once. */
  readonly isSubscribed: (topicId: TopicId) => boolean
  /** Who may be processing a partition. */
  readonly ownerOf: (topicId: TopicId, partition: number) => string | undefined
  /** What the member says it has; null where it says nothing. */
  readonly owned: ListedPartitions | null
}

/**
 * One step of a member towards its target assignment (KIP-848). What it must give up comes first: until it has
 * confirmed that, it stays at its epoch. Then it moves to the target's epoch and gets what is free; what other
 * members still have comes with later steps. Returns the member itself where nothing changes.
 */
export function reconcile(member: Member, goal: Goal): Member {
  switch (member.state) {
    case MemberState.STABLE:
      if (member.memberEpoch === goal.targetEpoch) return withdrawUnsubscribed(member, goal)
      return nextStep(member, goal)
    case MemberState.UNREVOKED_PARTITIONS:
      if (mayOwn(goal.owned, member.pendingRevocation)) return withdrawUnsubscribed(member, goal)
      return nextStep(member, goal)
    default:
      return nextStep(member, goal)
  }
}

function nextStep(member: Member, { targetEpoch, target, isSubscribed, ownerOf, owned }: Goal): Member {
  const assigned = new Map<TopicId, Map<number, number>>()
  const revoked = new Map<TopicId, Map<number, number>>()
  for (const [topicId, epochs] of member.assigned) {
    const wanted = new Set(isSubscribed(topicId) ? target.get(topicId) : undefined)
    for (const [partition, epoch] of epochs) {
      put(wanted.has(partition) ? assigned : revoked, topicId, partition, epoch)
    }
  }
  if (revoked.size > 0 && mayOwn(owned, revoked)) {
    return moved(member, MemberState.UNREVOKED_PARTITIONS, member.memberEpoch, assigned, revoked)
  }
  let isWaiting = false
  for (const [topicId, partitions] of target) {
    if (!isSubscribed(topicId)) continue
    for (const partition of partitions) {
      if (member.assigned.get(topicId)?.has(partition) === true) continue
      const owner = ownerOf(topicId, partition)
      // What the member itself has just given up is free for it.
      if (owner === undefined || owner === member.memberId) put(assigned, topicId, partition, targetEpoch)
      else isWaiting = true
    }
  }
  const state = isWaiting ? MemberState.UNRELEASED_PARTITIONS : MemberState.STABLE
  return moved(member, state, targetEpoch, assigned, NO_PARTITIONS)
}

/** Takes what the member is no longer subscribed to from it, without waiting for a new target assignment. */
function withdrawUnsubscribed(member: Member, { isSubscribed, owned }: Goal): Member {
  let kept: Map<TopicId, ReadonlyMap<number, number>> | undefined
  const revoked = new Map(member.pendingRevocation)
  for (const [topicId, epochs] of member.assigned) {
    if (isSubscribed(topicId)) continue
    kept ??= new Map(member.assigned)
    kept.delete(topicId)
    revoked.set(topicId, new Map([...(revoked.get(topicId) ?? []), ...epochs]))
  }
  if (kept === undefined) return member
  return mayOwn(owned, revoked)
    ? moved(member, MemberState.UNREVOKED_PARTITIONS, member.memberEpoch, kept, revoked)
    : moved(member, member.state, member.memberEpoch, kept, member.pendingRevocation)
}

/** Whether the member may have any of the partitions: it has if it does not say what it has. */
function mayOwn(owned: ListedPartitions | null, partitions: AssignedPartitions): boolean {
  if (owned === null) return true
  return owned.some(({ topicId, partitions: listed }) => {
    const among = partitions.get(topicId)
    return among !== undefined && listed.some((partition) => among.has(partition))
  })
}

function moved(
  member: Member,
  state: MemberState,
  memberEpoch: number,
  assigned: AssignedPartitions,
  pendingRevocation: AssignedPartitions,
): Member {
  // A repeated step changes nothing: the epoch before stays valid for a member whose responses got lost.
  if (
    state === member.state &&
    memberEpoch === member.memberEpoch &&
    sameAssignedPartitions(assigned, member.assigned) &&
    sameAssignedPartitions(pendingRevocation, member.pendingRevocation)
  ) {
    return member
  }
  const previousMemberEpoch = member.memberEpoch
  return { ...member, state, memberEpoch, previousMemberEpoch, assigned, pendingRevocation }
}

function put(
  into: Map<TopicId, Map<number, number>>,
  topicId: TopicId,
  partition: number,
  epoch: number,
): void {
  const epochs = into.get(topicId)
  if (epochs === undefined) into.set(topicId, new Map([[partition, epoch]]))
  else epochs.set(partition, epoch)
}
