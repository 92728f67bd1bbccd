import type { TopicId } from '@streambus/storage'
import type { ConsumerGroupRecord, ResolvedRegex } from './consumer-group-records.ts'
import {
  type CurrentAssignment,
  currentOf,
  isReconciledTo,
  type Member,
  type MemberMetadata,
  metadataOf,
  newMember,
} from './member.ts'
import { type AssignedPartitions, NO_PARTITIONS, type TopicPartitions } from './partitions.ts'

export type ConsumerGroupStateName = 'Empty' | 'Assigning' | 'Reconciling' | 'Stable'

/**
 * The durable state of one consumer group (KIP-848). It changes by `apply` alone, at a replay and after an
 * append alike, so that a restarted coordinator has the state of the one before it.
 *
 * A decision is made on a fork: records are applied to it as they are made, and when they are durable the
 * fork takes the place of the original.
 */
export class ConsumerGroupState {
  #groupEpoch = 0
  #metadataHash = 0n
  #assignmentEpoch = 0
  #members = new Map<string, Member>()
  #targets = new Map<string, TopicPartitions>()
  #regexes = new Map<string, ResolvedRegex>()
  /** Derived: instance id → member id. */
  #staticMembers = new Map<string, string>()
  /**
   * Derived: who may be processing a partition, because it was told to have it or has not confirmed giving it
   * up. No partition is assigned while another member stands here.
   */
  #owners = new Map<TopicId, Map<number, string>>()
  /** Derived: inner maps of `#owners` that this state shares with the one it was forked from. */
  #sharedOwners = new Set<TopicId>()
  /** Derived. */
  #classicMemberCount = 0
  /** Derived. */
  #byteLength = 0

  get groupEpoch(): number {
    return this.#groupEpoch
  }

  get metadataHash(): bigint {
    return this.#metadataHash
  }

  /** The group epoch that the target assignment is for. */
  get assignmentEpoch(): number {
    return this.#assignmentEpoch
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members
  }

  get regexes(): ReadonlyMap<string, ResolvedRegex> {
    return this.#regexes
  }

  get classicMemberCount(): number {
    return this.#classicMemberCount
  }

  /** What it takes in memory, roughly. */
  get byteLength(): number {
    return this.#byteLength
  }

  get name(): ConsumerGroupStateName {
    if (this.#members.size === 0) return 'Empty'
    if (this.#groupEpoch > this.#assignmentEpoch) return 'Assigning'
    for (const member of this.#members.values()) {
      if (!isReconciledTo(member, this.#assignmentEpoch)) return 'Reconciling'
    }
    return 'Stable'
  }

  target(memberId: string): TopicPartitions {
    return this.#targets.get(memberId) ?? NO_PARTITIONS
  }

  staticMember(instanceId: string): Member | undefined {
    const memberId = this.#staticMembers.get(instanceId)
    return memberId === undefined ? undefined : this.#members.get(memberId)
  }

  owner(topicId: TopicId, partition: number): string | undefined {
    return this.#owners.get(topicId)?.get(partition)
  }

  fork(): ConsumerGroupState {
    const fork = new ConsumerGroupState()
    fork.#groupEpoch = this.#groupEpoch
    fork.#metadataHash = this.#metadataHash
    fork.#assignmentEpoch = this.#assignmentEpoch
    fork.#members = new Map(this.#members)
    fork.#targets = new Map(this.#targets)
    fork.#regexes = new Map(this.#regexes)
    fork.#staticMembers = new Map(this.#staticMembers)
    fork.#owners = new Map(this.#owners)
    fork.#sharedOwners = new Set(this.#owners.keys())
    fork.#classicMemberCount = this.#classicMemberCount
    fork.#byteLength = this.#byteLength
    return fork
  }

  apply(record: ConsumerGroupRecord): void {
    switch (record.kind) {
      case 'group':
        this.#groupEpoch = record.value?.epoch ?? 0
        this.#metadataHash = record.value?.metadataHash ?? 0n
        return
      case 'targetEpoch':
        this.#assignmentEpoch = record.value?.assignmentEpoch ?? 0
        return
      case 'target':
        this.#byteLength += targetBytes(record.value) - targetBytes(this.#targets.get(record.memberId))
        if (record.value === null) this.#targets.delete(record.memberId)
        else this.#targets.set(record.memberId, record.value)
        return
      case 'regex':
        this.#byteLength += regexBytes(record.value) - regexBytes(this.#regexes.get(record.regex))
        if (record.value === null) this.#regexes.delete(record.regex)
        else this.#regexes.set(record.regex, record.value)
        return
      case 'member':
        this.#applyMember(record.memberId, record.value)
        return
      case 'current':
        this.#applyCurrent(record.memberId, record.value)
        return
    }
  }

  /** Every record needed to make this state again, in the order of `ConsumerGroupRecord`. */
  *snapshot(): Generator<ConsumerGroupRecord> {
    for (const [memberId, value] of this.#members) yield { kind: 'member', memberId, value }
    for (const [regex, value] of this.#regexes) yield { kind: 'regex', regex, value }
    yield { kind: 'group', value: { epoch: this.#groupEpoch, metadataHash: this.#metadataHash } }
    for (const [memberId, value] of this.#targets) yield { kind: 'target', memberId, value }
    yield { kind: 'targetEpoch', value: { assignmentEpoch: this.#assignmentEpoch } }
    for (const [memberId, value] of this.#members) yield { kind: 'current', memberId, value }
  }

  /** What deletes the group: a member's assignments go before the member, everything before the group. */
  *tombstones(): Generator<ConsumerGroupRecord> {
    for (const memberId of this.#members.keys()) yield { kind: 'current', memberId, value: null }
    for (const memberId of this.#targets.keys()) yield { kind: 'target', memberId, value: null }
    yield { kind: 'targetEpoch', value: null }
    for (const memberId of this.#members.keys()) yield { kind: 'member', memberId, value: null }
    for (const regex of this.#regexes.keys()) yield { kind: 'regex', regex, value: null }
    yield { kind: 'group', value: null }
  }

  #applyMember(memberId: string, value: MemberMetadata | null): void {
    const known = this.#members.get(memberId)
    if (known !== undefined) this.#forget(known)
    if (value === null) {
      if (known === undefined) return
      this.#release(known)
      this.#members.delete(memberId)
      return
    }
    this.#keep({ ...(known ?? newMember(memberId)), ...metadataOf(value) })
  }

  #applyCurrent(memberId: string, value: CurrentAssignment | null): void {
    const known = this.#members.get(memberId)
    // The metadata may come later: compaction keeps only the newest record of each key.
    if (known === undefined && value === null) return
    if (known !== undefined) this.#release(known)
    const member = { ...(known ?? newMember(memberId)), ...currentOf(value ?? newMember(memberId)) }
    if (known === undefined) this.#keep(member)
    else this.#members.set(memberId, member)
    this.#own(memberId, member.assigned)
    this.#own(memberId, member.pendingRevocation)
  }

  #keep(member: Member): void {
    this.#members.set(member.memberId, member)
    if (member.instanceId !== null) this.#staticMembers.set(member.instanceId, member.memberId)
    if (member.classic !== null) this.#classicMemberCount++
    this.#byteLength += memberBytes(member.memberId, member)
  }

  #forget(member: Member): void {
    const { memberId, instanceId, classic } = member
    this.#byteLength -= memberBytes(member.memberId, member)
    if (classic !== null) this.#classicMemberCount--
    // Another member may have taken the instance id over already.
    if (instanceId !== null && this.#staticMembers.get(instanceId) === memberId) {
      this.#staticMembers.delete(instanceId)
    }
  }

  #own(memberId: string, partitions: AssignedPartitions): void {
    for (const [topicId, epochs] of partitions) {
      const owners = this.#ownersOf(topicId)
      for (const partition of epochs.keys()) owners.set(partition, memberId)
      this.#byteLength += epochs.size * ASSIGNED_PARTITION_BYTES
    }
  }

  #release({ memberId, assigned, pendingRevocation }: Member): void {
    for (const partitions of [assigned, pendingRevocation]) {
      for (const [topicId, epochs] of partitions) {
        const owners = this.#ownersOf(topicId)
        for (const partition of epochs.keys()) {
          if (owners.get(partition) === memberId) owners.delete(partition)
        }
        if (owners.size === 0) this.#owners.delete(topicId)
        this.#byteLength -= epochs.size * ASSIGNED_PARTITION_BYTES
      }
    }
  }

  /** The owners of a topic's partitions, for changing: no longer shared with another state. */
  #ownersOf(topicId: TopicId): Map<number, string> {
    const known = this.#owners.get(topicId)
    if (known !== undefined && !this.#sharedOwners.has(topicId)) return known
    const own = new Map(known)
    this.#owners.set(topicId, own)
    this.#sharedOwners.delete(topicId)
    return own
  }
}

/** What things take in memory, roughly: map entries, numbers, objects. */
const MEMBER_BYTES = 500
const ENTRY_BYTES = 100
const PROTOCOL_BYTES = 320
const ASSIGNED_PARTITION_BYTES = 60
const TARGET_PARTITION_BYTES = 8
const SUBSCRIBED_TOPIC_BYTES = 40

/** What a member takes, without what it is assigned. */
export function memberBytes(memberId: string, member: MemberMetadata): number {
  const { instanceId, rackId, clientId, clientHost, subscribedTopicRegex, classic } = member
  let bytes = MEMBER_BYTES + memberId.length + clientId.length + clientHost.length
  bytes += (instanceId?.length ?? 0) + (rackId?.length ?? 0) + subscribedTopicRegex.length
  for (const name of member.subscribedTopicNames) bytes += name.length + SUBSCRIBED_TOPIC_BYTES
  for (const { name, metadata } of classic?.supportedProtocols ?? []) {
    bytes += PROTOCOL_BYTES + name.length + metadata.byteLength
  }
  return bytes
}

function targetBytes(target: TopicPartitions | null | undefined): number {
  let bytes = 0
  for (const partitions of target?.values() ?? []) {
    bytes += ENTRY_BYTES + partitions.length * TARGET_PARTITION_BYTES
  }
  return bytes
}

/** What the topics take that an expression stands for. */
export function regexBytes(regex: ResolvedRegex | null | undefined): number {
  let bytes = 0
  for (const topic of regex?.topics ?? []) bytes += topic.length + TARGET_PARTITION_BYTES
  return bytes
}
