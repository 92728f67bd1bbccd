import type { TopicPartition } from '../list-offsets.ts'

interface TopicState {
  isPaused: boolean
  /** Partitions for which it is the other way round. */
  readonly exceptions: Set<number>
}

/** What a program has paused: whole topics, and partitions whoever has them. */
export class PausedPartitions {
  readonly #topics = new Map<string, TopicState>()

  /** @param partitions left out, the topic with all its partitions */
  set(topic: string, partitions: readonly number[] | undefined, isPaused: boolean): void {
    if (partitions === undefined) {
      this.#topics.set(topic, { isPaused, exceptions: new Set() })
      return
    }
    const state = this.#topics.get(topic) ?? { isPaused: false, exceptions: new Set<number>() }
    for (const partition of partitions) {
      if (isPaused === state.isPaused) state.exceptions.delete(partition)
      else state.exceptions.add(partition)
    }
    this.#topics.set(topic, state)
  }

  has({ topic, partition }: TopicPartition): boolean {
    const state = this.#topics.get(topic)
    return state !== undefined && state.isPaused !== state.exceptions.has(partition)
  }

  clear(): void {
    this.#topics.clear()
  }
}
