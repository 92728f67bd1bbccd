import type { OffsetToCommit } from '../groups/group-offsets.ts'
import type { TopicPartition } from '../list-offsets.ts'
import type { Message } from '../message.ts'

/** What a worker knows of the transaction it is in: how far it came, and whether it is to come to an end. */
export class BatchTransaction {
  readonly startedAtMs = performance.now()
  /** Resolves with undefined when the transaction is to take no more messages. */
  readonly ending: Promise<undefined>
  /** Resolves when it is committed or aborted. */
  readonly over: Promise<void>
  readonly #offsets = new Map<string, OffsetToCommit>()
  readonly #timer: NodeJS.Timeout
  #end!: (value: undefined) => void
  #finish!: () => void
  isEnding = false
  /** True when a partition of its messages belongs to another member by now. */
  isLost = false

  constructor(maxMs: number) {
    this.ending = new Promise((resolve) => {
      this.#end = resolve
    })
    this.over = new Promise((resolve) => {
      this.#finish = resolve
    })
    this.#timer = setTimeout(() => this.end(), maxMs)
  }

  get messages(): number {
    return this.#messages
  }
  #messages = 0

  get offsets(): OffsetToCommit[] {
    return [...this.#offsets.values()]
  }

  add({ topic, partition, offset }: Message): void {
    this.#messages++
    this.#offsets.set(`${topic}/${partition}`, { topic, partition, offset: offset + 1 })
  }

  lose(partitions: readonly TopicPartition[]): void {
    if (!partitions.some(({ topic, partition }) => this.#offsets.has(`${topic}/${partition}`))) return
    this.isLost = true
    this.end()
  }

  end(): void {
    this.isEnding = true
    this.#end(undefined)
  }

  finish(): void {
    clearTimeout(this.#timer)
    this.#finish()
  }
}
