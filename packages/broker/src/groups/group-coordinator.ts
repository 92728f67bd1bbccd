import {
  ErrorCode,
  type HeartbeatRequest,
  type JoinGroupRequest,
  type JoinGroupResponseInput,
  type LeaveGroupRequest,
  type SyncGroupRequest,
  type SyncGroupResponseInput,
} from '@streambus/protocol'
import { StorageError } from '@streambus/storage'
import type { Transactional } from '../coordinator/coordinator-log.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import { Turns } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import { joinFailure, syncFailure } from './classic/answers.ts'
import { ClassicGroup } from './classic/classic-group.ts'
import { heartbeatGroup } from './classic/heartbeat.ts'
import { joinGroup } from './classic/join.ts'
import { leaveGroup } from './classic/leave.ts'
import { rebalance } from './classic/rebalance.ts'
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
import { noConsumerGroup, WaitingHeartbeats } from './consumer/waiting-heartbeats.ts'
import type { GroupClient, WaitingClient } from './group-client.ts'
import { type DescribedGroup, describeGroup, type ListedGroup, listGroup } from './group-description.ts'
import type { ResolvedGroupOptions } from './group-options.ts'
import { errorCodeOf, GroupRefusal } from './group-refusal.ts'
import type { GroupShard } from './group-shard.ts'
import { GroupShards, type GroupShardsOptions } from './group-shards.ts'
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

export type GroupCoordinatorOptions = GroupShardsOptions

/** Why a group rebalances, in the log. */
const REQUESTED = 'it was asked to'

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
  readonly #newId: () => string
  readonly #shards: GroupShards
  /** Transactional commits of a producer, and the markers that end them, in order. */
  readonly #producerTurns = new Turns()
  readonly #waitingHeartbeats: WaitingHeartbeats
  #expiry: Scheduled | undefined

  constructor(options: GroupCoordinatorOptions) {
    this.options = options.options
    this.#scheduler = options.scheduler
    this.#log = options.log
    this.#newId = options.newId
    const shards = new GroupShards(options)
    this.#shards = shards
    this.#waitingHeartbeats = new WaitingHeartbeats((groupId, operation) => shards.inTurn(groupId, operation))
  }

  /** Begins to load where there is something to load. Requests meanwhile: COORDINATOR_LOAD_IN_PROGRESS. */
  start(): void {
    this.#shards.start()
    this.#scheduleExpiry()
  }

  /** Resolves when everything that was there at `start` is loaded. */
  loaded(): Promise<void> {
    return this.#shards.loaded()
  }

  /** Makes sure that `__consumer_offsets` exists, and, if it did not, that it can be used. Throws StorageError. */
  ready(): Promise<void> {
    return this.#shards.ready()
  }

  /** Ends all timers, answers everyone who waits with NOT_COORDINATOR, and every request after it, too. */
  close(): void {
    this.#expiry?.cancel()
    this.#shards.close()
  }

  /** The partition of `__consumer_offsets` that keeps the group. */
  partitionOf(groupId: string): number {
    return this.#shards.partitionOf(groupId)
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
      await this.#shards.inTurn(groupId, (shard) => {
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
      await this.#shards.inTurn(
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
      return await this.#shards.inTurn(
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
      return await this.#shards.inTurn(
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
      if (!this.#shards.exist) {
        if (request.memberEpoch !== JOIN_EPOCH) throw noConsumerGroup(request.groupId)
        await this.ready()
      }
      const memberId = request.memberId === '' ? this.#newId() : request.memberId
      return await this.#waitingHeartbeats.answer({ request: { ...request, memberId }, client })
    } catch (error) {
      return refusedHeartbeat(errorCodeOf(error), error instanceof GroupRefusal ? error.message : null)
    }
  }

  /** The group, or why it cannot be told. */
  describeConsumerGroup(groupId: string): ConsumerGroupDescription | GroupRefusal {
    try {
      const group = this.#shards.find(groupId)
      return group instanceof ConsumerGroup ? group.describe() : noConsumerGroup(groupId)
    } catch (error) {
      return error instanceof GroupRefusal ? error : new GroupRefusal(errorCodeOf(error), String(error))
    }
  }

  // Offsets.

  /** Returns an error code for all partitions, or one for each. */
  async commitOffsets(commit: OffsetsCommit): Promise<number | CommitErrorCodes> {
    try {
      await this.ready()
      return await this.#shards.inTurn(commit.groupId, (shard) => commitOffsets(shard, commit))
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
    try {
      const { producerId } = commit.transactional
      return await this.#producerTurns.run(String(producerId), () => this.commitOffsets(commit))
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /**
   * Ends the producer's transaction in one partition of `__consumer_offsets`: appends the marker, then its
   * offsets count or are forgotten. Throws StorageError, GroupRefusal or TurnsFull, and nothing changed.
   */
  async completeTransaction(
    partition: number,
    transactional: Transactional,
    committed: boolean,
    coordinatorEpoch: number,
  ): Promise<void> {
    await this.#producerTurns.run(String(transactional.producerId), () =>
      this.#shards.shard(partition).completeTransaction(transactional, committed, coordinatorEpoch),
    )
  }

  /** Returns an error code for the group, or its offsets. */
  fetchOffsets(fetch: OffsetsFetch): number | FetchedTopic[] {
    try {
      const group = this.#shards.find(fetch.groupId)
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
      return await this.#shards.inTurn(
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
    for (const shard of this.#shards.loadedShards()) {
      for (const group of shard.groups()) {
        const offsets = offsetsOfTopic(group, name)
        if (offsets.size > 0) removals.push({ shard, id: group.id, offsets })
      }
    }
    for (const { shard, id, offsets } of removals) {
      try {
        await this.#shards.inTurn(id, () => removeTopic(shard, id, name, offsets))
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
    try {
      return Array.from(this.#shards.groups(), listGroup)
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /** The group, or an error code: GROUP_ID_NOT_FOUND also for groups that are not classic. */
  describe(groupId: string): DescribedGroup | number {
    try {
      const group = this.#shards.find(groupId)
      return group instanceof ClassicGroup ? describeGroup(group) : ErrorCode.GROUP_ID_NOT_FOUND
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /**
   * Begins a rebalance without a change among the members. Returns the error code: GROUP_ID_NOT_FOUND also where
   * there are no members.
   */
  async rebalance(groupId: string): Promise<number> {
    try {
      return await this.#shards.inTurn(
        groupId,
        async (shard) => {
          const group = shard.group(groupId)
          if (group instanceof ConsumerGroup && !group.isEmpty) await group.rebalance()
          else if (group instanceof ClassicGroup && group.memberCount > 0) await rebalance(group, REQUESTED)
          else return ErrorCode.GROUP_ID_NOT_FOUND
          return ErrorCode.NONE
        },
        () => ErrorCode.GROUP_ID_NOT_FOUND,
      )
    } catch (error) {
      return errorCodeOf(error)
    }
  }

  /** Returns the error code. */
  async delete(groupId: string): Promise<number> {
    try {
      return await this.#shards.inTurn(
        groupId,
        (shard) => deleteGroup(shard, groupId),
        () => ErrorCode.GROUP_ID_NOT_FOUND,
      )
    } catch (error) {
      return errorCodeOf(error)
    }
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
    const refusal = shard.refuseGroup(groupId)
    if (refusal !== ErrorCode.NONE) throw new GroupRefusal(refusal, 'there are too many groups')
    const group = new ClassicGroup(groupId, shard)
    shard.put(group)
    return group
  }

  #scheduleExpiry(): void {
    if (this.#shards.isClosed) return
    this.#expiry = this.#scheduler.after(this.options.offsetsRetentionCheckIntervalMs, () => {
      void this.#expire().finally(() => this.#scheduleExpiry())
    })
  }

  async #expire(): Promise<void> {
    for (const shard of this.#shards.loadedShards()) {
      // Others have their turn between two shards.
      await new Promise<void>((resolve) => this.#scheduler.after(0, resolve))
      for (const group of [...shard.groups()]) {
        if (this.#shards.isClosed) return
        try {
          await this.#shards.inTurn(group.id, () => expireOffsets(shard, group.id))
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
