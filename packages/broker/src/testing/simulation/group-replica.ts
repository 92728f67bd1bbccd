import {
  type BatchRecords,
  type ConsumerGroupCurrentMemberAssignmentValue,
  type ConsumerGroupMemberMetadataValue,
  type ConsumerGroupTargetAssignmentMemberValue,
  decodeCoordinatorRecord,
  type GroupMetadataValue,
  groupRecords,
  type OffsetCommitValue,
  readControlRecord,
} from '@streambus/protocol'
import type { Asked } from './asked.ts'
import { check } from './simulation-failure.ts'

export interface ReplicaOffset {
  readonly offset: number
  readonly metadata: string
  readonly commitTimestampMs: number
  /** Kafka's zero id where the commit did not name it. */
  readonly topicId: string
  /** Where the record lies in the log. */
  readonly recordOffset: number
}

interface ConsumerMember {
  /** Tells a member from an earlier one with its id. */
  readonly bornAt: number
  metadata: ConsumerGroupMemberMetadataValue | null
  current: ConsumerGroupCurrentMemberAssignmentValue | null
  target: ConsumerGroupTargetAssignmentMemberValue | null
}

export interface ConsumerGroupReplica {
  epoch: number
  assignmentEpoch: number
  readonly members: Map<string, ConsumerMember>
}

/** How groups ended a transaction: for every offset it carried. */
export type OnOffsetsEnded = (metadata: string, committed: boolean) => void

/** As Kafka's offsets.retention.minutes, which the simulated broker leaves as it is. */
const RETENTION_MS = 7 * 24 * 3_600_000

/**
 * What the records of `__consumer_offsets` say, read by rules of their own: the state that every coordinator must
 * come to that reads this log. Each batch is checked when it becomes durable:
 *
 * - An offset is committed only while somebody asks for it, and forgotten only on request, when its topic is
 *   gone or after the retention.
 * - The generation of a classic group grows, and a generation has one assignment.
 * - The epochs of a consumer group and of its members grow, and no partition has two owners.
 */
export class GroupReplica {
  readonly offsets = new Map<string, ReplicaOffset>()
  readonly classic = new Map<string, GroupMetadataValue>()
  readonly consumer = new Map<string, ConsumerGroupReplica>()
  /** Topics that were deleted at some time: their offsets may be forgotten. */
  readonly deletedTopics = new Set<string>()
  /** Grows with every change of a key of `offsets`: what a fetch may find is what was there while it ran. */
  readonly history = new Map<string, { step: number; value: ReplicaOffset | undefined }[]>()
  latestMs = 0
  readonly #pending = new Map<number, Map<string, ReplicaOffset>>()
  readonly #asked: Asked
  readonly #onOffsetsEnded: OnOffsetsEnded
  readonly #lives = new Map<string, number>()
  #step = 0
  #births = 0

  constructor(asked: Asked, onOffsetsEnded: OnOffsetsEnded) {
    this.#asked = asked
    this.#onOffsetsEnded = onOffsetsEnded
  }

  /** How often the group was deleted: then its generations begin anew. */
  livesOf(groupId: string): number {
    return this.#lives.get(groupId) ?? 0
  }

  /** Now, for `offsetsSince`. */
  get step(): number {
    return this.#step
  }

  /** An offset of the producer's open transaction. */
  pendingOf(producerId: number, key: string): ReplicaOffset | undefined {
    return this.#pending.get(producerId)?.get(key)
  }

  get pendingCount(): number {
    let count = 0
    for (const offsets of this.#pending.values()) count += offsets.size
    return count
  }

  /** Every value that a partition had from the step on. */
  offsetsSince(key: string, step: number): (ReplicaOffset | undefined)[] {
    const changes = this.history.get(key) ?? []
    const before = changes.findLast((change) => change.step <= step)
    return [before?.value, ...changes.filter((change) => change.step > step).map(({ value }) => value)]
  }

  batch(records: BatchRecords, baseOffset: number, nowMs: number): void {
    this.#step++
    this.latestMs = Math.max(this.latestMs, nowMs)
    const producerId = records.isTransactional ? records.producerId : null
    const changed = new Set<string>()
    for (const record of records) {
      const decoded = decodeCoordinatorRecord(groupRecords, record.key!, record.value)
      check(decoded !== null, () => 'a record of __consumer_offsets has an unknown key')
      const { kind, key, value } = decoded
      switch (kind) {
        case 'OffsetCommit':
          this.#offset(key, value, baseOffset + Number(record.offset), producerId)
          break
        case 'GroupMetadata':
          this.#classic(key.group, value)
          break
        case 'ConsumerGroupMetadata': {
          if (value === null) {
            this.consumer.delete(key.groupId)
            break
          }
          const group = this.#consumerGroup(key.groupId)
          check(
            value.epoch >= group.epoch,
            () => `epoch of group ${key.groupId} went from ${group.epoch} to ${value.epoch}`,
          )
          group.epoch = value.epoch
          break
        }
        case 'ConsumerGroupTargetAssignmentMetadata': {
          if (value === null) break
          const group = this.#consumerGroup(key.groupId)
          check(
            value.assignmentEpoch >= group.assignmentEpoch,
            () =>
              `assignment epoch of ${key.groupId} went from ${group.assignmentEpoch} to ${value.assignmentEpoch}`,
          )
          group.assignmentEpoch = value.assignmentEpoch
          break
        }
        case 'ConsumerGroupMemberMetadata':
          this.#member(key.groupId, key.memberId, value === null, (member) => {
            member.metadata = value
          })
          break
        case 'ConsumerGroupTargetAssignmentMember':
          this.#member(key.groupId, key.memberId, value === null, (member) => {
            member.target = value
          })
          break
        case 'ConsumerGroupCurrentMemberAssignment':
          this.#member(key.groupId, key.memberId, value === null, (member) => {
            const before = member.current
            if (before !== null && value !== null && value.memberEpoch > 0 && before.memberEpoch > 0) {
              check(
                value.memberEpoch >= before.memberEpoch,
                () => `epoch of ${key.memberId} went from ${before.memberEpoch} to ${value.memberEpoch}`,
              )
            }
            member.current = value
          })
          changed.add(key.groupId)
          break
        case 'ConsumerGroupPartitionMetadata':
        case 'ConsumerGroupRegularExpression':
          break
      }
    }
    for (const groupId of changed) this.#checkOwners(groupId)
  }

  markers(records: BatchRecords): void {
    for (const record of records) {
      const marker = readControlRecord(record)
      if (marker !== null) this.#marker(records.producerId, marker.type === 'commit')
    }
  }

  #marker(producerId: number, committed: boolean): void {
    this.#step++
    const pending = this.#pending.get(producerId)
    this.#pending.delete(producerId)
    for (const [key, value] of pending ?? []) {
      this.#onOffsetsEnded(value.metadata, committed)
      if (!committed) continue
      const present = this.offsets.get(key)
      if (present === undefined || present.recordOffset < value.recordOffset) this.#set(key, value)
    }
  }

  #offset(
    key: { group: string; topic: string; partition: number },
    value: OffsetCommitValue | null,
    recordOffset: number,
    producerId: number | null,
  ): void {
    const name = offsetKey(key.group, key.topic, key.partition)
    if (value === null) {
      const present = this.offsets.get(name)
      check(
        present === undefined ||
          this.#asked.isAsked(`forget ${key.group}`) ||
          this.deletedTopics.has(key.topic) ||
          this.latestMs - present.commitTimestampMs >= RETENTION_MS ||
          this.#wasLeftLongAgo(key.group),
        () => `the offset of ${name} was forgotten, and nobody asked for it`,
      )
      for (const pending of this.#pending.values()) pending.delete(name)
      this.#set(name, undefined)
      return
    }
    const offset = Number(value.offset)
    const before = this.offsets.get(name)
    // The log may be written anew, with what it says already.
    const isSaidAgain = producerId === null && before?.offset === offset && before.metadata === value.metadata
    check(
      isSaidAgain || this.#asked.isAsked(commitWords(name, offset, value.metadata)),
      () => `offset ${offset} '${value.metadata}' of ${name} was committed, and nobody asked for it`,
    )
    const committed = {
      offset,
      metadata: value.metadata,
      commitTimestampMs: Number(value.commitTimestamp),
      topicId: value.topicId,
      recordOffset,
    }
    if (producerId === null) {
      this.#set(name, committed)
      return
    }
    let pending = this.#pending.get(producerId)
    if (pending === undefined) {
      pending = new Map()
      this.#pending.set(producerId, pending)
    }
    pending.set(name, committed)
  }

  /** Then its offsets expire, however new they are, as in Kafka. */
  #wasLeftLongAgo(groupId: string): boolean {
    const group = this.classic.get(groupId)
    if (group === undefined || group.members.length > 0) return false
    return this.latestMs - Number(group.currentStateTimestamp) >= RETENTION_MS
  }

  #set(name: string, value: ReplicaOffset | undefined): void {
    if (value === undefined) this.offsets.delete(name)
    else this.offsets.set(name, value)
    const changes = this.history.get(name)
    const change = { step: this.#step, value }
    if (changes === undefined) this.history.set(name, [{ step: 0, value: undefined }, change])
    else changes.push(change)
  }

  #classic(groupId: string, value: GroupMetadataValue | null): void {
    if (value === null) {
      this.classic.delete(groupId)
      this.#lives.set(groupId, this.livesOf(groupId) + 1)
      return
    }
    const before = this.classic.get(groupId)
    if (before !== undefined) {
      check(
        value.generation >= before.generation,
        () => `generation of ${groupId} went from ${before.generation} to ${value.generation}`,
      )
      if (value.generation === before.generation) checkSameAssignment(groupId, before, value)
    }
    this.classic.set(groupId, value)
  }

  #consumerGroup(groupId: string): ConsumerGroupReplica {
    let group = this.consumer.get(groupId)
    if (group === undefined) {
      group = { epoch: 0, assignmentEpoch: 0, members: new Map() }
      this.consumer.set(groupId, group)
    }
    return group
  }

  #member(
    groupId: string,
    memberId: string,
    isTombstone: boolean,
    change: (member: ConsumerMember) => void,
  ): void {
    if (isTombstone && !this.consumer.has(groupId)) return
    const { members } = this.#consumerGroup(groupId)
    let member = members.get(memberId)
    if (member === undefined) {
      if (isTombstone) return
      member = { bornAt: ++this.#births, metadata: null, current: null, target: null }
      members.set(memberId, member)
    }
    change(member)
    if (member.metadata === null && member.current === null && member.target === null)
      members.delete(memberId)
  }

  #checkOwners(groupId: string): void {
    const owners = new Map<string, string>()
    for (const [memberId, { current }] of this.consumer.get(groupId)?.members ?? []) {
      if (current === null) continue
      for (const { topicId, partitions } of [
        ...current.assignedPartitions,
        ...current.partitionsPendingRevocation,
      ]) {
        for (const partition of partitions) {
          const name = `${topicId}-${partition}`
          const owner = owners.get(name)
          check(
            owner === undefined || owner === memberId,
            () => `partition ${name} of group ${groupId} belongs to ${owner} and ${memberId}`,
          )
          owners.set(name, memberId)
        }
      }
    }
  }
}

export function offsetKey(group: string, topic: string, partition: number): string {
  return `${group}/${topic}-${partition}`
}

/** What `Asked` knows a commit by. */
export function commitWords(name: string, offset: number, metadata: string): string {
  return `commit ${name} ${offset} ${metadata}`
}

/** Members keep what they got in a generation; one that comes back as a static member has a new id. */
function checkSameAssignment(groupId: string, before: GroupMetadataValue, after: GroupMetadataValue): void {
  for (const member of after.members) {
    const former = before.members.find(
      ({ memberId, groupInstanceId }) =>
        memberId === member.memberId ||
        (groupInstanceId !== null && groupInstanceId === member.groupInstanceId),
    )
    if (former === undefined || former.assignment.byteLength === 0) continue
    check(
      Buffer.compare(former.assignment, member.assignment) === 0,
      () => `generation ${after.generation} of ${groupId} has two assignments for ${member.memberId}`,
    )
  }
}
