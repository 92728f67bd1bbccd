import type { Checkpoint } from '../local/checkpoint.ts'
import type { LogId, Offset, TopicId } from '../log-store.ts'
import type { StoreEvent } from '../store-state.ts'

export interface KnownLog {
  readonly topic: string
  readonly partition: number
}

/**
 * Which logs there are, as far as checkpoint and events say. An event may be lost: what does not fit is left alone,
 * where a start would refuse.
 */
export class LogCatalog {
  /** Of every log that was ever named, also of deleted topics. */
  readonly #names = new Map<LogId, KnownLog>()
  readonly #topics = new Map<TopicId, { readonly name: string; readonly logs: LogId[] }>()
  /** Start of each log that exists. */
  readonly starts = new Map<LogId, Offset>()
  /** Numbers of the segments that count. */
  readonly segments = new Set<number>()

  constructor(checkpoint: Checkpoint | null) {
    for (const topic of checkpoint?.topics ?? []) this.#name(topic)
    for (const [logId, startOffset] of checkpoint?.logs ?? []) this.starts.set(logId, startOffset)
    for (const number of checkpoint?.segments ?? []) this.segments.add(number)
  }

  /** @param isInCheckpoint its effect is in the checkpoint: only names are taken from it */
  apply(event: StoreEvent, isInCheckpoint: boolean): void {
    if (event.type === 'topic-created') this.#name(event)
    if (event.type === 'partitions-created') {
      const topic = this.#topics.get(event.id)
      if (topic !== undefined && !event.logs.some((logId) => topic.logs.includes(logId))) {
        this.#name({ ...topic, id: event.id, logs: [...topic.logs, ...event.logs] })
      }
    }
    if (isInCheckpoint) return
    switch (event.type) {
      case 'topic-created':
      case 'partitions-created':
        for (const logId of event.logs) if (!this.starts.has(logId)) this.starts.set(logId, 0)
        return
      case 'topic-deleted':
        for (const logId of this.#topics.get(event.id)?.logs ?? []) this.starts.delete(logId)
        return
      case 'log-start-advanced': {
        const start = this.starts.get(event.logId)
        if (start !== undefined && event.to > start) this.starts.set(event.logId, event.to)
        return
      }
      case 'segment-added':
        this.segments.add(event.number)
    }
  }

  /** Undefined for logs of topics that were deleted and whose creation lies in no file any more. */
  nameOf(logId: LogId): KnownLog | undefined {
    return this.#names.get(logId)
  }

  topicNameOf(id: TopicId): string | undefined {
    return this.#topics.get(id)?.name
  }

  /** The logs of the topic that has this name now, or had it last; undefined where there was none. */
  logsOf(name: string): readonly LogId[] | undefined {
    const named = [...this.#topics.values()].filter((topic) => topic.name === name)
    return (named.find(({ logs }) => logs.some((logId) => this.starts.has(logId))) ?? named.at(-1))?.logs
  }

  #name({ name, id, logs }: { name: string; id: TopicId; logs: readonly LogId[] }): void {
    // Of a topic in the checkpoint, the event that created it may know fewer partitions.
    const known = this.#topics.get(id)
    if (known !== undefined && known.logs.length >= logs.length) return
    this.#topics.set(id, { name, logs: [...logs] })
    logs.forEach((logId, partition) => {
      this.#names.set(logId, { topic: name, partition })
    })
  }
}

/** `'orders'-3`, or the log's number where nobody knows its topic. */
export function displayName(catalog: LogCatalog, logId: LogId): string {
  const known = catalog.nameOf(logId)
  return known === undefined ? `log ${logId} of a deleted topic` : `'${known.topic}'-${known.partition}`
}
