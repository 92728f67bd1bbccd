import type { MemoryUse } from '../memory-budget.ts'
import type { CommittedOffset } from './committed-offset.ts'

type Partitions = Map<number, CommittedOffset>
type Topics = Map<string, Partitions>

/**
 * The offsets of one group: those that count, and those that transactions have committed and not ended yet.
 * Changes only by what is durable.
 */
export class GroupOffsets {
  readonly #memory: MemoryUse
  readonly #committed: Topics = new Map()
  /** By producer id. Almost always empty. */
  #pending: Map<number, Topics> | undefined

  constructor(memory: MemoryUse) {
    this.#memory = memory
  }

  get isEmpty(): boolean {
    return this.#committed.size === 0
  }

  /** Whether any transaction that has committed offsets of the group is open. */
  get hasPending(): boolean {
    return this.#pending !== undefined
  }

  get(topic: string, partition: number): CommittedOffset | undefined {
    return this.#committed.get(topic)?.get(partition)
  }

  /** What the open transaction of that producer has committed for the partition. */
  getPending(producerId: number, topic: string, partition: number): CommittedOffset | undefined {
    return this.#pending?.get(producerId)?.get(topic)?.get(partition)
  }

  topics(): Iterable<readonly [topic: string, partitions: ReadonlyMap<number, CommittedOffset>]> {
    return this.#committed
  }

  ofTopic(topic: string): ReadonlyMap<number, CommittedOffset> | undefined {
    return this.#committed.get(topic)
  }

  /** Whether an open transaction has committed an offset for the partition. */
  isPending(topic: string, partition: number): boolean {
    if (this.#pending === undefined) return false
    for (const topics of this.#pending.values()) {
      if (topics.get(topic)?.has(partition) === true) return true
    }
    return false
  }

  /** Every partition that an open transaction has committed an offset for, with the producer and the offset. */
  *pending(): Generator<{ producerId: number; topic: string; partition: number; offset: CommittedOffset }> {
    for (const [producerId, topics] of this.#pending ?? []) {
      for (const [topic, partitions] of topics) {
        for (const [partition, offset] of partitions) yield { producerId, topic, partition, offset }
      }
    }
  }

  commit(topic: string, partition: number, offset: CommittedOffset): void {
    this.#put(this.#committed, topic, partition, offset)
  }

  /** Visible when the producer's transaction commits. */
  commitPending(producerId: number, topic: string, partition: number, offset: CommittedOffset): void {
    this.#pending ??= new Map()
    let topics = this.#pending.get(producerId)
    if (topics === undefined) {
      topics = new Map()
      this.#pending.set(producerId, topics)
    }
    this.#put(topics, topic, partition, offset)
  }

  /** Forgets the partition's offset, and those that open transactions have committed for it. */
  remove(topic: string, partition: number): void {
    this.#take(this.#committed, topic, partition)
    if (this.#pending === undefined) return
    for (const [producerId, topics] of this.#pending) {
      this.#take(topics, topic, partition)
      if (topics.size === 0) this.#pending.delete(producerId)
    }
    if (this.#pending.size === 0) this.#pending = undefined
  }

  /** The producer's transaction has ended. */
  complete(producerId: number, committed: boolean): void {
    const topics = this.#pending?.get(producerId)
    if (topics === undefined) return
    this.#pending!.delete(producerId)
    if (this.#pending!.size === 0) this.#pending = undefined
    for (const [topic, partitions] of topics) {
      for (const [partition, offset] of partitions) {
        this.#memory.change(-offset.byteLength)
        if (!committed) continue
        // A commit outside the transaction may have come after the one inside: the later record counts,
        // whenever the transaction ends.
        const current = this.get(topic, partition)
        if (current === undefined || current.recordOffset < offset.recordOffset) {
          this.#put(this.#committed, topic, partition, offset)
        }
      }
    }
  }

  #put(topics: Topics, topic: string, partition: number, offset: CommittedOffset): void {
    let partitions = topics.get(topic)
    if (partitions === undefined) {
      partitions = new Map()
      topics.set(topic, partitions)
    }
    const replacedBytes = partitions.get(partition)?.byteLength ?? 0
    partitions.set(partition, offset)
    this.#memory.change(offset.byteLength - replacedBytes)
  }

  #take(topics: Topics, topic: string, partition: number): void {
    const partitions = topics.get(topic)
    const offset = partitions?.get(partition)
    if (partitions === undefined || offset === undefined) return
    partitions.delete(partition)
    this.#memory.change(-offset.byteLength)
    if (partitions.size === 0) topics.delete(topic)
  }
}
