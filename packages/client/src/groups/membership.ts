/**
 * One member of a classic group: joins, takes part in every rebalance, keeps its session alive, leaves.
 *
 * It runs by itself, beside whoever processes messages: heartbeats go on while a message is being worked on, and
 * a rebalance waits for that only where the message's partition is to be given up. The order is always the same:
 * what was processed is committed, partitions are given up, the group is joined again. Partitions are lost
 * without a commit only where the group has already given them away: after a session that ended, or a rebalance
 * that took longer than `rebalanceTimeoutMs`.
 */
import {
  CONSUMER_PROTOCOL_TYPE,
  ErrorCode,
  heartbeat,
  joinGroup,
  leaveGroup,
  syncGroup,
} from '@streambus/protocol'
import { backoffMs, pause } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { MemberAssignor, PastAssignment } from './assignor.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from './consumer-protocol.ts'
import type { Coordinators } from './coordinators.ts'
import type { GroupMembership, LossCause, MembershipListener } from './group-membership.ts'
import type { GroupObserver, JoinedGroup } from './group-observer.ts'
import type { CommittingMember } from './group-offsets.ts'

export interface MembershipSettings {
  readonly protocol: 'classic'
  readonly groupId: string
  readonly instanceId: string | null
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatIntervalMs: number
  /** By preference. With more than one, all partitions are given up at each rebalance: any of them may be chosen. */
  readonly assignors: readonly MemberAssignor[]
  readonly observer?: GroupObserver | undefined
}

/** Answers to JoinGroup and SyncGroup come when all members are there; the broker needs a moment besides. */
const rebalanceGraceMs = 5_000
/** A rebalance that takes longer is told of, or one that takes half of the time it may. */
const rebalancePatienceMs = 10_000
/** How long leaving may take: the session ends by itself anyway. */
const leaveTimeoutMs = 2_000
/** Pause before the next heartbeat where the last one failed. */
const failedHeartbeatPauseMs = 500
const instanceIdVersions = { heartbeat: 3, syncGroup: 3, joinGroup: 5, leaveGroup: 3 } as const

type Round = 'settled' | 'join again' | 'join again later'

export class Membership implements GroupMembership {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #lane: string
  readonly #settings: MembershipSettings
  readonly #topics: readonly string[]
  readonly #listener: MembershipListener
  readonly #ending = new AbortController()
  readonly #incremental: boolean
  #memberId = ''
  #generation = -1
  #owned: readonly TopicPartition[] = []
  /** What the last rebalance gave, also where it is given up or lost since: assignors that are sticky go by it. */
  #last: PastAssignment = { partitions: [], generation: -1 }
  /** The topics all members want, and how many partitions each had, where this member shares them out. */
  #led: { readonly topics: readonly string[]; readonly counts: ReadonlyMap<string, number> } | undefined
  #topicsCheckedAtMs = 0
  #joined: JoinedGroup | undefined
  #joining = false
  #rejoin = false
  #wake: (() => void) | undefined
  #heartbeatTimer: NodeJS.Timeout | undefined
  #lastHeartbeatMs = 0

  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    lane: string,
    settings: MembershipSettings,
    topics: readonly string[],
    listener: MembershipListener,
  ) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#lane = lane
    this.#settings = settings
    this.#topics = topics
    this.#listener = listener
    this.#incremental = settings.assignors.every(({ incremental }) => incremental)
  }

  /** As whom to commit; the generation is -1 while this is no member. */
  get member(): CommittingMember {
    return {
      generation: this.#generation,
      memberId: this.#memberId,
      instanceId: this.#settings.instanceId,
    }
  }

  start(): void {
    void this.#run()
  }

  /** A request of a generation was answered that it or the member is unknown: whatever was owned is lost. */
  lost(generation: number, cause: LossCause): void {
    if (generation !== this.#generation || generation < 0) return
    // The group may have moved on by the very join that is under way, whose answer comes on another connection; it
    // tells, too, whether this is a member still.
    if (this.#joining) return
    const { groupId } = this.#settings
    this.#cluster.settings.logger.warn(
      `Group '${groupId}' no longer counts this consumer as a member (${cause}); joining again.`,
    )
    this.#lose(cause === 'UNKNOWN_MEMBER_ID')
    this.#requestRebalance()
  }

  /** Leaves the group, so that others get the partitions at once. Static members are expected back and stay. */
  async leave(): Promise<void> {
    if (this.#ending.signal.aborted) return
    this.#ending.abort(new StreamBusError('CLOSED', 'The consumer was closed.'))
    clearTimeout(this.#heartbeatTimer)
    this.#wake?.()
    const { groupId, instanceId } = this.#settings
    const memberId = this.#memberId
    if (memberId !== '' && instanceId === null) {
      try {
        // A join that is still under way holds up its connection.
        await this.#coordinators.retrying(
          'group',
          groupId,
          `${this.#lane} leave`,
          async (connection) => {
            const several = (connection.versionOf(leaveGroup) ?? 0) >= instanceIdVersions.leaveGroup
            const { errorCode } = await connection.request(
              leaveGroup,
              { groupId, ...(several ? { members: [{ memberId }] } : { memberId }) },
              { timeoutMs: leaveTimeoutMs },
            )
            if (errorCode !== 0) throw brokerError(errorCode, `Cannot leave group '${groupId}'`)
          },
          { timeoutMs: leaveTimeoutMs },
        )
      } catch (error) {
        this.#cluster.settings.logger.debug(`${sentenceOf(error)} Its session ends by itself.`)
      }
    }
    this.#cluster.closeLane(this.#lane)
  }

  /** Others may have the partitions by now: to go on with them would repeat what those do. */
  get #sessionIsOver(): boolean {
    return performance.now() - this.#lastHeartbeatMs > this.#settings.sessionTimeoutMs
  }

  get #ended(): boolean {
    return this.#ending.signal.aborted
  }

  /** Never rejects: what ends it goes to the listener. */
  async #run(): Promise<void> {
    try {
      while (!this.#ended) {
        await this.#rebalance()
        if (this.#ended) return
        this.#listener.settle()
        if (this.#joined !== undefined) this.#settings.observer?.joined(this.#joined)
        if (!this.#rejoin) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } catch (error) {
      if (this.#ended) return
      clearTimeout(this.#heartbeatTimer)
      this.#listener.fail(
        isStreamBusError(error)
          ? error
          : new StreamBusError(
              'PROTOCOL_ERROR',
              `Group '${this.#settings.groupId}' cannot be read: ${sentenceOf(error)}.`,
              { cause: error },
            ),
      )
    }
  }

  #requestRebalance(): void {
    if (!this.#rejoin) this.#settings.observer?.rebalancing()
    this.#rejoin = true
    this.#wake?.()
  }

  /** Joins until there is an assignment. Rejects when the group refuses, or was out of reach for too long. */
  async #rebalance(): Promise<void> {
    let failingSinceMs: number | undefined
    for (let attempt = 0; !this.#ended; ) {
      if (!this.#incremental) {
        await this.#listener.revoke(this.#owned)
        this.#owned = []
      }
      // Heartbeats have gone on, and what they were told is what is done now.
      this.#rejoin = false
      try {
        const round = await this.#round()
        if (round === 'settled') return
        failingSinceMs = undefined
        attempt = 0
        if (round === 'join again') continue
      } catch (error) {
        if (this.#ended || !isStreamBusError(error) || !error.retriable) throw error
        this.#coordinators.forget('group', this.#settings.groupId)
        failingSinceMs ??= performance.now()
        if (performance.now() - failingSinceMs > this.#cluster.settings.retryTimeoutMs) throw error
        this.#listener.stalled(error)
        if (this.#sessionIsOver) this.#lose(true)
        this.#cluster.settings.logger.debug(`${error.message} Trying again.`)
      } finally {
        this.#joining = false
      }
      await pause(backoffMs(attempt++, this.#cluster.settings.backoff), this.#ending.signal)
    }
  }

  async #round(): Promise<Round> {
    const { groupId } = this.#settings
    this.#joining = true
    const startedAtMs = performance.now()
    const connection = await this.#coordinators.connectionTo('group', groupId, this.#lane)
    // A join is a sign of life. Where its answer is lost the member goes on under its id: under a new one, the group
    // would wait for the old one, too.
    this.#lastHeartbeatMs = performance.now()
    let joined = await this.#whenAllAreThere(this.#join(connection))
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.#memberId = joined.memberId
      joined = await this.#whenAllAreThere(this.#join(connection))
    }
    if (joined.errorCode !== 0) return this.#refused(joined.errorCode, 'join')
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    const isLeader = joined.leader === joined.memberId
    this.#led = undefined
    let assignments: { memberId: string; assignment: Uint8Array }[] = []
    if (isLeader) {
      const members = joined.members.map(({ memberId, groupInstanceId, metadata }) =>
        decodeSubscription(memberId, groupInstanceId, metadata),
      )
      const topics = [...new Set(members.flatMap((member) => member.topics))].sort()
      const counts = await this.#partitionCounts(topics)
      this.#led = { topics, counts }
      this.#topicsCheckedAtMs = performance.now()
      if (!joined.skipAssignment) {
        const assignment = await this.#assignor(joined.protocolName).assign(counts, members)
        assignments = [...assignment].map(([memberId, partitions]) => ({
          memberId,
          assignment: encodeAssignment(partitions),
        }))
      }
    }
    const synced = await this.#whenAllAreThere(this.#sync(connection, joined.protocolName, assignments))
    if (synced.errorCode !== 0) return this.#refused(synced.errorCode, 'synchronise with')
    this.#joining = false
    this.#listener.recovered()
    this.#lastHeartbeatMs = performance.now()
    this.#joined = {
      leaderId: joined.leader,
      protocolName: joined.protocolName ?? '',
      durationMs: this.#lastHeartbeatMs - startedAtMs,
    }
    this.#scheduleHeartbeat(this.#settings.heartbeatIntervalMs)
    const assigned = decodeAssignment(synced.assignment)
    this.#last = { partitions: assigned, generation: this.#generation }
    return await this.#take(assigned)
  }

  /** The coordinator answers when it has heard of all members: where that takes long, it is told. */
  async #whenAllAreThere<T>(answer: Promise<T>): Promise<T> {
    const { groupId, rebalanceTimeoutMs } = this.#settings
    const sentence = `Group '${groupId}' waits for members that have not joined its rebalance yet.`
    const onLate = () => this.#listener.stalled(new StreamBusError('REBALANCE_DELAYED', sentence))
    const timer = setTimeout(onLate, Math.min(rebalancePatienceMs, rebalanceTimeoutMs / 2))
    try {
      return await answer
    } finally {
      clearTimeout(timer)
    }
  }

  /** Gives up what is no longer assigned and takes what is new. */
  async #take(assigned: readonly TopicPartition[]): Promise<Round> {
    const generation = this.#generation
    const before = this.#owned
    const revoked = without(before, assigned)
    if (revoked.length > 0) {
      await this.#listener.revoke(revoked)
      if (generation !== this.#generation || this.#ended) return 'join again'
    }
    this.#owned = assigned
    await this.#listener.assign(without(assigned, before))
    // What was given up can go to others only when everybody has said what is left.
    return revoked.length > 0 || generation !== this.#generation ? 'join again' : 'settled'
  }

  #join(connection: Connection) {
    const { groupId, instanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignors } = this.#settings
    const owned = this.#incremental ? this.#owned : []
    const version = connection.versionOf(joinGroup) ?? 0
    return connection.request(
      joinGroup,
      {
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId: this.#memberId,
        ...(version >= instanceIdVersions.joinGroup ? { groupInstanceId: instanceId } : {}),
        protocolType: CONSUMER_PROTOCOL_TYPE,
        protocols: assignors.map((assignor) => ({
          name: assignor.name,
          metadata: encodeSubscription(
            this.#topics,
            owned,
            this.#generation,
            assignor.userData?.(this.#last) ?? null,
          ),
        })),
      },
      { timeoutMs: rebalanceTimeoutMs + rebalanceGraceMs },
    )
  }

  #sync(
    connection: Connection,
    protocolName: string | null,
    assignments: { memberId: string; assignment: Uint8Array }[],
  ) {
    const { groupId, instanceId, rebalanceTimeoutMs } = this.#settings
    const version = connection.versionOf(syncGroup) ?? 0
    return connection.request(
      syncGroup,
      {
        groupId,
        generationId: this.#generation,
        memberId: this.#memberId,
        ...(version >= instanceIdVersions.syncGroup ? { groupInstanceId: instanceId } : {}),
        protocolType: CONSUMER_PROTOCOL_TYPE,
        protocolName,
        assignments,
      },
      { timeoutMs: rebalanceTimeoutMs + rebalanceGraceMs },
    )
  }

  /** What to do about an error of the coordinator; throws where nothing, or where only time helps. */
  #refused(errorCode: number, verb: string): Round {
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#lose(true)
    else if (errorCode === ErrorCode.ILLEGAL_GENERATION) this.#lose(false)
    else if (errorCode !== ErrorCode.REBALANCE_IN_PROGRESS) {
      const { groupId, assignors } = this.#settings
      const names = assignors.map(({ name }) => name).join(', ')
      throw brokerError(
        errorCode,
        `Cannot ${verb} group '${groupId}'`,
        errorCode === ErrorCode.INCONSISTENT_GROUP_PROTOCOL
          ? `its members share out partitions in a way that is none of ${names}, or it is no group of consumers`
          : null,
      )
    }
    this.#listener.recovered()
    return 'join again later'
  }

  #lose(forgetMemberId: boolean): void {
    this.#generation = -1
    if (forgetMemberId) this.#memberId = ''
    const owned = this.#owned
    this.#owned = []
    if (owned.length > 0) this.#listener.lose(owned)
  }

  #assignor(name: string | null): MemberAssignor {
    const found = this.#settings.assignors.find((one) => one.name === name)
    if (found !== undefined) return found
    const message = `Group '${this.#settings.groupId}' chose the assignor '${name}', which this consumer did not offer.`
    throw new StreamBusError('GROUP_MISMATCH', message)
  }

  /** Topics that do not exist have no entry: members may ask for topics that are yet to be made. */
  async #partitionCounts(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const answers = await this.#cluster.refresh(topics)
    const counts = new Map<string, number>()
    for (const name of topics) {
      const answer = answers.get(name)
      if (answer === undefined) continue
      if (!isStreamBusError(answer)) counts.set(name, answer.partitions.length)
      else if (answer.code !== 'UNKNOWN_TOPIC') throw answer
    }
    return counts
  }

  #scheduleHeartbeat(delayMs: number): void {
    clearTimeout(this.#heartbeatTimer)
    // A member that leaves may get its assignment before the answer to its farewell.
    if (this.#ended) return
    this.#heartbeatTimer = setTimeout(() => void this.#heartbeat(), delayMs)
  }

  /** Never rejects: what goes wrong ends the session, or is tried again. */
  async #heartbeat(): Promise<void> {
    const generation = this.#generation
    // While a join is under way it keeps the member alive, and its end starts heartbeats anew.
    if (this.#ended || this.#joining || generation < 0) return
    let pauseMs = this.#settings.heartbeatIntervalMs
    try {
      const errorCode = await this.#sendHeartbeat(generation)
      // An answer that comes when the join is under way tells of the rebalance that the join is for: to take it for
      // another one would have everybody join twice.
      if (this.#ended || this.#joining || this.#generation !== generation) return
      if (this.#onHeartbeat(errorCode, generation)) await this.#checkTopics()
      else pauseMs = failedHeartbeatPauseMs
    } catch (error) {
      if (this.#ended || this.#joining || this.#generation !== generation) return
      this.#cluster.settings.logger.debug(sentenceOf(error))
      this.#coordinators.forget('group', this.#settings.groupId)
      if (isStreamBusError(error)) this.#listener.stalled(error)
      pauseMs = failedHeartbeatPauseMs
    }
    if (this.#sessionIsOver) {
      this.lost(generation, 'UNKNOWN_MEMBER_ID')
      return
    }
    if (!this.#ended && !this.#joining) {
      this.#scheduleHeartbeat(Math.min(pauseMs, this.#settings.heartbeatIntervalMs))
    }
  }

  async #sendHeartbeat(generation: number): Promise<number> {
    const { groupId, instanceId, sessionTimeoutMs } = this.#settings
    const connection = await this.#coordinators.connectionTo('group', groupId, this.#lane)
    const version = connection.versionOf(heartbeat) ?? 0
    const { errorCode } = await connection.request(
      heartbeat,
      {
        groupId,
        generationId: generation,
        memberId: this.#memberId,
        ...(version >= instanceIdVersions.heartbeat ? { groupInstanceId: instanceId } : {}),
      },
      { timeoutMs: Math.min(sessionTimeoutMs, this.#cluster.settings.requestTimeoutMs) },
    )
    return errorCode
  }

  /** False where the heartbeat did not reach a coordinator that is ready. */
  #onHeartbeat(errorCode: number, generation: number): boolean {
    switch (errorCode) {
      case ErrorCode.NONE:
        this.#lastHeartbeatMs = performance.now()
        this.#listener.recovered()
        this.#settings.observer?.heartbeat()
        return true
      case ErrorCode.REBALANCE_IN_PROGRESS:
        this.#lastHeartbeatMs = performance.now()
        this.#requestRebalance()
        return true
      case ErrorCode.UNKNOWN_MEMBER_ID:
        this.lost(generation, 'UNKNOWN_MEMBER_ID')
        return true
      case ErrorCode.ILLEGAL_GENERATION:
        this.lost(generation, 'ILLEGAL_GENERATION')
        return true
      default: {
        const error = brokerError(errorCode, `Group '${this.#settings.groupId}' refuses the heartbeat`)
        if (!error.retriable) {
          this.#lose(false)
          this.#listener.fail(error)
          return true
        }
        this.#coordinators.forget('group', this.#settings.groupId)
        this.#listener.stalled(error)
        return false
      }
    }
  }

  /** The leader looks after what it has shared out: partitions that were added want an owner. */
  async #checkTopics(): Promise<void> {
    const led = this.#led
    if (led === undefined || this.#rejoin || this.#joining) return
    if (performance.now() - this.#topicsCheckedAtMs < this.#cluster.settings.metadataMaxAgeMs) return
    this.#topicsCheckedAtMs = performance.now()
    const counts = await this.#partitionCounts(led.topics)
    const same = led.topics.every((topic) => counts.get(topic) === led.counts.get(topic))
    if (!same && this.#led === led) this.#requestRebalance()
  }
}

function without(
  partitions: readonly TopicPartition[],
  others: readonly TopicPartition[],
): readonly TopicPartition[] {
  const excluded = new Set(others.map(({ topic, partition }) => `${topic}/${partition}`))
  return partitions.filter(({ topic, partition }) => !excluded.has(`${topic}/${partition}`))
}
