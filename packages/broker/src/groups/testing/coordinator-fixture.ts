import type { HeartbeatRequest, JoinGroupRequest, JoinGroupResponseInput } from '@streambus/protocol'
import { type LogStore, MemoryLogStore } from '@streambus/storage'
import { silentLogger } from '../../logger.ts'
import { GroupCoordinator, type GroupCoordinatorOptions } from '../group-coordinator.ts'
import { type GroupOptions, resolveGroupOptions } from '../group-options.ts'
import type { CommitErrorCodes } from '../offsets/offset-commit.ts'
import type { FetchedPartition } from '../offsets/offset-fetch.ts'
import { joinRequest } from './test-member.ts'
import { settled, VirtualScheduler } from './virtual-scheduler.ts'

export const GROUP = 'readers'

type LogRewriting = Pick<GroupCoordinatorOptions, 'rewriteLogsFromBytes'>

/** A coordinator over a store in memory, in a time that passes when it is told to. */
export class CoordinatorFixture {
  readonly time: VirtualScheduler
  readonly store: LogStore
  readonly coordinator: GroupCoordinator
  readonly #options: GroupOptions
  readonly #rewrite: LogRewriting

  private constructor(store: LogStore, time: VirtualScheduler, options: GroupOptions, rewrite: LogRewriting) {
    this.store = store
    this.time = time
    this.#options = options
    this.#rewrite = rewrite
    let nextId = 1
    this.coordinator = new GroupCoordinator({
      store,
      scheduler: time,
      options: resolveGroupOptions(options, true),
      log: silentLogger,
      newId: () => String(nextId++),
      ...rewrite,
    })
    this.coordinator.start()
  }

  static async open(options: GroupOptions = {}, rewrite: LogRewriting = {}): Promise<CoordinatorFixture> {
    const time = new VirtualScheduler()
    const store = await MemoryLogStore.open({ clock: () => time.nowMs() })
    await store.createTopic({ name: 'words', partitions: 3 })
    return new CoordinatorFixture(store, time, options, rewrite)
  }

  /** A coordinator over a store that another one was over before. */
  static async reopen(store: LogStore, options: GroupOptions = {}): Promise<CoordinatorFixture> {
    const fixture = CoordinatorFixture.over(store, options)
    await fixture.coordinator.loaded()
    return fixture
  }

  /** The same, and it has only begun to load. */
  static over(store: LogStore, options: GroupOptions = {}): CoordinatorFixture {
    return new CoordinatorFixture(store, new VirtualScheduler(), options, {})
  }

  /** Another coordinator over the same store, as after a restart. */
  async restarted(): Promise<CoordinatorFixture> {
    this.coordinator.close()
    const next = new CoordinatorFixture(this.store, this.time, this.#options, this.#rewrite)
    await next.coordinator.loaded()
    return next
  }

  /** @param request `apiVersion` beside the fields of the request. */
  join(
    memberId: string,
    request: Partial<JoinGroupRequest> & { topics?: string[]; apiVersion?: number } = {},
  ): Promise<JoinGroupResponseInput> {
    const { apiVersion = 9, topics = ['words'], ...fields } = request
    const full = {
      groupInstanceId: null,
      reason: null,
      ...joinRequest({ groupId: GROUP, memberId }, topics, fields),
    } as JoinGroupRequest
    return this.coordinator.join(full, client(apiVersion))
  }

  /** Joins as clients do, with the id of a first answer. */
  async enter(request: Parameters<CoordinatorFixture['join']>[1] = {}): Promise<JoinGroupResponseInput> {
    const { memberId } = await this.join('', request)
    return this.join(memberId, request)
  }

  sync(
    memberId: string,
    generationId: number,
    assignments: Readonly<Record<string, string>> = {},
    groupId = GROUP,
  ) {
    return this.coordinator.sync(
      {
        groupId,
        generationId,
        memberId,
        groupInstanceId: null,
        protocolType: null,
        protocolName: null,
        assignments: Object.entries(assignments).map(([memberId, assignment]) => ({
          memberId,
          assignment: Buffer.from(assignment),
        })),
      },
      client(5),
    )
  }

  heartbeat(memberId: string, generationId: number, groupInstanceId: string | null = null): Promise<number> {
    const request: HeartbeatRequest = { groupId: GROUP, generationId, memberId, groupInstanceId }
    return this.coordinator.heartbeat(request)
  }

  /** A group of members that have their assignments; the first is the leader. Returns their ids. */
  async stableGroup(
    size: number,
    request: Parameters<CoordinatorFixture['join']>[1] = {},
  ): Promise<string[]> {
    const ids: string[] = []
    for (let index = 0; index < size; index++) ids.push((await this.join('', request)).memberId)
    const joining = ids.map((id) => this.join(id, request))
    await this.time.pass(0)
    const joined = await Promise.all(joining)
    const { generationId } = joined[0]!
    const syncing = ids.map((id) => this.sync(id, generationId!, { [id]: 'all' }))
    await this.time.pass(0)
    for (const { errorCode } of await Promise.all(syncing)) {
      if (errorCode !== 0) throw new Error(`a member got ${errorCode} instead of its assignment`)
    }
    return ids
  }

  /** Commits partitions of 'words', from outside of any generation unless a member is given. */
  commit(
    offsets: Readonly<Record<number, number>>,
    options: {
      groupId?: string
      producerId?: number
      retentionTimeMs?: number
      memberId?: string
      generationId?: number
    } = {},
  ): Promise<number | CommitErrorCodes> {
    const { groupId = GROUP, producerId, retentionTimeMs = -1, memberId = '', generationId = -1 } = options
    const commit = {
      groupId,
      committer: {
        memberId,
        groupInstanceId: null,
        generationIdOrMemberEpoch: generationId,
        transactional: producerId !== undefined,
        apiVersion: 9,
      },
      topics: [
        {
          name: 'words',
          partitions: Object.entries(offsets).map(([partition, offset]) => ({
            partitionIndex: Number(partition),
            committedOffset: BigInt(offset),
            committedLeaderEpoch: 0,
            committedMetadata: '',
          })),
        },
      ],
      retentionTimeMs: BigInt(retentionTimeMs),
      transactional: null,
    }
    return producerId === undefined
      ? this.coordinator.commitOffsets(commit)
      : this.coordinator.commitTransactionalOffsets({
          ...commit,
          transactional: { producerId, producerEpoch: 0 },
        })
  }

  /** Ends a producer's transaction in the group's partition. */
  async complete(producerId: number, committed: boolean): Promise<void> {
    const partition = this.coordinator.partitionOf(GROUP)
    await this.coordinator.completeTransaction(partition, { producerId, producerEpoch: 0 }, committed, 0)
  }

  /** Partition → offset, or error code as 'error 88', of everything that is committed. */
  offsets(options: { groupId?: string; requireStable?: boolean } = {}): Record<number, number | string> {
    const { groupId = GROUP, requireStable = false } = options
    const fetched = this.coordinator.fetchOffsets({
      groupId,
      memberId: null,
      memberEpoch: -1,
      topics: null,
      requireStable,
    })
    if (typeof fetched === 'number') throw new Error(`fetching offsets was answered ${fetched}`)
    const shown = ({ partitionIndex, committedOffset, errorCode }: FetchedPartition) =>
      [partitionIndex, errorCode === 0 ? Number(committedOffset) : `error ${errorCode}`] as const
    return Object.fromEntries(fetched.flatMap(({ partitions }) => partitions.map(shown)))
  }

  /** Kafka's name of the group's state; 'Dead' where there is no group. */
  get state(): string {
    const described = this.coordinator.describe(GROUP)
    return typeof described === 'number' ? 'Dead' : described.groupState
  }

  /** The members of the group, in the order in which they came. */
  get memberIds(): string[] {
    const described = this.coordinator.describe(GROUP)
    return typeof described === 'number' ? [] : described.members.map(({ memberId }) => memberId)
  }

  async close(): Promise<void> {
    this.coordinator.close()
    await settled()
    await this.store.close()
  }
}

/** A client that waits as long as it takes. */
function client(apiVersion: number) {
  const { signal } = new AbortController()
  return { clientId: 'client', clientHost: '/192.0.2.1', apiVersion, startWaiting: () => signal }
}
