/**
 * One member of a group whose coordinator shares out the partitions (KIP-848): sends heartbeats, and takes one step
 * after the other towards what their answers assign to it.
 *
 *     join (epoch 0) → assignment → give up, commit → what is left → assignment → read → what there is …
 *
 * A heartbeat says who the member is and at which epoch; what it reads and owns only where that has changed, or where
 * it is not sure that the coordinator knows. Partitions that are to be given up are with nobody until a heartbeat no
 * longer names them. Heartbeats go on meanwhile: they wait neither for messages that are being processed nor for the
 * place where reading begins.
 */
import { type ConsumerGroupHeartbeatResponse, consumerGroupHeartbeat, ErrorCode } from '@streambus/protocol'
import { backoffMs, pause } from '../backoff.ts'
import type { Cluster } from '../cluster.ts'
import type { Connection } from '../connection.ts'
import { brokerError, isStreamBusError, StreamBusError, sentenceOf } from '../errors.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Coordinators } from './coordinators.ts'
import type { GroupMembership, LossCause, MembershipListener } from './group-membership.ts'
import type { CommittingMember } from './group-offsets.ts'

export interface ConsumerMembershipSettings {
  readonly protocol: 'consumer'
  readonly groupId: string
  readonly instanceId: string | null
  readonly rebalanceTimeoutMs: number
  /** Null leaves the choice to the broker. */
  readonly remoteAssignor: string | null
}

type AssignedTopics = NonNullable<ConsumerGroupHeartbeatResponse['assignment']>['topicPartitions']

interface OwnedPartition extends TopicPartition {
  /** A topic that was made anew under its name is another one. */
  readonly topicId: string
}

const JOIN_EPOCH = 0
const LEAVE_EPOCH = -1
const STATIC_LEAVE_EPOCH = -2
/** How long leaving may take: the session ends by itself anyway. */
const leaveTimeoutMs = 2_000

export class ConsumerMembership implements GroupMembership {
  readonly #cluster: Cluster
  readonly #coordinators: Coordinators
  readonly #lane: string
  readonly #settings: ConsumerMembershipSettings
  readonly #topics: readonly string[]
  readonly #listener: MembershipListener
  readonly #ending = new AbortController()
  /** The same for as long as it runs, also when it has to join again (KIP-1082). */
  #memberId: string = crypto.randomUUID()
  #epoch = JOIN_EPOCH
  /** How often it was put out; what was under way for an earlier membership does not count. */
  #timesFenced = 0
  #hasJoined = false
  #owned: readonly OwnedPartition[] = []
  /** What is assigned and not taken yet. */
  #target: AssignedTopics | undefined
  #isReconciling = false
  /** Nothing was assigned since that is not taken. */
  #isSettled = false
  /** The next heartbeat says everything: the coordinator may not have heard the one before. */
  #tellsAll = true
  #tellsOwned = false
  /** The next heartbeat does not wait for its time. */
  #isDue = false
  #wake: (() => void) | undefined
  #failingSinceMs: number | undefined
  #failures = 0
  #heartbeat: Promise<number> = Promise.resolve(0)

  constructor(
    cluster: Cluster,
    coordinators: Coordinators,
    lane: string,
    settings: ConsumerMembershipSettings,
    topics: readonly string[],
    listener: MembershipListener,
  ) {
    this.#cluster = cluster
    this.#coordinators = coordinators
    this.#lane = lane
    this.#settings = settings
    this.#topics = topics
    this.#listener = listener
  }

  /** The generation is the member's epoch, -1 while it is no member. */
  get member(): CommittingMember {
    return {
      generation: this.#epoch === JOIN_EPOCH ? -1 : this.#epoch,
      memberId: this.#memberId,
      instanceId: this.#settings.instanceId,
    }
  }

  start(): void {
    void this.#run()
  }

  /**
   * An epoch that does not count any more is only an old one, and the answer that tells the new one is on its way; a
   * member that is not known has lost everything.
   */
  lost(epoch: number, cause: LossCause): void {
    if (cause !== 'UNKNOWN_MEMBER_ID' || epoch !== this.#epoch || epoch === JOIN_EPOCH) return
    this.#fenced(cause)
    this.#heartbeatNow()
  }

  /** A static member tells that it is coming back: its partitions wait for it until its session is over. */
  async leave(): Promise<void> {
    if (this.#ended) return
    this.#ending.abort(new StreamBusError('CLOSED', 'The consumer was closed.'))
    this.#wake?.()
    // A join that the coordinator gets after the farewell would leave a member behind that nobody is.
    const underWay = this.#heartbeat.catch(() => 0)
    const patience = new AbortController()
    await Promise.race([underWay, pause(leaveTimeoutMs, patience.signal).catch(() => {})])
    patience.abort()
    if (this.#hasJoined) await this.#sayFarewell()
    this.#cluster.closeLane(this.#lane)
  }

  async #sayFarewell(): Promise<void> {
    const { groupId, instanceId } = this.#settings
    const memberEpoch = instanceId === null ? LEAVE_EPOCH : STATIC_LEAVE_EPOCH
    try {
      await this.#coordinators.retrying(
        'group',
        groupId,
        `${this.#lane} leave`,
        async (connection) => {
          const body = { groupId, memberId: this.#memberId, memberEpoch, instanceId }
          const answer = await connection.request(consumerGroupHeartbeat, body, { timeoutMs: leaveTimeoutMs })
          const { errorCode, errorMessage } = answer
          if (errorCode !== 0) throw brokerError(errorCode, `Cannot leave group '${groupId}'`, errorMessage)
        },
        { timeoutMs: leaveTimeoutMs },
      )
    } catch (error) {
      this.#cluster.settings.logger.debug(`${sentenceOf(error)} Its session ends by itself.`)
    }
  }

  get #ended(): boolean {
    return this.#ending.signal.aborted
  }

  /** Never rejects: what ends it goes to the listener. */
  async #run(): Promise<void> {
    try {
      while (!this.#ended) {
        this.#isDue = false
        this.#heartbeat = this.#beat()
        const pauseMs = await this.#heartbeat
        if (!this.#isDue && !this.#ended) await this.#sleep(pauseMs)
      }
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#ended) return
    const { groupId } = this.#settings
    const failure = isStreamBusError(error)
      ? error
      : new StreamBusError('PROTOCOL_ERROR', `Group '${groupId}' cannot be read: ${sentenceOf(error)}.`, {
          cause: error,
        })
    this.#listener.fail(failure)
  }

  #heartbeatNow(): void {
    this.#isDue = true
    this.#wake?.()
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#wake = wake
    })
  }

  /** One heartbeat; returns in how many milliseconds the next one is due. Rejects where there is to be none. */
  async #beat(): Promise<number> {
    const epoch = this.#epoch
    let answer: ConsumerGroupHeartbeatResponse
    try {
      answer = await this.#send()
      const { errorCode, errorMessage } = answer
      if (errorCode !== 0 && !this.#isFencing(errorCode)) throw this.#refused(errorCode, errorMessage)
    } catch (error) {
      if (this.#ended) return 0
      return this.#onFailure(error)
    }
    if (this.#ended) return 0
    this.#failingSinceMs = undefined
    this.#listener.recovered()
    // It was put out meanwhile, by the answer to a commit.
    if (epoch !== this.#epoch) return 0
    if (answer.errorCode !== 0) {
      this.#fenced(answer.errorCode === ErrorCode.FENCED_MEMBER_EPOCH ? 'an old epoch' : 'UNKNOWN_MEMBER_ID')
      return backoffMs(this.#failures++, this.#cluster.settings.backoff)
    }
    this.#failures = 0
    this.#memberId = answer.memberId ?? this.#memberId
    this.#epoch = answer.memberEpoch
    if (answer.assignment !== null) {
      this.#target = answer.assignment.topicPartitions
      void this.#reconcile()
    }
    return answer.heartbeatIntervalMs
  }

  async #send(): Promise<ConsumerGroupHeartbeatResponse> {
    const { groupId, instanceId, rebalanceTimeoutMs, remoteAssignor } = this.#settings
    const connection = await this.#coordinators.connectionTo('group', groupId, this.#lane)
    checkOffered(connection)
    const joins = this.#epoch === JOIN_EPOCH
    const tellsAll = joins || this.#tellsAll
    const tellsOwned = tellsAll || this.#tellsOwned
    // Until there is an answer to this one.
    this.#tellsAll = true
    this.#tellsOwned = false
    this.#hasJoined = true
    const answer = await connection.request(consumerGroupHeartbeat, {
      groupId,
      memberId: this.#memberId,
      memberEpoch: this.#epoch,
      instanceId,
      ...(tellsAll
        ? { rebalanceTimeoutMs, subscribedTopicNames: [...this.#topics], serverAssignor: remoteAssignor }
        : {}),
      ...(tellsOwned ? { topicPartitions: joins ? [] : byTopicId(this.#owned) } : {}),
    })
    this.#tellsAll = answer.errorCode !== 0
    return answer
  }

  #isFencing(errorCode: number): boolean {
    return (
      errorCode === ErrorCode.FENCED_MEMBER_EPOCH ||
      errorCode === ErrorCode.UNKNOWN_MEMBER_ID ||
      // The coordinator has forgotten the group and its members.
      (errorCode === ErrorCode.GROUP_ID_NOT_FOUND && this.#epoch !== JOIN_EPOCH)
    )
  }

  #refused(errorCode: number, errorMessage: string | null): StreamBusError {
    const { groupId, instanceId, remoteAssignor } = this.#settings
    if (errorCode === ErrorCode.UNRELEASED_INSTANCE_ID) {
      const sentence = `Group '${groupId}' has a member with instanceId '${instanceId}', which runs, or did a moment ago.`
      return new StreamBusError('INSTANCE_ID_IN_USE', sentence, { brokerError: 'UNRELEASED_INSTANCE_ID' })
    }
    if (errorCode === ErrorCode.GROUP_ID_NOT_FOUND) {
      const sentence = `Cannot join group '${groupId}' with groupProtocol 'consumer': ${errorMessage ?? 'it is of another kind'}`
      return new StreamBusError('GROUP_MISMATCH', sentence, { brokerError: 'GROUP_ID_NOT_FOUND' })
    }
    const asks =
      errorCode === ErrorCode.UNSUPPORTED_ASSIGNOR ? ` with remoteAssignor '${remoteAssignor}'` : ''
    return brokerError(errorCode, `Cannot be a member of group '${groupId}'${asks}`, errorMessage)
  }

  /** Returns when to try again; throws where that has no sense, or none any more. */
  #onFailure(error: unknown): number {
    const isPassing = isStreamBusError(error) && error.retriable
    if (!isPassing) {
      this.#lose()
      throw error
    }
    const { groupId } = this.#settings
    this.#coordinators.forget('group', groupId)
    this.#failingSinceMs ??= performance.now()
    if (performance.now() - this.#failingSinceMs > this.#cluster.settings.retryTimeoutMs) throw error
    this.#listener.stalled(error)
    this.#cluster.settings.logger.debug(`${error.message} Trying again.`)
    return backoffMs(this.#failures++, this.#cluster.settings.backoff)
  }

  /** The group goes on without this member: it gives up everything, and joins again. */
  #fenced(cause: string): void {
    const { groupId } = this.#settings
    this.#cluster.settings.logger.warn(
      `Group '${groupId}' no longer counts this consumer as a member (${cause}); joining again.`,
    )
    this.#lose()
  }

  #lose(): void {
    this.#epoch = JOIN_EPOCH
    this.#timesFenced++
    this.#isSettled = false
    this.#target = undefined
    const owned = this.#owned
    this.#owned = []
    if (owned.length > 0) this.#listener.lose(owned)
  }

  /** Takes what is assigned, one assignment after the other. Never rejects: what goes wrong goes to the listener. */
  async #reconcile(): Promise<void> {
    if (this.#isReconciling) return
    this.#isReconciling = true
    try {
      while (this.#target !== undefined && !this.#ended) {
        const target = this.#target
        const timesFenced = this.#timesFenced
        const assigned = await this.#named(target)
        // A later assignment takes the place of one that has not begun.
        if (target !== this.#target || this.#ended) continue
        this.#target = undefined
        await this.#take(assigned, () => timesFenced === this.#timesFenced && !this.#ended)
      }
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isReconciling = false
    }
  }

  async #take(assigned: readonly OwnedPartition[], isMember: () => boolean): Promise<void> {
    const removed = without(this.#owned, assigned)
    const added = without(assigned, this.#owned)
    if (this.#isSettled && removed.length === 0 && added.length === 0) return
    this.#isSettled = false
    if (removed.length > 0) {
      // Nothing can be committed of a topic that is there only under another id.
      const isReplaced = ({ topic, partition }: OwnedPartition) =>
        added.some((one) => one.topic === topic && one.partition === partition)
      const replaced = removed.filter(isReplaced)
      if (replaced.length > 0) this.#listener.lose(replaced)
      await this.#listener.revoke(removed.filter((one) => !isReplaced(one)))
      if (!isMember()) return
      this.#tellOwned(without(this.#owned, removed))
    }
    this.#owned = [...this.#owned, ...added]
    await this.#listener.assign(added)
    if (!isMember()) return
    if (added.length > 0) this.#tellOwned(this.#owned)
    if (this.#target !== undefined) return
    this.#isSettled = true
    this.#listener.settle()
  }

  #tellOwned(owned: readonly OwnedPartition[]): void {
    this.#owned = owned
    this.#tellsOwned = true
    this.#heartbeatNow()
  }

  /**
   * The partitions with the names of their topics, which the client may have to ask for: the coordinator knows of
   * topics and partitions sooner than this client. Rejects where a topic stays unknown though it is assigned.
   */
  async #named(target: AssignedTopics): Promise<OwnedPartition[]> {
    const { backoff, retryTimeoutMs } = this.#cluster.settings
    const startedAtMs = performance.now()
    for (let attempt = 0; ; attempt++) {
      const names = new Map(this.#topics.map((name) => [this.#cluster.cachedTopic(name)?.id, name]))
      const missing = target.find(({ topicId, partitions }) => {
        const known = this.#cluster.cachedTopic(names.get(topicId) ?? '')
        return partitions.some((partition) => known?.partitions[partition] === undefined)
      })
      if (missing === undefined) {
        return target.flatMap(({ topicId, partitions }) =>
          partitions.map((partition) => ({ topicId, topic: names.get(topicId)!, partition })),
        )
      }
      if (attempt > 0) {
        const sentence = `Group '${this.#settings.groupId}' assigns partitions of a topic with the id ${missing.topicId}, which no broker names.`
        const error = new StreamBusError('UNKNOWN_TOPIC', sentence)
        if (performance.now() - startedAtMs > retryTimeoutMs) throw error
        this.#listener.stalled(error)
        await pause(backoffMs(attempt - 1, backoff), this.#ending.signal)
      }
      if (target !== this.#target) return []
      await this.#cluster
        .refresh(this.#topics)
        .catch((error: unknown) => this.#cluster.settings.logger.debug(sentenceOf(error)))
    }
  }
}

function checkOffered(connection: Connection): void {
  if (connection.versionOf(consumerGroupHeartbeat) !== undefined) return
  throw new StreamBusError(
    'UNSUPPORTED_API',
    "The broker does not offer groupProtocol 'consumer' (KIP-848), as Apache Kafka does from 4.0 on; use 'classic'.",
  )
}

function keyOf({ topicId, partition }: OwnedPartition): string {
  return `${topicId}/${partition}`
}

function without(
  partitions: readonly OwnedPartition[],
  others: readonly OwnedPartition[],
): readonly OwnedPartition[] {
  const excluded = new Set(others.map(keyOf))
  return partitions.filter((one) => !excluded.has(keyOf(one)))
}

function byTopicId(owned: readonly OwnedPartition[]): { topicId: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topicId, partition } of owned) {
    const partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, [partition])
    else partitions.push(partition)
  }
  return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }))
}
