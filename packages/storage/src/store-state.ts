import { LogHead } from './log-head.ts'
import type { LogId, Offset, Topic, TopicCatalog, TopicId } from './log-store.ts'
import { ProducerBudget } from './producer-table.ts'

/**
 * The facts of a store that are not records: topics, log starts, owners, producer ids. Each change is an
 * event; an engine makes the event durable in the same order as its appends and then applies it, so that a
 * restart which replays the events arrives at the same state.
 */
export type StoreEvent =
  | {
      readonly type: 'topic-created'
      readonly name: string
      readonly id: TopicId
      readonly logs: readonly LogId[]
      readonly configs: Readonly<Record<string, string>>
      readonly createdAtMs: number
    }
  | { readonly type: 'partitions-created'; readonly id: TopicId; readonly logs: readonly LogId[] }
  | {
      readonly type: 'topic-configured'
      readonly id: TopicId
      readonly configs: Readonly<Record<string, string>>
    }
  | { readonly type: 'topic-deleted'; readonly id: TopicId }
  | {
      readonly type: 'log-start-advanced'
      readonly logId: LogId
      readonly to: Offset
      /** Bytes of the batches that end at or before `to` and were live until now. */
      readonly freedBytes: number
    }
  | {
      /** A segment takes the place of what it covers in older files. Its own directory says what that is. */
      readonly type: 'segment-added'
      readonly number: number
      /** Null where its batches are those of the older files. */
      readonly compacted: Compacted | null
    }
  /** Changes nothing: what is written when a file is left that nothing else would be written after. */
  | { readonly type: 'file-left' }
  | { readonly type: 'log-claimed'; readonly logId: LogId; readonly epoch: number }
  | { readonly type: 'producer-ids-allocated'; readonly nextProducerId: number }

export interface Compacted {
  readonly logId: LogId
  /** From here back what was aborted is gone, and what is left belongs to no transaction any more. */
  readonly decidedTo: Offset
  /** Of records below it, those are gone that a later one below it replaces. */
  readonly cleanedTo: Offset
  /** Bytes of live batches that the compaction saved. */
  readonly freedBytes: number
}

class Catalog implements TopicCatalog {
  version = 0
  readonly #byName = new Map<string, Topic>()
  readonly #byId = new Map<TopicId, Topic>()

  byName(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  byId(id: TopicId): Topic | undefined {
    return this.#byId.get(id)
  }

  all(): Iterable<Topic> {
    return this.#byName.values()
  }

  put(topic: Topic): void {
    this.version++
    this.#byName.set(topic.name, topic)
    this.#byId.set(topic.id, topic)
  }

  remove(topic: Topic): void {
    this.version++
    this.#byName.delete(topic.name)
    this.#byId.delete(topic.id)
  }
}

export class StoreState {
  readonly topics = new Catalog()
  readonly logs = new Map<LogId, LogHead>()
  /** Log ids below this one have been given out, also to logs that are deleted. */
  nextLogId = 1
  nextProducerId = 1
  /** Numbers of the segments that count. */
  readonly segments = new Set<number>()
  nextSegmentNumber = 1
  readonly #producerBudget: ProducerBudget

  constructor(producerBudget = new ProducerBudget()) {
    this.#producerBudget = producerBudget
  }

  /** Whether a log is there and starts before this end of a stretch of it. */
  isLive({ logId, endOffset }: { readonly logId: LogId; readonly endOffset: Offset }): boolean {
    const log = this.logs.get(logId)
    return log !== undefined && endOffset > log.startOffset
  }

  apply(event: StoreEvent): void {
    switch (event.type) {
      case 'topic-created':
        this.topics.put({
          name: event.name,
          id: event.id,
          logs: event.logs,
          configs: event.configs,
          createdAtMs: event.createdAtMs,
        })
        this.#addLogs(event.logs, event.id)
        return
      case 'partitions-created': {
        const topic = this.#topic(event.id)
        this.topics.put({ ...topic, logs: [...topic.logs, ...event.logs] })
        this.#addLogs(event.logs, event.id)
        return
      }
      case 'topic-configured':
        this.topics.put({ ...this.#topic(event.id), configs: event.configs })
        return
      case 'topic-deleted': {
        const topic = this.#topic(event.id)
        this.topics.remove(topic)
        for (const logId of topic.logs) {
          const log = this.logs.get(logId)
          this.logs.delete(logId)
          if (log === undefined) continue
          log.deleted = true
          log.producers.forgetAll()
        }
        return
      }
      case 'log-start-advanced': {
        const log = this.logs.get(event.logId)
        if (log === undefined || event.to <= log.startOffset) return
        log.advanceStart(event.to, event.freedBytes)
        return
      }
      case 'segment-added': {
        const { number, compacted } = event
        this.segments.add(number)
        this.nextSegmentNumber = Math.max(this.nextSegmentNumber, number + 1)
        if (compacted !== null) this.logs.get(compacted.logId)?.segmentCompacted(compacted)
        return
      }
      case 'log-claimed': {
        const log = this.logs.get(event.logId)
        if (log !== undefined && event.epoch > log.ownerEpoch) log.ownerEpoch = event.epoch
        return
      }
      case 'file-left':
        return
      case 'producer-ids-allocated':
        this.nextProducerId = Math.max(this.nextProducerId, event.nextProducerId)
    }
  }

  #addLogs(ids: readonly LogId[], topicId: TopicId): void {
    for (const id of ids) {
      this.logs.set(id, new LogHead(id, topicId, this.#producerBudget))
      this.nextLogId = Math.max(this.nextLogId, id + 1)
    }
  }

  #topic(id: TopicId): Topic {
    const topic = this.topics.byId(id)
    if (topic === undefined) throw new Error(`invariant: an event names topic ${id}, which does not exist`)
    return topic
  }
}
