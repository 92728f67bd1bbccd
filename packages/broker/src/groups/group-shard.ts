import {
  decodeCoordinatorRecord,
  ErrorCode,
  type GroupMetadataValue,
  groupRecords,
  type OffsetCommitKey,
  type OffsetCommitValue,
  ZERO_UUID,
} from '@streambus/protocol'
import { type LogId, type LogStore, type Offset, StorageError, type TopicCatalog } from '@streambus/storage'
import {
  CoordinatorLog,
  type CoordinatorRecord,
  type Replay,
  type ReplayedRecord,
  type Transactional,
} from '../coordinator/coordinator-log.ts'
import type { Rewritable } from '../coordinator/log-rewrite.ts'
import type { Scheduled, Scheduler } from '../coordinator/scheduler.ts'
import { type Turns, TurnsFull } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import { ClassicGroup } from './classic/classic-group.ts'
import { ConsumerGroup, type ConsumerGroupContext } from './consumer/consumer-group.ts'
import { consumerGroupRecordOf } from './consumer/record-codec.ts'
import type { TopicRegexes } from './consumer/topic-regexes.ts'
import type { Group } from './group.ts'
import type { ResolvedGroupOptions } from './group-options.ts'
import { type GroupRecord, offsetRecord } from './group-records.ts'
import type { MemoryBudget, MemoryUse } from './memory-budget.ts'
import { CommittedOffset } from './offsets/committed-offset.ts'
import { GroupOffsets } from './offsets/group-offsets.ts'
import { OffsetRecordReader } from './offsets/offset-record-reader.ts'

/** What the shards of one coordinator share. */
export interface ShardServices {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly options: ResolvedGroupOptions
  readonly log: Logger
  readonly memory: MemoryBudget
  /** Of groups as such and of their offsets. */
  readonly offsetMemory: MemoryBudget
  readonly regexes: TopicRegexes
  /** One queue per group id. */
  readonly turns: Turns
  newId(): string
  /** An error code where there cannot be so many more groups, or so many more bytes of groups and offsets. */
  refuseGrowth(groups: number, bytes: number): number
  /** Somebody else has taken the shard's log over. */
  fenced(shard: GroupShard): void
}

/** What a group without members and offsets takes in memory, roughly, beside its id. */
const GROUP_BYTES = 1500

/** An operation whose group has too much to do is tried again after this long. */
const RETRY_MS = 1000

/**
 * The groups of one partition of `__consumer_offsets`: its log, and the state that the log stands for.
 *
 * `apply` is the only way in which durable state changes, while the log is read and after each append.
 */
export class GroupShard implements ConsumerGroupContext, Replay {
  readonly partition: number
  readonly scheduler: Scheduler
  readonly options: ResolvedGroupOptions
  readonly log: Logger
  readonly topics: TopicCatalog
  readonly memory: MemoryBudget
  readonly offsetMemory: MemoryUse
  readonly regexes: TopicRegexes
  readonly #services: ShardServices
  readonly #groups = new Map<string, Group>()
  /** Producer → groups with offsets of its open transaction. */
  readonly #openTransactions = new Map<number, Set<string>>()
  #coordinatorLog!: CoordinatorLog
  #stopped = false
  /** What its groups and their offsets take. */
  #usedBytes = 0
  /** The first record that the snapshots taken for a rewrite of the log do not stand for. */
  #neededFrom = Number.POSITIVE_INFINITY
  #unknownRecords = 0
  readonly #offsetReader: OffsetRecordReader

  private constructor(partition: number, services: ShardServices) {
    this.partition = partition
    this.#services = services
    this.scheduler = services.scheduler
    this.options = services.options
    this.log = services.log
    this.memory = services.memory
    this.offsetMemory = { change: (bytes) => this.#changeUsedBytes(bytes) }
    this.regexes = services.regexes
    this.topics = services.store.topics
    this.#offsetReader = new OffsetRecordReader(this.topics)
  }

  /**
   * Takes the partition over and reads it to its end. Throws StorageError, and ProtocolError where the log holds
   * what no coordinator wrote.
   */
  static async load(partition: number, logId: LogId, services: ShardServices): Promise<GroupShard> {
    const shard = new GroupShard(partition, services)
    const { store, scheduler } = services
    try {
      const nowMs = () => scheduler.nowMs()
      shard.#coordinatorLog = await CoordinatorLog.open({ store, logId, nowMs }, shard)
    } catch (error) {
      shard.stop(ErrorCode.NOT_COORDINATOR)
      throw error
    }
    if (shard.#unknownRecords > 0) {
      services.log.warn(
        { partition, records: shard.#unknownRecords },
        'records of an unknown kind in __consumer_offsets were left alone: newer software wrote them',
      )
    }
    return shard
  }

  /** Sessions begin. */
  start(): void {
    this.#forgetMissingTopics()
    for (const group of this.#groups.values()) group.start()
  }

  /** Topics may have been deleted while the log was read. */
  #forgetMissingTopics(): void {
    for (const { id, offsets } of [...this.#groups.values()]) {
      for (const [topic, partitions] of [...offsets.topics()]) {
        if (this.topics.byName(topic) !== undefined) continue
        for (const partition of [...partitions.keys()]) this.removeOffset(id, topic, partition)
      }
    }
  }

  /** Ends timers and answers everyone who waits. */
  stop(errorCode: number): void {
    this.#stopped = true
    for (const group of this.#groups.values()) group.stop(errorCode)
    this.#changeUsedBytes(-this.#usedBytes)
  }

  #changeUsedBytes(bytes: number): void {
    this.#usedBytes += bytes
    this.#services.offsetMemory.change(bytes)
  }

  get groupCount(): number {
    return this.#groups.size
  }

  groups(): Iterable<Group> {
    return this.#groups.values()
  }

  group(id: string): Group | undefined {
    return this.#groups.get(id)
  }

  /** Puts a group in the place of the one with its id, if there is one. */
  put(group: Group): void {
    if (!this.#groups.has(group.id)) this.#changeUsedBytes(groupBytes(group.id))
    this.#groups.set(group.id, group)
  }

  #remove(group: Group): void {
    if (this.#groups.delete(group.id)) this.#changeUsedBytes(-groupBytes(group.id))
  }

  /** Forgets the group itself: what is left of it are its offsets, if it has any. */
  removeMembership(group: Group): void {
    group.stop(ErrorCode.UNKNOWN_MEMBER_ID)
    if (group.offsets.isEmpty && !group.offsets.hasPending) this.#remove(group)
    else this.put(new ClassicGroup(group.id, this, group.offsets))
  }

  newId(): string {
    return this.#services.newId()
  }

  /** NONE when there is room for the group. */
  refuseGroup(id: string): number {
    return this.#services.refuseGrowth(1, groupBytes(id))
  }

  /** NONE when there is room for so many bytes of offsets more. */
  refuseOffsets(bytes: number): number {
    return bytes <= 0 ? ErrorCode.NONE : this.#services.refuseGrowth(0, bytes)
  }

  append(records: readonly CoordinatorRecord[], transactional?: Transactional): Promise<Offset> {
    return this.#owned(this.#coordinatorLog.append(records, transactional))
  }

  /** What the log says that somebody else owns is not what this shard knows. */
  async #owned<T>(writing: Promise<T>): Promise<T> {
    try {
      return await writing
    } catch (error) {
      if (error instanceof StorageError && error.code === 'FENCED_OWNER') this.#services.fenced(this)
      throw error
    }
  }

  after(group: Group, delayMs: number, run: () => void | Promise<void>): Scheduled {
    let cancelled = this.#stopped
    let scheduled: Scheduled
    const start = (): void => {
      const operation = (): void | Promise<void> => {
        // It may have been cancelled, or the group replaced, while it waited for its turn.
        if (!cancelled && this.#groups.get(group.id) === group) return run()
      }
      try {
        const running = this.#services.turns.run(group.id, operation)
        if (running instanceof Promise) running.catch(failed)
      } catch (error) {
        if (error instanceof TurnsFull) scheduled = this.scheduler.after(RETRY_MS, start)
        else failed(error)
      }
    }
    const failed = (error: unknown): void => {
      this.log.error({ group: group.id, error }, 'an operation on a group failed')
    }
    if (cancelled) return { cancel: () => undefined }
    scheduled = this.scheduler.after(delayMs, start)
    return {
      cancel: () => {
        cancelled = true
        scheduled.cancel()
      },
    }
  }

  dropIfDisposable(group: Group): void {
    if (!group.isDisposable || !group.offsets.isEmpty || group.offsets.hasPending) return
    if (this.#groups.get(group.id) === group) {
      group.stop(ErrorCode.UNKNOWN_MEMBER_ID)
      this.#remove(group)
    }
  }

  // A rewrite of the log.

  get rewritable(): Rewritable {
    this.#neededFrom = Number.POSITIVE_INFINITY
    return {
      log: this.#coordinatorLog,
      keys: () => this.#groups.keys(),
      snapshot: (groupId) => this.#snapshot(groupId),
      neededFrom: () => this.#neededFrom,
    }
  }

  #snapshot(groupId: string): CoordinatorRecord[] {
    const group = this.#groups.get(groupId)
    if (group === undefined) return []
    const records = group.snapshot()
    for (const [name, partitions] of group.offsets.topics()) {
      const topic = this.topics.byName(name)
      if (topic === undefined) continue
      for (const [partition, offset] of partitions) {
        if (group.offsets.isPending(name, partition)) {
          // Which of the two counts is decided by which is later in the log, so this one stays where it is.
          this.#neededFrom = Math.min(this.#neededFrom, offset.recordOffset)
        } else {
          records.push(offsetRecord(groupId, topic, partition, offset))
        }
      }
    }
    return records
  }

  // Replay, while the log is read.

  records(records: Iterable<ReplayedRecord>, transactional: Transactional | null): void {
    const reader = this.#offsetReader
    for (const { key, value, offset } of records) {
      if (value !== null && reader.read(key, value)) {
        if (!reader.topicExists) continue
        const { group, topic, partition, leaderEpoch, metadata, commitTimestampMs } = reader
        const committed = new CommittedOffset(
          reader.offset,
          leaderEpoch,
          metadata,
          commitTimestampMs,
          -1,
          offset,
        )
        this.commitOffset(group, topic, partition, committed, transactional)
        continue
      }
      const record = decodeCoordinatorRecord(groupRecords, key, value)
      if (record === null) this.#unknownRecords++
      else this.apply(record, offset, transactional)
    }
  }

  marker({ producerId }: Transactional, committed: boolean): void {
    this.#endTransaction(producerId, committed)
  }

  /** Brings what is durable into memory. */
  apply(record: GroupRecord, offset: Offset, transactional: Transactional | null): void {
    switch (record.kind) {
      case 'OffsetCommit':
        this.#applyOffset(record.key, record.value, offset, transactional)
        break
      case 'GroupMetadata':
        this.#applyGroupMetadata(record.key.group, record.value)
        break
      default:
        this.#applyConsumerGroupRecord(record)
    }
  }

  #applyOffset(
    { group, topic, partition }: OffsetCommitKey,
    value: OffsetCommitValue | null,
    offset: Offset,
    transactional: Transactional | null,
  ): void {
    if (value === null) {
      this.removeOffset(group, topic, partition)
    } else if (value.topicId === ZERO_UUID || this.topics.byId(value.topicId) !== undefined) {
      // Offsets of a topic that is gone are gone, also where their tombstones were never written: they must not
      // count for another topic of that name.
      const committed = CommittedOffset.fromRecord(value, offset)
      this.commitOffset(group, topic, partition, committed, transactional)
    }
  }

  /** The record of the commit is durable. */
  commitOffset(
    groupId: string,
    topic: string,
    partition: number,
    offset: CommittedOffset,
    transactional: Transactional | null,
  ): void {
    let group = this.#groups.get(groupId)
    if (group === undefined) {
      group = new ClassicGroup(groupId, this)
      this.put(group)
    }
    if (transactional === null) {
      group.offsets.commit(topic, partition, offset)
      return
    }
    const { producerId } = transactional
    group.offsets.commitPending(producerId, topic, partition, offset)
    const groups = this.#openTransactions.get(producerId)
    if (groups === undefined) this.#openTransactions.set(producerId, new Set([groupId]))
    else groups.add(groupId)
  }

  /** The tombstone is durable. */
  removeOffset(groupId: string, topic: string, partition: number): void {
    const group = this.#groups.get(groupId)
    if (group === undefined) return
    group.offsets.remove(topic, partition)
    this.dropIfDisposable(group)
  }

  #applyGroupMetadata(id: string, value: GroupMetadataValue | null): void {
    const group = this.#groups.get(id)
    if (value === null) {
      if (group?.kind === 'classic') this.removeMembership(group)
      return
    }
    group?.stop(ErrorCode.UNKNOWN_MEMBER_ID)
    this.put(ClassicGroup.fromRecord(id, value, this, group?.offsets ?? new GroupOffsets(this.offsetMemory)))
  }

  #applyConsumerGroupRecord(decoded: GroupRecord): void {
    const known = consumerGroupRecordOf(decoded)
    // Kafka before 4.1 wrote one more kind, which has no meaning any more.
    if (known === null) return
    const { groupId, record } = known
    let group = this.#groups.get(groupId)
    if (!(group instanceof ConsumerGroup)) {
      if (record.value === null) return
      const { offsets } = group ?? {}
      group?.stop(ErrorCode.UNKNOWN_MEMBER_ID)
      group = new ConsumerGroup(groupId, this, offsets)
      this.put(group)
    }
    const consumerGroup = group as ConsumerGroup
    consumerGroup.apply(record)
    if (record.kind === 'group' && record.value === null) this.removeMembership(consumerGroup)
  }

  /** Appends the marker, and applies it. Throws StorageError. */
  async completeTransaction(
    transactional: Transactional,
    committed: boolean,
    coordinatorEpoch: number,
  ): Promise<void> {
    await this.#owned(this.#coordinatorLog.appendMarker(transactional, committed, coordinatorEpoch))
    this.#endTransaction(transactional.producerId, committed)
  }

  #endTransaction(producerId: number, committed: boolean): void {
    const groups = this.#openTransactions.get(producerId)
    if (groups === undefined) return
    this.#openTransactions.delete(producerId)
    for (const id of groups) {
      const group = this.#groups.get(id)
      if (group === undefined) continue
      group.offsets.complete(producerId, committed)
      this.#dropInTurn(group)
    }
  }

  /**
   * Markers do not wait for the group's turn. An operation that has it may be writing records right now that
   * make something of a group that looks like nothing: it must find the group afterwards.
   */
  #dropInTurn(group: Group): void {
    if (!group.isDisposable) return
    try {
      void this.#services.turns.run(group.id, () => this.dropIfDisposable(group))
    } catch (error) {
      // With so many operations waiting for the group it is needed.
      if (!(error instanceof TurnsFull)) throw error
    }
  }
}

function groupBytes(id: string): number {
  return GROUP_BYTES + id.length
}
