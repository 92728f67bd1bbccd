import { ErrorCode } from '@streambus/protocol'
import type { LogStore, Topic } from '@streambus/storage'
import { CONSUMER_OFFSETS, InternalTopic, partitionOf } from '../coordinator/internal-topics.ts'
import { LogRewrite } from '../coordinator/log-rewrite.ts'
import type { Scheduler } from '../coordinator/scheduler.ts'
import { Turns } from '../coordinator/turns.ts'
import type { Logger } from '../logger.ts'
import { TopicRegexes } from './consumer/topic-regexes.ts'
import type { Group } from './group.ts'
import type { ResolvedGroupOptions } from './group-options.ts'
import { GroupRefusal } from './group-refusal.ts'
import { GroupShard, type ShardServices } from './group-shard.ts'
import { MemoryBudget } from './memory-budget.ts'

export interface GroupShardsOptions {
  readonly store: LogStore
  readonly scheduler: Scheduler
  readonly options: ResolvedGroupOptions
  readonly log: Logger
  /** For member ids: something no other member ever had. */
  readonly newId: () => string
  /** A partition of `__consumer_offsets` is left as long as it is up to this size. Default: LogRewrite's. */
  readonly rewriteLogsFromBytes?: number
}

/** A partition of `__consumer_offsets`: read, being read, waiting to be read again, or taken over by somebody. */
type ShardState = GroupShard | 'loading' | 'failed' | 'lost'

/** Partitions read at once. */
const LOADS_AT_ONCE = 16
const LOAD_RETRY_MS = 5000
/** Made once: while a start reads its groups, clients ask for all of them again and again. */
const LOADING = new GroupRefusal(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'the group is being loaded')
/** A log line says that there is no room for more, at most this often. */
const SAY_FULL_EVERY_MS = 60_000

/**
 * All groups, by the partition of `__consumer_offsets` that keeps them. Partitions become usable one by one as
 * they have been read; the topic is created when somebody first needs it.
 */
export class GroupShards {
  readonly #topic: InternalTopic
  readonly #turns = new Turns()
  readonly #services: ShardServices
  readonly #rewrite: LogRewrite
  /** By partition; empty until `__consumer_offsets` exists. */
  #shards: ShardState[] = []
  #loading: Promise<void> | undefined
  /** Present while the topic is created and read for the first time. */
  #creation: Promise<void> | undefined
  #closed = false
  #saidFullAtMs = Number.NEGATIVE_INFINITY

  constructor({ store, scheduler, options, log, newId, rewriteLogsFromBytes }: GroupShardsOptions) {
    this.#topic = new InternalTopic(store, CONSUMER_OFFSETS)
    this.#services = {
      store,
      scheduler,
      options,
      log,
      newId,
      memory: new MemoryBudget(options.maxMembershipBytes),
      offsetMemory: new MemoryBudget(options.maxOffsetBytes),
      regexes: new TopicRegexes(),
      turns: this.#turns,
      refuseGrowth: (groups, bytes) => this.#refuseGrowth(groups, bytes),
      fenced: (shard) => this.#lose(shard),
    }
    this.#rewrite = new LogRewrite({
      store,
      scheduler,
      turns: this.#turns,
      logger: log,
      logs: () => Array.from(this.loadedShards(), (shard) => shard.rewritable),
      ...(rewriteLogsFromBytes === undefined ? {} : { minBytes: rewriteLogsFromBytes }),
    })
  }

  /** Begins to load where there is something to load. */
  start(): void {
    const topic = this.#topic.find()
    if (topic !== undefined) void this.#load(topic)
    this.#rewrite.start()
  }

  /** Resolves when everything that was there at `start` is loaded. */
  async loaded(): Promise<void> {
    await this.#loading
  }

  /** Makes sure that `__consumer_offsets` exists, and, if it did not, that it can be used. Throws StorageError. */
  async ready(): Promise<void> {
    if (this.#shards.length > 0 && this.#creation === undefined) return
    this.#creation ??= this.#create().finally(() => {
      this.#creation = undefined
    })
    await this.#creation
  }

  /** Ends all timers, and answers everyone who waits with NOT_COORDINATOR, and whoever comes after that. */
  close(): void {
    this.#closed = true
    this.#rewrite.close()
    for (const shard of this.loadedShards()) shard.stop(ErrorCode.NOT_COORDINATOR)
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** False until somebody needed groups for the first time: there are none. */
  get exist(): boolean {
    return this.#closed || this.#shards.length > 0
  }

  /** The partition of `__consumer_offsets` that keeps the group. */
  partitionOf(groupId: string): number {
    return partitionOf(groupId, this.#topic.partitions)
  }

  /** Throws GroupRefusal while the partition cannot be used. */
  shard(partition: number): GroupShard {
    if (this.#closed) throw notCoordinator()
    const shard = this.#shards[partition]
    if (shard instanceof GroupShard) return shard
    if (shard === 'lost') throw notCoordinator()
    if (shard === 'loading') throw LOADING
    throw new GroupRefusal(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'the group could not be loaded')
  }

  *loadedShards(): Generator<GroupShard> {
    for (const shard of this.#shards) if (shard instanceof GroupShard) yield shard
  }

  /** Throws GroupRefusal while one of the partitions cannot be used. */
  *groups(): Generator<Group> {
    for (const partition of this.#shards.keys()) yield* this.shard(partition).groups()
  }

  /** Throws GroupRefusal while the group's partition cannot be used. */
  find(groupId: string): Group | undefined {
    return this.exist ? this.shard(this.partitionOf(groupId)).group(groupId) : undefined
  }

  /**
   * Runs an operation in the group's turn. `without` answers where there are no groups at all; without it,
   * `__consumer_offsets` has to exist. Throws GroupRefusal while the group's partition cannot be used.
   */
  inTurn<T>(
    groupId: string,
    operation: (shard: GroupShard) => T | Promise<T>,
    without?: () => T,
  ): T | Promise<T> {
    if (without !== undefined && !this.exist) return without()
    const shard = this.shard(this.partitionOf(groupId))
    return this.#turns.run(groupId, () => {
      if (this.#closed) throw notCoordinator()
      return operation(shard)
    })
  }

  #lose(shard: GroupShard): void {
    const { partition } = shard
    if (this.#shards[partition] !== shard) return
    this.#shards[partition] = 'lost'
    shard.stop(ErrorCode.NOT_COORDINATOR)
    this.#services.log.warn(
      { partition },
      'another coordinator has taken over a partition of __consumer_offsets',
    )
  }

  #refuseGrowth(groups: number, bytes: number): number {
    const { options, log, offsetMemory, scheduler } = this.#services
    const isFull =
      (groups > 0 && this.#countGroups() + groups > options.maxGroups) || !offsetMemory.hasRoomFor(bytes)
    const nowMs = scheduler.nowMs()
    // Not for each of those who try again.
    if (isFull && nowMs - this.#saidFullAtMs >= SAY_FULL_EVERY_MS) {
      this.#saidFullAtMs = nowMs
      const fields = { groups: this.#countGroups(), bytes: offsetMemory.usedBytes }
      log.warn(fields, 'there are as many groups and offsets as there may be: further ones are refused')
    }
    return isFull ? ErrorCode.POLICY_VIOLATION : ErrorCode.NONE
  }

  #countGroups(): number {
    let count = 0
    for (const shard of this.loadedShards()) count += shard.groupCount
    return count
  }

  async #create(): Promise<void> {
    await this.#load(await this.#topic.findOrCreate())
  }

  #load(topic: Topic): Promise<void> {
    this.#loading ??= this.#loadAll(topic)
    return this.#loading
  }

  async #loadAll(topic: Topic): Promise<void> {
    const { scheduler, log } = this.#services
    this.#shards = topic.logs.map(() => 'loading')
    const partitions = [...topic.logs.keys()]
    const worker = async (): Promise<void> => {
      for (let partition = partitions.shift(); partition !== undefined; partition = partitions.shift()) {
        await this.#loadShard(topic, partition)
      }
    }
    const startMs = scheduler.nowMs()
    await Promise.all(Array.from({ length: LOADS_AT_ONCE }, worker))
    log.info({ groups: this.#countGroups(), ms: scheduler.nowMs() - startMs }, 'groups are loaded')
  }

  async #loadShard(topic: Topic, partition: number): Promise<void> {
    if (this.#closed) return
    const { scheduler, log } = this.#services
    this.#shards[partition] = 'loading'
    try {
      const shard = await GroupShard.load(partition, topic.logs[partition]!, this.#services)
      this.#shards[partition] = shard
      if (this.#closed) shard.stop(ErrorCode.NOT_COORDINATOR)
      else shard.start()
    } catch (error) {
      this.#shards[partition] = 'failed'
      if (this.#closed) return
      log.error({ partition, error }, 'a partition of __consumer_offsets could not be read')
      scheduler.after(LOAD_RETRY_MS, () => void this.#loadShard(topic, partition))
    }
  }
}

function notCoordinator(): GroupRefusal {
  return new GroupRefusal(ErrorCode.NOT_COORDINATOR, 'another coordinator keeps the group, or none does')
}
