/** Membership of classic groups over bare connections: find the coordinator, join, assign, leave. */
import {
  decodeConsumerAssignment,
  ErrorCode,
  encodeConsumerAssignment,
  encodeConsumerSubscription,
  findCoordinator,
  type JoinGroupResponse,
  joinGroup,
  leaveGroup,
  syncGroup,
} from '@streambus/protocol'
import type { RawConnection } from './raw-connection.ts'
import { retried } from './retried.ts'
import { assertNoError } from './topics.ts'

export interface Subscription {
  readonly group: string
  readonly topic: string
  readonly partitions: number
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
}

export interface Membership {
  readonly memberId: string
  readonly generationId: number
  /** Partitions of the one topic. */
  readonly assigned: readonly number[]
}

export type CoordinatorKind = 'group' | 'transaction'

/** Resolves when the coordinator of these keys answers for them. */
export async function awaitCoordinator(
  connection: RawConnection,
  kind: CoordinatorKind,
  keys: readonly string[],
): Promise<void> {
  await retried(
    `finding the coordinator of ${kind} ${keys[0]}`,
    () =>
      connection.request(findCoordinator, 4, {
        keyType: kind === 'group' ? 0 : 1,
        coordinatorKeys: [...keys],
      }),
    ({ coordinators }) => coordinators.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0,
  )
}

/**
 * Joins until the member has its share of a generation that holds. Whoever leads gives each member a run of
 * consecutive partitions, as the range assignor does.
 */
export async function joinClassicGroup(
  connection: RawConnection,
  subscription: Subscription,
): Promise<Membership> {
  let memberId = ''
  for (;;) {
    const joined = await retried(
      `joining ${subscription.group}`,
      () => sendJoin(connection, subscription, memberId),
      // The first answer to a new member is its id, with which it joins (KIP-394).
      ({ errorCode }) => (errorCode === ErrorCode.MEMBER_ID_REQUIRED ? 0 : errorCode),
    )
    memberId = joined.memberId
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) continue
    const synced = await sendSync(connection, subscription, joined)
    if (synced.errorCode === ErrorCode.REBALANCE_IN_PROGRESS) continue
    assertNoError(synced.errorCode, `syncing ${subscription.group}`)
    const assigned = decodeConsumerAssignment(synced.assignment).assignedPartitions.flatMap(
      ({ partitions }) => partitions,
    )
    return { memberId, generationId: joined.generationId, assigned }
  }
}

export async function leaveClassicGroup(
  connection: RawConnection,
  group: string,
  memberIds: readonly string[],
): Promise<void> {
  const members = memberIds.map((memberId) => ({ memberId }))
  const { errorCode } = await connection.request(leaveGroup, 5, { groupId: group, members })
  assertNoError(errorCode, `leaving ${group}`)
}

function sendJoin(connection: RawConnection, subscription: Subscription, memberId: string) {
  const { group, topic, sessionTimeoutMs, rebalanceTimeoutMs } = subscription
  return connection.request(joinGroup, 9, {
    groupId: group,
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    memberId,
    protocolType: 'consumer',
    protocols: [
      { name: 'range', metadata: encodeConsumerSubscription(1, { topics: [topic], ownedPartitions: [] }) },
    ],
  })
}

function sendSync(connection: RawConnection, subscription: Subscription, joined: JoinGroupResponse) {
  const { group, topic, partitions } = subscription
  const leads = joined.leader === joined.memberId
  const memberIds = joined.members.map((member) => member.memberId)
  return connection.request(syncGroup, 5, {
    groupId: group,
    generationId: joined.generationId,
    memberId: joined.memberId,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: leads
      ? ranges(memberIds, partitions).map(({ memberId, assigned }) => ({
          memberId,
          assignment: encodeConsumerAssignment(1, { assignedPartitions: [{ topic, partitions: assigned }] }),
        }))
      : [],
  })
}

/** Runs of consecutive partitions; the first members get one more each where it does not come out even. */
export function ranges(
  memberIds: readonly string[],
  partitions: number,
): { readonly memberId: string; readonly assigned: number[] }[] {
  const sorted = [...memberIds].sort()
  const share = Math.floor(partitions / sorted.length)
  const larger = partitions % sorted.length
  let next = 0
  return sorted.map((memberId, index) => {
    const count = share + (index < larger ? 1 : 0)
    const assigned = Array.from({ length: count }, () => next++)
    return { memberId, assigned }
  })
}
