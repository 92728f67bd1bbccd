import { ErrorCode } from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import { groupMetadata } from '../group-records.ts'
import { joined, syncFailure } from './answers.ts'
import type { ClassicGroup } from './classic-group.ts'
import { NO_BYTES } from './classic-member.ts'
import { resumeSession } from './session.ts'

/** A rebalance begins: members come back with JoinGroup, and wait until all have. */
export function prepareRebalance(group: ClassicGroup, reason: string): void | Promise<void> {
  const { context } = group
  if (group.state === 'CompletingRebalance') abandonSync(group, ErrorCode.REBALANCE_IN_PROGRESS)
  cancelSync(group)
  const isInitial = group.state === 'Empty'
  group.transitionTo('PreparingRebalance')
  context.log.info({ group: group.id, generation: group.generation, reason }, 'a group rebalances')
  if (!isInitial) return completeOrWait(group)
  const delayMs = context.options.initialRebalanceDelayMs
  group.newMemberAdded = false
  waitForMore(group, delayMs, Math.max(group.rebalanceTimeoutMs - delayMs, 0))
}

/** Begins a rebalance, or goes on with the one that is under way. */
export function rebalance(group: ClassicGroup, reason: string): void | Promise<void> {
  if (group.state !== 'PreparingRebalance') return prepareRebalance(group, reason)
  return completeIfAllJoined(group)
}

export function completeIfAllJoined(group: ClassicGroup): void | Promise<void> {
  if (group.state !== 'PreparingRebalance') return
  // The first rebalance waits out its delay, however many have joined.
  if (group.previousState === 'Empty') return
  if (group.allMembersJoined) return completeJoin(group)
}

function completeOrWait(group: ClassicGroup): void | Promise<void> {
  if (group.allMembersJoined) return completeJoin(group)
  group.joinTimer?.cancel()
  group.joinTimer = group.context.after(group, group.rebalanceTimeoutMs, () => completeJoin(group))
}

/**
 * The members of a new group start one after the other. Each one that comes within the delay makes it longer
 * by as much again, up to the rebalance timeout, so that they all share the first generation.
 */
function waitForMore(group: ClassicGroup, delayMs: number, remainingMs: number): void {
  const { context } = group
  group.joinTimer?.cancel()
  group.joinTimer = context.after(group, delayMs, () => {
    if (!group.newMemberAdded || remainingMs === 0) return completeJoin(group)
    group.newMemberAdded = false
    const { initialRebalanceDelayMs } = context.options
    waitForMore(group, Math.min(initialRebalanceDelayMs, remainingMs), Math.max(remainingMs - delayMs, 0))
  })
}

/** Members that have not joined are out, except for static ones; the others get their generation. */
export function completeJoin(group: ClassicGroup): void | Promise<void> {
  const { context } = group
  if (group.state !== 'PreparingRebalance') return
  group.joinTimer?.cancel()
  for (const member of [...group.members()]) {
    if (member.awaitingJoin === undefined && member.instanceId === null) group.remove(member.id)
  }
  if (group.memberCount === 0) return leaveEmpty(group)
  if (!group.electJoinedLeader()) {
    // Only static members are left, and none of them has joined: until one does, or its session ends.
    group.joinTimer = context.after(group, group.rebalanceTimeoutMs, () => completeJoin(group))
    return
  }
  group.beginGeneration()
  context.log.info(
    { group: group.id, generation: group.generation, members: group.memberCount },
    'a group has a new generation',
  )
  for (const member of group.members()) {
    group.answerJoin(member, joined(group, member.id))
    member.isNew = false
    resumeSession(group, member)
    group.pendingSync.add(member.id)
  }
  const { generation } = group
  group.syncTimer = context.after(group, group.rebalanceTimeoutMs, () => expireSync(group, generation))
}

/**
 * The last member has gone. If that cannot be written the group is empty all the same: a coordinator that reads
 * the generation before it finds members that nobody hears of any more.
 */
async function leaveEmpty(group: ClassicGroup): Promise<void> {
  const { context } = group
  group.beginGeneration()
  const metadata = group.metadata(() => NO_BYTES)
  try {
    await context.append([groupMetadata(group.id, metadata)])
    group.recorded(metadata)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    context.log.warn({ group: group.id, error: error.message }, 'could not write that a group is empty')
    context.dropIfDisposable(group)
  }
}

/** Members that got their generation and have not asked for their assignment in time are out. */
function expireSync(group: ClassicGroup, generation: number): void | Promise<void> {
  if (group.generation !== generation || group.pendingSync.size === 0) return
  if (group.state !== 'CompletingRebalance' && group.state !== 'Stable') return
  for (const id of [...group.pendingSync]) group.remove(id)
  return prepareRebalance(group, 'members did not ask for their assignment')
}

/**
 * Everyone in SyncGroup hears why there is no assignment. Members keep the one they were given last, as the log
 * says: they may still be working with it, and a consumer group that takes them over has to know.
 */
export function abandonSync(group: ClassicGroup, errorCode: number): void {
  for (const member of group.members()) {
    if (group.answerSync(member, syncFailure(errorCode))) resumeSession(group, member)
  }
}

function cancelSync(group: ClassicGroup): void {
  group.pendingSync.clear()
  group.syncTimer?.cancel()
}

/** The member has asked for its assignment. */
export function synced(group: ClassicGroup, memberId: string): void {
  group.pendingSync.delete(memberId)
  if (group.pendingSync.size === 0) group.syncTimer?.cancel()
}
