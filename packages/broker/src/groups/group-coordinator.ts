import {
  ErrorCode,
  type HeartbeatRequest,
  type JoinGroupRequest,
  type JoinGroupResponseInput,
  type LeaveGroupRequest,
  type SyncGroupRequest,
  type SyncGroupResponseInput,
} from '@streambus/protocol'
import { type LogStore, StorageError, type Topic } from '@streambus/storage'
import type { Transactional } from '../coordinator/coordinator-log.ts'
import { CONSUMER_OFFSETS, InternalTopic, partitionOf } from '../coordinator/internal-topics.ts'
import { LogRewrite } from '../coordinator/log-rewrite.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import { Turns } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import { joinFailure, syncFailure } from './classic/answers.ts'
import { ClassicGroup } from './classic/classic-group.ts'
import { heartbeatGroup } from './classic/heartbeat.ts'
import { joinGroup } from './classic/join.ts'
import { leaveGroup } from './classic/leave.ts'
import { syncGroup } from './classic/sync.ts'
import {
  heartbeatConsumerGroup,
  joinConsumerGroup,
  leaveConsumerGroup,
  syncConsumerGroup,
} from './consumer/classic-members.ts'
import { ConsumerGroup } from './consumer/consumer-group.ts'
import type { ConsumerGroupDescription } from './consumer/description.ts'
import {
  type ConsumerGroupHeartbeatRequest,
  checkHeartbeatRequest,
  type HeartbeatAnswer,
  refusedHeartbeat,
} from './consumer/heartbeat-request.ts'
import { JOIN_EPOCH } from './consumer/member.ts'
import { TopicRegexes } from './consumer/topic-regexes.ts'
import { noConsumerGroup, WaitingHeartbeats } from './consumer/waiting-heartbeats.ts'
import type { Group } from './group.ts'
import type { GroupClient, WaitingClient } from './group-client.ts'
import { type DescribedGroup, describeGroup, type ListedGroup, listGroup } from './group-description.ts'
import type { ResolvedGroupOptions } from './group-options.ts'
import { errorCodeOf, GroupRefusal } from './group-refusal.ts'
import { GroupShard, type ShardServices } from './group-shard.ts'
import { MembershipMemory } from './membership-memory.ts'
import type { CommittedOffset } from './offsets/committed-offset.ts'
import { type CommitErrorCodes, commitOffsets, type OffsetsCommit } from './offsets/offset-commit.ts'
import { type FetchedTopic, fetchOffsets, type OffsetsFetch } from './offsets/offset-fetch.ts'
import {
  deleteGroup,
  deleteOffsets,
  expireOffsets,
  type OffsetsDelete,
  offsetsOfTopic,
  removeTopic,
} from './offsets/offset-removal.ts'
import { Reply } from './reply.ts'

export interface GroupCoordinatorOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly options: ResolvedGroupOptions
  readonly log: Logger
  /** For member ids: something no other member ever had. */
  readonly newId: () => string
  /** A partition of `__consumer_offsets` is left as long as it is up to this size. Default: LogRewrite's. */
  readonly rewriteLogsFromBytes?: number
}

/** A partition of `__consumer_offsets`: read, being read, or waiting to be read again after a failure. */
type ShardState = GroupShard | 'loading' | 'failed'

/** Partitions read at once. */
const LOADS_AT_ONCE = 16
const LOAD_RETRY_MS = 5000

/**
 * The group coordinator: who is in which group, and how far each has come.
 *
 * Its state is what the partitions of `__consumer_offsets` say, one shard per partition. Operations on one group
 * run one after the other; each decides, waits until its records are durable, applies them, and answers.
 *
 * Everything is told by a promise of an answer with Kafka's error codes in it; what rejects is a bug.
 */
export class GroupCoordinator {
  readonly options: ResolvedGroupOptions
  readonly #scheduler: Scheduler
  readonly #log: Logger
  readonly #topic: InternalTopic
  readonly #turns = new Turns()
  /** Transactional commits of a producer, and the markers that end them, in order. */
  readonly #producerTurns = new Turns()
  readonly #services: ShardServices
  readonly #waitingHeartbeats = new WaitingHeartbeats((groupId, operation) =>
    this.#inTurn(groupId, operation),
  )
  /** By partition; empty until `__consumer_offsets` exists. */
  #shards: ShardState[] = []
  #loading: Promise<void> | undefined
  #expiry: Scheduled | undefined
  readonly #rewrite: LogRewrite
  #closed = false

  constructor({ store, scheduler, options, log, newId, rewriteLogsFromBytes }: GroupCoordinatorOptions) {
    this.options = options
    this.#scheduler = scheduler
    this.#log = log
    this.#topic = new InternalTopic(store, CONSUMER_OFFSETS)
    this.#services = {
      store,
      scheduler,
      options,
      log,
      newId,
      memory: new MembershipMemory(options.maxMembershipBytes),
      regexes: new TopicRegexes(),
      turns: this.#turns,
      refuseGroup: () => this.#refuseGroup(),
    }
    this.#rewrite = new LogRewrite({
      store,
      scheduler,
      turns: this.#turns,
      logger: log,
      logs: () => Array.from(this.#loadedShards(), (shard) => shard.rewritable),
      ...(rewriteLogsFromBytes === undefined ? {} : { minBytes: rewriteLogsFromBytes }),
    })
  }

  /** Begins to load where there is something to load. Requests meanwhile: COORDINATOR_LOAD_IN_PROGRESS. */
  start(): void {
    const topic = this.#topic.find()
    if (topic !== undefined) void this.#load(topic)
    this.#scheduleExpiry()
    this.#rewrite.start()
  }

  /** Resolves when everything that was there at `start` is loaded. */
  async loaded(): Promise<void> {
    await this.#loading
  }

  /** Makes sure that `__consumer_offsets` exists, and, if it did not, that it can be used. Throws StorageError. */
  async ready(): Promise<void> {
    if (this.#shards.length > 0) return
    await this.#load(await this.#topic.findOrCreate())
  }

  /** Ends all timers, answers everyone who waits with NOT_COORDINATOR, and every request after it, too. */
  close(): void {
    this.#closed = true
    this.#expiry?.cancel()
    this.#rewrite.close()
    for (const shard of this.#shards) if (shard instanceof GroupShard) shard.stop(ErrorCode.NOT_COORDINATOR)
  }

  /** The partition of `__consumer_offsets` that keeps the group. */
  partitionOf(groupId: string): number {
    return partitionOf(groupId, this.#topic.find()?.logs.length ?? 50)
  }

  // Classic groups.

  async join(request: JoinGroupRequest, client: WaitingClient): Promise<JoinGroupResponseInput> {
    const { groupId, memberId, sessionTimeoutMs } = request
    if (groupId === '') return joinFailure(memberId, ErrorCode.INVALID_GROUP_ID)
    const { minSessionTimeoutMs, maxSessionTimeoutMs } = this.options
    if (sessionTimeoutMs < minSessionTimeoutMs || sessionTimeoutMs > maxSessionTimeoutMs) {
      return joinFailure(memberId, ErrorCode.INVALID_SESSION_TIMEOUT)
    }
    try {
      await this.ready()
      const reply = new Reply<JoinGroupResponseInput>()
      await this.#inTurn(groupId, (shard) => {
        const group = shard.group(groupId)
        if (!(group instanceof ConsumerGroup)) return this.#joinClassic(shard, request, client, reply)
        if (!group.isEmpty) {
          return joinConsumerGroup(group, request, client).then((response) => reply.send(response))
        }
        return deleteConsumerGroup(shard, group).then(() => this.#joinClassic(shard, request, client, reply))
      })
      return await reply.wait(client.startWaiting, joinFailure(memberId, ErrorCode.COORDINATOR_NOT_AVAILABLE))
    } catch (error) {
      return joinFailure(memberId, errorCodeOf(error))
    }
  }

  async sync(request: SyncGroupRequest, client: WaitingClient): Promise<SyncGroupResponseInput> {
    const { groupId } = request
    if (groupId === '') return syncFailure(ErrorCode.INVALID_GROUP_ID)
    try {
      const reply = new Reply<SyncGroupResponseInput>()
      await this.#inTurn(
        groupId,
        (shard) => {
          const group = shard.group(groupId)
          if (group instanceof ClassicGroup) return syncGroup(group, request, reply)
          if (group instanceof ConsumerGroup) return reply.send(syncConsumerGroup(group, request))
          reply.send(syncFailure(ErrorCode.UNKNOWN_MEMBER_ID))
        },
        () => reply.send(syncFailure(ErrorCode.UNKNOWN_MEMBER_ID)),
      )
      return await reply.wait(client.startWaiting, syncFailure(ErrorCode.COORDINATOR_NOT_AVAILABLE))
    } catch (error) {
      return syncFailure(errorCodeOf(error))
    }
  }

  /** Returns the error code. */
  async heartbeat(request: HeartbeatRequest): Promise<number> {
    const { groupId } = request
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID
    try {
      return await this.#inTurn(
        groupId,
        (shard) => {
          const group = shard.group(groupId)
          if (group instanceof ClassicGroup) return heartbeatGroup(group, request)
          if (group instanceof ConsumerGroup) return heartbeatConsumerGroup(group, request)
          return ErrorCode.UNKNOWN_MEMBER_ID
        },
        () => ErrorCode.UNKNOWN_MEMBER_ID,
      )
    } catch (error) {
      const errorCode = errorCodeOf(error)
      // The members of a group that is not read yet are in order until it is.
      return errorCode === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ? ErrorCode.NONE : errorCode
    }
  }

  /** Returns an error code for the request, or one for each member. */
  async leave({ groupId, members }: LeaveGroupRequest): Promise<number | number[]> {
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID
    const unknown = (): number[] => members.map(() => ErrorCode.UNKNOWN_MEMBER_ID)
    try {
      return await this.#inTurn(
        groupId,
        (shard) => {
          const group = shard.group(groupId)
          if (group instanceof ConsumerGroup) return leaveConsumerGroup(group, members)
          if (!(group instanceof ClassicGroup)) return unknown()
          const { errorCodes, settled } = leaveGroup(group, members)
          return settled === undefined ? errorCodes : settled.then(() => errorCodes)
        },
        unknown,
      )
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  // Consumer groups (KIP-848).

  async consumerHeartbeat(
    request: ConsumerGroupHeartbeatRequest,
    client: GroupClient,
  ): Promise<HeartbeatAnswer> {
    try {
      checkHeartbeatRequest(request, client.apiVersion, this.options.consumerAssignors)
      if (this.#shards.length === 0) {
        if (request.memberEpoch !== JOIN_EPOCH) throw noConsumerGroup(request.groupId)
        await this.ready()
      }
      const memberId = request.memberId === '' ? this.#services.newId() : request.memberId
      return await this.#waitingHeartbeats.answer({ request: { ...request, memberId }, client })
    } catch (error) {
      return refusedHeartbeat(errorCodeOf(error), error instanceof GroupRefusal ? error.message : null)
    }
  }

  /** The group, or why it cannot be told. */
  describeConsumerGroup(groupId: string): ConsumerGroupDescription | GroupRefusal {
    try {
      const group = this.#find(groupId)
      return group instanceof ConsumerGroup ? group.describe() : noConsumerGroup(groupId)
    } catch (error) {
      return error instanceof GroupRefusal ? error : new GroupRefusal(errorCodeOf(error), String(error))
    }
  }

  // Offsets.

  /** Returns an error code for all partitions, or one for each. */
  async commitOffsets(commit: OffsetsCommit): Promise<number | CommitErrorCodes> {
    try {
      if (this.#shards.length === 0) await this.ready()
      return await this.#inTurn(commit.groupId, (shard) => commitOffsets(shard, commit))
    } catch (error) {
      if (error instanceof StorageError && error.code === 'BATCH_TOO_LARGE') {
        return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
      }
      return errorCodeOf(error)
    }
  }

  /**
   * Offsets that count when the producer's transaction commits. The transaction is known to be under way, and
   * to include the group's partition.
   */
  async commitTransactionalOffsets(
    commit: OffsetsCommit & { readonly transactional: Transactional },
  ): Promise<number | CommitErrorCodes> {
    if (commit.groupId === '') return ErrorCode.INVALID_GROUP_ID
    return this.#producerTurns.run(String(commit.transactional.producerId), () => this.commitOffsets(commit))
  }

  /**
   * Ends the producer's transaction in one partition of `__consumer_offsets`: appends the marker, then its
   * offsets count or are forgotten. Throws StorageError or GroupRefusal, and nothing changed.
   */
  async completeTransaction(
    partition: number,
    transactional: Transactional,
    committed: boolean,
    coordinatorEpoch: number,
  ): Promise<void> {
    await this.#producerTurns.run(String(transactional.producerId), () =>
      this.#shard(partition).completeTransaction(transactional, committed, coordinatorEpoch),
    )
  }

  /** Returns an error code for the group, or its offsets. */
  fetchOffsets(fetch: OffsetsFetch): number | FetchedTopic[] {
    try {
      const group = this.#find(fetch.groupId)
      if (group !== undefined && (fetch.memberId !== null || fetch.memberEpoch >= 0)) {
        const refusal = group.refuseFetch(fetch.memberId, fetch.memberEpoch)
        if (refusal !== ErrorCode.NONE) return refusal
      }
      return fetchOffsets(group, fetch)
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /** Returns an error code for the group, or one for each partition. */
  async deleteOffsets(request: OffsetsDelete): Promise<number | number[][]> {
    if (request.groupId === '') return ErrorCode.INVALID_GROUP_ID
    try {
      return await this.#inTurn(
        request.groupId,
        (shard) => deleteOffsets(shard, request),
        () => {
          throw new GroupRefusal(ErrorCode.GROUP_ID_NOT_FOUND, 'there are no groups')
        },
      )
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /**
   * A topic was deleted: what groups have committed for it goes with it. Where that fails the offsets are left out
   * when the log is read the next time, as they name the id of the topic.
   */
  async topicDeleted(name: string): Promise<void> {
    const removals: { shard: GroupShard; id: string; offsets: Set<CommittedOffset> }[] = []
    for (const shard of this.#loadedShards()) {
      for (const group of shard.groups()) {
        const offsets = offsetsOfTopic(group, name)
        if (offsets.size > 0) removals.push({ shard, id: group.id, offsets })
      }
    }
    for (const { shard, id, offsets } of removals) {
      try {
        await this.#turns.run(id, () => removeTopic(shard, id, name, offsets))
      } catch (error) {
        this.#log.warn(
          { group: id, topic: name, error: String(error) },
          'offsets of a deleted topic stay for now',
        )
      }
    }
  }

  // Administration.

  /** All groups, or COORDINATOR_LOAD_IN_PROGRESS while some are not known yet. */
  list(): ListedGroup[] | number {
    const listed: ListedGroup[] = []
    try {
      for (const partition of this.#shards.keys()) {
        for (const group of this.#shard(partition).groups()) listed.push(listGroup(group))
      }
    } catch (error) {
      return errorCodeOf(error)
    }
    return listed
  }

  /** The group, or an error code: GROUP_ID_NOT_FOUND also for groups that are not classic. */
  describe(groupId: string): DescribedGroup | number {
    try {
      const group = this.#find(groupId)
      return group instanceof ClassicGroup ? describeGroup(group) : ErrorCode.GROUP_ID_NOT_FOUND
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /** Returns the error code. */
  async delete(groupId: string): Promise<number> {
    try {
      return await this.#inTurn(
        groupId,
        (shard) => deleteGroup(shard, groupId),
        () => ErrorCode.GROUP_ID_NOT_FOUND,
      )
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  // Shards.

  /**
   * Runs an operation in the group's turn. `without` answers where there are no groups at all; without it,
   * `__consumer_offsets` has to exist. Throws GroupRefusal while the group's partition cannot be used.
   */
  #inTurn<T>(
    groupId: string,
    operation: (shard: GroupShard) => T | Promise<T>,
    without?: () => T,
  ): T | Promise<T> {
    if (this.#shards.length === 0 && without !== undefined && !this.#closed) return without()
    const shard = this.#shard(this.partitionOf(groupId))
    return this.#turns.run(groupId, () => {
      if (this.#closed) throw notCoordinator()
      return operation(shard)
    })
  }

  #find(groupId: string): Group | undefined {
    if (this.#shards.length === 0 && !this.#closed) return undefined
    return this.#shard(this.partitionOf(groupId)).group(groupId)
  }

  /** Throws GroupRefusal while the partition cannot be used. */
  #shard(partition: number): GroupShard {
    if (this.#closed) throw notCoordinator()
    const shard = this.#shards[partition]
    if (shard instanceof GroupShard) return shard
    if (shard === 'loading') {
      throw new GroupRefusal(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'the group is being loaded')
    }
    throw new GroupRefusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'the group could not be loaded')
  }

  *#loadedShards(): Generator<GroupShard> {
    for (const shard of this.#shards) if (shard instanceof GroupShard) yield shard
  }

  #joinClassic(
    shard: GroupShard,
    request: JoinGroupRequest,
    client: GroupClient,
    reply: Reply<JoinGroupResponseInput>,
  ): void | Promise<void> {
    const { groupId, memberId } = request
    const group = (shard.group(groupId) ?? this.#newGroup(shard, groupId, memberId)) as ClassicGroup
    const joining = joinGroup(group, request, client, reply)
    shard.dropIfDisposable(group)
    return joining
  }

  #newGroup(shard: GroupShard, groupId: string, memberId: string): ClassicGroup {
    // Who comes with an id was a member of a group that is gone.
    if (memberId !== '') throw new GroupRefusal(ErrorCode.UNKNOWN_MEMBER_ID, 'there is no such group')
    const refusal = this.#refuseGroup()
    if (refusal !== ErrorCode.NONE) throw new GroupRefusal(refusal, 'there are too many groups')
    const group = new ClassicGroup(groupId, shard)
    shard.put(group)
    return group
  }

  #refuseGroup(): number {
    let count = 0
    for (const shard of this.#loadedShards()) count += shard.groupCount
    if (count < this.options.maxGroups) return ErrorCode.NONE
    this.#log.warn({ groups: count }, 'there are as many groups as there may be: one more is refused')
    return ErrorCode.POLICY_VIOLATION
  }

  #load(topic: Topic): Promise<void> {
    this.#loading ??= this.#loadAll(topic)
    return this.#loading
  }

  async #loadAll(topic: Topic): Promise<void> {
    this.#shards = topic.logs.map(() => 'loading')
    const partitions = [...topic.logs.keys()]
    const worker = async (): Promise<void> => {
      for (let partition = partitions.shift(); partition !== undefined; partition = partitions.shift()) {
        await this.#loadShard(topic, partition)
      }
    }
    const startMs = this.#scheduler.nowMs()
    await Promise.all(Array.from({ length: LOADS_AT_ONCE }, worker))
    let groups = 0
    for (const shard of this.#loadedShards()) groups += shard.groupCount
    this.#log.info({ groups, ms: this.#scheduler.nowMs() - startMs }, 'groups are loaded')
  }

  async #loadShard(topic: Topic, partition: number): Promise<void> {
    if (this.#closed) return
    this.#shards[partition] = 'loading'
    try {
      const shard = await GroupShard.load(partition, topic.logs[partition]!, this.#services)
      this.#shards[partition] = shard
      if (this.#closed) shard.stop(ErrorCode.NOT_COORDINATOR)
      else shard.start()
    } catch (error) {
      this.#shards[partition] = 'failed'
      if (this.#closed) return
      this.#log.error({ partition, error }, 'a partition of __consumer_offsets could not be read')
      this.#scheduler.after(LOAD_RETRY_MS, () => void this.#loadShard(topic, partition))
    }
  }

  #scheduleExpiry(): void {
    if (this.#closed) return
    this.#expiry = this.#scheduler.after(this.options.offsetsRetentionCheckIntervalMs, () => {
      void this.#expire().finally(() => this.#scheduleExpiry())
    })
  }

  async #expire(): Promise<void> {
    for (const shard of this.#loadedShards()) {
      // Others have their turn between two shards.
      await new Promise<void>((resolve) => this.#scheduler.after(0, resolve))
      for (const group of [...shard.groups()]) {
        if (this.#closed) return
        try {
          await this.#turns.run(group.id, () => expireOffsets(shard, group.id))
        } catch (error) {
          this.#log.warn({ group: group.id, error: String(error) }, 'expired offsets were not removed')
        }
      }
    }
  }
}

/** An empty consumer group makes room for a classic one, which keeps its offsets. */
async function deleteConsumerGroup(shard: GroupShard, group: ConsumerGroup): Promise<void> {
  await shard.append(group.tombstones())
  shard.removeMembership(group)
}

function notCoordinator(): GroupRefusal {
  return new GroupRefusal(ErrorCode.NOT_COORDINATOR, 'the coordinator is closed')
}
