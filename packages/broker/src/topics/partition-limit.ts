import { ErrorCode } from '@streambus/protocol'
import type { LogStore } from '@streambus/storage'
import { isInternalTopic } from '../coordinator/internal-topics.ts'

export interface PartitionRefusal {
  readonly errorCode: number
  readonly errorMessage: string
}

/**
 * Bounds the partitions of the whole broker. Each costs memory for as long as it exists, across restarts too,
 * and a request of a few kilobytes can ask for millions of them. The broker's own topics do not count: they are
 * few, and what clients may create must not depend on whether they exist yet.
 */
export class PartitionLimit {
  readonly #store: LogStore
  readonly #maxPartitions: number
  /** Never too few: those of the catalog when they were counted, and all reserved since or under way then. */
  #partitions = 0
  /** Reserved for changes that are under way: the catalog may or may not have them already. */
  #underWay = 0
  #countedVersion = -1
  #reservedSinceCount = false

  constructor(store: LogStore, maxPartitions: number) {
    this.#store = store
    this.#maxPartitions = maxPartitions
    this.#count()
  }

  /** Makes room for more partitions; every reservation ends with `settle`. Returns why there is no room. */
  reserve(partitions: number): PartitionRefusal | undefined {
    // Deleted topics are noticed only when it matters.
    if (this.#partitions + partitions > this.#maxPartitions) this.#count()
    const usedPartitions = this.#partitions
    if (usedPartitions + partitions > this.#maxPartitions) {
      return {
        errorCode: ErrorCode.POLICY_VIOLATION,
        errorMessage: `This broker has ${usedPartitions} partitions and takes at most ${this.#maxPartitions}: delete topics, or start it with a higher --max-partitions.`,
      }
    }
    this.#partitions += partitions
    this.#underWay += partitions
    this.#reservedSinceCount = true
    return undefined
  }

  /** The change that `reserve` made room for has happened or failed. */
  settle(partitions: number): void {
    this.#underWay -= partitions
  }

  #count(): void {
    const { topics } = this.#store
    if (topics.version === this.#countedVersion && !this.#reservedSinceCount) return
    this.#countedVersion = topics.version
    this.#reservedSinceCount = false
    this.#partitions = this.#underWay
    for (const { name, logs } of topics.all()) if (!isInternalTopic(name)) this.#partitions += logs.length
  }
}
