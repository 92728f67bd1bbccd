import {
  CONSUMER_PROTOCOL_TYPE,
  decodeSubscribedTopics,
  ErrorCode,
  type GroupMetadataValue,
  type GroupMetadataValueInput,
  type JoinGroupResponseInput,
  ProtocolError,
  type SyncGroupResponseInput,
} from '@streambus/protocol'
import type { CoordinatorRecord } from '../../coordinator/coordinator-log.ts'
import type { Scheduled } from '../../coordinator/scheduler.ts'
import type { Committer, Group } from '../group.ts'
import type { GroupContext } from '../group-context.ts'
import { groupMetadata, groupMetadataTombstone } from '../group-records.ts'
import type { CommittedOffset } from '../offsets/committed-offset.ts'
import { GroupOffsets } from '../offsets/group-offsets.ts'
import { joinFailure, syncFailure } from './answers.ts'
import { ClassicMember, type MemberProtocol, membersOf } from './classic-member.ts'
import { prepareRebalance } from './rebalance.ts'
import { resumeSession } from './session.ts'

/**
 * Empty:               no members; there may be offsets.
 * PreparingRebalance:  members come (back) with JoinGroup, and wait for each other.
 * CompletingRebalance: they have their generation, and wait for what the leader assigns.
 * Stable:              they have their assignment.
 *
 * Kafka's fifth state, Dead, is a group that the coordinator has forgotten.
 */
export type ClassicGroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

/** What a member that was given an id and has not come back takes, roughly. */
const PENDING_MEMBER_BYTES = 2000

/**
 * A group whose members assign partitions among themselves: one of them, the leader, does it for all. This class
 * is the state; join.ts, sync.ts, rebalance.ts and so on are what happens to it.
 *
 * Durable is what the last GroupMetadata record says: a generation with its assignments, or an empty group.
 * A rebalance under way is in memory only. When the coordinator is lost in the middle of one, the members find
 * the generation before it, or an empty group, and join again.
 */
export class ClassicGroup implements Group {
  readonly kind = 'classic'
  readonly id: string
  readonly offsets: GroupOffsets
  readonly context: GroupContext
  /** What the last GroupMetadata record says; null where there is none. */
  #durable: GroupMetadataValueInput | null = null
  generation = 0
  leaderId: string | null = null
  /** The protocol that the vote chose. */
  protocolName: string | null = null
  /** 'consumer', 'connect'; null where no member ever said. */
  #protocolType: string | null = null
  #state: ClassicGroupState = 'Empty'
  #previousState: ClassicGroupState = 'Empty'
  /** Since when it is in this state; null in groups of which an old record does not say. */
  #stateSinceMs: number | null
  readonly #members = new Map<string, ClassicMember>()
  /** Instance id → member id. */
  readonly #staticMembers = new Map<string, string>()
  /** Members that were told to come back with the id they were given, and when that is too late. */
  readonly #pendingMembers = new Map<string, Scheduled>()
  /** Members of this generation that have not asked for their assignment. */
  readonly pendingSync = new Set<string>()
  /** Protocol → members that know it. */
  readonly #supporters = new Map<string, number>()
  #awaitingJoin = 0
  #byteLength = 0
  /** Null where the members do not say, or say it in a way of their own. */
  #subscribedTopics: ReadonlySet<string> | null = null
  /** A member came during the initial delay: there may be more. */
  newMemberAdded = false
  joinTimer: Scheduled | undefined
  syncTimer: Scheduled | undefined

  constructor(id: string, context: GroupContext, offsets = new GroupOffsets(context.offsetMemory)) {
    this.id = id
    this.context = context
    this.offsets = offsets
    this.#stateSinceMs = context.scheduler.nowMs()
  }

  /** The group that a record describes. */
  static fromRecord(
    id: string,
    value: GroupMetadataValue,
    context: GroupContext,
    offsets: GroupOffsets,
  ): ClassicGroup {
    const group = new ClassicGroup(id, context, offsets)
    group.generation = value.generation
    group.protocolName = value.protocol
    group.#protocolType = value.protocolType === '' ? null : value.protocolType
    for (const member of membersOf(value)) group.add(member)
    group.leaderId = value.leader
    group.#state = value.members.length === 0 ? 'Empty' : 'Stable'
    group.#stateSinceMs = value.currentStateTimestamp === -1n ? null : Number(value.currentStateTimestamp)
    group.#subscribedTopics = group.#computeSubscribedTopics()
    group.#durable = group.metadata((member) => member.assignment)
    return group
  }

  get state(): ClassicGroupState {
    return this.#state
  }

  get previousState(): ClassicGroupState {
    return this.#previousState
  }

  get protocolType(): string {
    return this.#protocolType ?? ''
  }

  get isEmpty(): boolean {
    return this.#state === 'Empty'
  }

  /** The record is durable. */
  recorded(value: GroupMetadataValueInput): void {
    this.#durable = value
  }

  get isDisposable(): boolean {
    return this.#durable === null && this.#state === 'Empty' && this.#pendingMembers.size === 0
  }

  get memberCount(): number {
    return this.#members.size
  }

  get pendingMemberCount(): number {
    return this.#pendingMembers.size
  }

  get awaitingJoinCount(): number {
    return this.#awaitingJoin
  }

  /** Bytes its members take in memory, roughly. */
  get byteLength(): number {
    return this.#byteLength
  }

  /** In the order in which they came. */
  members(): Iterable<ClassicMember> {
    return this.#members.values()
  }

  member(id: string): ClassicMember | undefined {
    return this.#members.get(id)
  }

  /** The member that currently has the instance id. */
  staticMember(instanceId: string): ClassicMember | undefined {
    const id = this.#staticMembers.get(instanceId)
    return id === undefined ? undefined : this.#members.get(id)
  }

  isLeader(memberId: string): boolean {
    return this.leaderId === memberId
  }

  isPendingMember(memberId: string): boolean {
    return this.#pendingMembers.has(memberId)
  }

  /** @param timer when the member has to be back. */
  addPendingMember(memberId: string, timer: Scheduled): void {
    this.#pendingMembers.set(memberId, timer)
    this.context.memory.change(PENDING_MEMBER_BYTES)
  }

  removePendingMember(memberId: string): void {
    const timer = this.#pendingMembers.get(memberId)
    if (timer === undefined) return
    timer.cancel()
    this.#pendingMembers.delete(memberId)
    this.context.memory.change(-PENDING_MEMBER_BYTES)
  }

  /** Every member waits in JoinGroup, and nobody is expected back. */
  get allMembersJoined(): boolean {
    return this.#awaitingJoin === this.#members.size && this.#pendingMembers.size === 0
  }

  /** The longest time any member wants for a rebalance. */
  get rebalanceTimeoutMs(): number {
    let longest = 0
    for (const { rebalanceTimeoutMs } of this.#members.values())
      longest = Math.max(longest, rebalanceTimeoutMs)
    return longest
  }

  /** Adds a member whose protocols are known to be supported. */
  add(member: ClassicMember, awaitingJoin?: ClassicMember['awaitingJoin'], protocolType?: string): void {
    if (this.#members.size === 0 && protocolType !== undefined) this.#protocolType = protocolType
    this.removePendingMember(member.id)
    this.#members.set(member.id, member)
    if (member.instanceId !== null) this.#staticMembers.set(member.instanceId, member.id)
    this.leaderId ??= member.id
    this.#count(member, 1)
    this.setAwaitingJoin(member, awaitingJoin)
  }

  remove(memberId: string): void {
    this.removePendingMember(memberId)
    const member = this.#members.get(memberId)
    if (member === undefined) return
    this.setAwaitingJoin(member, undefined)
    member.session?.cancel()
    this.#members.delete(memberId)
    this.#count(member, -1)
    if (member.instanceId !== null) this.#staticMembers.delete(member.instanceId)
    this.pendingSync.delete(memberId)
    if (this.leaderId === memberId) this.leaderId = this.#members.keys().next().value ?? null
  }

  /** The static member goes on under a new id, in the same place, with everything else as it was. */
  rename(member: ClassicMember, newId: string): ClassicMember {
    const renamed = new ClassicMember({ ...member, id: newId, assignment: member.assignment })
    const wasLeader = this.leaderId === member.id
    const members = [...this.#members.values()]
    this.setAwaitingJoin(member, undefined)
    member.session?.cancel()
    this.#count(member, -1)
    this.#count(renamed, 1)
    this.#members.clear()
    for (const other of members) {
      const placed = other === member ? renamed : other
      this.#members.set(placed.id, placed)
    }
    this.#staticMembers.set(member.instanceId!, newId)
    if (this.pendingSync.delete(member.id)) this.pendingSync.add(newId)
    if (wasLeader) this.leaderId = newId
    return renamed
  }

  setProtocols(member: ClassicMember, protocols: readonly MemberProtocol[]): void {
    this.#count(member, -1)
    member.protocols = protocols
    this.#count(member, 1)
  }

  setAssignment(member: ClassicMember, assignment: Uint8Array): void {
    const bytes = assignment.byteLength - member.assignment.byteLength
    member.assignment = assignment
    this.#changeBytes(bytes)
  }

  setAwaitingJoin(member: ClassicMember, reply: ClassicMember['awaitingJoin']): void {
    if (member.awaitingJoin !== undefined) this.#awaitingJoin--
    if (reply !== undefined) this.#awaitingJoin++
    member.awaitingJoin = reply
  }

  /** Answers the member's JoinGroup if it waits. */
  answerJoin(member: ClassicMember, response: JoinGroupResponseInput): void {
    member.awaitingJoin?.send(response)
    this.setAwaitingJoin(member, undefined)
  }

  /** Answers the member's SyncGroup if it waits; says whether it did. */
  answerSync(member: ClassicMember, response: SyncGroupResponseInput): boolean {
    if (member.awaitingSync === undefined) return false
    member.awaitingSync.send(response)
    member.awaitingSync = undefined
    return true
  }

  transitionTo(state: ClassicGroupState): void {
    this.#previousState = this.#state
    this.#state = state
    this.#stateSinceMs = this.context.scheduler.nowMs()
  }

  /** All who wait have joined: the next generation begins, and waits for its assignment. */
  beginGeneration(): void {
    this.generation++
    this.pendingSync.clear()
    if (this.#members.size === 0) {
      this.protocolName = null
      this.leaderId = null
      this.#subscribedTopics = this.#computeSubscribedTopics()
      this.transitionTo('Empty')
    } else {
      this.protocolName = this.selectProtocol()
      this.#subscribedTopics = this.#computeSubscribedTopics()
      this.transitionTo('CompletingRebalance')
    }
  }

  /** Whether a member with these protocols may be part of the group: one of them must be everyone's. */
  supports(protocolType: string, protocols: readonly { readonly name: string }[]): boolean {
    if (this.#state === 'Empty') return protocolType !== '' && protocols.length > 0
    if (this.#protocolType !== protocolType) return false
    // Without members, while a first rebalance waits for them, it is whatever the next one knows.
    return protocols.some(({ name }) => (this.#supporters.get(name) ?? 0) === this.#members.size)
  }

  /** The protocol that most members prefer among those that all of them know. */
  selectProtocol(): string {
    const candidates = new Set<string>()
    for (const [name, count] of this.#supporters) if (count === this.#members.size) candidates.add(name)
    const votes = new Map<string, number>()
    for (const member of this.#members.values()) {
      const choice = member.vote(candidates)
      if (choice !== undefined) votes.set(choice, (votes.get(choice) ?? 0) + 1)
    }
    let elected: string | undefined
    for (const [name, count] of votes) {
      if (elected === undefined || count > votes.get(elected)!) elected = name
    }
    if (elected === undefined) throw new Error(`the members of group ${this.id} have no protocol in common`)
    return elected
  }

  /** Makes the first member that has joined the leader if the leader has not. False if nobody has. */
  electJoinedLeader(): boolean {
    const leader = this.leaderId === null ? undefined : this.#members.get(this.leaderId)
    if (leader?.awaitingJoin !== undefined) return true
    for (const member of this.#members.values()) {
      if (member.awaitingJoin !== undefined) {
        this.leaderId = member.id
        return true
      }
    }
    return false
  }

  /**
   * NONE, or why a request does not come from a member: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID if somebody else
   * has its instance id by now.
   */
  refuseMember(memberId: string, instanceId: string | null): number {
    if (instanceId !== null) {
      const currentId = this.#staticMembers.get(instanceId)
      if (currentId === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
      if (currentId !== memberId) return ErrorCode.FENCED_INSTANCE_ID
    }
    return this.#members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID
  }

  isSubscribedTo(topic: string): boolean {
    if (this.#subscribedTopics !== null) return this.#subscribedTopics.has(topic)
    // Consumers that do not say what they consume may consume anything.
    return this.#protocolType === CONSUMER_PROTOCOL_TYPE
  }

  refuseCommit(committer: Committer): number {
    const { memberId, groupInstanceId, generationIdOrMemberEpoch, transactional } = committer
    // Tools and consumers that assign partitions to themselves commit without a generation, but not behind the
    // back of members.
    if (generationIdOrMemberEpoch < 0 && this.#state === 'Empty') return ErrorCode.NONE
    if (generationIdOrMemberEpoch >= 0 || memberId !== '' || groupInstanceId !== null) {
      const refusal = this.refuseMember(memberId, groupInstanceId)
      if (refusal !== ErrorCode.NONE) return refusal
      if (generationIdOrMemberEpoch !== this.generation) return ErrorCode.ILLEGAL_GENERATION
    } else if (!transactional) {
      return ErrorCode.UNKNOWN_MEMBER_ID
    }
    if (!transactional && this.#state === 'CompletingRebalance') return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE
  }

  refuseFetch(): number {
    return ErrorCode.NONE
  }

  refuseOffsetDelete(): number {
    if (this.#state === 'Empty' || this.#protocolType === CONSUMER_PROTOCOL_TYPE) return ErrorCode.NONE
    return ErrorCode.NON_EMPTY_GROUP
  }

  refuseDelete(): number {
    return this.#state === 'Empty' ? ErrorCode.NONE : ErrorCode.NON_EMPTY_GROUP
  }

  committed(memberId: string): void {
    if (this.#state !== 'Stable' && this.#state !== 'PreparingRebalance') return
    const member = this.#members.get(memberId)
    if (member !== undefined) resumeSession(this, member)
  }

  unusedSince(): ((offset: CommittedOffset) => number) | null {
    // Nobody ever joined: every offset stands for itself.
    if (this.#protocolType === null) return (offset) => offset.commitTimestampMs
    if (this.#state === 'Empty') {
      const leftMs = this.#stateSinceMs
      return (offset) => leftMs ?? offset.commitTimestampMs
    }
    const knowsItsTopics = this.#protocolType === CONSUMER_PROTOCOL_TYPE && this.#subscribedTopics !== null
    return this.#state === 'Stable' && knowsItsTopics ? (offset) => offset.commitTimestampMs : null
  }

  tombstones(): CoordinatorRecord[] {
    return this.#durable === null ? [] : [groupMetadataTombstone(this.id)]
  }

  snapshot(): CoordinatorRecord[] {
    return this.#durable === null ? [] : [groupMetadata(this.id, this.#durable)]
  }

  /** What a record says of the group as it is, with these assignments. */
  metadata(assignmentOf: (member: ClassicMember) => Uint8Array): GroupMetadataValueInput {
    const members = [...this.#members.values()]
    return {
      protocolType: this.protocolType,
      generation: this.generation,
      protocol: this.protocolName,
      leader: this.leaderId,
      currentStateTimestamp: BigInt(this.#stateSinceMs ?? -1),
      members: members.map((member) => ({
        memberId: member.id,
        groupInstanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeout: member.rebalanceTimeoutMs,
        sessionTimeout: member.sessionTimeoutMs,
        subscription: member.metadataFor(this.protocolName),
        assignment: assignmentOf(member),
      })),
    }
  }

  start(): void {
    for (const member of this.#members.values()) resumeSession(this, member)
    if (this.#members.size > this.context.options.maxMembers) {
      // The limit was lowered: those who are too many hear it when they join again.
      this.joinTimer = this.context.after(this, 0, () => prepareRebalance(this, 'the group is too large'))
    }
  }

  stop(errorCode: number): void {
    this.joinTimer?.cancel()
    this.syncTimer?.cancel()
    for (const id of [...this.#pendingMembers.keys()]) this.removePendingMember(id)
    for (const member of this.#members.values()) {
      member.session?.cancel()
      this.answerJoin(member, joinFailure(member.id, errorCode))
      this.answerSync(member, syncFailure(errorCode))
    }
    this.context.memory.change(-this.#byteLength)
    this.#byteLength = 0
  }

  #count(member: ClassicMember, sign: 1 | -1): void {
    for (const { name } of member.protocols) {
      const count = (this.#supporters.get(name) ?? 0) + sign
      if (count === 0) this.#supporters.delete(name)
      else this.#supporters.set(name, count)
    }
    this.#changeBytes(sign * member.byteLength)
  }

  #changeBytes(bytes: number): void {
    this.#byteLength += bytes
    this.context.memory.change(bytes)
  }

  #computeSubscribedTopics(): ReadonlySet<string> | null {
    if (this.#protocolType !== CONSUMER_PROTOCOL_TYPE) return null
    if (this.#members.size === 0) return new Set()
    if (this.protocolName === null) return null
    const topics = new Set<string>()
    try {
      for (const member of this.#members.values()) {
        for (const topic of decodeSubscribedTopics(member.metadataFor(this.protocolName))) topics.add(topic)
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const { message } = error
      this.context.log.debug(
        { group: this.id, error: message },
        'members of a group say what they consume in a way of their own',
      )
      return null
    }
    return topics
  }
}
