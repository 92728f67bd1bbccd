import { CONSUMER_PROTOCOL_TYPE, ErrorCode } from '@streambus/protocol'
import type { TopicId } from '@streambus/storage'
import { ClassicGroup } from '../classic/classic-group.ts'
import { ClassicMember } from '../classic/classic-member.ts'
import { prepareRebalance } from '../classic/rebalance.ts'
import { resumeSession } from '../classic/session.ts'
import type { GroupContext } from '../group-context.ts'
import { groupMetadata } from '../group-records.ts'
import { GroupRefusal } from '../group-refusal.ts'
import { readAssignment, readSubscription, writeAssignment } from './classic-protocol.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import type { ConsumerGroupRecord } from './consumer-group-records.ts'
import type { Draft } from './draft.ts'
import { type Member, MemberState } from './member.ts'
import { listPartitions, NO_PARTITIONS } from './partitions.ts'

/**
 * How groups change from one protocol to the other while they are in use (KIP-848): a classic group becomes a
 * consumer group with the first member of the consumer protocol, and a classic one again when the last of
 * them has gone. In between, the others are served by classic-members.ts.
 */

/**
 * The classic group's last generation as the state of a consumer group: its members have what they were
 * assigned, at the epoch of the generation. Throws GroupRefusal where that cannot be.
 */
export function upgrade(group: ClassicGroup, context: GroupContext): ConsumerGroupRecord[] {
  const { options, topics } = context
  const { consumerMigrationPolicy: policy } = options
  if (policy !== 'bidirectional' && policy !== 'upgrade') refuse(group, 'online upgrades are switched off')
  if (group.protocolType !== CONSUMER_PROTOCOL_TYPE) refuse(group, 'it is not a group of consumers')
  if (group.memberCount > options.consumerMaxMembers) refuse(group, 'it has too many members')
  const epoch = group.generation
  const taken = new Set<string>()
  const members = Array.from(group.members(), (member): Member => {
    const subscription = readSubscription(member.protocols[0]?.metadata ?? new Uint8Array(0))
    const assignment = readAssignment(member.assignment, topics)
    if (subscription === null || assignment === null) refuse(group, 'an assignor of its own is in use')
    const assigned = new Map<TopicId, Map<number, number>>()
    for (const { topicId, partitions } of assignment) {
      // An assignor may have given a partition to two members; only one of them can keep it.
      const own = partitions.filter((partition) => !taken.has(`${topicId}-${partition}`))
      for (const partition of own) taken.add(`${topicId}-${partition}`)
      if (own.length > 0) assigned.set(topicId, new Map(own.map((partition) => [partition, epoch])))
    }
    return {
      memberId: member.id,
      instanceId: member.instanceId,
      rackId: subscription.rackId === '' ? null : subscription.rackId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: [...new Set(subscription.topics)].sort(),
      subscribedTopicRegex: '',
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      serverAssignor: null,
      classic: { sessionTimeoutMs: member.sessionTimeoutMs, supportedProtocols: member.protocols },
      memberEpoch: epoch,
      previousMemberEpoch: epoch,
      state: MemberState.STABLE,
      assigned,
      pendingRevocation: NO_PARTITIONS,
    }
  })
  return [
    ...members.map((value) => ({ kind: 'member', memberId: value.memberId, value }) as const),
    { kind: 'group', value: { epoch, metadataHash: 0n } },
    ...members.map(({ memberId, assigned }) => {
      const value = new Map(listPartitions(assigned).map(({ topicId, partitions }) => [topicId, partitions]))
      return { kind: 'target', memberId, value } as const
    }),
    { kind: 'targetEpoch', value: { assignmentEpoch: epoch } },
    ...members.map((value) => ({ kind: 'current', memberId: value.memberId, value }) as const),
  ]
}

/** Whether the draft takes the last member of the consumer protocol out of a group that others stay in. */
export function mustBecomeClassic({ before, state }: Draft, { options }: GroupContext): boolean {
  const { consumerMigrationPolicy: policy, maxMembers } = options
  if (policy !== 'bidirectional' && policy !== 'downgrade') return false
  const isClassic = state.members.size > 0 && state.classicMemberCount === state.members.size
  return isClassic && before.classicMemberCount < before.members.size && state.members.size <= maxMembers
}

/**
 * Makes the members of the draft a classic group in the place of `group`, and has it rebalance: now they assign
 * partitions among themselves again. Throws StorageError, and nothing changed.
 */
export async function becomeClassic(group: ConsumerGroup, { before, state }: Draft): Promise<ClassicGroup> {
  const { id, context, offsets } = group
  const classic = new ClassicGroup(id, context, offsets)
  // The epoch that members know, so that they hear of a rebalance and not of a generation that is not theirs.
  classic.generation = before.groupEpoch
  for (const member of state.members.values()) {
    const { sessionTimeoutMs, supportedProtocols } = member.classic!
    const { memberId, instanceId, clientId, clientHost, rebalanceTimeoutMs } = member
    classic.add(
      new ClassicMember({
        id: memberId,
        instanceId,
        clientId,
        clientHost,
        rebalanceTimeoutMs,
        sessionTimeoutMs,
        protocols: supportedProtocols,
        assignment: writeAssignment(member.assigned, supportedProtocols, context.topics),
      }),
      undefined,
      CONSUMER_PROTOCOL_TYPE,
    )
  }
  classic.protocolName = classic.selectProtocol()
  classic.transitionTo('Stable')
  const value = classic.metadata(({ assignment }) => assignment)
  try {
    await context.append([...group.tombstones(), groupMetadata(id, value)])
  } catch (error) {
    classic.stop(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    throw error
  }
  classic.recorded(value)
  group.stop()
  context.put(classic)
  for (const member of classic.members()) resumeSession(classic, member)
  await prepareRebalance(classic, 'the last member of the consumer protocol left')
  return classic
}

function refuse({ id }: ClassicGroup, reason: string): never {
  throw new GroupRefusal(
    ErrorCode.GROUP_ID_NOT_FOUND,
    `Group '${id}' is a classic group and cannot become a consumer group: ${reason}.`,
  )
}
