import { CONSUMER_PROTOCOL_TYPE, ErrorCode } from '@streambus/protocol'
import type { CoordinatorRecord } from '../../coordinator/coordinator-log.ts'
import type { CommittedPartitions, Committer, Group } from '../group.ts'
import type { GroupContext } from '../group-context.ts'
import { errorCodeOf } from '../group-refusal.ts'
import type { CommittedOffset } from '../offsets/committed-offset.ts'
import { GroupOffsets } from '../offsets/group-offsets.ts'
import type { ConsumerGroupRecord } from './consumer-group-records.ts'
import { ConsumerGroupState, type ConsumerGroupStateName } from './consumer-group-state.ts'
import { type ConsumerGroupDescription, describeConsumerGroup } from './description.ts'
import { Draft } from './draft.ts'
import { type HeartbeatAnswer, isLeaving } from './heartbeat-request.ts'
import { decideHeartbeats, type Heartbeat, refreshGroup } from './heartbeats.ts'
import { type Member, MemberState } from './member.ts'
import { type Deadline, MemberTimers } from './member-timers.ts'
import { becomeClassic, mustBecomeClassic } from './migration.ts'
import { encodeConsumerGroupRecord } from './record-codec.ts'
import type { TopicRegexes } from './topic-regexes.ts'

/** What a consumer group works with beside what every group does. */
export interface ConsumerGroupContext extends GroupContext {
  readonly regexes: TopicRegexes
  /** Makes a group the one with its id. */
  put(group: Group): void
}

/** The group that had the id before, when nothing of it but its offsets stays what it was. */
export interface FormerGroup {
  /** What deletes it. */
  readonly tombstones: readonly CoordinatorRecord[]
  /** What the new group begins with. */
  readonly taken: readonly ConsumerGroupRecord[]
}

/** A member that could not be put out because of the log is looked at again after this long. */
const RETRY_MS = 1000

/** OffsetCommit from this version on carries member epochs (KIP-848). */
const FIRST_VERSION_WITH_EPOCHS = 9

/**
 * A group whose assignment the coordinator makes (KIP-848). Members send heartbeats; each takes them one step
 * towards the assignment that is their target, and partitions go to a new member only when the one before has
 * confirmed that it gave them up.
 *
 * This class holds the state and time together: heartbeats.ts decides, and the state changes when the records
 * of a decision are durable. Everything but what only reads is called in the group's turn.
 */
export class ConsumerGroup implements Group {
  readonly kind = 'consumer'
  readonly protocolType = CONSUMER_PROTOCOL_TYPE
  readonly id: string
  readonly offsets: GroupOffsets
  readonly context: ConsumerGroupContext
  readonly timers: MemberTimers
  #state = new ConsumerGroupState()
  /** The version of the topic catalog that the last decision looked at. */
  #topicsVersion = -1
  #chargedBytes = 0
  /** Computed when somebody asks. */
  #subscribed: { readonly state: ConsumerGroupState; readonly topics: ReadonlySet<string> } | undefined

  constructor(id: string, context: ConsumerGroupContext, offsets = new GroupOffsets(context.offsetMemory)) {
    this.id = id
    this.context = context
    this.offsets = offsets
    this.timers = new MemberTimers(
      (delayMs, run) => context.after(this, delayMs, run),
      (memberId, deadline) => this.#expire(memberId, deadline),
    )
  }

  get state(): ConsumerGroupStateName {
    return this.#state.name
  }

  /** What is durable. */
  get durable(): ConsumerGroupState {
    return this.#state
  }

  get isEmpty(): boolean {
    return this.#state.members.size === 0
  }

  get isDisposable(): boolean {
    return this.isEmpty && this.#state.groupEpoch === 0
  }

  /** Takes over a record that is durable, while the log is read. */
  apply(record: ConsumerGroupRecord): void {
    this.#state.apply(record)
    this.#subscribed = undefined
    this.#charge()
  }

  /**
   * Answers the heartbeats that wait for the group, in their order. With `former`, the group is new, and begins
   * with what it takes over from the group before it, if any of its members is admitted. Throws StorageError, and
   * nothing changed.
   */
  async heartbeat(heartbeats: readonly Heartbeat[], former?: FormerGroup): Promise<HeartbeatAnswer[]> {
    const draft = new Draft(this.#state)
    for (const record of former?.taken ?? []) draft.write(record)
    await this.loadRegexes(heartbeats.some(({ request }) => (request.subscribedTopicRegex ?? '') !== ''))
    const { options, topics } = this.context
    const topicsVersion = topics.version
    const answers = decideHeartbeats(draft, heartbeats, {
      ...this.decisionContext(),
      maxMembers: options.consumerMaxMembers,
      hasMemoryFor: (byteLength) => this.hasMemoryFor(byteLength),
      assignors: options.consumerAssignors,
      heartbeatIntervalMs: options.consumerHeartbeatIntervalMs,
    })
    if (former !== undefined && !answers.some(({ errorCode }) => errorCode === ErrorCode.NONE)) return answers
    if (mustBecomeClassic(draft, this.context)) {
      await becomeClassic(this, draft)
      return answers
    }
    await this.commit(draft, former?.tombstones)
    this.#topicsVersion = topicsVersion
    for (const [index, { request }] of heartbeats.entries()) {
      const { errorCode, memberId } = answers[index]!
      if (errorCode === ErrorCode.NONE && !isLeaving(request)) this.renewSession(memberId!)
    }
    return answers
  }

  /** Makes the removal of members durable. Throws StorageError, and nothing changed. */
  async finishRemovals(draft: Draft): Promise<void> {
    if (draft.records.length === 0) return
    if (mustBecomeClassic(draft, this.context)) {
      await becomeClassic(this, draft)
      return
    }
    refreshGroup(draft, this.decisionContext(), true)
    await this.commit(draft)
  }

  /** Raises the epoch: the next heartbeat makes a new target assignment. Throws StorageError, and nothing changed. */
  async rebalance(): Promise<void> {
    await this.loadRegexes()
    const draft = new Draft(this.#state)
    refreshGroup(draft, this.decisionContext(), true)
    await this.commit(draft)
  }

  describe(): ConsumerGroupDescription {
    return describeConsumerGroup(this.id, this.#state, this.context)
  }

  isSubscribedTo(topic: string): boolean {
    if (this.#subscribed?.state !== this.#state) {
      this.#subscribed = { state: this.#state, topics: subscribedTopics(this.#state) }
    }
    return this.#subscribed.topics.has(topic)
  }

  refuseCommit(committer: Committer, topics: readonly CommittedPartitions[]): number {
    const { memberId, groupInstanceId, generationIdOrMemberEpoch: epoch, transactional } = committer
    if (epoch < 0 && this.isEmpty) return ErrorCode.NONE
    if (transactional && epoch === -1 && memberId === '' && groupInstanceId === null) return ErrorCode.NONE
    const member = this.#state.members.get(memberId)
    if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    if (!transactional && member.classic === null && committer.apiVersion < FIRST_VERSION_WITH_EPOCHS) {
      return ErrorCode.UNSUPPORTED_VERSION
    }
    const refusal = this.#hasHeldSince(member, epoch, topics) ? ErrorCode.NONE : refuseEpoch(member, epoch)
    // TxnOffsetCommit has no error for the epochs of this protocol.
    return transactional && refusal !== ErrorCode.NONE ? ErrorCode.ILLEGAL_GENERATION : refusal
  }

  refuseFetch(memberId: string | null, memberEpoch: number): number {
    if (memberId === null && memberEpoch < 0) return ErrorCode.NONE
    const member = memberId === null ? undefined : this.#state.members.get(memberId)
    return member === undefined ? ErrorCode.UNKNOWN_MEMBER_ID : refuseEpoch(member, memberEpoch)
  }

  refuseOffsetDelete(): number {
    return ErrorCode.NONE
  }

  refuseDelete(): number {
    return this.isEmpty ? ErrorCode.NONE : ErrorCode.NON_EMPTY_GROUP
  }

  /** Only heartbeats keep a session. */
  committed(): void {}

  unusedSince(): (offset: CommittedOffset) => number {
    return ({ commitTimestampMs }) => commitTimestampMs
  }

  tombstones(): CoordinatorRecord[] {
    return Array.from(this.#state.tombstones(), (record) => encodeConsumerGroupRecord(this.id, record))
  }

  snapshot(): CoordinatorRecord[] {
    return Array.from(this.#state.snapshot(), (record) => encodeConsumerGroupRecord(this.id, record))
  }

  start(): void {
    for (const member of this.#state.members.values()) {
      this.renewSession(member.memberId)
      this.#watchRevocation(member)
    }
  }

  stop(): void {
    this.timers.close()
    this.context.memory.change(-this.#chargedBytes)
    this.#chargedBytes = 0
  }

  /** What a decision about the group is made from. */
  decisionContext() {
    const { topics, regexes, scheduler } = this.context
    return {
      topics,
      regexes,
      nowMs: scheduler.nowMs(),
      topicsChanged: topics.version !== this.#topicsVersion,
    }
  }

  /** To be awaited before a decision: resolving regular expressions does not wait. */
  async loadRegexes(isNeeded = false): Promise<void> {
    const { regexes } = this.context
    if (regexes.isLoaded) return
    if (isNeeded || this.#hasRegexes()) await regexes.load()
  }

  /** Makes a decision durable and then takes it over. Throws StorageError, and nothing changed. */
  async commit(draft: Draft, before: readonly CoordinatorRecord[] = []): Promise<void> {
    if (draft.records.length === 0) return
    const records = draft.records.map((record) => encodeConsumerGroupRecord(this.id, record))
    await this.context.append([...before, ...records])
    this.#state = draft.state
    this.#charge()
    this.context.put(this)
    for (const record of draft.records) {
      if (record.kind === 'current' || record.kind === 'member') this.#timeMember(record)
    }
  }

  /** In the group's turn. */
  async #expire(memberId: string, deadline: Deadline): Promise<void> {
    if (!this.#state.members.has(memberId)) return
    try {
      await this.loadRegexes()
      const draft = new Draft(this.#state)
      draft.removeMember(memberId)
      await this.finishRemovals(draft)
    } catch (error) {
      // Only while the log refuses writes. Until it takes them the member keeps its partitions.
      const errorCode = errorCodeOf(error)
      this.context.log.warn({ group: this.id, member: memberId, errorCode }, 'a member could not be put out')
      this.timers.start(memberId, deadline, RETRY_MS)
      return
    }
    this.context.log.info(
      { group: this.id, member: memberId, reason: REASONS[deadline] },
      'a member was put out',
    )
  }

  /** Whether the group may grow to so many bytes. */
  hasMemoryFor(byteLength: number): boolean {
    const { options, memory } = this.context
    return byteLength <= options.maxGroupBytes && memory.hasRoomFor(byteLength - this.#chargedBytes)
  }

  /** A member was heard from. */
  renewSession(memberId: string): void {
    const member = this.#state.members.get(memberId)
    if (member === undefined) return
    const { consumerSessionTimeoutMs } = this.context.options
    this.timers.start(memberId, 'session', member.classic?.sessionTimeoutMs ?? consumerSessionTimeoutMs)
  }

  /**
   * Whether the member has had all these partitions since the epoch that it commits with: then nobody else can
   * have processed them, although the member does not know its epoch yet (KIP-1251).
   */
  #hasHeldSince(member: Member, epoch: number, topics: readonly CommittedPartitions[]): boolean {
    if (member.classic !== null || epoch > member.memberEpoch) return false
    return topics.every(({ name, partitions }) => {
      const topicId = this.context.topics.byName(name)?.id
      if (topicId === undefined) return false
      const assigned = member.assigned.get(topicId)
      const revoked = member.pendingRevocation.get(topicId)
      return partitions.every(({ partitionIndex }) => {
        const since = assigned?.get(partitionIndex) ?? revoked?.get(partitionIndex)
        return since !== undefined && since <= epoch
      })
    })
  }

  #timeMember({ kind, memberId }: Extract<ConsumerGroupRecord, { kind: 'current' | 'member' }>): void {
    const member = this.#state.members.get(memberId)
    if (member === undefined) this.timers.forget(memberId)
    else if (kind === 'current') this.#watchRevocation(member)
  }

  /** Members of the classic protocol are waited for in other ways. */
  #watchRevocation({ memberId, state, classic, rebalanceTimeoutMs }: Member): void {
    if (state === MemberState.UNREVOKED_PARTITIONS && classic === null) {
      this.timers.start(memberId, 'revocation', rebalanceTimeoutMs)
    } else {
      this.timers.end(memberId, 'revocation')
    }
  }

  #hasRegexes(): boolean {
    if (this.#state.regexes.size > 0) return true
    for (const { subscribedTopicRegex } of this.#state.members.values()) {
      if (subscribedTopicRegex !== '') return true
    }
    return false
  }

  #charge(): void {
    const { byteLength } = this.#state
    this.context.memory.change(byteLength - this.#chargedBytes)
    this.#chargedBytes = byteLength
  }
}

const REASONS: Record<Deadline, string> = {
  session: 'it sent no heartbeat in time',
  revocation: 'it did not give its partitions up in time',
  join: 'it did not join again in time',
  sync: 'it did not ask for its assignment in time',
}

function subscribedTopics({ members, regexes }: ConsumerGroupState): ReadonlySet<string> {
  const topics = new Set<string>()
  const expressions = new Set<string>()
  for (const { subscribedTopicNames, subscribedTopicRegex } of members.values()) {
    for (const topic of subscribedTopicNames) topics.add(topic)
    expressions.add(subscribedTopicRegex)
  }
  for (const expression of expressions) {
    for (const topic of regexes.get(expression)?.topics ?? []) topics.add(topic)
  }
  return topics
}

function refuseEpoch({ memberEpoch, classic }: Member, received: number): number {
  if (received === memberEpoch) return ErrorCode.NONE
  return classic === null ? ErrorCode.STALE_MEMBER_EPOCH : ErrorCode.ILLEGAL_GENERATION
}
