import {
  type ConsumerGroupHeartbeatRequest,
  decodeCoordinatorRecord,
  groupRecords,
} from '@streambus/protocol'
import type { Offset, Topic, TopicCatalog, TopicId } from '@streambus/storage'
import type { CoordinatorRecord } from '../../../coordinator/coordinator-log.ts'
import type { Scheduled, Scheduler } from '../../../coordinator/scheduler.ts'
import { silentLogger } from '../../../logger.ts'
import type { Group } from '../../group.ts'
import { type GroupOptions, resolveGroupOptions } from '../../group-options.ts'
import { MemoryBudget } from '../../memory-budget.ts'
import { ConsumerGroup, type ConsumerGroupContext } from '../consumer-group.ts'
import type { HeartbeatAnswer } from '../heartbeat-request.ts'
import { consumerGroupRecordOf } from '../record-codec.ts'
import { TopicRegexes } from '../topic-regexes.ts'

/** Time that passes only when a test says so. */
export class ManualTime implements Scheduler {
  #nowMs = 1_700_000_000_000
  #timers: { atMs: number; run: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, run: () => void): Scheduled {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((other) => other !== due)
      this.#nowMs = due.atMs
      due.run()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#nowMs = endMs
  }
}

/** Topics that tests create, change and delete. The id of a topic is its name with a number. */
export class TestTopics implements TopicCatalog {
  version = 0
  readonly #topics = new Map<string, Topic>()

  set(name: string, partitions: number): TopicId {
    this.version++
    const id = this.#topics.get(name)?.id ?? `${name}-${this.version}`.padEnd(22, 'A')
    const logs = Array.from({ length: partitions }, (_, index) => index)
    this.#topics.set(name, { name, id, logs, configs: {}, createdAtMs: 0 })
    return id
  }

  delete(name: string): void {
    this.version++
    this.#topics.delete(name)
  }

  byName(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  byId(id: TopicId): Topic | undefined {
    for (const topic of this.#topics.values()) if (topic.id === id) return topic
    return undefined
  }

  all(): Iterable<Topic> {
    return this.#topics.values()
  }
}

/** A consumer group over a list of records in memory, as its coordinator holds it. */
export class GroupFixture implements ConsumerGroupContext {
  readonly time = new ManualTime()
  readonly scheduler = this.time
  readonly topics = new TestTopics()
  readonly regexes = new TopicRegexes()
  readonly log = silentLogger
  readonly memory = new MemoryBudget(Number.MAX_SAFE_INTEGER)
  readonly offsetMemory = new MemoryBudget(Number.MAX_SAFE_INTEGER)
  readonly options
  /** What is durable. */
  readonly records: CoordinatorRecord[] = []
  /** Records of the appends so far, one number each. */
  readonly appends: number[] = []
  group: ConsumerGroup
  /** Set to make the next append fail. */
  appendError: Error | undefined
  #ids = 0

  constructor(options: GroupOptions = {}) {
    this.options = resolveGroupOptions(options, true)
    this.group = new ConsumerGroup('g', this)
  }

  newId(): string {
    return `id-${++this.#ids}`
  }

  async append(records: readonly CoordinatorRecord[]): Promise<Offset> {
    const error = this.appendError
    if (error !== undefined) {
      this.appendError = undefined
      throw error
    }
    const offset = this.records.length
    this.records.push(...records)
    this.appends.push(records.length)
    return offset
  }

  after(group: Group, delayMs: number, run: () => void | Promise<void>): Scheduled {
    return this.time.after(delayMs, () => {
      if (this.group === group) void run()
    })
  }

  dropIfDisposable(): void {}

  put(): void {}

  /** What a new coordinator makes of the records. */
  replay(records: Iterable<CoordinatorRecord> = this.records): ConsumerGroup {
    const group = new ConsumerGroup('g', this)
    for (const { key, value } of records) {
      group.apply(consumerGroupRecordOf(decodeCoordinatorRecord(groupRecords, key, value)!)!.record)
    }
    return group
  }

  /** The coordinator is lost, and another takes the group over. */
  restart(): void {
    this.group.stop()
    this.group = this.replay()
    this.group.start()
  }

  async heartbeat(request: Partial<ConsumerGroupHeartbeatRequest>): Promise<HeartbeatAnswer> {
    const [answer] = await this.group.heartbeat([heartbeat(request)])
    return answer!
  }

  /** A member joins with everything it says then. */
  join(memberId: string, topics: readonly string[], rest: Partial<ConsumerGroupHeartbeatRequest> = {}) {
    return this.heartbeat(joinRequest(memberId, topics, rest))
  }
}

export function heartbeat(request: Partial<ConsumerGroupHeartbeatRequest>) {
  return {
    request: {
      groupId: 'g',
      memberId: 'm',
      memberEpoch: 0,
      instanceId: null,
      rackId: null,
      rebalanceTimeoutMs: -1,
      subscribedTopicNames: null,
      subscribedTopicRegex: null,
      serverAssignor: null,
      topicPartitions: null,
      ...request,
    },
    client: { clientId: 'client', clientHost: '/127.0.0.1', apiVersion: 1 },
  }
}

export function joinRequest(
  memberId: string,
  topics: readonly string[],
  rest: Partial<ConsumerGroupHeartbeatRequest> = {},
): Partial<ConsumerGroupHeartbeatRequest> {
  return {
    memberId,
    memberEpoch: 0,
    rebalanceTimeoutMs: 60_000,
    subscribedTopicNames: [...topics],
    topicPartitions: [],
    ...rest,
  }
}

/** topic-partition of everything an answer assigns: 'a-0', without the ids. Null where it says nothing. */
export function assigned({ assignment }: HeartbeatAnswer, topics: TopicCatalog): string[] | null {
  return (
    assignment?.topicPartitions
      .flatMap(({ topicId, partitions }) => partitions.map((p) => `${topics.byId(topicId)?.name}-${p}`))
      .sort() ?? null
  )
}
